"""Last items upon subscribing where something happens while the last step is being answered."""

import numpy as np
import pytest
import worlds
from test_offline import COSTS
from test_subscriptions import SOURCE, returning

from topologies.plan import Plan

QUERIES = {"provenance": SOURCE, "base": "2 ms", "per_item": "0.5 ms"}
DISCIPLINES = {
    "fifo": {"publish": "1 ms", "copy": "1 ms"},
    "loop-turns": {"publish": "1 ms", "build": "1 ms", "write": "1 ms", "acknowledge": "8 ms",
                   "wake": "0.5 ms"},
    "fanout-process": {"setup": "1 ms", "route": "0.3 ms", "write": "0.5 ms", "wake": "2 ms"},
}  # fmt: skip


def interrupted(discipline, kind, start_s):
    """One Platform subscribes to two Topics that remind; something happens at `start_s`."""
    whom = {"controller": "c"} if kind in ("crash", "freeze") else {"population": "sub"}
    topology = worlds.topology(
        [
            {"name": "pub", "count": 1, "publishes": ["t", "u"]},
            {"name": "sub", "count": 1, "subscribes": ["t", "u"], "network": {"delay": "10 ms"},
             "login": {"mechanism": "plain"}, "retry": {"timeout": "100 s", "first": "0 s"}},
        ],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "0.1/s"}],
        topics={name: {"size": "1000 B"} for name in "tu"},
        duration="3 s",
        faults=[
            {"kind": "outage", "name": "gone", "population": "sub", "start": "0.1 s",
             "duration": "0.1 s"},
            {"kind": kind, "name": "again", "start": f"{start_s:.4f} s", "duration": "0.2 s",
             **whom},
        ],
        keeping={"last_item": "on-subscribe"},
    )  # fmt: skip
    costs = DISCIPLINES[discipline]
    return topology, worlds.profile(discipline, logins=COSTS, queries=QUERIES, **costs)


@pytest.mark.parametrize("kind", ["disconnect", "crash", "freeze", "outage"])
@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_both_engines_agree_whenever_it_happens(discipline, kind):
    """Every 2.3 ms through the last steps; a login that is cut off there is reminded of nothing."""
    reminded = []
    for start_s in np.arange(0.362, 0.462, 0.0023):
        topology, profile = interrupted(discipline, kind, float(start_s))
        plan = Plan(topology, 1)
        fast = worlds.compiled(topology, plan, profile)
        slow = worlds.stanza_by_stanza(topology, plan, profile)
        worlds.assert_agree(fast, slow)
        np.testing.assert_array_equal(np.sort(fast.trace["row"]), np.sort(slow.trace["row"]))
        reminded.append(int(fast.expected))
    assert len(set(reminded)) > 1 or kind == "freeze"


def test_a_loop_that_reminds_does_not_go_to_sleep_before():
    costs = {"publish": "1 ms", "build": "1 ms", "write": "1 ms", "acknowledge": "1 ms"}
    topology, _ = returning()
    found = []
    for wake in ("0 s", "5 ms"):
        profile = worlds.profile("loop-turns", logins=COSTS, queries=QUERIES, wake=wake, **costs)
        plan = Plan(topology, 1)
        fast = worlds.compiled(topology, plan, profile)
        worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))
        received_s = np.sort(fast.trace["received_s"])
        found.append(received_s[received_s > 2.0])
    assert len(found[0]) == 2
    # Eight messages of the login wake it, the last of them; what follows from it does not.
    wakes = (found[1] - found[0]) / 5e-3
    assert wakes == pytest.approx(np.round(wakes), abs=1e-6)
    assert wakes[0] == wakes[1]
