"""Reconnect herds: drained when they must be, and for ever stuck where one inequality says so.

A login is one step of fixed work here, as in the sketch that the inequality comes from: with FIFO
service of capacity mu, patience tau and mean back-off B at its cap, a herd of which N_left time out
at first recovers only if N_left / (B + tau) < mu. The sketch lets a server that notices a share p
of the abandoned attempts before it pays for them get by with (1 - p) N_left: but it hears of them
only a delay after they are given up, and those that wait just longer than tau are paid for in full.
A herd past the boundary rests there, at a wait of tau and two delays, and nobody gets in.
"""

import numpy as np
import pytest
import worlds

import sim.ladders
from sim import phases
from sim.grid import Grid
from sim.study import Study
from topologies.plan import Plan

PLATFORMS, WORK_S, DELAY_S = 10_000, 0.005, 0.1
PATIENCE_S = 10.0  # in the server's queue; the way there and back takes four delays more
LOGINS = {"provenance": {"kind": "assumed", "source": "the sketch"}, "sasl": [], "tls": []}


@pytest.fixture(autouse=True)
def _one_step(monkeypatch):
    """A login is one step."""
    monkeypatch.setattr(
        sim.ladders, "works_s",
        lambda topology, profiles: (
            np.full((1, 2, 2), WORK_S), np.array([1, 0]), np.array([0, 0])
        ),
    )  # fmt: skip


def herd(duration, spread="1 ms", noticed=0.0, cores=1, **retry):
    """What becomes of a herd: books of its sessions, and ends of intervals."""
    topology = worlds.topology(
        [
            {"name": "herd", "count": PLATFORMS, "login": {},
             "network": {"delay": f"{DELAY_S} s"}, "retry": {"timeout": "10.4 s", **retry}},
            {"name": "other", "count": 1, "publishes": ["t"]},
        ],
        [{"topic": "t", "by": "other", "process": "poisson", "rate": "0.001/s"}],
        duration=duration,
        cores=cores,
        faults=[{"kind": "outage", "name": "dark", "population": "herd", "start": "0 s",
                 "duration": "1 ms", "spread": spread}],
    )  # fmt: skip
    profile = worlds.profile("fifo", logins={**LOGINS, "noticed": noticed})
    plan = Plan(topology, 1)
    table = phases.timetable(topology)
    tally = Grid(Study(topology, table, 1, 0, plan.rows), plan, {"c": profile}).run()[0]
    return tally.sessions, table.edges_s


@pytest.mark.parametrize(("spread_s", "cores"), [(100.0, 1), (20.0, 1), (20.0, 4)])
def test_a_patient_herd_drains_in_its_spread_or_its_work(spread_s, cores):
    sessions, edges_s = herd("120 s", f"{spread_s} s", cores=cores, timeout="1000 s")
    drained_s = max(spread_s, PLATFORMS * WORK_S / cores) + 3.0 * DELAY_S
    last = int(np.flatnonzero(sessions.logins[:, 0])[-1])
    assert edges_s[last] <= drained_s <= edges_s[last + 1] + 0.01 * drained_s
    assert sessions.logins[:, 0].sum() == sessions.attempts[:, 0].sum() == PLATFORMS


def boundary_s():
    """Cap of full jitter, whose mean back-off is half of it, above which the herd recovers. [s]"""
    left = PLATFORMS - PATIENCE_S / WORK_S
    return 2.0 * (left * WORK_S - (PATIENCE_S + 4.0 * DELAY_S))


@pytest.mark.parametrize("noticed", [0.0, 0.5])
def test_a_herd_recovers_on_the_right_side_of_the_boundary(noticed):
    cap_s = boundary_s()
    assert cap_s == pytest.approx(59.2)
    high, _ = herd("1000 s", noticed=noticed, cap=f"{1.6 * cap_s} s", first="0 s")
    assert high.logins[:, 0].sum() == PLATFORMS
    low, _ = herd("1000 s", noticed=noticed, cap=f"{0.8 * cap_s} s", first="0 s")
    assert low.logins[:, 0].sum() < 0.35 * PLATFORMS
    assert low.logins[50:, 0].sum() < 0.01 * PLATFORMS  # nobody gets in any more
