"""An attack predicted, then played on real servers, and both laid side by side.

Every variant is simulated with the costs of this machine before anything is played. Traffic is
compared by the figures of `results.impact`; losses of sessions, returns and guesses by those of
`results.comebacks`, items that all fetch by those of `results.pulls`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from results import Run, comebacks, pacing, pulls
from results.impact import PICTURES, variant
from results.statistics import Sample
from results.variants import AbandonedStep, Agreement, Measured, thinned
from sim import pulled
from sim.agreements import DOOR, agreement, at_its_cost, told_the_cost
from sim.defences import GRIDS, Trial, described, window
from sim.fetches import direct
from sim.replications import simulate
from topologies import Profile, TopologyError
from topologies.overlays import Scenario
from topologies.procedures import (
    MORNINGS,
    THIEVES,
    AnyProcedure,
    Approvals,
    Duel,
    Harvest,
    LargeAnswers,
    OneToOne,
    SilentController,
)
from topologies.returns import instants
from topologies.schema import Topology

DRIVEN: Final = (Approvals, Harvest, Duel, LargeAnswers, OneToOne, SilentController)
REPEATS: Final = 64  # of each of their thefts, and of any other procedure
HERDS: Final = 8  # replications of a herd that may never drain
Slower = tuple[tuple[float, float], ...]  # from when on [s] work takes how many times as long [1]
NOTICED_WITHIN: Final = 0.15  # half-width up to which the share of unpaid abandoned steps is known


class Real(Protocol):
    """Real grids, as the front door hands them in."""

    def fit(self, topology: Topology) -> dict[str, Profile]:
        """Profiles with the speed of this machine."""
        ...

    def predicted(self, topology: Topology) -> None:
        """A topology has been simulated."""
        ...

    def play(self, topology: Topology) -> Run:
        """The run of a topology on a fresh grid."""
        ...

    def fit_logins(self, topology: Topology, share: float) -> dict[str, Profile]:
        """Profiles with what logins cost on this machine, on a share of a core."""
        ...

    def come_back(self, topology: Topology, defence: str, share: float) -> Measured:
        """What becomes of a topology's Platforms on a fresh grid."""
        ...

    def series(self, topologies: Sequence[Topology]) -> list[Measured]:
        """The same of several, one after another on one grid."""
        ...

    def fit_procedure(self, procedure: AnyProcedure, topology: Topology) -> AnyProcedure:
        """The procedure with what its steps cost on this machine."""
        ...

    def perform(self, procedure: AnyProcedure, topology: Topology, defence: str) -> Measured:
        """What becomes of what people and programs do on a fresh grid."""
        ...

    def pull(self, topology: Topology, defence: str) -> Measured:
        """What becomes of items that all subscribers fetch, on a fresh grid."""
        ...

    def noticed(self) -> list[AbandonedStep]:
        """What abandoned logins cost where logins were fitted first."""
        ...


def compared(scenario: Scenario, real: Real, *, seed: int = 1, out: Path | None = None) -> Trial:
    """Predict every variant, then play it on a real server, and set both side by side.

    Raises
    ------
    TopologyError
        The scenario is no traffic: people and programs are not driven.
    """
    procedures = scenario.procedures
    if procedures and all(isinstance(each, DRIVEN) for each in procedures.values()):
        return _performed(scenario, real, seed)
    if procedures:
        rule = "is played by people and programs, which no real grid has; leave out --real"
        raise TopologyError([f"{scenario.overlay.id}: {rule}"])
    first = next(iter(scenario.attacked.values()))
    if any(each.login is not None for each in first.platforms):
        return _returns(scenario, real, seed, out)
    if direct(first).any():
        return _pulls(scenario, real, seed)
    return _traffic(scenario, real, seed)


def _pulls(scenario: Scenario, real: Real, seed: int) -> Trial:
    """Items that all fetch: every variant is predicted before the first is played."""
    fitted: dict[tuple[str, ...], dict[str, Profile]] = {}
    predicted, runs = [], []
    for name, topology in scenario.attacked.items():
        servers = tuple(each.profile for each in topology.controllers)
        profiles = fitted[servers] = fitted.get(servers) or real.fit(topology)
        run = simulate(topology, seed=seed, replications=GRIDS, profiles=profiles, door=DOOR)
        real.predicted(topology)
        runs.append(run)
        predicted.append(pulled.foretold(name, topology, run))
    played = [real.pull(topology, name) for name, topology in scenario.attacked.items()]
    return _side_by_side(scenario, predicted, played, pulls.AXES, tuple(runs))


