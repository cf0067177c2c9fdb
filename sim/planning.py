"""The smallest grid that keeps what is promised: bounds first, then a search over simulations.

Each Controller of the topology is designed by itself: its cores first, where more of them are of
use, then more Controllers in its place (`sim.designs`). A design that a closed form refuses is not
simulated. The answer is minimal: one size less is refused or misses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import topologies
from sim import reconnects
from sim.advice import TARGET, Advice, advice
from sim.arrangements import arrangements, nodes_worthwhile
from sim.bounds import RESOURCES
from sim.designs import Arrangement, Case, Collecting, Design, Place, parallel, smaller
from sim.objectives import Objective, objectives
from sim.request_support import NOT_ON_PAPER
from sim.trials import Bench, Trial
from topologies import TopologyError, support
from topologies.profiles import Profile
from topologies.schema import Topology
from topologies.services import NODES_MAX

LOAD_STEPS = 4  # halvings of the range in which the head-room lies
HOLDS = (0.125, 0.25, 0.5)  # of the time that a delivery has, to be spent on collecting events
PLACES: tuple[Place, ...] = ("publishers", "broker")
ONE = Design(1, 1)
SPARE = 1.25  # memory that is asked for over the most that was held
LINKS = tuple(1.25e8 * gbit_per_s for gbit_per_s in (0.1, 1, 2.5, 10, 25, 40, 100))  # to buy [B/s]
RESTARTED_UNASKED = 20_000  # Platforms whose restart is simulated though nobody asked for it
Progress = Callable[[float, str], None]
Compared = Mapping[Arrangement, Design | None]  # the smallest of each arrangement, if any will do


@dataclass(frozen=True)
class Budget:
    """The largest design that is looked at: Controllers in place of one, and cores of each."""

    controllers: int = 32
    cores: int = 16


@dataclass(frozen=True)
class Sizing:
    """One Controller's answer; `answer` is None where nothing in the budget keeps the promise.

    `nic` is the thinnest network link to buy with which the answer keeps it too. [B/s]
    `collected` are smaller designs that would do if events were collected into items.
    """

    controller: str
    profile: Profile
    bench: Bench
    compared: Compared
    cores_max: int
    answer: Trial | None = None
    less: Trial | None = None
    headroom: tuple[float, float] = (0.0, 0.0)
    lost_one: Trial | None = None
    attacked: Trial | None = None
    restarted: Trial | None = None
    nic: float = 0.0
    collected: tuple[Trial, ...] = ()

    @property
    def design(self) -> Design:
        """The answer's design; there must be one."""
        assert self.answer is not None
        return self.answer.design

    def memory_bytes(self) -> float:
        """Memory to buy for each of the answer's Controllers. [B]"""
        held = [
            trial.memory_bytes
            for trial in (self.answer, self.lost_one, self.attacked, self.restarted)
            if trial is not None and trial.meets
        ]
        return SPARE * max(held, default=0.0)

    def constraints(self) -> list[tuple[str, float]]:
        """Resources by how much of each the answer uses, the binding one first. [1]"""
        assert self.answer is not None
        used = {share.resource: share.mean for share in self.answer.shares}
        used = {name: share for name, share in used.items() if math.isfinite(share)}
        order = sorted(used, key=lambda name: (-used[name], RESOURCES.index(name)))
        first = self._breaks(order[0])
        return [(name, used[name]) for name in [first, *(n for n in order if n != first)]]

    def _breaks(self, otherwise: str) -> str:
        """What breaks one size below: what a bound says, else waiting, which is the CPU's."""
        if self.less is None:
            return otherwise
        over = [share for share in self.less.shares if share.impossible]
        return over[0].resource if over else "cpu"


@dataclass(frozen=True)
class Plan:
    """All answers, what was asked, and what should be heard before."""

    topology: Topology
    profiles: Mapping[str, Profile]
    asked: tuple[Objective, ...]
    budget: Budget
    seed: int
    sizings: tuple[Sizing, ...]
    advice: tuple[Advice, ...]

    @property
    def possible(self) -> bool:
        """Whether there is an answer for every Controller."""
        return all(each.answer is not None for each in self.sizings)


