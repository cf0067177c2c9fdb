"""A short cost fit: what this machine's server pays per publication, against the profile's.

The pilot plays the topology's own Platforms and payloads at a light Poisson load: evenly spaced
publications cost a real Prosody less each, and no grid publishes so. One figure is taken
from it, each server's CPU seconds, and one number is fitted for each of them, the
profile's speed factor: all its costs scale with it, its structure stays. They hold for the pace
that the cores had meanwhile. The pilot's plan is never one that a validation point plays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import topologies
from loadtest import coldness, collecting, paces
from loadtest.problems import LoadError
from results import figures, pacing, statistics
from results.twin_documents import TwinFit
from topologies.profiles import LoopTurns, Profile
from topologies.schema import Poisson, Topology

if TYPE_CHECKING:
    from results import Run

DOOR = "gridlab validate"
PILOT_SEED_SHIFT = 1_000_003
PILOT_RATE_PER_S = 6.0
LIGHT_S = 20.0  # predicted, to know how much of the server six a second use
PILOT_SHARE = 0.2  # of what the server can do, where six a second are less
PILOT_SHARE_MOST = 0.4  # where six a second are more
FULL_FROM = 0.9  # of its time
PILOTS_MAX = 3  # played until one counts


class Predict(Protocol):
    """`sim.simulate`, or anything that answers alike."""

    def __call__(
        self,
        topology: Topology,
        *,
        seed: int,
        profiles: dict[str, Profile] | None,
        load: float,
        plan_replication: int | None,
        door: str,
    ) -> Run: ...


class Measure(Protocol):
    """`loadtest.engine.play` on a grid that is up."""

    def __call__(self, topology: Topology, *, seed: int, load: float) -> Run: ...


@dataclass(frozen=True)
class Fit:
    """The profiles of this machine, the factor behind them, and the pilot that it rests on.

    Without a pilot, `source` is the name of the profile that was given. `seen` is what collectors
    were found to do before the pilot.
    """

    profiles: dict[str, Profile]
    speed: statistics.Estimate
    pilot: Run | None
    source: str | None = None
    seen: Mapping[str, collecting.Seen] = field(default_factory=dict)

    def expected(self, topology: Topology, later: Sequence[Run] = ()) -> Topology:
        """The grid as it is predicted: on machines that go on as in the pilot, and later."""
        seen = [] if self.pilot is None else [self.pilot]
        return paces.expected(topology, self.profiles, [*seen, *later])

    def document(self) -> TwinFit:
        """The fit as `gridlab validate --json` shows it."""
        return {
            "speed": self.speed,
            "pilot": self.pilot.header.run_id if self.pilot else None,
            "publications": self.pilot.header.counts.publications if self.pilot else 0,
            "profile": self.source,
            "speeds": self.speeds(),
            "paces_per_s": {name: each.pace_per_s for name, each in self.profiles.items()},
            "cold_s": {name: coldness.of(each) for name, each in self.profiles.items()},
            "collections": collecting.document(self.profiles, self.seen),
            "spells": pacing.spells(self.pilot) if self.pilot else {},
        }

    def speeds(self) -> dict[str, float]:
        """Cost of every Controller over its profile's machine. [1]"""
        return {name: profile.speed for name, profile in self.profiles.items()}


def given(topology: Topology, profile: Profile) -> Fit:
    """The costs of a profile as they are, for all Controllers of its server.

    Raises
    ------
    LoadError
        The topology has a Controller of another server.
    """
    for controller in topology.controllers:
        own = topologies.profile(topology, controller.name)
        if own.server != profile.server:
            raise LoadError(
                f"--profile: {profile.name} is of {profile.server}, but controllers"
                f"[{controller.name}] is {own.server}; use a profile of {own.server}"
            )
    speed = statistics.mean([1.0])
    names = [controller.name for controller in topology.controllers]
    return Fit(dict.fromkeys(names, profile), speed, None, profile.name)


