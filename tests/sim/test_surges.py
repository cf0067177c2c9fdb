"""Storms that are carried in one go end as those that are carried in windows, stanza by stanza."""

import math

import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sessions import LOGINS, SETTINGS, assert_alike

from sim import surges
from sim.benchmark_grids import carrier
from sim.benchmark_storms import login_profile, storm_grid, storm_of


@st.composite
def storms(draw):
    """Platforms that come back after a restart and a power cut, seldom disturbed, on `fifo`."""
    people = [
        {"name": "pub", "count": 1, "publishes": ["t"], "network": {"delay": "1 ms"},
         "login": {"mechanism": "plain"}, "retry": {"first": "20 ms"}},
        *(
            {"name": name, "count": draw(st.integers(3, 30)), "subscribes": ["t"],
             "network": {"delay": draw(st.sampled_from(["1 ms", "0.7 ms", "5 ms"]))},
             "login": {"mechanism": draw(st.sampled_from(["scram-sha-1", "plain"]))},
             "retry": {"first": "60 ms", "base": "10 ms",
                       "timeout": draw(st.sampled_from(["0.1 s", "10 s", "10 s"]))}}
            for name in ("near", "far")
        ),
    ]  # fmt: skip
    faults = [
        {"kind": "restart", "name": "restart", "controller": "c", "start": "0.1 s",
         "duration": "10 ms"},
        {"kind": "outage", "name": "dark", "population": draw(st.sampled_from(["near", "far"])),
         "start": draw(st.sampled_from(["0.12 s", "0.8 s"])), "duration": "20 ms",
         "spread": "50 ms"},
    ]  # fmt: skip
    rate = draw(st.sampled_from(["1/s", "3/s", "20/s"]))
    topology = worlds.topology(
        people,
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": rate}],
        duration="1.5 s",
        cores=draw(st.integers(1, 3)),
        faults=faults,
    )
    logins = draw(LOGINS) | {"noticed": 0.0}
    # Sums of round times tie, and only their last bits would tell who comes first.
    for k, step in enumerate(("accept", "starttls", "stream", "bind", "subscribe", "resume"), 1):
        logins[step] = f"{float(logins[step].split()[0]) + math.sqrt(k) / 300} ms"
    return topology, worlds.profile("fifo", publish="1 ms", copy="1 ms", logins=logins)


def test_both_engines_carry_storms_alike(monkeypatch):
    carried = []
    book = surges._book
    monkeypatch.setattr(surges, "FEW", 1)
    monkeypatch.setattr(surges, "_book", lambda *each: (carried.append(each), book(*each)))

    @settings(SETTINGS, max_examples=15)
    @given(
        storms(), st.integers(0, 3), st.sampled_from([None, 0.037]), st.sampled_from([3, 7, 1024])
    )
    def alike(world, seed, window_s, block):
        monkeypatch.setattr(surges, "BLOCK", block)
        assert_alike(*world, seed, window_s)

    alike()
    finished = [len(surge.finished) for _, surge in carried]
    assert sum(finished) > 50


def test_a_large_storm_is_the_same_in_windows(monkeypatch):
    topology = storm_grid(2_400)
    profile = login_profile(carrier(1e-4, 1e-5, "constant"))
    at_once_s, steps = storm_of(topology, profile, 7)
    monkeypatch.setattr(surges, "FEW", 10**9)
    in_windows_s, also = storm_of(topology, profile, 7)
    assert steps == also == 2_401 * 7
    assert at_once_s.tolist() == pytest.approx(in_windows_s.tolist(), rel=1e-9)


@pytest.mark.parametrize(("size", "seed"), [(8_000, 1), (8_000, 3), (20_000, 7)])
def test_a_storm_is_carried_from_its_first_message_on(monkeypatch, size, seed):
    """Its first messages must not be in the server as a window ends, by chance."""
    carried, book = [], surges._book
    monkeypatch.setattr(surges, "_book", lambda *each: (carried.append(each), book(*each)))
    profile = login_profile(carrier(1e-4, 1e-5, "constant"))
    storm_of(storm_grid(size), profile, seed)
    assert sum(len(surge.finished) for _, surge in carried) == size + 1
