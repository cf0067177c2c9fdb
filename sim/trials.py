"""Trials of a plan: a design is refused by a bound, or simulated until its verdict is sure.

All trials of a plan play the same plans of publications with the same draws (common random
numbers), so that designs differ by what they are and not by the dice. A trial stops after the first
stage in which its verdict is certain enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from results.figures import Figures
from results.statistics import Estimate
from sim.batching import collected
from sim.bounds import Share, shares
from sim.designs import Case, Design, changed, part
from sim.objectives import QUANTILES, Objective, latency_bound_s
from sim.reconnects import longest_s, stormed, worked_s
from sim.replications import simulate
from topologies import TopologyError, offered
from topologies.profiles import Profile
from topologies.schema import (
    ArrivalProcess,
    Batch,
    Deterministic,
    Diurnal,
    Poisson,
    Sine,
    Topology,
)

STAGES = (4, 12)  # replications after which a trial may stop
CERTAIN = 0.95
DELIVERIES = 1.5e6  # of one replication: what a busy window holds at most
CLUSTER_WINDOW_S = (4.0, 20.0)  # of a cluster, which takes longer to simulate, and ...
ROOMS = 200.0  # ... no longer than so many times that a delivery has, unless that is shorter
HOP = 0.05  # of the time that a delivery has: a hop between nodes that is short enough
WINDOW_S = (10.0, 120.0)  # least and greatest length of a busy window
Verdict = Literal["meets", "misses", "refused"]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """A design in one case at one load, and whether it keeps what is promised.

    `shares` are those of the closed forms; `figures` those of the simulation, by objective.
    """

    design: Design
    case: Case
    load: float
    verdict: Verdict
    reason: str
    certainty: float
    shares: tuple[Share, ...]
    figures: dict[str, Estimate] = field(default_factory=dict)
    p99: Estimate | None = None
    memory_bytes: float = 0.0
    replications: int = 0
    window_s: float = 0.0

    @property
    def meets(self) -> bool:
        """Whether everything that was promised is kept."""
        return self.verdict == "meets"

    def share(self, resource: str) -> Share:
        """The share of one resource."""
        return next(each for each in self.shares if each.resource == resource)


class Bench:
    """Where the designs of one Controller are tried.

    Parameters
    ----------
    topology : Topology
        The whole grid.
    controller : str
        Whose work is designed.
    profile : Profile
        Its costs.
    asked : sequence of Objective
        What must be kept.
    seed : int
        Key of all plans and draws.
    processes : int, optional
        Worker processes.
    tell : callable, optional
        Told what is being tried.
    """

    def __init__(
        self,
        topology: Topology,
        controller: str,
        profile: Profile,
        asked: Sequence[Objective],
        *,
        seed: int = 1,
        processes: int | None = None,
        tell: Tell | None = None,
    ) -> None:
        self.topology, self.controller, self.profile = topology, controller, profile
        self._asked, self._seed, self._processes = tuple(asked), seed, processes
        self._tell = tell or (lambda text: None)
        self._known: dict[tuple[Design, Case, float], Trial] = {}

    @property
    def trials(self) -> list[Trial]:
        """All that was tried, in order."""
        return list(self._known.values())

    @property
    def nic(self) -> float:
        """The file's network link of the Controller. [B/s]"""
        return next(n.nic for n in self.topology.controllers if n.name == self.controller)

    @property
    def room_s(self) -> float:
        """The least time that a delivery has, by what is asked. [s]"""
        bounds = [each.bound for each in self._asked if each.figure in QUANTILES]
        timely = any(each.figure == "timely" for each in self._asked)
        return min([*bounds, *([self.topology.slo.deadline] if timely else [])], default=math.inf)

    @property
    def returns(self) -> bool:
        """Whether it was asked how soon all are back after a restart."""
        return any(each.figure == "whole" for each in self._asked)

    def with_seed(self, seed: int) -> Bench:
        """The same bench with other plans and draws, and nothing tried yet."""
        return Bench(
            self.topology, self.controller, self.profile, self._asked, seed=seed,
            processes=self._processes, tell=self._tell,
        )  # fmt: skip

    def bounded(self, design: Design, case: Case = "normal") -> tuple[Share, ...]:
        """What closed forms say of a design at the file's load."""
        own = self._part(design, case)
        left_s = latency_bound_s(self._asked) - design.held_s
        return tuple(shares(own, self.controller, self.profile, left_s))

    def _part(self, design: Design, case: Case) -> Topology:
        """The busiest Controller of a design over a busy window."""
        own = part(self.topology, self.controller, self.profile, design, case=case)
        if own.controllers[0].nodes > 1:
            own = _coarser(own, self.room_s if math.isfinite(self.room_s) else 1.0)
        if design.collecting is not None:
            own = collected(own, design.collecting)
            left_s = max(own.slo.deadline - design.held_s, 0.0)
            own = changed(own, slo=changed(own.slo, deadline=left_s))
        if case == "restart":
            return stormed(own, self.profile)
        limits_s = WINDOW_S
        if own.controllers[0].nodes > 1:
            shortest_s, longest_s = CLUSTER_WINDOW_S
            limits_s = shortest_s, max(shortest_s, min(longest_s, ROOMS * self.room_s))
        return windowed(own, DELIVERIES, limits_s)

    def _objectives(self, own: Topology, case: Case) -> tuple[Objective, ...]:
        """What a case must keep: after a restart, that all are back, else the rest."""
        back = tuple(each for each in self._asked if each.figure == "whole")
        if case == "restart":
            return back or (Objective("whole", longest_s(own)),)
        return tuple(each for each in self._asked if each not in back)

    def trial(self, design: Design, case: Case = "normal", load: float = 1.0) -> Trial:
        """The trial of a design; each is done once."""
        key = (design, case, load)
        if key not in self._known:
            bounds = self.bounded(design, case)
            reason = refusal(bounds, load) or self._too_slow(design, case)
            self._known[key] = (
                Trial(design, case, load, "refused", reason, 1.0, bounds)
                if reason
                else self.simulated(design, case, load, bounds)
            )
        return self._known[key]

    def _too_slow(self, design: Design, case: Case) -> str:
        """Why all cannot be back in time whatever happens, in words; empty if they may be."""
        if case != "restart":
            return ""
        own = self._part(design, case)
        least_s = worked_s(own, self.profile)
        bound_s = min(each.bound for each in self._objectives(own, case))
        return f"all are back after {least_s:.3g} s at the earliest" if least_s > bound_s else ""

    def simulated(
        self,
        design: Design,
        case: Case,
        load: float,
        bounds: tuple[Share, ...],
        stages: Sequence[int] = STAGES,
    ) -> Trial:
        """Simulate a design whatever the bounds say, in as many replications as it takes."""
        at = f" at {load:.3g} times the load" if load != 1.0 else ""
        self._tell(f"{design.text()}{at}{_CASES[case]}")
        own = self._part(design, case)
        found: dict[str, Any] = {}
        for replications in stages:
            try:
                found = self._figures(own, case, load, replications, design.held_s)
            except TopologyError as error:
                reason = error.problems[0]
                return Trial(design, case, load, "misses", reason, 1.0, bounds)
            if found["certainty"] >= CERTAIN:
                break
        return Trial(design, case, load, shares=bounds, window_s=own.workload.duration, **found)

    def _figures(
        self, own: Topology, case: Case, load: float, replications: int, held_s: float
    ) -> dict[str, Any]:
        """What a design does; latencies count from the event, which may be held before it goes."""
        run = simulate(
            own,
            seed=self._seed,
            replications=replications,
            processes=self._processes,
            profiles={self.controller: self.profile},
            load=load,
            stages=False,
            door="gridlab plan",
        )
        figures = Figures([run])
        samples = {each: each.sample(figures, held_s) for each in self._objectives(own, case)}
        missed = [each for each, sample in samples.items() if not each.met(sample)]
        memory_bytes = float(figures.memory_bytes_max(self.controller))
        full = memory_bytes > own.controllers[0].memory
        reasons = [f"misses {each.text}" for each in missed] + ["memory is full"] * full
        sure = [each.certainty(sample) for each, sample in samples.items()]
        ruling = [s for each, s in zip(samples, sure, strict=True) if each in missed]
        return {
            "verdict": "misses" if reasons else "meets",
            "reason": "; ".join(reasons),
            "certainty": 1.0 if full else max(ruling) if missed else min(sure, default=1.0),
            "figures": {each.text: sample.estimate() for each, sample in samples.items()},
            "p99": figures.latency().sample(0.99).later(held_s).estimate(),
            "memory_bytes": memory_bytes,
            "replications": replications,
        }


