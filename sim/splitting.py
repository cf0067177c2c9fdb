"""How seldom a backlog is reached: multilevel splitting of busy periods.

The probability that a busy period reaches a backlog of L copies is a product of probabilities that
are not small, of going on from one level of backlog to the next before the period ends. As many
trials are made for each level as for the others (*fixed effort* [1]_), each from one of the states
in which the level before was reached; the product of the shares is unbiased. Parts are independent
and are added until their interval is narrow enough; levels are laid by trials of their own, such
that about a quarter goes on. Where no level is needed, this is counting busy periods.

References
----------
.. [1] P. L'Ecuyer, F. Le Gland, P. Lezaud, B. Tuffin, "Splitting techniques," in G. Rubino,
       B. Tuffin (eds.), "Rare Event Simulation using Monte Carlo Methods," 2009, section 3.2.
.. [2] M. Villen-Altamirano, J. Villen-Altamirano, "RESTART: a method for accelerating rare event
       simulations," 1991.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import topologies
from results import statistics
from results.rarities import RareBacklog
from sim import draws
from sim.busy_periods import NEVER, Moment, WatchedServer
from sim.draws import Purpose
from sim.platforms import require_supported
from sim.services import demands, service
from sim.state import BEGUN_ANEW, WAITED_FOR
from topologies import support
from topologies.plan import Plan
from topologies.problems import TopologyError
from topologies.profiles import Profile
from topologies.schema import Poisson, Topology

Progress = Callable[[float, str], None]

UNSUPPORTED = (
    "attacks", "faults", "workload.queries", "controllers.queue", "controllers.limits",
    "controllers.nodes", "controllers.neighbours", "controllers.slowness", "platforms.login",
    "platforms.reader", "platforms.network.uplink",
    "platforms.network.downlink", "topics.notify_retract", "topics.last_item", "topics.flow",
    "controllers.offline", "controllers.resumption", "brokers.kind",
)  # fmt: skip
PLAN_ROWS = 100_000
PARTS_MIN, PARTS_MAX = 12, 256
KEPT_MAX_BYTES = 1e9  # of states that trials go on from
WARM_UP = 50  # busy periods that nothing is taken from
PILOT, GO_ON = 400, 0.25


@dataclass(frozen=True)
class Part:
    """What one part has found: the probability, and busy periods per second."""

    probability: float
    periods_per_s: float


def rare_backlog(
    topology: Topology,
    copies: int,
    *,
    profiles: Mapping[str, Profile] | None = None,
    seed: int = 1,
    precision: float = 0.1,
    trials: int = 1000,
    progress: Progress | None = None,
) -> RareBacklog:
    """How seldom a Controller owes so many copies at once.

    Parameters
    ----------
    topology : Topology
        One Controller, whose publications come as Poisson processes.
    copies : int
        The backlog: copies of publications that have arrived, and are not written yet.
    profiles : mapping of str to Profile, optional
        Cost profile of the Controller; the one that the topology names by default.
    seed : int
        Key of all draws.
    precision : float
        Half-width of the 95 % interval to stop at, relative to the probability. [1]
    trials : int
        Trials from each level in each part.
    progress : callable, optional
        Called with the share done and a remark.

    Raises
    ------
    TopologyError
        The grid has more than that, its server is full or works in turns, one publication alone
        makes that backlog, or the states of so many trials are too large.
    """
    if profiles is None:
        profiles = {
            each.name: topologies.profile(topology, each.name) for each in topology.controllers
        }
    require_possible(topology, copies, profiles)
    split = laid(topology, copies, profiles, seed, trials)
    parts: list[Part] = []
    half_width = math.inf
    while len(parts) < PARTS_MIN or (half_width > precision and len(parts) < PARTS_MAX):
        parts.append(split.part(len(parts) + 1))
        half_width = _half_width(parts)
        if progress is not None:
            needed = max(PARTS_MIN, len(parts) * min((half_width / precision) ** 2, 1e6))
            remark = f"{len(parts)} parts, +- {100 * half_width:.2g} %"
            progress(min(len(parts) / needed, 1.0), remark)
    reached = np.array([each.probability for each in parts])
    periods = np.array([each.periods_per_s for each in parts])
    return {
        "topology": topology.name,
        "controller": topology.controllers[0].name,
        "copies": copies,
        "seed": seed,
        "levels": [*split.levels],
        "trials": trials,
        "parts": len(parts),
        "probability": statistics.mean(reached, 0.0),
        "periods_per_s": statistics.mean(periods, 0.0),
        "per_hour": statistics.mean(3600.0 * reached * periods, 0.0),
        "half_width": half_width if math.isfinite(half_width) else None,
        "precise": half_width <= precision,
    }


@dataclass(frozen=True)
class Splitting:
    """What independent estimates are made of: levels on the way, trials from each but the last."""

    topology: Topology
    profiles: Mapping[str, Profile]
    seed: int
    levels: tuple[int, ...]
    trials: int

    def part(self, number: int) -> Part:
        """One estimate, from busy periods one after another and trials from each level reached."""
        server = WatchedServer(self.topology, self.profiles, self.seed, number)
        states, periods, periods_per_s = _entrances(server, self.levels[0], self.trials)
        probability = len(states) / periods
        for place, level in enumerate(self.levels[1:]):
            if not states:
                return Part(0.0, periods_per_s)
            origin = _chosen(len(states), self.trials, (self.seed, number), place)
            reached: list[Moment] = []
            for each in origin.tolist():
                server.put_back(states[each])
                if server.go_on(level) == WAITED_FOR:
                    reached.append(server.moment())
            probability *= len(reached) / self.trials
            states = reached
        return Part(probability, periods_per_s)


def laid(
    topology: Topology, copies: int, profiles: Mapping[str, Profile], seed: int, trials: int
) -> Splitting:
    """Levels on the way to a backlog, laid by trials of their own."""
    topology = _long(topology, seed)
    least = max(topology.fan_out().values(), default=0) + 1
    first = WatchedServer(topology, profiles, seed, 0)
    if (kept_bytes := 2 * trials * first.moment_bytes(least)) > KEPT_MAX_BYTES:
        rule = f"the states of {trials} trials need {kept_bytes / 1e9:.1f} GB, 1 GB is the limit"
        raise TopologyError(
            [f'trials: "{trials}": {rule}; ask for fewer, or for fewer subscribers']
        )
    return Splitting(topology, profiles, seed, tuple(_levels(first, least, copies)), trials)


def require_possible(topology: Topology, copies: int, profiles: Mapping[str, Profile]) -> None:
    """Refuse what is not followed through busy periods.

    Raises
    ------
    TopologyError
        One line for each.
    """
    require_supported(topology)
    support.refuse(topology, UNSUPPORTED, "the splitting of busy periods")
    problems = []
    if len(topology.controllers) > 1:
        problems.append(
            f'controllers: "{len(topology.controllers)}": one Controller is followed; leave the '
            "others out"
        )
    for node in topology.controllers:
        profile = profiles[node.name]
        if profile.costs.discipline == "loop-turns":
            problems.append(
                f'controllers[{node.name}].profile: "{profile.name}": works in turns, and '
                "hears of what has come only at the next; ask of a server of another discipline"
            )
        asked = demands(topology, node.name, 1.0, attacks=False)
        rate_per_s = sum(each.rate_per_s for each in asked)
        if rate_per_s * service(asked, profile).least_s >= node.cores:
            problems.append(
                f'controllers[{node.name}].cores: "{node.cores}": it is full, its backlog grows '
                "without end; ask of a lower load"
            )
    for number, each in enumerate(topology.workload.arrivals):
        if not isinstance(each, Poisson) or each.start or each.end is not None:
            problems.append(
                f'workload.arrivals[{number}].process: "{each.process}": only Poisson processes of '
                "the whole run forget what was; write process: poisson without start and end"
            )
    largest = max(topology.fan_out().values(), default=0)
    if copies <= largest:
        problems.append(
            f'copies: "{copies}": one publication alone has {largest:,} of them; ask for more'
        )
    if problems:
        raise TopologyError(problems)


def _long(topology: Topology, seed: int) -> Topology:
    """The same with a run of which a plan has many publications."""
    rate_per_s = Plan(topology, seed).rows / topology.workload.duration
    duration_s = PLAN_ROWS / max(rate_per_s, 1e-9)
    workload = topology.workload.model_copy(update={"duration": duration_s})
    return topology.model_copy(update={"workload": workload})


def _half_width(parts: list[Part]) -> float:
    found = statistics.mean([each.probability for each in parts])
    if not found["value"] or found["high"] is None:
        return math.inf
    return (found["high"] - found["value"]) / found["value"]


def _next_period(server: WatchedServer) -> None:
    """Work until the next busy period has begun."""
    while not server.go_on(NEVER) & BEGUN_ANEW:
        pass


def _chosen(states: int, trials: int, key: tuple[int, int], place: int) -> Any:
    """From which state each trial begins, at random."""
    seed, part = key
    entities = np.arange(trials) + (place << 32)
    share = draws.uniforms(seed, Purpose.SPLITTING, part, entities)
    return (share * states).astype(np.int64)


def _entrances(server: WatchedServer, level: int, wanted: int) -> tuple[list[Moment], int, float]:
    """States in which the first level was reached in busy periods one after another.

    Of so many periods that about as many are expected as are `wanted`, with the number of periods
    and how many there are per second.
    """
    for _ in range(WARM_UP):
        _next_period(server)
    begun_s, states, periods = server.time_s, [], 0
    count = math.ceil(wanted / GO_ON)
    while periods < count:
        why = server.go_on(level)
        periods += bool(why & BEGUN_ANEW)
        if why & WAITED_FOR:
            states.append(server.moment())
            _next_period(server)
            periods += 1
    return states, periods, periods / (server.time_s - begun_s)


def _levels(server: WatchedServer, least: int, copies: int) -> list[int]:
    """Backlogs on the way to `copies`, the last one, of which each is reached from a quarter.

    None is below `least`.
    """
    for _ in range(WARM_UP):
        _next_period(server)
    peaks = []
    for _ in range(PILOT):
        _next_period(server)
        peaks.append(server.take_peak())
    levels = [min(max(least, math.ceil(np.quantile(peaks, 1.0 - GO_ON))), copies)]
    states = _entrances(server, levels[-1], PILOT)[0]
    while levels[-1] < copies:
        if not states:
            rule = f"nothing was seen beyond {levels[-1]:,}; ask for less"
            if len(levels) == 1:
                rule = "two publications never met here: the load is too low to split; ask of more"
            raise TopologyError([f'copies: "{copies}": {rule}'])
        peaks = []
        for trial in range(PILOT):
            server.put_back(states[trial % len(states)])
            server.take_peak()
            server.go_on(copies)
            peaks.append(server.take_peak())
        level = max(levels[-1] + 1, math.ceil(np.quantile(peaks, 1.0 - GO_ON)))
        levels.append(min(level, copies))
        following = []
        for trial in range(PILOT):
            server.put_back(states[trial % len(states)])
            if server.go_on(levels[-1]) == WAITED_FOR:
                following.append(server.moment())
        states = following
    return levels