def recalled(topology: Topology, entry: Mapping[str, Any], pilot: Run) -> Fit:
    """The fit of a validation that is resumed, from what its book says."""
    profiles = {
        name: coldness.put(shipped, entry["cold_s"][name]).model_copy(
            update={"speed": entry["speeds"][name], "pace_per_s": entry["paces_per_s"][name]}
        )
        for name, shipped in collecting.put(stations(topology), entry["collections"]).items()
    }
    return Fit(profiles, entry["speed"], pilot, seen=collecting.recalled(entry["collections"]))


def light_rate_per_s(topology: Topology, predict: Predict, seed: int) -> float:
    """Publications of a light load by which points are predicted: a fifth of capacity or six. [1/s]

    Of the capacity that the shipped profile predicts; where six are more than two fifths of it, two
    fifths.

    What a server pays for each that rests most of the time says too little of one that is used:
    fitted at a tenth, an ejabberd with 50 subscribers was 5 % cheaper at a fifth of its capacity
    and 11 % at two thirds, at equal pace of its core.
    """

    def used(rate_per_s: float) -> float:
        light = pilot(topology, LIGHT_S, rate_per_s)
        run = predict(light, seed=seed, profiles=None, load=1.0, plan_replication=0, door=DOOR)
        return max(run.utilisation().values())

    rate_per_s, share = unsaturated(used, PILOT_RATE_PER_S, PILOT_RATE_PER_S / 100.0)
    if share == 0.0:
        return rate_per_s
    full_per_s = rate_per_s / share
    return min(max(PILOT_RATE_PER_S, PILOT_SHARE * full_per_s), PILOT_SHARE_MOST * full_per_s)


def unsaturated(
    used: Callable[[float], float], offered: float, least: float
) -> tuple[float, float]:
    """An offered load, halved until a server keeps up, and the share of its time that it uses. [1]

    A server uses no more than all its time: of one that is full nobody knows how much too much
    it is asked for.
    """
    share = used(offered)
    while share > FULL_FROM and offered > least:
        offered /= 2.0
        share = used(offered)
    return offered, share


def fit(
    topology: Topology, predict: Predict, measure: Measure, *, seed: int, duration_s: float,
    rate_per_s: float = PILOT_RATE_PER_S, seen: Mapping[str, collecting.Seen] | None = None,
) -> Fit:  # fmt: skip
    """Play the pilot for `duration_s` [s] and scale the profiles to what its publications cost.

    Where it was `seen` what collections take of a light load, they take as much of this one.
    """
    light = pilot(topology, duration_s, rate_per_s)
    key = seed + PILOT_SEED_SHIFT
    measured = counted(measure, light, key)
    answer = partial(predict, seed=key, load=1.0, plan_replication=0, door=DOOR)
    shipped = stations(topology)
    if seen:
        bare = answer(light, profiles={name: _uncollected(each) for name, each in shipped.items()})
        own = figures.Figures([bare])
        costs_s = {name: _each_s(own, name) for name in seen}
        shipped = collecting.split(shipped, seen, costs_s, measured)
    predicted = answer(light, profiles=shipped if seen else None)
    sides = [figures.Figures([run]).busy_per_publication() for run in (predicted, measured)]
    speed = statistics.ratio(sides[0], sides[1], paired=False)
    paces_per_s = pacing.paces_per_s(measured)
    profiles = {
        name: profile.model_copy(update={"pace_per_s": paces_per_s.get(name)})
        for name, profile in refitted(shipped, predicted, measured).items()
    }
    for further in (True, True, False):  # what rests cost, then what remains of it, then the pace
        if (grid := paces.told(light, profiles, measured)) is None:
            break
        told = answer(grid[0], profiles=grid[1])
        profiles = _at_pace(profiles, told, measured)
        if further:
            profiles = coldness.further(profiles, told, measured)
    return Fit(profiles, speed, measured, seen=seen or {})