def _coarser(own: Topology, room_s: float) -> Topology:
    """A cluster with a hop of a twentieth of the time that a delivery has, or its own if longer.

    Its nodes are simulated in windows of a hop, and short ones take long; the figures err to the
    safe side, by that twentieth at most.
    """
    node = own.controllers[0]
    return changed(own, controllers=(changed(node, hop=max(node.hop, HOP * room_s)),))


def windowed(own: Topology, deliveries: float, limits_s: tuple[float, float]) -> Topology:
    """The topology over a busy window of so many deliveries, at the peak of its day.

    Processes that follow a day begin where the window's middle is their peak, all at once. Ramps,
    steps, traces and on-off processes are played whole, and so is all that goes with them.
    """
    duration_s = own.workload.duration
    movable = all(
        isinstance(each, Poisson | Deterministic | Batch | Diurnal | Sine)
        and each.start == 0.0
        and not each.end
        for each in own.workload.arrivals
    )
    if movable:
        copies = own.fan_out()
        per_s = max(sum(rate * copies[name] for name, rate in offered(own).items()), 1e-9)
        window_s = min(max(deliveries / per_s, limits_s[0]), limits_s[1])
        duration_s = min(duration_s, float(f"{window_s:.2g}"))
    arrivals = tuple(
        _at_its_peak(each, duration_s) if movable else each for each in own.workload.arrivals
    )
    study = "steady" if movable and not own.attacks else "campaign"
    attacks = tuple(changed(each, duration=duration_s) for each in own.attacks)
    workload = changed(own.workload, duration=duration_s, study=study, arrivals=arrivals)
    return changed(own, workload=workload, attacks=attacks)


