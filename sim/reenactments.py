"""An attack predicted, then played on real servers, and both laid side by side.

Every variant is simulated with the costs of this machine before anything is played. Traffic is
compared by the figures of `results.impact`; losses of sessions, returns and guesses by those of
`results.comebacks`, items that all fetch by those of `results.pulls`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from results import Run, pulls
from results.impact import PICTURES, variant
from results.repeated import together
from results.statistics import Sample
from results.variants import AbandonedStep, Agreement, Measured
from sim import pulled
from sim.agreements import DOOR, agreement, at_its_cost, told_its_pace, told_the_cost
from sim.defences import GRIDS, Trial, described, window
from sim.fetches import direct
from sim.replications import simulate
from sim.returned import HERDS, foretold, told_the_pace
from sim.rounds import Plays, Rounds
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
from topologies.schema import Topology

DRIVEN: Final = (Approvals, Harvest, Duel, LargeAnswers, OneToOne, SilentController)
REPEATS: Final = 64  # of each of their thefts, and of any other procedure
Pair = tuple[Run, Run]  # with the attack, and without
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

    def series(self, topologies: Sequence[Topology], share: float) -> list[Measured]:
        """The same of several, one after another on one grid, on a share of a core."""
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


def compared(
    scenario: Scenario,
    real: Real,
    *,
    seed: int = 1,
    out: Path | None = None,
    rounds: Rounds | None = None,
) -> Trial:
    """Predict every variant, then play it on a real server, and set both side by side.

    Parameters
    ----------
    scenario : Scenario
        From `topologies.overlays.scenario`, as it is driven for real.
    real : Real
        Real grids.
    seed : int
        Of all runs: plays of a variant differ by what the server and the machine do.
    out : Path, optional
        Where simulated runs are kept.
    rounds : Rounds, optional
        How often each variant is played; once by default.

    Raises
    ------
    TopologyError
        The scenario is no traffic: people and programs are not driven.
    """
    procedures, rounds = scenario.procedures, rounds or Rounds()
    if procedures and all(isinstance(each, DRIVEN) for each in procedures.values()):
        return _performed(scenario, real, seed, rounds)
    if procedures:
        rule = "is played by people and programs, which no real grid has; leave out --real"
        raise TopologyError([f"{scenario.overlay.id}: {rule}"])
    first = next(iter(scenario.attacked.values()))
    if any(each.login is not None for each in first.platforms):
        return _returns(scenario, real, seed, rounds, out)
    if direct(first).any():
        return _pulls(scenario, real, seed, rounds)
    return _traffic(scenario, real, seed, rounds)


def _pulls(scenario: Scenario, real: Real, seed: int, rounds: Rounds) -> Trial:
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
    plays = rounds.play(scenario.attacked, lambda name: real.pull(scenario.attacked[name], name))
    return _side_by_side(scenario, predicted, plays, pulls.AXES, tuple(runs))


def _traffic(scenario: Scenario, real: Real, seed: int, rounds: Rounds) -> Trial:
    """Publications: each variant with and without the attack."""
    fitted: dict[tuple[str, ...], dict[str, Profile]] = {}
    profiles: dict[str, dict[str, Profile]] = {}
    simulated: dict[str, Pair] = {}
    for name, attacked in scenario.attacked.items():
        servers = tuple(each.profile for each in attacked.controllers)
        costs = profiles[name] = fitted[servers] = fitted.get(servers) or real.fit(
            scenario.calm[name]
        )
        one, other = (
            simulate(each, seed=seed, replications=GRIDS, profiles=costs, door=DOOR)
            for each in (attacked, scenario.calm[name])
        )
        simulated[name] = one, other
        for each in (attacked, scenario.calm[name]):
            real.predicted(each)

    def shown(name: str, runs: Pair, undefended: Run) -> Measured:
        laid, picture = window(scenario.attacked[name]), scenario.overlay.picture
        found = variant(name, name, runs, undefended, laid, picture)
        return replace(found, doubts=tuple(_doubts(runs)))

    def play(name: str) -> Pair:
        return real.play(scenario.attacked[name]), real.play(scenario.calm[name])

    pairs = rounds.play(scenario.attacked, play)
    first = next(iter(simulated))
    calm = [runs[1] for runs in pairs.of[first]]  # of each round; the last one may have none
    plays = Plays(
        {
            name: [shown(name, runs, calm[min(k, len(calm) - 1)]) for k, runs in enumerate(own)]
            for name, own in pairs.of.items()
        },
        pairs.numbers,
        pairs.ended,
    )
    undefended = simulated[first][1]
    predicted = [shown(name, runs, undefended) for name, runs in simulated.items()]
    kept = [
        run
        for name, own in pairs.of.items()
        for run in (simulated[name][0], *(runs[0] for runs in own))
    ]
    trial = _side_by_side(
        scenario, predicted, plays, ("time [s]", PICTURES[scenario.overlay.picture]), tuple(kept)
    )

    def given(tell: Callable[..., Run | None]) -> list[Agreement]:
        found = []
        for name, own in pairs.of.items():
            sides = []
            for runs, played in zip(own, plays.of[name], strict=True):
                pair = simulated[name][0], runs[0]
                told = tell(scenario.attacked[name], profiles[name], pair, seed)
                if told is not None:
                    sides.append((shown(name, (told, simulated[name][1]), undefended), played))
            found += _given(sides, scenario.overlay.headline)
        return found

    trial.document["given_cost"] = given(told_the_cost)
    if paces := given(told_its_pace):
        trial.document["given_pace"] = paces
    return trial


def _given(sides: Sequence[tuple[Measured, Measured]], headline: str = "") -> list[Agreement]:
    """Figures of plays beside those of a model that was told something of each, which is first."""
    if not sides:
        return []
    counted = [each for each in sides if not each[1].doubts] or sides
    again, played = (together(side) for side in zip(*counted, strict=True))
    names = _figures(headline, again.samples, played.samples)
    return [agreement(name, again, played) for name in names]


def _doubts(runs: Sequence[Run]) -> Iterator[str]:
    """Why runs do not count, each reason once: sessions that the server cut are what is shown."""
    found = (reason for run in runs for reason in run.header.verdict.reasons)
    yield from (each for each in dict.fromkeys(found) if " sessions were lost" not in each)


def _performed(scenario: Scenario, real: Real, seed: int, rounds: Rounds) -> Trial:
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
    plays = rounds.play(
        procedures, lambda name: real.perform(procedures[name], scenario.attacked[name], name)
    )
    trial = _side_by_side(scenario, predicted, plays, playing.axes(scenario), ())
    headline, costs, paces = scenario.overlay.headline, list[Agreement](), list[Agreement]()
    for name, procedure in procedures.items():
        topology, own = scenario.attacked[name], plays.of[name]
        dear = [(at_its_cost(procedure, each), each) for each in own]
        sides = [(_foretold(name, told, topology, seed), each) for told, each in dear if told]
        costs += _given(sides, headline)
        slow = [each for each in own if each.slower]
        sides = [(_foretold(name, procedure, topology, seed, each.slower), each) for each in slow]
        paces += _given(sides, headline)
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


def _returns(scenario: Scenario, real: Real, seed: int, rounds: Rounds, out: Path | None) -> Trial:
    """Sessions lost and logins: every variant is predicted before the first is played."""
    share = scenario.share
    predicted, runs, fitted = [], [], {}
    for name, topology in scenario.attacked.items():
        profiles = fitted[name] = real.fit_logins(topology, share)
        run = simulate(topology, seed=seed, replications=HERDS, profiles=profiles, door=DOOR)
        if out is not None:
            run.save(out)
        real.predicted(topology)
        runs.append(run)
        predicted.append(foretold(name, topology, run, share))
    plays = rounds.play(
        scenario.attacked, lambda name: real.come_back(scenario.attacked[name], name, share)
    )
    axes = ("time [s]", PICTURES["online"])
    trial = _side_by_side(scenario, predicted, plays, axes, tuple(runs))
    given = []
    for name, own in plays.of.items():
        told = [
            told_the_pace(scenario.attacked[name], each, fitted[name], seed, share) for each in own
        ]
        given += _given([(again, each) for again, each in zip(told, own, strict=True) if again])
    if given:
        trial.document["given_pace"] = given
    trial.document["noticed"] = real.noticed()
    if doubts := unsure(trial.document["noticed"]):
        trial.document["doubts"] = [*trial.document.get("doubts", []), *doubts]
    return trial


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


def _side_by_side(
    scenario: Scenario,
    predicted: Sequence[Measured],
    plays: Plays[Measured],
    axes: tuple[str, str],
    runs: tuple[Run, ...],
) -> Trial:
    played = [together(own, plays.numbers[name]) for name, own in plays.of.items()]
    document = described(scenario, list(predicted), axes)
    document["measured"] = [each.document() for each in played]
    document["agreement"] = [
        agreement(name, one, other)
        for one, other in zip(predicted, played, strict=True)
        for name in _figures(scenario.overlay.headline, one.samples, other.samples)
    ]
    if plays.ended:
        document["doubts"] = [plays.ended]
    return Trial(document, {each.defence: each for each in played}, runs)


def _figures(
    headline: str, predicted: Mapping[str, Sample], played: Mapping[str, Sample]
) -> list[str]:
    """Names that both sides have: the headline first, then the scenario's own and goodput, p99."""
    both = [name for name in predicted if name in played]
    own = [name for name in both if not name.startswith("amplification")]
    return sorted(own, key=lambda name: name != headline)
