"""Prosody pauses a connection that sent much until its time has come and nobody else is ready."""

import absences
import numpy as np
import pytest
import worlds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_oracle import LOOP_TURNS
from test_sessions import LOGINS, SETTINGS, assert_alike
from test_stories import ENGINES, LOOP, told
from test_windows import PROFILES, assert_same, overloaded, tally

from topologies.plan import Plan

COSTS = LOOP | {"read_bytes": "2500 B", "publish_envelope": "200 B", "events_max": 64}
PROSODY = worlds.profile("loop-turns", server="prosody", **COSTS)
SOURCE = {"kind": "assumed", "source": "chosen for a test"}
LIMIT = {"client": {"rate": "100 kB/s"}}  # 1,200 B, a publication, are worth 12 ms


@ENGINES
def test_a_read_is_followed_by_a_pause_and_a_piece_of_a_stanza_is_kept(engine):
    # Three wait at 0.5, of which two and 100 B are read; both are built by 22.5, and the pause is
    # until 47.5. s0 gets both at 25, the results are written until 28, and the loop sleeps until
    # the pause ends: the other 1,100 B are read and built until 58.5, s0 at 60.5.
    got = told(engine, PROSODY, [(0, 0), (0.1, 0), (0.2, 0)], 1, limits=LIMIT)
    assert got == [[25], [25], [60.5]]


@ENGINES
def test_a_pause_that_is_over_ends_only_as_the_loop_finds_nobody_ready(engine):
    # The first is built by 11.5: its connection is paused until 23.5, with the second there since
    # 5. s0 at 13.5, the result until 16.5. Awake at 20.5, the loop reads the third until 31.5, s0
    # at 33.5, result until 36.5. Only now it rests, and the second is read until 47.5: s0 at 49.5.
    got = told(engine, PROSODY, [(0, 0), (5, 0), (20, 1)], 1, limits=LIMIT)
    assert got == [[13.5], [49.5], [33.5]]


@ENGINES
def test_what_comes_after_the_loop_has_slept_through_a_pause_does_not_wait(engine):
    # Paused until 23.5, which the loop sleeps through: the second wakes it, 30.5 to 41.5.
    assert told(engine, PROSODY, [(0, 0), (30, 0)], 1, limits=LIMIT) == [[13.5], [43.5]]


@ENGINES
def test_a_stanza_larger_than_a_read_comes_in_pieces(engine):
    small = worlds.profile("loop-turns", server="prosody", **COSTS | {"read_bytes": "500 B"})
    # Read at 0.5, 5.5 and 10.5: 500, 500 and 200 B; built by 21.5.
    assert told(engine, small, [(0, 0)], 1, limits=LIMIT) == [[23.5]]


@ENGINES
def test_the_rest_of_a_read_comes_first_as_pauses_end_and_what_is_new_is_polled(engine):
    # Twelve subscribers: b's first is read and built until 22.5, its second is there since 23 and
    # waits until 34.5. The copies are out at 46.5, the last subscriber's first; two of a's three
    # and 100 B are read until 90.5, results at 93.5 and, after the copies, 126.5. Both pauses are
    # over then: what a has left is read at once, until 148.5, s11 at 150.5, s0 at 172.5, results at
    # 175.5; b's second only in that poll, until 197.5, s11 at 199.5.
    rows = [(0, 1), (1, 0), (1.1, 0), (1.2, 0), (23, 1)]
    got = told(engine, PROSODY, rows, 12, limits=LIMIT)
    assert [received[-1] for received in got] == [24.5, 96, 96, 150.5, 199.5]


@ENGINES
def test_a_loop_that_finds_nobody_sleeps_a_millisecond_at_least(engine):
    # b's first until 11.5, s0 at 13.5; two of a's three and 100 B until 35.5, result of b at 38.5,
    # s0 at 41, result of a at 44; b's second until 55, s0 at 57, result at 60. The pause of a is
    # over at 60.5, the sleep at 61: read until 72, s0 at 74.
    rows = [(0, 1), (1, 0), (1.1, 0), (1.2, 0), (2, 1)]
    got = told(engine, PROSODY, rows, 1, limits=LIMIT)
    assert got == [[13.5], [41], [41], [74], [57]]