def _at_its_peak(arrivals: ArrivalProcess, window_s: float) -> ArrivalProcess:
    """A process that follows a day, so far into it that its peak is in the window's middle."""
    match arrivals:
        case Sine():
            peak_s, period_s = 0.25 * arrivals.period, arrivals.period
        case Diurnal():
            highest = arrivals.parts.index(max(arrivals.parts))
            peak_s = (highest + 0.5) / len(arrivals.parts) * arrivals.period
            period_s = arrivals.period
        case _:
            return arrivals
    if window_s >= period_s:
        return arrivals
    return changed(arrivals, shift=(peak_s - 0.5 * window_s) % period_s)


def refusal(bounds: Sequence[Share], load: float) -> str:
    """Why a design is impossible, in words; empty if it may be possible."""
    for share in bounds:
        scaled = share.least if share.resource in ("memory", "latency") else share.least * load
        if scaled >= 1.0 and math.isfinite(scaled):
            return f"{_WORDS[share.resource]}: {100.0 * scaled:.3g} % at least"
    return ""


_CASES = {"normal": "", "attacks": " under attack", "restart": " after a restart"}
_WORDS = {
    "cpu": "the CPU is asked for more than there is",
    "link": "the network link is asked for more than it carries",
    "memory": "sessions alone fill the memory",
    "readers": "readers get more than they can take",
    "latency": "the latency of an idle grid breaks the objective",
}
