"""The compiled engine does what the per-stanza model does, on small grids of every kind."""

import numpy as np
import pytest
import worlds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import phases
from topologies.plan import Plan

TIME = st.sampled_from(["0 ms", "1 ms", "2 ms", "0.7 ms", "3.1 ms"])
SOME_TIME = st.sampled_from(["1 ms", "2 ms", "0.7 ms", "3.1 ms"])
PER_BYTE = st.sampled_from(["0 us/B", "1.3 us/B"])
CV = st.sampled_from([0.0, 0.5])
COLD = {
    "cold": st.sampled_from(["0 ms", "2.9 ms", "7.3 ms"]),
    "cold_after": st.sampled_from(["1.7 ms", "20 ms"]),
}

FIFO = st.fixed_dictionaries(
    {
        "discipline": st.just("fifo"), "publish": TIME, "publish_per_byte": PER_BYTE,
        "copy": SOME_TIME, "copy_per_byte": PER_BYTE, "cv": CV,
        "copy_distribution": st.sampled_from(["constant", "exponential"]),
    }
)  # fmt: skip
LOOP_TURNS = st.fixed_dictionaries(
    {
        "discipline": st.just("loop-turns"), "publish": TIME, "publish_per_byte": PER_BYTE,
        "build": TIME, "build_per_byte": PER_BYTE, "write": SOME_TIME, "write_per_byte": PER_BYTE,
        "coalesced": TIME, "acknowledge": TIME, "wake": TIME, "cv": CV,
        "events_max": st.sampled_from([1, 2, 3, 64]), "accepts": st.sampled_from([0, 1, 2]),
        "read_bytes": st.sampled_from(["300 B", "900 B", "4096 B", "8192 B"]),
        "collection": TIME, "collection_step": SOME_TIME, "collection_cv": CV,
        "collection_every": st.sampled_from([3, 20]), **COLD,
    }
)  # fmt: skip
WARMTH = st.sampled_from(
    [
        {},
        {"warmth_after": ["1 ms", "5 ms", "80 ms"], "warmth_factor": [0.5, 0.8, 1.1]},
    ]
)
FANOUT_PROCESS = st.builds(
    lambda costs, warmth: costs | warmth,
    st.fixed_dictionaries(
        {
            "discipline": st.just("fanout-process"), "setup": TIME, "setup_per_subscriber": TIME,
            "setup_per_byte": PER_BYTE, "route": TIME, "route_per_byte": PER_BYTE,
            "write": SOME_TIME, "write_per_byte": PER_BYTE, "finish": TIME, "wake": TIME,
            "slice_recipients": st.sampled_from([1, 3, 12]), "cv": CV, **COLD,
        }
    ),
    WARMTH,
)  # fmt: skip
ARRIVALS = st.sampled_from(
    [
        {"process": "poisson", "rate": "15/s"},
        {"process": "deterministic", "rate": "20/s"},
        {"process": "batch", "rate": "5/s", "mean_size": 3, "distribution": "geometric"},
    ]
)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "client": st.fixed_dictionaries(
            {
                "rate": st.sampled_from(["1.9 kB/s", "9.7 kB/s", "470 kB/s"]),
                "burst": st.sampled_from(["451 B", "2011 B"]),
            }
        ),
        "shape": st.sampled_from(["server", "server", "delay", "drop"]),
        "client_stanza": st.just("700 B"),
        "account": st.fixed_dictionaries(
            {"rate": st.just("7.3/s"), "burst": st.sampled_from([1, 3])}
        ),
    },
)
QUEUES = st.builds(
    lambda policy, bound, more: {"policy": policy, **(bound if policy != "grow" else {}), **more},
    st.sampled_from(["grow", "disconnect", "drop-oldest", "drop-newest", "coalesce"]),
    st.sampled_from([{"stanzas": 1}, {"stanzas": 3}, {"bytes": "911 B"}]),
    st.fixed_dictionaries(
        {"window": st.sampled_from(["1 B", "433 B", "1777 B"])},
        optional={"send_timeout": st.sampled_from(["31.7 ms", "113.9 ms"])},
    ),
)
FLOOD = {
    "kind": "publish-flood", "name": "flood", "by": "bad", "topic": "t", "start": "0.3 s",
    "duration": "0.2 s", "rate": "60/s",
}  # fmt: skip