@ENGINES
def test_a_stanza_of_three_reads_waits_a_millisecond_for_its_third(engine):
    small = worlds.profile("loop-turns", server="prosody", **COSTS | {"read_bytes": "500 B"})
    # Read at 0.5; nobody is ready, so that timers run and read again; nobody is, and it sleeps
    # until 1.5: the last 200 B; built by 12.5.
    assert told(engine, small, [(0, 0)], 1) == [[14.5]]


@ENGINES
def test_pauses_of_less_than_a_millisecond_are_not_made(engine):
    # At 2.5 MB/s a full read is worth 1 ms: as without a limit, but that reads end within a stanza.
    free = told(engine, PROSODY, [(0, 0), (0.1, 0), (0.2, 0)], 1)
    fast = {"client": {"rate": "2500 kB/s"}}
    assert told(engine, PROSODY, [(0, 0), (0.1, 0), (0.2, 0)], 1, limits=fast) == free


LOGIN = {
    "provenance": SOURCE, "accept": "1 ms", "bind": "2 ms",
    "tls": [{"version": "1.3", "key": "ecdsa-p256", "cost": "0.5 ms"}],
    "sasl": [{"mechanism": "scram-sha-1", "storage": "hashed", "first": "1 ms", "final": "1 ms"}],
}  # fmt: skip
COMING = {"login": {}, "retry": {}, "network": {"delay": "1 ms"}}


@ENGINES
@pytest.mark.parametrize("kind", ["disconnect", "outage"])
def test_a_lost_connection_is_read_at_once_and_not_paused_any_more(engine, kind):
    # In at 1, built by 12.5, paused until 24.5 with three more there since 5, 6 and 7; s0 at 14.5,
    # result until 17.5. At 20 the connection is lost: awake at 20.5, the loop reads two of them and
    # 100 B, until 42.5. s0 gets both at 45, and no pause keeps it from the last: read until 56,
    # results until 59, s0 at 61.
    lost = {"kind": kind, "name": "gone", "population": "p", "start": "20 ms", "duration": "2 s"}
    prosody = worlds.profile("loop-turns", server="prosody", **COSTS, logins=LOGIN)
    got = told(engine, prosody, [(0, 0), (4, 0), (5, 0), (6, 0)], 1, limits=LIMIT, p=COMING,
               faults=[lost])  # fmt: skip
    assert got == [[14.5], [45], [45], [61]]


@st.composite
def floods(draw):
    """A few connections that send more than they may, beside others, requests and refusals."""
    people = [
        {"name": "pub", "count": draw(st.integers(1, 4)), "publishes": ["t", "u"],
         "subscribes": ["u"] if draw(st.booleans()) else [],
         "network": {"delay": draw(st.sampled_from(["0 s", "1 ms"]))}},
        {"name": "sub", "count": draw(st.integers(1, 6)), "subscribes": ["t"]},
        {"name": "bad", "count": 2, "role": "adversary", "publishes": ["t"]},
    ]  # fmt: skip
    flood = {"kind": "publish-flood", "name": "flood", "by": "bad", "topic": "t",
             "start": "0.2 s", "duration": "0.3 s", "rate": "40/s"}  # fmt: skip
    limits = {"client": {"rate": draw(st.sampled_from(["4.7 kB/s", "9.7 kB/s", "61 kB/s",
                                                       "470 kB/s"]))}}  # fmt: skip
    if draw(st.booleans()):
        limits["client_stanza"] = "700 B"
    batches = {"process": "batch", "rate": "4/s", "mean_size": 4, "distribution": "geometric"}
    topology = worlds.topology(
        people,
        [{"topic": "t", "by": "pub", **batches},
         {"topic": "u", "by": "pub", "process": "poisson", "rate": "15/s"}],
        topics={"t": {"size": "250 B", "cv": 0.7, "max": "5 kB"}, "u": {"size": "40 B"}},
        attacks=[flood] if draw(st.booleans()) else [],
        queries=[{"by": "sub", "topic": "t", "rate": "9/s", "kind": "items"}],
        keeping={"max_items": 3, "notify_retract": draw(st.booleans())},
        limits=limits,
    )  # fmt: skip
    return topology, worlds.profile(
        server="prosody", queries={"provenance": SOURCE, "base": "1 ms"}, speed=1.3,
        **draw(LOOP_TURNS),
    )  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(floods(), st.integers(0, 3), st.sampled_from([None, 0.37, 0.01]))