def _traffic(scenario: Scenario, real: Real, seed: int) -> Trial:
    """Publications: each variant with and without the attack."""
    fitted: dict[tuple[str, ...], dict[str, Profile]] = {}
    sides: list[list[Measured]] = [[], []]
    firsts: list[Run | None] = [None, None]
    kept, given = [], []
    for name, attacked in scenario.attacked.items():
        pair = (attacked, scenario.calm[name])
        servers = tuple(each.profile for each in attacked.controllers)
        profiles = fitted[servers] = fitted.get(servers) or real.fit(pair[1])
        simulated = [
            simulate(each, seed=seed, replications=GRIDS, profiles=profiles, door=DOOR)
            for each in pair
        ]
        for each in pair:
            real.predicted(each)
        played = [real.play(each) for each in pair]
        kept += [simulated[0], played[0]]
        for number, runs in enumerate((simulated, played)):
            first = firsts[number] = firsts[number] or runs[1]
            assert first is not None
            shown = variant(
                name, name, (runs[0], runs[1]), first, window(attacked), scenario.overlay.picture
            )
            sides[number].append(replace(shown, doubts=tuple(_doubts(runs))))
        told = told_the_cost(attacked, profiles, (simulated[0], played[0]), seed)
        calm, shown_as = firsts[0], scenario.overlay.picture
        assert calm is not None
        again = variant(name, name, (told, simulated[1]), calm, window(attacked), shown_as)
        given += _given(scenario, again, sides[1][-1])
    axes = ("time [s]", PICTURES[scenario.overlay.picture])
    trial = _side_by_side(scenario, sides[0], sides[1], axes, tuple(kept))
    trial.document["given_cost"] = given
    return trial


def _given(scenario: Scenario, again: Measured, played: Measured) -> list[Agreement]:
    """Figures of a play beside those of a model that was told something of it."""
    names = _figures(scenario, again.samples, played.samples)
    return [agreement(name, again, played) for name in names]


def _doubts(runs: Sequence[Run]) -> Iterator[str]:
    """Why runs do not count, each reason once: sessions that the server cut are what is shown."""
    found = (reason for run in runs for reason in run.header.verdict.reasons)
    yield from (each for each in dict.fromkeys(found) if " sessions were lost" not in each)


def _performed(scenario: Scenario, real: Real, seed: int) -> Trial:
    """What people and programs do: every variant is predicted before the first is played.

    Theft k reads in the same order on both sides, so that the two are a pair.
    """
    from sim.procedures import playing

    predicted, procedures = [], {}
    for name, given in scenario.procedures.items():
        topology = scenario.attacked[name]
        procedure = procedures[name] = real.fit_procedure(given, topology)
        if isinstance(procedure, Harvest):
            predicted.append(_foretold_thefts(name, procedure, topology, seed))
        else:
            predicted.append(_foretold(name, procedure, topology, seed))
        real.predicted(topology)
    played = [
        real.perform(procedure, scenario.attacked[name], name)
        for name, procedure in procedures.items()
    ]
    trial = _side_by_side(scenario, predicted, played, playing.axes(scenario), ())
    costs, paces = list[Agreement](), list[Agreement]()
    for (name, procedure), each in zip(procedures.items(), played, strict=True):
        topology = scenario.attacked[name]
        if (told := at_its_cost(procedure, each)) is not None:
            costs += _given(scenario, _foretold(name, told, topology, seed), each)
        if each.slower:
            again = _foretold(name, procedure, topology, seed, each.slower)
            paces += _given(scenario, again, each)
    if costs:
        trial.document["given_cost"] = costs
    if paces:
        trial.document["given_pace"] = paces
    return trial


def _foretold(
    name: str, procedure: AnyProcedure, topology: Topology, seed: int, slower: Slower = ()
) -> Measured:
    """A procedure over many draws; of new Platforms, on those that are played."""
    from sim.procedures import playing
    from sim.procedures.outcome import Occasion

    repeats = MORNINGS if isinstance(procedure, Approvals) else REPEATS
    outcomes = playing.outcomes(
        procedure,
        [Occasion(topology, seed, replication, slower) for replication in range(repeats)],
    )
    reasons = {**playing.REASONS, **playing.reasons(procedure)}
    return Measured(name, "", playing.samples(outcomes), outcomes[0].curve, reasons)


def _foretold_thefts(name: str, procedure: Harvest, topology: Topology, seed: int) -> Measured:
    """The thefts that are to be played, each over many draws of what is published meanwhile."""
    from sim.procedures import harvest, playing
    from sim.procedures.outcome import Occasion

    means: list[dict[str, float]] = []
    for theft in range(THIEVES):
        honey_reads = procedure.honey_reads(seed, theft)
        outcomes = [
            harvest.play(procedure, Occasion(topology, seed, theft * REPEATS + k), honey_reads)
            for k in range(REPEATS)
        ]
        found = playing.samples(outcomes)
        means.append({figure: sample.value for figure, sample in found.items()})
        if theft == 0:
            picture = outcomes[0].curve
    figures = {figure: playing.mean([each[figure] for each in means]) for figure in means[0]}
    return Measured(name, "", figures, picture, {**playing.REASONS, **harvest.REASONS})


