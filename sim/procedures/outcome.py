"""What a procedure is given for one replication, and what it gives back."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

import topologies
from results.histogram import Counts
from results.variants import Curve, thinned
from sim import logins
from sim.queues import constant
from sim.services import Demand, Receivers, publication
from topologies.profiles import Profile
from topologies.schema import Login, Population, Topology

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Occasion:
    """One replication: the grid around the procedure, and keys of its draws.

    `slower` says from when on [s] work takes how many times as long [1]; empty: as long throughout.
    """

    topology: Topology
    seed: int
    replication: int
    slower: tuple[tuple[float, float], ...] = ()

    def stream(self, purpose: str) -> np.random.Generator:
        """Random numbers for a purpose: drawing more for one moves no other."""
        key = [self.seed, self.replication, zlib.crc32(purpose.encode())]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))

    @cached_property
    def profile(self) -> Profile:
        """Costs of the first Controller."""
        return topologies.profile(self.topology, self.topology.controllers[0].name)

    @property
    def deadline_s(self) -> float:
        """Within this a delivery counts as goodput. [s]"""
        return self.topology.slo.deadline

    def fan_out_s(self, receivers: int, size_bytes: float) -> float:
        """Mean CPU time of a publication and its copies on the first Controller, alone. [s]"""
        cold = (Receivers(receivers, 1e-3),)
        payload, one = constant(size_bytes), constant(1.0)
        demand = Demand("procedure", 1.0, cold, payload, one, True, 0.0)
        return publication(demand, self.profile)[0].mean

    def login_steps_s(self, login: Login, subscribes: int = 1) -> list[tuple[str, float]]:
        """Steps of a login on the first Controller: name and CPU time of each. [s]"""
        topics = [self.topology.topics[0].name] * min(subscribes, 1)
        population = Population.model_validate(
            {"name": "x", "count": 1, "controller": self.topology.controllers[0].name,
             "subscribes": topics}
        )  # fmt: skip
        steps = logins.steps(population, login, self.profile)
        return [(step.name, step.work_s) for step in steps]

    def login_s(self, login: Login | None = None) -> float:
        """CPU time of a whole login on the first Controller. [s]"""
        wanted = login or Login.model_validate({})
        return math.fsum(work_s for _, work_s in self.login_steps_s(wanted))


@dataclass(frozen=True)
class Outcome:
    """What one replication of a procedure shows.

    Parameters
    ----------
    figures : mapping of str to float
        By name, unit last; inf where unbounded, nan where there is none.
    latency : Counts, optional
        Histogram of the legitimate latencies; undelivered counts as infinite.
    curve : Curve, optional
        What its picture draws.
    """

    figures: Mapping[str, float]
    latency: Counts | None = None
    curve: Curve | None = None


@dataclass
class Trace:
    """A figure over time, as it changes."""

    x: list[float] = field(default_factory=list)
    y: list[float | None] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """One more point."""
        self.x.append(x)
        self.y.append(y)

    def curve(self) -> Curve:
        """The whole of it, thinned."""
        return thinned(self.x, self.y)


def curve(x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> Curve:
    """A curve of two columns; what is not finite is left open."""
    known: list[float | None] = [float(v) if math.isfinite(v) else None for v in y]
    return thinned([float(v) for v in x], known)


def since(start_s: float, instant_s: float | None) -> float:
    """Time from a start until something happened; infinite if it never did. [s]"""
    return math.inf if instant_s is None else max(instant_s - start_s, 0.0)


Play = Any  # a function of (procedure, Occasion) that returns an Outcome