def _at_pace(profiles: Mapping[str, Profile], told: Run, measured: Run) -> dict[str, Profile]:
    """The profiles, for the pace at which a light load costs what it did, told its own pace."""
    sides, found = [figures.Figures([run]) for run in (told, measured)], {}
    for name, profile in profiles.items():
        factor, pace_per_s = _factor(sides, name), profile.pace_per_s
        if factor is not None and pace_per_s is not None:
            pace_per_s *= factor ** (1.0 / pacing.EXPONENT)
        found[name] = profile.model_copy(update={"pace_per_s": pace_per_s})
    return found


def refitted(profiles: Mapping[str, Profile], predicted: Run, measured: Run) -> dict[str, Profile]:
    """The profiles on which a light load costs what it did.

    Parameters
    ----------
    profiles : mapping of str to Profile
        By process, those of the prediction.
    predicted, measured : Run
        The same light load on both sides.

    Raises
    ------
    LoadError
        Nothing was published in it, or no CPU time used.
    """
    sides = [figures.Figures([run]) for run in (predicted, measured)]
    costs_s = [side.busy_per_publication().value for side in sides]
    found = {}
    for name, profile in profiles.items():
        factor = _factor(sides, name)
        if factor is None:
            factor = costs_s[1] / costs_s[0] if costs_s[0] > 0.0 else math.nan
        if not 0.0 < factor < math.inf:
            raise LoadError(
                f"controllers[{name}]: the light load tells no cost: too little was published or "
                "used in it; make it longer"
            )
        found[name] = profile.model_copy(update={"speed": profile.speed * factor})
    return found


def counted(measure: Measure, light: Topology, seed: int) -> Run:
    """The first light load that counts; the last where other work spoils all: its verdict says so.

    It is listed as such among a validation's light loads, and no single run is predicted from it.
    """
    for _ in range(PILOTS_MAX):
        run = measure(light, seed=seed, load=1.0)
        if run.header.verdict.valid:
            break
    return run


def stations(topology: Topology) -> dict[str, Profile]:
    """Every process whose costs are fitted: Controllers, and Brokers that are components.

    Of a component only the speed counts: its costs are the topology's.
    """
    found = {each.name: topologies.profile(topology, each.name) for each in topology.controllers}
    domains = {each.name: each.domain for each in topology.controllers}
    for broker in topology.brokers:
        if broker.kind == "component":
            name = f"{broker.name}.{domains[broker.controller]}"
            found[name] = found[broker.controller]
    return found


def _factor(sides: Sequence[figures.Figures], name: str) -> float | None:
    """What a process used per publication over what was predicted; None where not known. [1]"""
    if any(name not in side.controllers for side in sides):
        return None
    predicted, measured = (_each_s(side, name) for side in sides)
    factor = measured / predicted if predicted > 0.0 else math.nan
    return factor if 0.0 < factor < math.inf else None


def _each_s(side: figures.Figures, name: str) -> float:
    """What a process used per publication. [s]"""
    return side.utilisation(name).value / (side.rate("offered").value or math.nan)


def _uncollected(profile: Profile) -> Profile:
    """The profile of a server that never collects garbage."""
    if not isinstance(profile.costs, LoopTurns):
        return profile
    costs = profile.costs.model_copy(update={"collection": 0.0})
    return profile.model_copy(update={"costs": costs})


def pilot(topology: Topology, duration_s: float, rate_per_s: float = PILOT_RATE_PER_S) -> Topology:
    """The same grid with Poisson publications, so many a second, and no attack."""
    workload = topology.workload
    pairs = {(arrivals.topic, arrivals.by) for arrivals in workload.arrivals}
    arrivals = tuple(
        Poisson.model_validate(
            {
                "process": "poisson",
                "topic": topic,
                "by": by,
                "rate": f"{rate_per_s / len(pairs)} /s",
            }
        )
        for topic, by in sorted(pairs)
    )
    light = workload.model_copy(
        update={"arrivals": arrivals, "duration": duration_s, "study": "steady"}
    )
    return topology.model_copy(update={"workload": light, "attacks": ()})