@st.composite
def grids_of_any_kind(draw):
    """A topology with up to two Topics, two subscribing populations, a flood, and its profile."""
    delays = [draw(st.sampled_from(["0 s", "1 ms", "25 ms"])) for _ in range(4)]
    both = draw(st.booleans())
    publishers, near, far, bad = (
        {
            "name": "pub", "count": draw(st.integers(1, 3)), "publishes": ["t", "u"],
            "subscribes": ["u"] if draw(st.booleans()) else [],
        },
        {"name": "near", "count": draw(st.integers(1, 9)), "subscribes": ["t"]},
        {
            "name": "far", "count": draw(st.integers(1, 4)),
            "subscribes": [{"topic": "t", "fraction": "60 %"}, "u"] if both else ["u"],
        },
        {"name": "bad", "count": 2, "role": "adversary", "publishes": ["t"]},
    )  # fmt: skip
    if draw(st.booleans()):
        far["read_rate"] = draw(st.sampled_from(["40/s", "333/s"]))
    if draw(st.booleans()):
        far["reader"] = {"on": "37.1 ms", "off": draw(st.sampled_from(["11.3 ms", "171 ms"]))}
    people = [publishers, near, far, bad]
    for population, delay in zip(people, delays, strict=True):
        population["network"] = {"delay": delay}
    if draw(st.booleans()):
        publishers["network"]["uplink"] = draw(st.sampled_from(["3.1 kB/s", "77 kB/s"]))
    if draw(st.booleans()):
        near["network"]["downlink"] = draw(st.sampled_from(["7.7 kB/s", "91 kB/s"]))
    topology = worlds.topology(
        people,
        [
            {"topic": "t", "by": "pub", **draw(ARRIVALS)},
            {"topic": "u", "by": "pub", **draw(ARRIVALS)},
        ],
        topics={"t": {"size": "250 B", "cv": 0.7, "max": "5 kB"}, "u": {"size": "40 B"}},
        cores=draw(st.integers(1, 3)),
        nic=draw(st.sampled_from(["1 GB/s", "60 kB/s"])),
        deadline=draw(st.sampled_from(["20 ms", "1 s"])),
        attacks=[FLOOD] if draw(st.booleans()) else [],
        limits=draw(st.one_of(st.just({}), LIMITS)),
        queue=draw(st.one_of(st.none(), QUEUES)),
    )
    costs = draw(st.one_of(FIFO, LOOP_TURNS, FANOUT_PROCESS))
    speed = draw(st.sampled_from([1.0, 1.7]))
    server = draw(st.sampled_from(["none", "prosody", "ejabberd"]))
    return topology, worlds.profile(speed=speed, notification="55 B", server=server, **costs)


def ordered(trace):
    return np.sort(trace, order=["row", "platform"])


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(grids_of_any_kind(), st.integers(0, 3), st.sampled_from([None, 0.37, 0.01]))
def test_both_engines_deliver_at_the_same_instants(world, seed, window_s):
    topology, profile = world
    plan = Plan(topology, seed)
    fast = worlds.compiled(topology, plan, profile, window_s)
    worlds.assert_agree(fast, worlds.stanza_by_stanza(topology, plan, profile))


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize(
    "profile",
    [
        worlds.profile("fifo", publish="1 ms", copy="7 ms"),
        worlds.profile("loop-turns", publish="1 ms", build="3 ms", write="4 ms", coalesced="4 ms"),
        worlds.profile("fanout-process", setup="2 ms", route="2 ms", write="5 ms"),
    ],
    ids=lambda profile: profile.costs.discipline,
)
def test_both_engines_lose_the_same_copies_when_far_too_much_is_offered(profile, cores):
    people = [
        {"name": "pub", "count": 3, "publishes": ["t"]},
        {"name": "sub", "count": 8, "subscribes": ["t"]},
    ]
    arrivals = [{"topic": "t", "by": "pub", "process": "poisson", "rate": "900/s"}]
    topology = worlds.topology(people, arrivals, duration="0.5 s", cores=cores)
    plan = Plan(topology, 5)
    fast = worlds.compiled(topology, plan, profile)
    slow = worlds.stanza_by_stanza(topology, plan, profile)
    assert fast.lost == slow.lost > 500
    assert ordered(fast.trace)["row"].tolist() == ordered(slow.trace)["row"].tolist()
    assert fast.expected == fast.delivered + fast.lost
    assert fast.owed_area_s == pytest.approx(fast.sojourn_s, rel=1e-9)
    assert slow.owed_area_s == pytest.approx(slow.sojourn_s, rel=1e-9)


def test_the_timetable_knows_the_flood():
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]}, {"name": "bad", "count": 1}],
        attacks=[FLOOD],
    )
    assert phases.timetable(topology).names == ("before", "during", "after")
