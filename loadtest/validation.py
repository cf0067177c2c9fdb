"""Predict first, then measure: how far the model is off a real server, point by point.

In this order, so that no prediction can know its measurement: deploy a grid and fit the costs of
this machine on a pilot (or take a profile as it is); take the grid down; simulate every point on
the plan that it will play, on machines that go on as in the pilot, and store the predictions;
deploy a fresh grid; play every point several times, in random order, if asked each after a light
load of its own, from which that one run is predicted once more before it is played; compare. Only
then is the model told what the runs cost, to see how good its structure is apart from its costs,
and how fast the cores were, to see how good both are apart from the machine's drift. A stopped
validation goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import results
import topologies
from loadtest import book, brackets, collecting, deployment, engine, spinner
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
    PILOT_SEED_SHIFT,
    Fit,
    Measure,
    Predict,
    fit,
    given,
    light_rate_per_s,
    pilot,
    recalled,
    unsaturated,
)
from loadtest.conduct import BY_HAND
from loadtest.cores import cores_for
from loadtest.problems import LoadError
from loadtest.progress import Progress, Told
from loadtest.server import BRIEF_LOGIN_S
from loadtest.terms import Terms
from results import environment, evidence
from results.statistics import Estimate

if TYPE_CHECKING:
    from results import Run
    from topologies.profiles import Profile
    from topologies.schema import Topology

NEAR_SATURATION = 0.85
LOAD_MIN: Final = 1e-3  # of the file's


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
    look_s = collecting.LOOK_S + 4.0 if collecting.watched(topology) else 0.0
    told = Told(progress, 2 * terms.pilot_s + 20.0 + look_s + runs * each_s)
    sweep = _Sweep(topology, changed, terms, predict, out, kept, told)
    fitted = sweep.fitted()
    played = engine.lasting(changed.model_copy(update={"attacks": ()}), terms.duration_s)
    points = sweep.predicted(played, fitted)
    sweep.play(played, points, fitted)
    drift = sweep.drift(fitted)
    told.next("telling the model what it cost", 2.0)
    expected = fitted.expected(played)
    for point in points:
        point.tell(sweep.predict, played, fitted.profiles, expected)
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
        # Servers that share cores wait for each other, which a pilot tells and a given profile not.
        short = _wanted(played) - max(len(self._cores[0]), 1) if terms.profile is None else 0
        self._settings = engine.Settings(cores=self._cores[1], sharing=max(short, 0))
        self.order: list[list[int]] = []  # as played: number of the point, and of its repeat
        self._brackets: list[Run] = []
        self._seen: list[Run] = []  # since the pilot: light loads and runs, as they were played

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
        watched = collecting.watched(topology) is not None
        with self._deployed(topology, watched) as grid:
            on_grid: Measure = partial(self._measure_light, grid)
            fitted = fit(
                topology, self._predict, on_grid, seed=terms.seed, duration_s=terms.pilot_s,
                rate_per_s=self._light_per_s, seen=self._seen_collecting(grid) if watched else {},
            )  # fmt: skip
        self._book.entries["fit"] = fitted.document()
        self._book.write()
        return fitted

    def _seen_collecting(self, grid: deployment.Grid) -> dict[str, collecting.Seen]:
        """What a Prosody's collector takes, from a light load of its own."""
        self._told.next("looking at the collector", collecting.LOOK_S + 4.0)
        light = pilot(self._topology, collecting.LOOK_S, self._light_per_s)
        seed = self._terms.seed + PILOT_SEED_SHIFT - 1
        return collecting.seen(
            grid, light, lambda played, tell: self._measure(grid, played, seed, 1.0, tell)
        )

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
        points, expected = [], fitted.expected(topology)
        for load in entries["loads"]:
            entry = entries["predictions"].get(repr(load))
            if entry is None:
                run = self.predict(expected, fitted.profiles, load)
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
        full = self._full(fitted.expected(topology), fitted)
        if terms.of_capacity:
            return [round(share * full, 3) for share in terms.points]
        return [1.0, round(NEAR_SATURATION * full, 2)]

    def _full(self, topology: Topology, fitted: Fit) -> float:
        """The load at which a server has no time left, told at one that it can do. [1]"""

        def used(load: float) -> float:
            return max(self.predict(topology, fitted.profiles, load).utilisation().values())

        load, share = unsaturated(used, 1.0, LOAD_MIN)
        return load / max(share, 1e-6)

    def play(self, topology: Topology, points: Sequence[Point], fitted: Fit) -> None:
        """Play what the book lacks, on a fresh grid, turn by turn."""
        terms, grid = self._terms, None
        with contextlib.ExitStack() as held:
            for k, repeat in self._turns(points):
                load = points[k].load
                self.order.append([k, repeat])
                number = len(self.order)
                if run_id := self._book.played(load, repeat):
                    run = results.open_run(self._out / run_id)
                    self._seen.append(run)
                    points[k].repeats.append(run)
                    entry = self._book.ahead(load, repeat)
                    recalled_ahead = brackets.recalled(entry, self._out) if entry else None
                    points[k].ahead.append(recalled_ahead)
                    continue
                if grid is None:
                    up = self._deployed(topology)
                    grid = held.enter_context(up)
                    if terms.profile is not None:
                        self._bracket(grid, topology)
                if terms.ahead_s:
                    ahead = self._ahead(grid, topology, fitted, load, number)
                    points[k].ahead.append(ahead)
                    self._book.enter_ahead(load, repeat, brackets.entry(ahead) if ahead else None)
                self._told.next(f"run {number}, load {load:.3g}", terms.duration_s + 4.0)
                run = self._measure(grid, topology, terms.seed, load)
                self._seen.append(run)
                points[k].repeats.append(run)
                self._book.enter(load, repeat, run.header.run_id)
            if grid is not None and (terms.profile is not None or not terms.changes):
                self._bracket(grid, topology)
        if grid is not None and terms.profile is None and terms.changes:
            with self._deployed(self._topology) as grid:
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

    def _light(self, topology: Topology) -> brackets.Light:
        return brackets.Light(topology, self._light_per_s, self._terms.seed)

    def _ahead(
        self, grid: deployment.Grid, topology: Topology, fitted: Fit, load: float, number: int
    ) -> Ahead | None:
        """What is predicted of the next run, from a light load that is played first and counts."""
        self._told.next(f"a light load before run {number}", self._terms.ahead_s + 4.0)
        on_grid: Measure = partial(self._measure_light, grid)
        told = brackets.told(self._light(topology), on_grid, self._predict, fitted,
                             self._terms.ahead_s, number)  # fmt: skip
        if told is None:
            return None
        light, costs, run = told
        self._seen.append(run)
        predicted = self.predict(fitted.expected(topology, self._seen), costs, load)
        return brackets.kept(predicted, light, costs, self._out)

    def drift(self, fitted: Fit) -> tuple[Estimate | None, Estimate | None]:
        """What the same pilot cost after the runs, over before, and that at equal pace. [1]"""
        return brackets.drift([run for run in (fitted.pilot, *self._brackets) if run is not None])

    def _deployed(
        self, topology: Topology, watched: bool = False
    ) -> contextlib.AbstractContextManager[deployment.Grid]:
        options = deployment.Options(login_s=BRIEF_LOGIN_S, collector=watched)
        return deployment.ephemeral(topology, cores=self._cores[0], options=options)

    def _measure_light(
        self, grid: deployment.Grid, played: Topology, *, seed: int, load: float
    ) -> Run:
        run = self._measure(grid, played, seed, load)
        self._book.enter_light(light_load(run))
        return run

    def _measure(
        self, grid: deployment.Grid, played: Topology, seed: int, load: float,
        also: Callable[[Mapping[str, Any]], None] = lambda news: None,
    ) -> Run:  # fmt: skip
        def tell(news: Mapping[str, Any]) -> None:
            self._told.play(news)
            also(news)

        with spinner.awake():
            run = engine.play(
                played, grid, seed=seed, load=load, door=DOOR, settings=self._settings,
                progress=tell,
            )  # fmt: skip
        kept = run.save(self._out)
        if why := run.header.measurement["stopped"]:
            if why == BY_HAND:
                raise KeyboardInterrupt
            raise LoadError(f"{why}; what was played is kept in {kept}")
        return run


def _wanted(topology: Topology) -> int:
    """Cores that the servers of a grid can use, one for each Broker that is a component."""
    components = sum(each.kind == "component" for each in topology.brokers)
    return sum(each.cores for each in topology.controllers) + components
