"""Calibration of a server: a short designed experiment, and a profile of what it showed.

On a fresh grid of one Controller, cores kept awake: logins by mechanism, one after another; a
light run of mixed fan-outs and sizes; a run that asks for more than the server can do. All costs
are given for the pace that the core had in the light run (`results.pacing`): what was measured at
another one is counted as it would have been at that. What each
lone publication did cost gives the costs (`loadtest.costs`); one further figure, how much less a
publication costs when the server is never idle, is found by letting the model play the saturated
run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import topologies
from loadtest import (
    collecting,
    collector,
    costs,
    deployment,
    engine,
    experiment,
    exponents,
    login_steps,
    session_costs,
    spinner,
)
from loadtest.calibrated import Calibrated
from loadtest.calibration import Predict
from loadtest.cores import split_cores
from loadtest.observation import Observer, resident_bytes
from loadtest.problems import LoadError
from loadtest.progress import Progress
from loadtest.server import COLLECTOR_FILE, Options
from results import environment, pacing
from results.figures import Figures
from results.statistics import Estimate
from topologies.model import Provenance
from topologies.profiles import FanoutProcess, LoopTurns, Memory

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from results import Run
    from topologies.profiles import Profile
    from topologies.schema import Topology

DOOR = "gridlab calibrate"
BEYOND = 1.35  # of what the server can do at light cost: it falls when the server is never idle


def calibrate(
    topology: Topology,
    *,
    predict: Predict,
    out: Path,
    seed: int = 1,
    progress: Progress = lambda share, remark: None,
) -> list[Calibrated]:
    """Measure every kind of server of a topology, one after another.

    Parameters
    ----------
    topology : Topology
        Whose Controllers are calibrated; one of each profile.
    predict : callable
        `sim.simulate`.
    out : Path
        Where the runs are kept.
    seed : int
        Of the plans.
    progress : callable
        Gets the share done and a remark.

    Raises
    ------
    DeploymentError, LoadError, rails.RailsError
        A server cannot be deployed, driven, or is of no discipline that is known.
    """
    firsts = {each.profile: each.name for each in reversed(topology.controllers)}
    done = []
    for number, (name, controller) in enumerate(sorted(firsts.items())):

        def tell(share: float, remark: str, number: int = number, name: str = name) -> None:
            progress((number + share) / len(firsts), f"{name}: {remark}")

        base = topologies.profile(topology, controller)
        if not isinstance(base.costs, LoopTurns | FanoutProcess):
            raise LoadError(
                f"controllers[{controller}].profile: {name}: is of no real server; "
                "calibrate a prosody or an ejabberd"
            )
        done.append(_Session(topology, controller, base, predict, out, seed, tell).run())
    return done


class _Session:
    """The calibration of one server."""

    def __init__(
        self, topology: Topology, controller: str, base: Profile, predict: Predict, out: Path,
        seed: int, progress: Progress,
    ) -> None:  # fmt: skip
        self._light = experiment.designed(topology, controller)
        self._name, self._base, self._predict = controller, base, predict
        self._out, self._seed, self._progress = out, seed, progress
        self._cores = split_cores()
        self._runs: list[Run] = []
        self._paces: dict[str, float | None] = {}

    def run(self) -> Calibrated:
        """Deploy, measure, take down, fit."""
        begun_s = time.monotonic()
        self._progress(0.0, "deploying")
        watched = isinstance(self._base.costs, LoopTurns)
        options = Options(collector=watched)
        with (
            deployment.ephemeral(self._light, cores=self._cores[0], options=options) as grid,
            spinner.awake(900.0),
        ):
            pid = grid.server_pid(self._name)
            log = Path(grid.document()["controllers"][self._name]["server_directory"])
            log /= COLLECTOR_FILE
            idle = collector.asked(log) if watched else None
            version = grid.document()["controllers"][self._name]["version"]
            empty = resident_bytes(pid)
            self._progress(0.02, "logging in, one by one")
            begin_s = time.monotonic()
            observer = Observer(pid)
            with observer:
                logins = asyncio.run(session_costs.logins(grid, pid))
                self._paces["logins"] = observer.stop().pace_per_s(begin_s)
            self._progress(0.1, "a light load of all fan-outs and sizes")
            light, work, start_s = self._played(
                grid, pid, self._light, 0.1, 0.55, ask=log if watched else None
            )
            self._paces["light"] = pacing.paces_per_s(light).get(self._name)
            told = exponents.told(work)
            reference_per_s = self._paces["light"]
            if reference_per_s is not None:
                work = work.at(reference_per_s, reference_per_s)
            memory = session_costs.memory(light, empty, self._base)
            speed = self._speed(light)
            sessions = self._light.platform_count
            base = self._base.collecting(None, sessions)
            seen = None
            if idle is not None and isinstance(base.costs, LoopTurns):
                seen = collector.fit(
                    light.publications, start_s, idle, collector.read(log), sessions, base.costs
                )
                self._cycles(grid, pid, log, base.costs, seen)
            fitted = costs.fit(work, base.model_copy(update={"speed": speed}), seen)
            middle = experiment.light_cells(self._light)[2]
            line, _ = costs.linear(work)
            rate_per_s = BEYOND / line.cost_s(*middle)
            full = experiment.saturated(self._light, rate_per_s)
            busy, *_ = self._played(grid, pid, full, 0.65, 0.85)
            self._paces["saturated"] = pacing.paces_per_s(busy).get(self._name)
            shares = asyncio.run(login_steps.shares(grid, pid))  # last: its sessions stay a while
        self._progress(0.85, "fitting")
        fitted.figures |= told | shares
        slower = self._slower("logins")
        logins = {name: _over(estimate, slower) for name, estimate in logins.items()}
        return self._profile(fitted, work, busy, full, logins, memory, version, begun_s)

    def _cycles(
        self, grid: Grid, pid: int, log: Path, costs: LoopTurns, seen: collector.Collector
    ) -> None:
        """What a cycle takes among other work, where that shows: whole ones find warm caches."""
        shorter = engine.lasting(self._light, collecting.LOOK_S)
        with collecting.alternating(log):
            run, work, _ = self._played(grid, pid, shorter, 0.55, 0.65)
        reference_per_s = self._paces["light"] or pacing.paces_per_s(run).get(self._name)
        if reference_per_s is not None:
            work = work.at(reference_per_s, reference_per_s)
        found = collecting.look(work, collector.read(log), costs, self._light.platform_count)
        if found is None or found.cycle is None or found.cycle["value"] is None:
            seen.kept["collection"] = "cycles among other work did not show: whole ones, timed"
            return
        seen.changes["collection"] = found.cycle["value"]
        seen.figures["collection"] = found.cycle

    def _played(
        self, grid: Grid, pid: int, topology: Topology, begin: float, end: float,
        ask: Path | None = None,
    ) -> tuple[Run, experiment.Work, float]:  # fmt: skip
        """A run, what its publications did cost, and its origin [s, monotonic].

        Half-way through, with everybody online, whole collections are asked for.
        """
        watch, pending = experiment.Watch(), [ask] if ask else []

        def tell(news: Any) -> None:
            watch.tell(news)
            share = min(news["elapsed_s"] / news["duration_s"], 1.0)
            if share > 0.5 and pending:
                collector.ask(pending.pop())
            self._progress(begin + share * (end - begin), str(news["state"]))

        observer = Observer(pid, experiment.SAMPLE_S)
        with observer:
            run = engine.play(
                topology, grid, seed=self._seed, door=DOOR, progress=tell,
                settings=engine.Settings(cores=self._cores[1]),
            )  # fmt: skip
            seen = observer.stop()
        kept = run.save(self._out)
        if why := run.header.measurement["stopped"]:
            raise LoadError(f"{why}; what was played is kept in {kept}")
        self._runs.append(run)
        assert watch.start_s is not None
        return run, experiment.work(run, seen, watch.start_s), watch.start_s

    def _slower(self, name: str) -> float:
        """How many times as long work took in an experiment than in the light run; 1 if unknown."""
        pace_per_s, reference_per_s = self._paces.get(name), self._paces.get("light")
        if pace_per_s is None or reference_per_s is None:
            return 1.0
        return pacing.slowdown(pace_per_s, reference_per_s)

    def _speed(self, light: Run) -> float:
        """What this machine pays over the base profile: for figures that are not measured. [1]"""
        predicted = self._ask(self._light, self._base)
        sides = [_cost_s(run) for run in (predicted, light)]
        return sides[1] / sides[0]

    def _ask(self, topology: Topology, profile: Profile) -> Run:
        """The model's answer on the plan that was played."""
        return self._predict(
            topology, seed=self._seed, profiles={self._name: profile}, load=1.0,
            plan_replication=0, door=DOOR,
        )  # fmt: skip

    def _profile(
        self, fitted: costs.Fitted, work: experiment.Work, busy: Run, full: Topology,
        logins: dict[str, Estimate], memory: tuple[Memory, dict[str, Estimate]], version: str,
        begun_s: float,
    ) -> Calibrated:  # fmt: skip
        """The profile with all that was measured, and how well the model now gives it back."""
        found = Calibrated(self._name, self._base, fitted.figures, fitted.kept, {})
        seen = {"costs": fitted.costs, "memory": memory[0], "pace_per_s": self._paces["light"]}
        seen |= {"speed": 1.0, **session_costs.scaled(self._base, logins, fitted.figures)}
        scaled = self._base.model_copy(update=seen)
        found.paces_per_s = dict(self._paces)
        for name, pace_per_s in self._paces.items():
            if pace_per_s is None:
                found.kept[f"pace of {name}"] = "idle loops had no time to tell it: as measured"
        scaled = self._never_idle(scaled, full, busy, found)
        found.figures |= {**{f"login_{k}": v for k, v in logins.items()}, **memory[1]}
        answer = self._ask(self._light, scaled)
        found.checks["light"] = _check(answer, self._runs[0])
        slower = self._slower("saturated")
        found.checks["saturated"] = _check(self._ask(full, _slowed(scaled, slower)), busy)
        line, _ = costs.linear(work)
        for n, size in experiment.light_cells(self._light):
            if (cell := work.cell(n, size)).any():
                mean_s = float(np.mean(work.cpu_s[cell]))
                ratio = line.cost_s(n, size) / mean_s - 1.0
                found.checks[f"fit {n} x {size} B"] = {"measured_s": mean_s, "error": ratio}
        found.runs = [run.header.run_id for run in self._runs]
        found.took_s = time.monotonic() - begun_s
        found.reasons = [why for run in self._runs for why in run.header.verdict.reasons]
        found.valid = not found.reasons
        found.profile = scaled.model_copy(update=self._heading(version, found))
        return found

    def _never_idle(
        self, profile: Profile, full: Topology, busy: Run, found: Calibrated
    ) -> Profile:
        """The one figure by which a saturated server is cheaper, so that the model costs as much.

        Prosody: what a further copy costs in the same write. ejabberd: how much less a write costs
        whose session was written a moment ago.
        """
        measured_s = _cost_s(busy)
        base = profile.costs
        vary: Callable[[float], Profile]
        if isinstance(base, LoopTurns):
            name, ends = "coalesced", (0.0, 1.0)

            def vary(share: float) -> Profile:
                costs = base.model_copy(update={"coalesced": share * base.write})
                return profile.model_copy(update={"costs": costs})
        else:
            assert isinstance(base, FanoutProcess)
            name, ends = "warmth_factor", (-3.0, 0.5)

            def vary(share: float) -> Profile:
                factors = tuple(max(1.0 + (f - 1.0) * -share, 0.05) for f in base.warmth_factor)
                costs = base.model_copy(update={"warmth_factor": factors})
                return profile.model_copy(update={"costs": costs})

        slower = self._slower("saturated")

        def miss(share: float) -> float:
            answer = self._ask(full, _slowed(vary(share), slower))
            return _cost_s(answer) / measured_s - 1.0

        share, within = costs.crossing(miss, *ends)
        if not within:
            found.kept[name] = (
                "no value of it gives what the saturated run did cost: the nearer end is taken"
            )
        return vary(share)

    def _heading(self, version: str, found: Calibrated) -> dict[str, Any]:
        """Name, source, machine and date."""
        machine = environment.machine()
        digits = version.split(maxsplit=1)[0] if version else self._base.version.split()[0]
        source = (
            f"gridlab calibrate, runs {', '.join(found.runs)}; kept from {self._base.name}: "
            f"{', '.join(sorted(found.kept))}"
        )
        return {
            "name": f"{self._base.server}-{digits}",
            "version": version or self._base.version,
            "machine": f"{machine['processor']}, {machine['cores']} cores, kernel "
            f"{machine['kernel']}; server on a core of its own, TLS on loopback",
            "measured": datetime.now(UTC).date().isoformat(),
            "provenance": Provenance.model_validate({"kind": "measured", "source": source}),
        }


def _slowed(profile: Profile, factor: float) -> Profile:
    """The profile on a core on which the same work takes so many times as long."""
    return profile.model_copy(update={"speed": profile.speed * factor})


def _over(estimate: Estimate, factor: float) -> Estimate:
    """An estimate and its interval, divided."""
    value, low, high = (
        None if each is None else each / factor
        for each in (estimate["value"], estimate["low"], estimate["high"])
    )
    return {**estimate, "value": value, "low": low, "high": high}


def _cost_s(run: Run) -> float:
    """CPU time per copy delivered: beyond saturation fewer are than were offered. [s]"""
    figures = Figures([run])
    return figures.busy().value / figures.rate("delivered").value


def _check(predicted: Run, measured: Run) -> dict[str, float]:
    """How well the model gives back what it was fitted to."""
    both = [Figures([run]) for run in (predicted, measured)]
    cpu = [_cost_s(run) for run in (predicted, measured)]
    p50 = [side.latency().sample(0.5).value for side in both]
    return {
        "measured_s": cpu[1],  # of one copy
        "error": cpu[0] / cpu[1] - 1.0,
        "p50_error": p50[0] / p50[1] - 1.0,
    }
