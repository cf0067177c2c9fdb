"""Phases, intervals, and where a warm-up ends."""

import numpy as np
import pytest
import worlds

from sim import phases

PUBLISHER = {"name": "pub", "count": 1, "publishes": ["t"]}
ATTACKER = {"name": "bad", "count": 1, "role": "adversary", "publishes": ["t"]}


def campaign(*spans):
    attacks = [
        {"kind": "publish-flood", "name": f"f{i}", "by": "bad", "topic": "t", "rate": "1/s",
         "start": f"{start} s", "duration": f"{length} s"}
        for i, (start, length) in enumerate(spans)
    ]  # fmt: skip
    return phases.timetable(
        worlds.topology([PUBLISHER, ATTACKER], duration="60 s", attacks=attacks)
    )


@pytest.mark.parametrize(
    ("spans", "names", "edges"),
    [
        ([], ("whole",), [0, 60]),
        ([(20, 10)], ("before", "during", "after"), [0, 20, 30, 60]),
        ([(0, 10)], ("during", "after"), [0, 10, 60]),
        ([(20, 40)], ("before", "during"), [0, 20, 60]),
        ([(20, 10), (35, 5)], ("before", "during", "after"), [0, 20, 40, 60]),
        ([(50, 100)], ("before", "during"), [0, 50, 60]),
    ],
)
def test_a_campaign_has_phases_around_its_attacks(spans, names, edges):
    table = campaign(*spans)
    assert table.names == names
    assert table.segment_edges_s.tolist() == edges
    assert set(edges) <= set(table.edges_s.tolist())
    assert len(table.edges_s) <= 119


def steady_phases(latency_s, count=10.0):
    table = phases.timetable(worlds.topology([PUBLISHER], duration="100 s", study="steady"))
    counts = np.full(phases.INTERVALS, count)
    return phases.phases(table, np.asarray(latency_s) * counts, counts)


def test_a_run_that_starts_empty_and_fills_up_is_cut_where_it_has_filled_up():
    noise = np.random.default_rng(1).normal(0, 0.02, 100)
    filling = 1.0 - np.exp(-np.arange(100) / 6.0)
    warm_up, steady = steady_phases(filling + noise)
    assert (warm_up.name, warm_up.measured, steady.name) == ("warm-up", False, "steady")
    assert 10 <= warm_up.end_s <= 40
    assert warm_up.end_s % 5 == 0


def test_a_run_without_a_trend_loses_little():
    noise = np.random.default_rng(2).normal(1, 0.1, 100)
    assert steady_phases(noise)[-1].start_s <= 20


def test_without_deliveries_nothing_is_cut():
    assert [phase.name for phase in steady_phases(np.zeros(100), count=0.0)] == ["steady"]


def test_a_warm_up_that_is_given_is_left_out_whatever_the_latencies():
    world = worlds.topology([PUBLISHER], duration="8 s", study="steady")
    table = phases.timetable(world, 0.8)
    assert {0.0, 0.8, 8.0} <= set(table.edges_s.tolist())
    intervals = len(table.edges_s) - 1
    found = phases.phases(table, np.linspace(9.0, 1.0, intervals), np.ones(intervals))
    assert [(each.start_s, each.end_s, each.measured) for each in found] == [
        (0.0, 0.8, False), (0.8, 8.0, True),
    ]  # fmt: skip
    assert not phases.too_short(table, found)