def plan(
    topology: Topology,
    *,
    slo: Sequence[str] = (),
    budget: Budget | None = None,
    attacks: bool = False,
    seed: int = 1,
    processes: int | None = None,
    profiles: Mapping[str, Profile] | None = None,
    progress: Progress | None = None,
) -> Plan:
    """The smallest grid that keeps what is promised.

    Parameters
    ----------
    topology : Topology
        The grid; its cores are a starting point, everything else is given.
    slo : sequence of str
        Objectives such as `p99 < 1 s`; the topology's by default.
    budget : Budget, optional
        The largest design to look at.
    attacks : bool
        Whether the promise must be kept while all attacks last, too.
    seed : int
        Key of plans and draws.
    processes : int, optional
        Worker processes.
    profiles : mapping of str to Profile, optional
        Cost profile by Controller; those that the topology names by default.
    progress : callable, optional
        Called with the share that is done and a remark.

    Raises
    ------
    TopologyError
        An objective that is none, or a profile that cannot be read.
    """
    support.refuse(topology, NOT_ON_PAPER, "plans")
    asked, budget = objectives(topology, slo), budget or Budget()
    if profiles is None:
        profiles = {c.name: topologies.profile(topology, c.name) for c in topology.controllers}
    hosts = {broker.controller for broker in topology.brokers}
    nodes = [node.name for node in topology.controllers if node.name in hosts]
    silent = [each for each in nodes if not reconnects.possible(profiles[each])]
    if silent and any(each.figure == "whole" for each in asked):
        names = ", ".join(profiles[each].name for each in silent)
        rule = "does not say what a login costs; add logins to it, or leave whole out of --slo"
        raise TopologyError([f"profile {names} {rule}"])
    sizings = []
    for number, name in enumerate(nodes):

        def tell(text: str, done: int = number, name: str = name) -> None:
            if progress is not None:
                progress(done / len(nodes), f"{name}: {text}")

        bench = Bench(
            topology, name, profiles[name], asked, seed=seed, processes=processes, tell=tell
        )
        sizings.append(_sized(bench, budget, attacks))
    return Plan(
        topology, profiles, asked, budget, seed, tuple(sizings),
        tuple(advice(topology, profiles)),
    )  # fmt: skip


def _sized(bench: Bench, budget: Budget, attacks: bool) -> Sizing:
    """Search, then what surrounds the answer: one size less, more load, one lost, attacks."""

    cores_max = budget.cores if parallel(bench.profile) else 1
    cases: tuple[Case, ...] = ("normal",)
    cases += ("attacks",) if attacks and bench.topology.attacks else ()
    cases += ("restart",) if bench.returns else ()

    def keeps(design: Design) -> bool:
        return all(bench.trial(design, case).meets for case in cases)

    design, compared = _smallest(bench, budget, keeps)
    if design is None and (wider := _wider(bench, budget)) is not None:
        design, compared = _smallest(bench, budget, keeps, replace(ONE, nic=wider))
    if design is None:
        eased = tuple(_collected(bench, budget, keeps, None))
        return Sizing(
            bench.controller, bench.profile, bench, compared, cores_max, collected=eased
        )  # fmt: skip
    below = smaller(design, bench.profile)
    less = _broken(bench, below, cases) if below is not None else None
    lost = replace(design, controllers=design.controllers - 1)
    bench.trial(_larger(design, bench.profile))
    return Sizing(
        bench.controller,
        bench.profile,
        bench,
        compared,
        cores_max,
        answer=bench.trial(design),
        less=less,
        headroom=_headroom(bench, design),
        lost_one=bench.trial(lost) if lost.controllers else None,
        attacked=bench.trial(design, "attacks") if bench.topology.attacks else None,
        restarted=bench.trial(design, "restart") if _restarts(bench) else None,
        nic=_thinnest(bench, design, keeps),
        collected=tuple(_collected(bench, budget, keeps, design)),
    )


def _restarts(bench: Bench) -> bool:
    """Whether a restart of the answer is simulated: it was asked for, or does not take long."""
    platforms = sum(each.count for each in bench.topology.platforms)
    return reconnects.possible(bench.profile) and (bench.returns or platforms <= RESTARTED_UNASKED)


def _broken(bench: Bench, design: Design, cases: Sequence[Case]) -> Trial:
    """The first case in which a design does not keep the promise, else the last."""
    trials = (bench.trial(design, case) for case in cases)
    last = None
    for last in trials:
        if not last.meets:
            break
    assert last is not None
    return last


def _larger(design: Design, profile: Profile) -> Design:
    """One size more."""
    if parallel(profile):
        return replace(design, cores=design.cores + 1)
    return replace(design, controllers=design.controllers + 1)


def _wider(bench: Bench, budget: Budget) -> float | None:
    """A link that bears the load on paper, where the file's alone is what refuses it. [B/s]"""
    largest = Design(1, budget.cores if parallel(bench.profile) else 1)
    over = [share for share in bench.bounded(largest) if share.impossible]
    if [share.resource for share in over] != ["link"]:
        return None
    asked = over[0].least * bench.nic
    return next((nic for nic in LINKS if nic > asked), None)


def _thinnest(bench: Bench, design: Design, keeps: Callable[[Design], bool]) -> float:
    """The thinnest link to buy with which the answer still keeps its promise. [B/s]"""
    own = design.nic or bench.nic
    thinner = [nic for nic in LINKS if nic < own]
    if not thinner:
        return own
    least = first(lambda n: keeps(replace(design, nic=thinner[n])), 0, len(thinner) - 1)
    return own if least is None else thinner[least]