def _returns(scenario: Scenario, real: Real, seed: int, out: Path | None) -> Trial:
    """Sessions lost and logins: every variant is predicted before the first is played."""
    share = scenario.share
    predicted, runs, fitted = [], [], []
    for name, topology in scenario.attacked.items():
        profiles = real.fit_logins(topology, share)
        fitted.append(profiles)
        run = simulate(topology, seed=seed, replications=HERDS, profiles=profiles, door=DOOR)
        if out is not None:
            run.save(out)
        real.predicted(topology)
        runs.append(run)
        predicted.append(foretold(name, topology, run, share))
    played = [real.come_back(topology, name, share) for name, topology in scenario.attacked.items()]
    axes = ("time [s]", PICTURES["online"])
    trial = _side_by_side(scenario, predicted, played, axes, tuple(runs))
    told = [
        _told_the_pace(scenario.attacked[each.defence], each, profiles, seed, share)
        for each, profiles in zip(played, fitted, strict=True)
    ]
    if given := [row for rows in told for row in rows]:
        trial.document["given_pace"] = given
    trial.document["noticed"] = real.noticed()
    if doubts := unsure(trial.document["noticed"]):
        trial.document["doubts"] = doubts
    return trial


def _told_the_pace(
    topology: Topology, played: Measured, profiles: dict[str, Profile], seed: int, share: float
) -> list[Agreement]:
    """A play beside what the model says when it is told how fast the cores were meanwhile.

    A neighbour on the same physical core is no wrong cost, nor a wrong cost a neighbour.
    """
    pace = played.samples.get("pace_per_s")
    known = [each.pace_per_s for each in (profiles or {}).values()]
    if pace is None or not known or None in known:
        return []
    slower = {
        name: each.model_copy(
            update={"speed": each.speed * pacing.slowdown(pace.value, each.pace_per_s or math.nan)}
        )
        for name, each in profiles.items()
    }
    run = simulate(topology, seed=seed, replications=HERDS, profiles=slower, door=DOOR)
    again = foretold(played.defence, topology, run, share)
    names = [name for name in again.samples if name in played.samples]
    return [agreement(name, again, played) for name in names]


def unsure(steps: Sequence[AbandonedStep]) -> list[str]:
    """Why the share of abandoned steps that is not paid for is not to be relied on."""
    found = []
    for low, high in [(each["low"], each["high"]) for each in steps if each["step"] == "all"]:
        interval = f"the share of abandoned steps that is not paid for, {low:.2f} to {high:.2f},"
        if high < 0.0:
            found.append(f"{interval} is below 0: they cost more; the prediction takes 0")
        elif high - low > 2.0 * NOTICED_WITHIN:
            found.append(f"{interval} is too uncertain for what is predicted from it")
    return found


def foretold(name: str, topology: Topology, run: Run, share: float = 1.0) -> Measured:
    """The figures of a simulated run's sessions, on a share of a core."""
    logins = run.header.measurement.get("logins", {})
    numbers = run.intervals["replication"]
    edges_s = np.unique(run.intervals["end_s"][numbers == numbers[0]])
    hostile = [each.name for each in topology.platforms if each.role == "adversary"]
    due = instants(topology)
    samples = comebacks.figures(logins, edges_s, hostile, back_s=due.back_s, guess_s=due.guess_s)
    samples["server_cpu_share"] = _used(run, topology, share)
    if due.guess_s is not None:
        used_s = float(share * run.intervals["busy_s"].sum())
        samples |= comebacks.work_per_answer(logins, hostile, used_s)
    honest = [entry for name, entry in logins.items() if name not in hostile]
    count = min(len(edges_s), *(len(entry["online"][0]) for entry in honest), len(edges_s))
    total = sum(entry["platforms"] for entry in honest) or 1
    online = np.sum([entry["online"][0][:count] for entry in honest], axis=0) / total
    curve = thinned([float(t) for t in edges_s[:count]], np.atleast_1d(online).tolist())
    return Measured(name, "", samples, curve, {}, {"attacked": run.header.run_id})


def _used(run: Run, topology: Topology, share: float) -> Sample:
    """Share of its core that the server used while it was there, from the first fault on. [1]"""
    table = run.intervals
    down_s = sum(each.duration for each in topology.faults if hasattr(each, "controller"))
    begin_s = min((each.start for each in topology.faults), default=0.0) if down_s else 0.0
    late = table["start_s"] >= begin_s
    used_s = np.bincount(table["replication"], weights=share * table["busy_s"] * late)
    parts = used_s / (topology.workload.duration - begin_s - down_s)
    return Sample(float(parts.mean()), parts, 0.0)


def _side_by_side(
    scenario: Scenario,
    predicted: list[Measured],
    played: list[Measured],
    axes: tuple[str, str],
    runs: tuple[Run, ...],
) -> Trial:
    document = described(scenario, predicted, axes)
    document["measured"] = [each.document() for each in played]
    document["agreement"] = [
        agreement(name, one, other)
        for one, other in zip(predicted, played, strict=True)
        for name in _figures(scenario, one.samples, other.samples)
    ]
    return Trial(document, {each.defence: each for each in played}, runs)


def _figures(
    scenario: Scenario, predicted: Mapping[str, Sample], played: Mapping[str, Sample]
) -> list[str]:
    """Names that both sides have: the headline first, then the scenario's own and goodput, p99."""
    both = [name for name in predicted if name in played]
    own = [name for name in both if not name.startswith("amplification")]
    return sorted(own, key=lambda name: name != scenario.overlay.headline)
