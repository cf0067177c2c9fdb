"""Controllers that federate: both engines carry copies over their links to the same instants."""

import federations
import pytest
import worlds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_oracle import ARRIVALS, FANOUT_PROCESS, FIFO, LOOP_TURNS

from topologies.plan import Plan

PROFILE = st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS)
RELAY = st.sampled_from(
    [{}, {"receive": "0.9 ms"}, {"receive": "0.3 ms", "receive_per_byte": "1.7 us/B"}]
)
NAMES = ("a", "b", "d")


@st.composite
def linked_controllers(draw):
    """Two or three Controllers with a Topic each, people anywhere, links of all kinds."""
    names = NAMES[: draw(st.integers(2, 3))]
    topics = {f"on-{name}": (name, {"payload": {"size": "250 B", "cv": 0.6}}) for name in names}
    people, arrivals = [], []
    for name in names:
        wanted = draw(st.lists(st.sampled_from(list(topics)), unique=True))
        subscribes = [{"topic": each, "fraction": 0.8} for each in wanted]
        delay = draw(st.sampled_from(["0 s", "1.1 ms", "23 ms"]))
        people.append(
            {"name": f"sub-{name}", "controller": name, "count": draw(st.integers(1, 5)),
             "subscribes": subscribes, "network": {"delay": delay}}
        )  # fmt: skip
        if draw(st.booleans()):
            people[-1]["read_rate"] = "333/s"
    for topic in topics:
        home = draw(st.sampled_from(names))
        people.append(
            {"name": f"pub-{topic}", "controller": home, "count": draw(st.integers(1, 3)),
             "publishes": [topic]}
        )  # fmt: skip
        arrivals.append({"topic": topic, "by": f"pub-{topic}", **draw(ARRIVALS)})
    pairs = [(one, other) for one in names for other in names if one < other]
    links = [
        {"from": one, "to": other, "delay": draw(st.sampled_from(["0.37 ms", "17.3 ms"])),
         "copies": draw(st.sampled_from(["subscriber", "domain"])),
         **draw(st.sampled_from([{}, {"rate": "23 kB/s"}]))}
        for one, other in pairs
        if draw(st.booleans())
    ]  # fmt: skip
    topology = federations.topology(
        {name: {"nic": draw(st.sampled_from(["1 GB/s", "61 kB/s"]))} for name in names},
        topics, people, arrivals, links=links,
    )  # fmt: skip
    profiles = {
        name: worlds.profile(notification="55 B", relay=draw(RELAY), **draw(PROFILE))
        for name in names
    }
    return topology, profiles


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(linked_controllers(), st.integers(0, 3), st.sampled_from([None, 0.37, 0.01]))
def test_both_engines_carry_copies_to_the_same_instants(world, seed, window_s):
    topology, profiles = world
    plan = Plan(topology, seed)
    fast = federations.compiled(topology, plan, profiles, window_s)
    slow = federations.stanza_by_stanza(topology, plan, profiles)
    for one, other in zip(fast, slow, strict=True):
        worlds.assert_agree(one, other)
        assert one.expected == one.delivered + one.lost
        assert one.owed_area_s == pytest.approx(one.sojourn_s, rel=1e-9)
