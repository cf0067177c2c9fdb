"""One engine's play of one workload of `gridlab bench sim`, in a process that does nothing else.

`python -m sim.benchmark_plays PLACE ENGINE [quick] [checked] [profiled]` prints a `Sample`.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from results import environment
from sim import draws, phases, reference
from sim.benchmark_grids import Workload, fan_out, workloads
from sim.benchmark_storms import naive_storm, storm_grid, storm_of
from sim.draws import Purpose
from sim.grid import Grid
from sim.naive import NaiveGrid
from sim.replications import simulate
from sim.study import Study
from topologies.plan import Plan
from topologies.schema import Topology

if TYPE_CHECKING:
    from sim.ciw_grid import CiwFanOut

SEED = 7
TOLERANCE = 1e-9
KERNELS = "gridlab-"  # of a discipline that the naive model does not have
SPOTS = 6  # of a profile that are told
Floats = npt.NDArray[np.float64]


class BenchmarkError(ValueError):
    """The engines do not agree: nothing was measured."""

    exit_code = 3


class Spot(TypedDict):
    """A function and its own share of a play's time. [1]"""

    where: str
    share: float


@dataclass(frozen=True)
class Sample:
    """One engine's play: deliveries or events, what they took, and the latencies of the short one.

    `copies` is how many latencies there are, `sum_s` and `longest_s` their sum and the longest.
    """

    played: int
    wall_s: float
    copies: int
    sum_s: float
    p50_s: float
    p99_s: float
    longest_s: float
    peak_rss_bytes: int
    hottest: tuple[Spot, ...] = ()

    @property
    def rate_per_s(self) -> float:
        """Deliveries or events per second. [1/s]"""
        return self.played / self.wall_s


class Stopwatch:
    """Takes the time of a stretch; `profiled`, also where it went (which costs some more)."""

    def __init__(self, profiled: bool = False) -> None:
        self._profile = cProfile.Profile() if profiled else None
        self.wall_s = 0.0

    def __enter__(self) -> Stopwatch:
        if self._profile is not None:
            self._profile.enable()
        self._started_s = time.perf_counter()
        return self

    def __exit__(self, *raised: object) -> None:
        self.wall_s = time.perf_counter() - self._started_s
        if self._profile is not None:
            self._profile.disable()

    def hottest(self) -> tuple[Spot, ...]:
        """Where the time of all stretches went; nothing unless `profiled`."""
        return hottest(pstats.Stats(self._profile)) if self._profile is not None else ()


def hottest(profile: pstats.Stats) -> tuple[Spot, ...]:
    """The functions with most time of their own; what a kernel takes is its caller's."""
    table: dict[Any, Any] = profile.stats  # type: ignore[attr-defined]
    own_s = {place: figures[2] for place, figures in table.items()}
    total_s = sum(own_s.values())
    first = sorted(own_s, key=own_s.__getitem__, reverse=True)[:SPOTS]
    return tuple(
        {"where": f"{Path(file).name}:{line} {name}".removeprefix("~:0 "),
         "share": own_s[file, line, name] / total_s}
        for file, line, name in first
    )  # fmt: skip


def in_fresh_process(place: int, engine: str, *flags: str) -> Sample:
    """One play of a workload in a process that did nothing before.

    Raises
    ------
    BenchmarkError
        It failed.
    """
    command = [sys.executable, "-m", __name__, str(place), engine, *flags]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BenchmarkError(f"{engine}: the measuring process failed: {reason[0]}")
    return Sample(**json.loads(done.stdout))


def sample(
    workload: Workload, engine: str, *, checked: bool = False, profiled: bool = False
) -> Sample:
    """Play a workload here, on one core.

    A server of a measured discipline is held against the reference where that is `checked`.

    Raises
    ------
    BenchmarkError
        They did not play the same.
    """
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if workload.storm:
        return _storm(workload, engine, profiled)
    if engine == "simpy":
        return _rival(workload, NaiveGrid)
    if engine == "gridlab":
        return _kernels(workload, profiled)
    if engine == "ciw":
        from sim.ciw_grid import CiwFanOut

        return _rival(workload, CiwFanOut)
    own = workload.measured[engine.removeprefix(KERNELS)]
    found = _kernels(own, profiled)
    if checked:
        _hold_against_reference(workload, engine, own)
    return found


def require_same(workload: Workload, engine: str, got: Sample, want: Sample, whose: str) -> None:
    """Refuse to compare engines that did not play the same.

    Raises
    ------
    BenchmarkError
        They differ in the number of latencies, by more than 1e-9 in their sum, a quantile or the
        longest, or in what they played where all of them play everything.
    """
    counts = ["copies", *(["played"] if workload.short is workload.full else [])]
    for name in (*counts, "sum_s", "p50_s", "p99_s", "longest_s"):
        found, known = getattr(got, name), getattr(want, name)
        most = 0.0 if name in counts else TOLERANCE * known
        if not abs(found - known) <= most:  # so that what is not a number differs, too
            rule = f"{engine} has {found!r}, {whose} {known!r}; they must be the same"
            raise BenchmarkError(f"{workload.name} {workload.size}: {name}: {rule} to 1e-9")


