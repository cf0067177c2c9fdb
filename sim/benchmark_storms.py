"""A connection storm for `gridlab bench sim`: all Platforms of a Controller log in again at once.

The Controller restarts, and its Platforms come back within ten seconds: more than its cores can
take, so that most of the storm is a queue. `NaiveStorm` is what one would write first: a `Resource`
for the cores and a process for each Platform.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from sim import draws, phases
from sim.draws import Purpose
from sim.grid import Grid
from sim.logins import ROUNDS_OF_CONNECT, steps
from sim.study import Study
from topologies.plan import Plan
from topologies.profiles import Profile
from topologies.schema import Topology

Floats = npt.NDArray[np.float64]
Process = Generator[simpy.Event, Any, None]

ATTEMPT = 1  # the first after a loss
CORES, CV = 4, 0.5
DELAYS_MS = (10, 20, 30, 40)
SPREAD_S = 10.0  # of 300,000 Platforms; of fewer it is shorter
LOGINS = {
    "accept": "40 us", "starttls": "10 us", "stream": "20 us", "bind": "60 us",
    "tls": [{"version": "1.3", "key": "ecdsa-p256", "cost": "300 us"}],
    "sasl": [{"mechanism": "plain", "storage": "hashed", "first": "90 us"}],
    "cv": CV, "provenance": {"kind": "assumed", "source": "costs of a benchmark, on paper"},
}  # fmt: skip


def storm_grid(size: int) -> Topology:
    """`size` Platforms in four populations, some near and some far, after a restart."""
    spread_s = SPREAD_S * size / 300_000
    people = [
        {"name": f"far-{delay}", "count": size // len(DELAYS_MS), "controller": "c",
         "network": {"delay": f"{delay} ms"}, "login": {"mechanism": "plain"},
         "retry": {"first": f"{spread_s!r} s", "timeout": "1000 s"}}
        for delay in DELAYS_MS
    ]  # fmt: skip
    people.append({"name": "source", "count": 1, "controller": "c", "publishes": ["t"],
                   "login": {"mechanism": "plain"}, "network": {"delay": "10 ms"},
                   "retry": {"first": f"{spread_s!r} s", "timeout": "1000 s"}})  # fmt: skip
    return Topology.model_validate(
        {
            "schema": 1,
            "name": "storm",
            "controllers": [{"name": "c", "domain": "c.test", "profile": "carrier",
                             "cores": CORES}],
            "brokers": [{"name": "b", "controller": "c"}],
            "topics": [{"name": "t", "broker": "b", "payload": {"size": "820 B"}}],
            "platforms": people,
            "faults": [{"kind": "restart", "name": "restart", "controller": "c", "start": "0 s",
                        "duration": "1 ms"}],
            "workload": {"study": "campaign", "duration": f"{6.0 * spread_s!r} s",
                         "arrivals": [{"topic": "t", "by": "source", "process": "deterministic",
                                       "rate": "0.001/s"}]},
        }
    )  # fmt: skip


def login_profile(carrier: Profile) -> Profile:
    """The same server, which also says what a login costs."""
    return Profile.model_validate(
        carrier.model_dump(mode="json", by_alias=True) | {"logins": LOGINS}
    )


class NaiveStorm:
    """A storm in plain SimPy.

    Parameters
    ----------
    topology : Topology
        A grid of one Controller that restarts at the start.
    profile : Profile
        What its logins cost.
    seed, replication : int
        Key of the draws.
    """

    def __init__(self, topology: Topology, profile: Profile, seed: int, replication: int) -> None:
        self._env = simpy.Environment()
        self._cpu = simpy.Resource(self._env, topology.controllers[0].cores)
        self._latency_s: list[float] = []
        key, first = (seed, Purpose.RETURN, replication), 0
        for people in topology.platforms:
            assert people.login is not None
            assert profile.logins is not None
            delay_s, who = people.network.delay, np.arange(first, first + people.count)
            share = draws.uniforms_at(*key, who, np.ones(len(who), np.int64))
            start_s = topology.faults[0].start + delay_s + share * people.retry.first
            work_s = np.stack(
                [
                    step.work_s
                    * draws.lognormals_at(
                        seed, Purpose.LOGIN, replication, who,
                        np.full(len(who), ATTEMPT * 16 + number), profile.logins.cv,
                    )
                    for number, step in enumerate(steps(people, people.login, profile))
                ],
                axis=1,
            )  # fmt: skip
            for instant, row in zip(start_s.tolist(), work_s.tolist(), strict=True):
                self._env.process(self._log_in(instant, row, delay_s))
            first += people.count
        self.steps = first * len(row)

    def run(self) -> Floats:
        """Play it all; how long each login took, in order of their ends. [s]"""
        self._env.run()
        return np.array(self._latency_s)

    def _log_in(self, start_s: float, work_s: list[float], delay_s: float) -> Process:
        yield self._env.timeout(start_s + ROUNDS_OF_CONNECT * delay_s)
        for step_s in work_s:
            with self._cpu.request() as turn:
                yield turn
                yield self._env.timeout(step_s)
            yield self._env.timeout(2.0 * delay_s)
        self._latency_s.append(self._env.now - delay_s - start_s)


def naive_storm(topology: Topology, profile: Profile, seed: int) -> tuple[Floats, int]:
    """Latency of each login and how many steps were answered, by the naive model. [s]"""
    storm = NaiveStorm(topology, profile, seed, 0)
    return storm.run(), storm.steps


def storm_of(topology: Topology, profile: Profile, seed: int) -> tuple[Floats, int]:
    """The same by the engine. [s]"""
    plan = Plan(topology, seed)
    study = Study(topology, phases.timetable(topology), seed, 0, plan.rows)
    grid = Grid(study, plan, {topology.controllers[0].name: profile})
    grid.run()
    latency_s, people = grid.login_latency_s(), topology.platforms[0]
    assert people.login is not None
    return latency_s, len(latency_s) * len(steps(people, people.login, profile))
