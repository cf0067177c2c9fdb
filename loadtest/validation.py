"""Predict first, then measure: how far the model is off a real server, point by point.

In this order, so that no prediction can know its measurement: deploy a grid and fit the costs of
this machine on a pilot, and what its neighbours do (or take a profile as it is); take the grid
down; simulate every point on the plan that it will play and store the predictions; deploy a fresh
grid; play every point several times, in random order, if asked each after a light load of its own,
from which that one run is predicted once more before it is played; compare. Only then is the model
told what the runs cost, to see how good its structure is apart from its costs, and how fast the
cores were, to see how good both are apart from the machine's drift. A stopped validation goes on
where it stopped.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import results
import topologies
from loadtest import book, brackets, deployment, engine, spinner
from loadtest.agreement import (
    Ahead,
    Outcome,
    Point,
    light_load,
    prediction,
    reference_per_s,
)
from loadtest.calibration import (
    DOOR,
    Fit,
    Measure,
    Predict,
    fit,
    given,
    light_rate_per_s,
    recalled,
)
from loadtest.conduct import BY_HAND
from loadtest.cores import cores_for
from loadtest.problems import LoadError
from loadtest.progress import Progress, Told
from results import environment, evidence
from results.statistics import Estimate

if TYPE_CHECKING:
    from results import Run
    from topologies.profiles import Profile
    from topologies.schema import Topology

PILOT_S, PILOT_S_MAX = 20.0, 60.0  # spells of neighbours are one or two a second
POINT_S = 10.0
REPEATS = 2
NEAR_SATURATION = 0.85


@dataclass(frozen=True)
class Terms:
    """What is asked for.

    Parameters
    ----------
    points : tuple of float
        Loads; empty: the file's own, and the one at which the model says that the server is used
        at 0.85.
    of_capacity : bool
        Whether the loads are shares of the predicted capacity instead of multiples of the file's.
    repeats : int
        How often every point is played.
    duration_s : float
        Length of each. [s]
    seed : int
        Of the plans, of the model's draws and of the order.
    profile : Profile, optional
        Costs that are taken as they are, for Controllers of its server; else a pilot is played.
    changes : tuple of str
        What is changed after the costs were fitted, e.g. `topics[0].payload.size=8 kB`: predictions
        and runs are of the changed grid.
    ahead_s : float
        Length of a light load before each run, from which the run is predicted anew; 0: none, else
        2 at least. [s]
    """

    points: tuple[float, ...] = ()
    of_capacity: bool = False
    repeats: int = REPEATS
    duration_s: float = POINT_S
    seed: int = 1
    profile: Profile | None = None
    changes: tuple[str, ...] = ()
    ahead_s: float = 0.0

    @property
    def pilot_s(self) -> float:
        """Length of the light load that costs are fitted on: all predictions rest on it. [s]"""
        return min(max(PILOT_S, 2.0 * self.duration_s), PILOT_S_MAX)

    @property
    def bracket_s(self) -> float:
        """Length of the light load after the runs, and before them with a profile. [s]"""
        return min(self.pilot_s, 2.0 * self.duration_s)


def validate(
    topology: Topology,
    terms: Terms,
    *,
    predict: Predict,
    out: Path,
    progress: Progress = lambda share, remark: None,
) -> Outcome:
    """Fit, predict, measure and compare a topology at one or more loads.

    Parameters
    ----------
    topology : Topology
        What is deployed; its attacks are not part of a validation.
    terms : Terms
        Loads, repeats, duration, seed, profile.
    predict : callable
        `sim.simulate`.
    out : Path
        Where the runs are kept: each prediction before its measurement begins.
    progress : callable
        Gets the share done and a remark.

    Raises
    ------
    DeploymentError, LoadError, rails.RailsError
        The grid cannot be deployed or driven, or its changes leave other servers.
    """
    if terms.changes and terms.ahead_s:
        raise LoadError(
            "--ahead: with --change: a light load on the changed grid would tell what the change "
            "does; leave one of them out"
        )
    changed = _changed(topology, terms)
    kept = book.Book(out, _identity(topology, terms))
    runs = max(len(terms.points), 2) * terms.repeats
    each_s = terms.duration_s + 4.0 + (terms.ahead_s + 4.0 if terms.ahead_s else 0.0)
    told = Told(progress, 2 * terms.pilot_s + 20.0 + runs * each_s)
    sweep = _Sweep(topology, changed, terms, predict, out, kept, told)
    fitted = sweep.fitted()
    played = engine.lasting(changed.model_copy(update={"attacks": ()}), terms.duration_s)
    points = sweep.predicted(played, fitted)
    sweep.play(played, points, fitted)
    drift = sweep.drift(fitted)
    told.next("telling the model what it cost", 2.0)
    for point in points:
        point.tell(sweep.predict, played, fitted.profiles, fitted.beside(played))
    told_apart = (terms.changes, tuple(kept.entries["light"]))
    outcome = Outcome(played, fitted, points, terms.seed, sweep.order, *drift, *told_apart)
    outcome.kept = kept.close(outcome.document)
    return outcome


def _changed(topology: Topology, terms: Terms) -> Topology:
    """The grid that is predicted and played: as its costs were fitted, but for what is changed."""
    if not terms.changes:
        return topology
    changed: Topology = topologies.varied(topology, terms.changes)
    fitted, then = (
        {each.name: each.profile for each in one.controllers} for one in (topology, changed)
    )
    for name, profile in then.items():
        if fitted.get(name) != profile:
            raise LoadError(
                f"--change: controllers[{name}] is a {profile}, of which no costs were fitted; "
                "leave Controllers and their profiles as they are"
            )
    return changed


def _identity(topology: Topology, terms: Terms) -> dict[str, Any]:
    """What a validation is: it is resumed by these, and with the same code."""
    return {
        "topology": topologies.sha256(topology),
        "points": list(terms.points),
        "of_capacity": terms.of_capacity,
        "repeats": terms.repeats,
        "duration_s": terms.duration_s,
        "seed": terms.seed,
        "profile": terms.profile and terms.profile.model_dump_json(by_alias=True),
        "changes": list(terms.changes),
        "ahead_s": terms.ahead_s,
        "code": environment.software().get("commit", ""),
    }


class _Sweep:
    """The steps of a validation, each entered in its book as soon as it is done."""

    def __init__(
        self, topology: Topology, played: Topology, terms: Terms, predict: Predict, out: Path,
        kept: book.Book, told: Told,
    ) -> None:  # fmt: skip
        self._topology, self._terms, self._predict = topology, terms, predict
        self._out, self._book, self._told = out, kept, told
        self._cores = cores_for(played)
        self._settings = engine.Settings(cores=self._cores[1])
        self.order: list[list[int]] = []  # as played: number of the point, and of its repeat
        self._brackets: list[Run] = []

    def fitted(self) -> Fit:
        """The costs of this machine: given, recalled from the book, or from a pilot."""
        topology, terms = self._topology, self._terms
        if terms.ahead_s:
            brackets.check(terms.ahead_s, self._light_per_s)
        if terms.profile is not None:
            return given(topology, terms.profile)
        if "fit" in self._book.entries:
            entry = self._book.entries["fit"]
            return recalled(topology, entry, results.open_run(self._out / entry["pilot"]))
        self._told.next("fitting costs", terms.pilot_s + 4.0)
        with deployment.ephemeral(topology, cores=self._cores[0]) as grid:
            on_grid: Measure = partial(self._measure_light, grid)
            fitted = fit(topology, self._predict, on_grid, seed=terms.seed, beside=True,
                         duration_s=terms.pilot_s, rate_per_s=self._light_per_s)  # fmt: skip
        self._book.entries["fit"] = fitted.document()
        self._book.write()
        return fitted

    @cached_property
    def _light_per_s(self) -> float:
        """Publications of the light load, before the runs and after. [1/s]"""
        return light_rate_per_s(self._topology, self._predict, self._terms.seed)

    def predict(self, topology: Topology, profiles: dict[str, Profile], load: float) -> Run:
        """The model's answer on the very plan that is played, over draws of its own."""
        return self._predict(
            topology, seed=self._terms.seed, profiles=profiles, load=load, plan_replication=0,
            door=DOOR,
        )  # fmt: skip

    def predicted(self, topology: Topology, fitted: Fit) -> list[Point]:
        """Every point's prediction, stored with its digest and the instant before any is played."""
        entries = self._book.entries
        self._told.next("predicting", 6.0)
        if "loads" not in entries:
            entries["loads"] = self._loads(topology, fitted)
        points = []
        for load in entries["loads"]:
            entry = entries["predictions"].get(repr(load))
            if entry is None:
                run = self.predict(fitted.beside(topology), fitted.profiles, load)
                run.save(self._out)
                pace_per_s = reference_per_s(run, fitted.profiles)
                sha256 = evidence.digest(prediction(run, pace_per_s))
                entry = {"run": run.header.run_id, "sha256": sha256, "stored": book.now()}
                entries["predictions"][repr(load)] = entry
            else:
                run = results.open_run(self._out / entry["run"])
                pace_per_s = reference_per_s(run, fitted.profiles)
            points.append(Point(load, run, entry["stored"], entry["sha256"], pace_per_s=pace_per_s))
        self._book.write()
        return points

    def _loads(self, topology: Topology, fitted: Fit) -> list[float]:
        """The loads as multiples of the file's."""
        terms = self._terms
        if terms.points and not terms.of_capacity:
            return list(terms.points)
        run = self.predict(fitted.beside(topology), fitted.profiles, 1.0)
        used = max(run.utilisation().values())
        if terms.of_capacity:
            return [round(share / max(used, 1e-6), 3) for share in terms.points]
        return [1.0, round(NEAR_SATURATION / max(used, 1e-6), 2)]

    def play(self, topology: Topology, points: Sequence[Point], fitted: Fit) -> None:
        """Play what the book lacks, on a fresh grid, turn by turn."""
        terms, grid = self._terms, None
        with contextlib.ExitStack() as held:
            for k, repeat in self._turns(points):
                load = points[k].load
                self.order.append([k, repeat])
                number = len(self.order)
                if run_id := self._book.played(load, repeat):
                    points[k].repeats.append(results.open_run(self._out / run_id))
                    entry = self._book.ahead(load, repeat)
                    recalled_ahead = brackets.recalled(entry, self._out) if entry else None
                    points[k].ahead.append(recalled_ahead)
                    continue
                if grid is None:
                    ephemeral = deployment.ephemeral(topology, cores=self._cores[0])
                    grid = held.enter_context(ephemeral)
                    if terms.profile is not None:
                        self._bracket(grid, topology)
                if terms.ahead_s:
                    ahead = self._ahead(grid, topology, fitted, load, number)
                    points[k].ahead.append(ahead)
                    self._book.enter_ahead(load, repeat, brackets.entry(ahead) if ahead else None)
                self._told.next(f"run {number}, load {load:.3g}", terms.duration_s + 4.0)
                run = self._measure(grid, topology, seed=terms.seed, load=load)
                points[k].repeats.append(run)
                self._book.enter(load, repeat, run.header.run_id)
            if grid is not None and (terms.profile is not None or not terms.changes):
                self._bracket(grid, topology)
        if grid is not None and terms.profile is None and terms.changes:
            with deployment.ephemeral(self._topology, cores=self._cores[0]) as grid:
                self._bracket(grid, self._topology)

    def _turns(self, points: Sequence[Point]) -> Iterator[tuple[int, int]]:
        """Point and number of each repeat: every point once in each round, in random order.

        What drifts is the same for all points so. Then rounds of those points alone of which too
        few repeats count, at most half as many rounds as before: the generator was the limit in
        them, or the server had to wait for its core, whatever they would have shown; or no light
        load before them counted.
        """
        draws, repeats = random.Random(self._terms.seed), self._terms.repeats
        for repeat in range(repeats + -(-repeats // 2)):
            turn = [
                k for k, point in enumerate(points)
                if repeat < repeats or self._counting(point) < repeats
            ]  # fmt: skip
            draws.shuffle(turn)
            yield from ((k, repeat) for k in turn)

    def _counting(self, point: Point) -> int:
        """Repeats that count: where runs are predicted from light loads, those that were."""
        return len(point.bracketed if self._terms.ahead_s else point.valid)

    def _bracket(self, grid: deployment.Grid, topology: Topology) -> None:
        """Play the pilot beside the runs: what the machine does to it, it does to them.

        On the grid that the first one was played on, also where the runs are of a changed one.
        """
        self._told.next("looking whether the machine has changed", self._terms.bracket_s + 4.0)
        on_grid: Measure = partial(self._measure_light, grid)
        self._brackets.append(self._light(topology).play(on_grid, self._terms.bracket_s))

    def _light(self, topology: Topology, fitted: Fit | None = None) -> brackets.Light:
        own = fitted.neighbours if fitted else {}
        return brackets.Light(topology, self._light_per_s, self._terms.seed, own)

    def _ahead(
        self, grid: deployment.Grid, topology: Topology, fitted: Fit, load: float, number: int
    ) -> Ahead | None:
        """What is predicted of the next run, from a light load that is played first and counts."""
        self._told.next(f"a light load before run {number}", self._terms.ahead_s + 4.0)
        on_grid: Measure = partial(self._measure_light, grid)
        told = brackets.told(self._light(topology, fitted), on_grid, self._predict,
                             fitted.profiles, self._terms.ahead_s, number)  # fmt: skip
        if told is None:
            return None
        light, costs = told
        run = self.predict(fitted.beside(topology), costs, load)
        return brackets.kept(run, light, costs, self._out)

    def drift(self, fitted: Fit) -> tuple[Estimate | None, Estimate | None]:
        """What the same pilot cost after the runs, over before, and that at equal pace. [1]"""
        return brackets.drift([run for run in (fitted.pilot, *self._brackets) if run is not None])

    def _measure_light(
        self, grid: deployment.Grid, played: Topology, *, seed: int, load: float
    ) -> Run:
        run = self._measure(grid, played, seed=seed, load=load)
        self._book.enter_light(light_load(run))
        return run

    def _measure(self, grid: deployment.Grid, played: Topology, *, seed: int, load: float) -> Run:
        with spinner.awake():
            run = engine.play(
                played, grid, seed=seed, load=load, door=DOOR, settings=self._settings,
                progress=self._told.play,
            )  # fmt: skip
        kept = run.save(self._out)
        if why := run.header.measurement["stopped"]:
            if why == BY_HAND:
                raise KeyboardInterrupt
            raise LoadError(f"{why}; what was played is kept in {kept}")
        return run


def read_points(text: str | None) -> list[float] | None:
    """The loads of `--points 0.5,1,2`.

    Raises
    ------
    LoadError
        Not a list of different positive numbers.
    """
    if text is None:
        return None
    try:
        loads = [float(part) for part in text.split(",")]
    except ValueError:
        loads = [math.nan]
    if not all(0.0 < load < math.inf for load in loads):
        raise LoadError(f'--points: "{text}": must be positive numbers; write for example 0.5,1,2')
    if len(set(loads)) < len(loads):
        raise LoadError(f'--points: "{text}": a load is there twice; use --repeats for that')
    return loads