def _storm(workload: Workload, engine: str, profiled: bool) -> Sample:
    """All logins of a storm, set-up included; steps that were answered are counted."""
    grid, profile = workload.full, workload.profile
    if engine == "simpy":
        draws.uniforms(SEED, Purpose.RETURN, 0, np.arange(2))  # loads what is compiled
    else:
        storm_of(storm_grid(4_000), profile, SEED)  # compiles, or loads what is compiled
    play = naive_storm if engine == "simpy" else storm_of
    with Stopwatch(profiled) as watch:
        latency_s, answered = play(grid, profile, SEED)
    return _sampled(latency_s, answered, watch)


def _rival(workload: Workload, model: type[NaiveGrid] | type[CiwFanOut]) -> Sample:
    """Another program's model of the grid, timed with its set-up where the workload says so."""
    draws.exponentials(SEED, Purpose.COPY, 0, 0, 1)  # loads what is compiled
    with Stopwatch() as whole:
        rows = Plan(workload.short, SEED).columns()
        grid = model(workload.short, rows, workload.profile, SEED, 0)
        with Stopwatch() as run:
            latency_s = grid.run()
    watch = whole if workload.set_up else run
    return _sampled(latency_s, len(latency_s) * workload.events_each, watch)


def _kernels(workload: Workload, profiled: bool) -> Sample:
    """The kernels: code compiled before, as it is from the second run of a machine on."""
    _latencies(fan_out(10, 2, 2).short, workload)
    watch = Stopwatch(profiled)
    if workload.set_up:
        profiles = {node.name: workload.profile for node in workload.full.controllers}
        with watch:
            run = simulate(
                workload.full, seed=SEED, replications=1, processes=1, profiles=profiles,
                engine="compiled",
            )  # fmt: skip
        delivered = run.header.counts.delivered
    else:
        grid, _ = grid_of(workload.full, workload, traced=False)
        with watch:
            delivered = grid.run()[0].delivered
    peak_rss_bytes = environment.peak_rss_bytes()
    latency_s, played = _latencies(workload.short, workload), delivered * workload.events_each
    return _sampled(latency_s, played, watch, peak_rss_bytes)


def _hold_against_reference(workload: Workload, engine: str, own: Workload) -> None:
    """The kernels and the reference play the same, up to 10,000 subscribers.

    Raises
    ------
    BenchmarkError
        They did not play the same.
    """
    assert own.witnessed is not None
    plan, table = Plan(own.witnessed, SEED), phases.timetable(own.witnessed)
    study = Study(own.witnessed, table, SEED, 0, plan.rows, traced=True)
    profiles = {own.witnessed.controllers[0].name: own.profile}
    trace, watch = reference.run(study, plan, profiles)[0].trace, Stopwatch()
    known, found = latencies_s(plan, trace), _latencies(own.witnessed, own)
    got, want = (_sampled(each, len(each), watch) for each in (found, known))
    require_same(workload, engine, got, want, "the reference")


def grid_of(topology: Topology, workload: Workload, traced: bool) -> tuple[Grid, Plan]:
    """A grid with the workload's server, and its plan."""
    plan = Plan(topology, SEED)
    table = phases.timetable(topology)
    study = Study(topology, table, SEED, 0, plan.rows, traced=traced)
    return Grid(study, plan, {topology.controllers[0].name: workload.profile}), plan


def latencies_s(plan: Plan, trace: Any) -> Floats:
    """Latency of every copy of a trace. [s]"""
    return np.asarray(trace["received_s"] - plan.columns().intended_s[trace["row"]])


def _latencies(topology: Topology, workload: Workload) -> Floats:
    """Latency of every copy, from a traced run. [s]"""
    grid, plan = grid_of(topology, workload, traced=True)
    return latencies_s(plan, grid.run()[0].trace)


def _sampled(
    latency_s: Floats, played: int, watch: Stopwatch, peak_rss_bytes: int | None = None
) -> Sample:
    """What a play showed; the process's peak until now, if not one of before."""
    p50_s, p99_s = np.quantile(latency_s, [0.5, 0.99]).tolist()
    return Sample(
        played=played,
        wall_s=watch.wall_s,
        copies=len(latency_s),
        sum_s=float(latency_s.sum()),
        p50_s=p50_s,
        p99_s=p99_s,
        longest_s=float(latency_s.max()),
        peak_rss_bytes=peak_rss_bytes or environment.peak_rss_bytes(),
        hottest=watch.hottest(),
    )


def main(place: str, engine: str, *flags: str) -> None:
    """Play once and print the sample."""
    chosen = workloads("quick" in flags)[int(place)]
    found = sample(chosen, engine, checked="checked" in flags, profiled="profiled" in flags)
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