def _smallest(
    bench: Bench, budget: Budget, keeps: Callable[[Design], bool], like: Design = ONE
) -> tuple[Design | None, Compared]:
    """The smallest design that keeps the promise, and what was compared if one is not enough."""
    cores_max = budget.cores if parallel(bench.profile) else 1
    least = math.floor(bench.bounded(like)[0].least) + 1 if cores_max > 1 else 1
    cores = first(lambda c: keeps(replace(like, cores=c)), min(least, cores_max), cores_max)
    if cores is not None:
        return replace(like, cores=cores), {}
    compared: dict[Arrangement, Design | None] = {}
    for each in arrangements(bench.profile):
        alike = replace(like, arrangement=each, cores=cores_max)
        allowed = budget
        if each == "cluster" and (others := _least(compared)) is not None:
            allowed = replace(budget, controllers=nodes_worthwhile(others, cores_max))
        compared[each] = _several(bench, allowed, alike, keeps)
    return _least(compared), compared


def _least(compared: Compared) -> Design | None:
    """The design with the fewest cores, of equals the fewest Controllers, of these the first."""
    found = [design for design in compared.values() if design is not None]
    return min(found, key=lambda d: (d.cores_total, d.controllers), default=None)


def _several(
    bench: Bench, budget: Budget, like: Design, keeps: Callable[[Design], bool]
) -> Design | None:
    """The fewest Controllers of the most cores, then the fewest cores of so many Controllers."""

    def possible(controllers: int) -> bool:
        bounds = bench.bounded(replace(like, controllers=controllers))
        return not any(share.impossible for share in bounds)

    limits = {"topics": len(bench.topology.topics), "cluster": NODES_MAX}
    most = min(budget.controllers, limits.get(like.arrangement, budget.controllers))
    least = next((k for k in range(2, most + 1) if possible(k)), None)
    if least is None:
        return None
    controllers = first(lambda k: keeps(replace(like, controllers=k)), least, most)
    if controllers is None:
        return None
    several = replace(like, controllers=controllers)
    cores = first(lambda c: keeps(replace(several, cores=c)), 1, like.cores)
    return replace(several, cores=cores or like.cores)


def _collected(
    bench: Bench, budget: Budget, keeps: Callable[[Design], bool], answer: Design | None
) -> Iterator[Trial]:
    """For each place where events can be collected, the smallest design that this makes enough."""
    if answer is not None and answer.cores_total == 1:
        return
    if answer is not None:
        cores = answer.cores - (answer.controllers == 1)
        budget = Budget(answer.controllers, cores)
    for place in PLACES:
        collecting = _hold(bench, place)
        if collecting is None:
            continue
        like = replace(answer or ONE, controllers=1, cores=1, collecting=collecting)
        design, _ = _smallest(bench, budget, keeps, like)
        if design is not None and (answer is None or design.cores_total < answer.cores_total):
            yield bench.trial(design)


def _hold(bench: Bench, place: Place) -> Collecting | None:
    """The shortest hold of those that ask for the fewest cores on paper, none of them too busy.

    None if no hold asks for fewer than events that go out one by one.
    """
    if not math.isfinite(bench.room_s):
        return None
    asked: dict[Collecting | None, int] = {}
    for collecting in (None, *(Collecting(part * bench.room_s, place) for part in HOLDS)):
        bounds = bench.bounded(replace(ONE, collecting=collecting))
        if all(not each.impossible for each in bounds if each.resource == "latency"):
            asked[collecting] = math.ceil(bounds[0].mean / TARGET)
    return min(asked, key=lambda each: asked[each], default=None)


def first(test: Callable[[int], bool], low: int, high: int) -> int | None:
    """The first of `low` to `high` that passes a test which all after it pass too.

    Looks upwards in doubling steps, then halves what is left between a failure and a pass.
    """
    failed, at, step = low - 1, low, 1
    while not test(at):
        if at == high:
            return None
        failed, at, step = at, min(at + step, high), 2 * step
    while at - failed > 1:
        middle = (at + failed) // 2
        if test(middle):
            at = middle
        else:
            failed = middle
    return at


def _headroom(bench: Bench, design: Design) -> tuple[float, float]:
    """Loads, as multiples of the file's, between which the design ceases to keep its promise."""
    bounds = bench.bounded(design)
    most = min(
        1.0 / share.least for share in bounds
        if share.resource in ("cpu", "link", "readers") and share.least > 0.0
    )  # fmt: skip
    low, high = 1.0, min(most, 16.0)
    for _ in range(LOAD_STEPS):
        if high / low < 1.05:
            break
        middle = float(f"{math.sqrt(low * high):.3g}")
        if bench.trial(design, load=middle).meets:
            low = middle
        else:
            high = middle
    return low, high