def test_both_engines_pause_alike(world, seed, window_s):
    topology, profile = world
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile, window_s)
    worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))
    assert fast.expected == fast.delivered + fast.lost + fast.rejected


@st.composite
def floods_of_those_that_come_and_go(draw):
    """Connections that send more than they may and break, beside others; what is missed is kept."""
    pub = absences.publisher(["t"], count=draw(st.integers(1, 3)), network={"delay": "0.3 ms"})
    people = [pub, *absences.subscribers(draw, ["t"])]
    people[1]["publishes"] = ["t"]
    keeping = draw(st.sampled_from([{}, {"resumption": {"window": "10 s", "queue": 500}},
                                    {"offline": {"messages": 500}}]))  # fmt: skip
    faults = absences.losses(draw, ["outage", "disconnect", "disconnect", "crash"])
    for each in faults:
        if "population" in each:
            each["population"] = draw(st.sampled_from(["pub", "near", "near", "far"]))
    batches = {"process": "batch", "mean_size": 4, "distribution": "geometric"}
    topology = worlds.topology(
        people,
        [{"topic": "t", "by": name, "rate": rate, **batches}
         for name, rate in (("pub", "8/s"), ("near", "4/s"))],
        topics={"t": {"size": "250 B", "cv": 0.7, "max": "5 kB"}},
        faults=faults, keeping={"notification": "normal"},
        limits={"client": {"rate": draw(st.sampled_from(["4.7 kB/s", "9.7 kB/s", "61 kB/s"]))}},
        **keeping,
    )  # fmt: skip
    return topology, worlds.profile(
        server="prosody", logins=draw(LOGINS), speed=0.3, **draw(LOOP_TURNS)
    )


@settings(SETTINGS, max_examples=25)
@given(floods_of_those_that_come_and_go(), st.integers(0, 3), st.sampled_from([None, 0.037]))
def test_both_engines_forget_pauses_with_their_connections(world, seed, window_s):
    assert_alike(*world, seed, window_s)


def test_windows_and_feeding_do_not_matter_to_pauses():
    profile = PROFILES["loop-turns"].model_copy(update={"server": "prosody"})
    topology = overloaded(limits={"client": {"rate": "40 kB/s"}})
    one = tally(topology, profile)
    assert_same(one, tally(topology, profile, window_s=0.0137))


def test_a_crowd_that_is_paused_is_read_in_the_order_in_which_pauses_end():
    people = [{"name": "p", "count": 300, "publishes": ["t"]},
              {"name": "s", "count": 1, "subscribes": ["t"]}]  # fmt: skip
    topology = worlds.topology(people, limits={"client": {"rate": "10 kB/s"}}, duration="9 s")
    sizes = np.random.default_rng(7).permutation(300) * 10 + 200
    rows = [(0.0, who, 0, int(size)) for who, size in enumerate(sizes)]
    rows += [(1e-3, who, 0, 50) for who in range(300)]
    profile = worlds.profile("loop-turns", server="prosody", publish="1 us", build="0 s",
                             write="0 s", acknowledge="0 s", wake="0 s")  # fmt: skip
    got = worlds.compiled(topology, worlds.GivenPlan(topology, rows), profile)
    received_s = {int(each["row"]): float(each["received_s"]) for each in got.trace}
    order = sorted(range(300), key=lambda who: received_s[300 + who])
    assert order == sorted(range(300), key=lambda who: sizes[who])


@pytest.mark.parametrize("seed", [0, 1])
def test_both_engines_forget_pauses_in_a_crash(seed):
    people = [{"name": "p", "count": 3, "publishes": ["t"], **COMING},
              {"name": "s", "count": 4, "subscribes": ["t"], **COMING}]  # fmt: skip
    fault = {"kind": "crash", "name": "c", "controller": "c", "start": "0.4 s", "duration": "0.1 s"}
    topology = worlds.topology(
        people, [{"topic": "t", "by": "p", "process": "poisson", "rate": "80/s"}],
        faults=[fault], limits={"client": {"rate": "20 kB/s"}}, duration="3 s",
    )  # fmt: skip
    profile = worlds.profile("loop-turns", server="prosody", **COSTS, logins=LOGIN)
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile)
    worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))
