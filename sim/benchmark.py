"""`gridlab bench sim`: how fast the kernels are, side by side with what one would write instead.

Every engine plays the same plan with the same draws, in a process of its own on one core, in
rounds: first each engine once, then each again, so that a machine that slows down slows them all.
Rates are medians over the rounds. The latencies of all engines must be the same to 1e-9, or there
is no benchmark. A small fan-out is played by ciw too. `gridlab-loop-turns` and
`gridlab-fanout-process` play the fan-out on servers that the naive model cannot say; their
latencies must be those of `reference.py`, stanza by stanza.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NotRequired

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from results import environment
from sim import draws, phases, reference
from sim.benchmark_grids import Workload, fan_out, workloads
from sim.benchmark_storms import compiled_storm, naive_storm
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
ROUNDS, QUICK_ROUNDS = 5, 2
TOLERANCE = 1e-9
ENGINES, MEASURED = ("simpy", "gridlab"), "gridlab-"
Floats = npt.NDArray[np.float64]
Progress = Callable[[float, str], None]


class BenchmarkError(ValueError):
    """The engines do not agree: nothing was measured."""

    exit_code = 3


class BenchmarkRow(TypedDict):
    """One engine on one workload; rates are medians, spread is (largest - smallest) / median.

    Events are steps of logins that were answered, where nothing is delivered.
    """

    name: str
    size: int
    engine: str
    deliveries_per_s: NotRequired[float]
    events_per_s: NotRequired[float]
    ratio_to_simpy: float
    p50_s: float
    p99_s: float
    spread: float
    peak_rss_bytes: int


class Benchmark(TypedDict):
    """The document of `gridlab bench sim --json`."""

    workloads: list[BenchmarkRow]


@dataclass(frozen=True)
class Sample:
    """One engine's run in a process of its own."""

    rate_per_s: float
    p50_s: float
    p99_s: float
    peak_rss_bytes: int


def bench(
    quick: bool = False, progress: Progress | None = None, only: Collection[str] = ()
) -> Benchmark:
    """Play every workload on every engine, in rounds.

    Parameters
    ----------
    quick : bool
        Smaller workloads and fewer rounds: half a minute instead of many.
    progress : callable, optional
        Called with the share done and a remark.
    only : collection of str
        Names of the workloads to play; all of them where none is named.

    Raises
    ------
    BenchmarkError
        Two engines differ by more than 1e-9 in a quantile.
    """
    played = [
        (number, workload)
        for number, workload in enumerate(workloads(quick))
        if not only or workload.name in only
    ]
    rows: list[BenchmarkRow] = []
    for position, (number, workload) in enumerate(played):
        engines = engines_of(workload)
        samples: dict[str, list[Sample]] = {engine: [] for engine in engines}
        rounds = QUICK_ROUNDS if quick or workload.storm else ROUNDS
        for turn in range(rounds):
            for place, engine in enumerate(engines):
                if progress is not None:
                    done = (turn + place / len(engines)) / rounds
                    remark = f"{workload.name} {workload.size:,}: {engine}"
                    progress((position + done) / len(played), remark)
                samples[engine].append(in_fresh_process(number, engine, quick))
        rows += compared(workload, samples)
    return {"workloads": rows}


def engines_of(workload: Workload) -> list[str]:
    """Names of the engines that play a workload."""
    return [
        *ENGINES,
        *workload.others,
        *(MEASURED + discipline for discipline in workload.measured),
    ]


def in_fresh_process(place: int, engine: str, quick: bool) -> Sample:
    """One run of a workload in a process that did nothing before."""
    command = [sys.executable, "-m", "sim.benchmark", str(place), engine, "quick" if quick else ""]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BenchmarkError(f"{engine}: the measuring process failed: {reason[0]}")
    return Sample(**json.loads(done.stdout))


def sample(workload: Workload, engine: str) -> Sample:
    """Play a workload here, on one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if workload.storm:
        play = naive_storm if engine == "simpy" else compiled_storm
        return _sampled(*play(workload.full, workload.profile, SEED))
    if engine == "simpy":
        return _rival(workload, NaiveGrid)
    if engine == "gridlab":
        return _gridlab(workload)
    if engine == "ciw":
        from sim.ciw_grid import CiwFanOut

        return _rival(workload, CiwFanOut)
    return _measured(workload.measured[engine.removeprefix(MEASURED)])


def _rival(workload: Workload, model: type[NaiveGrid] | type[CiwFanOut]) -> Sample:
    """Another program's model of the grid, timed with its set-up where the workload says so."""
    draws.exponentials(SEED, Purpose.COPY, 0, 0, 1)  # loads what is compiled
    topology, started_s = workload.short, time.perf_counter()
    rows = Plan(topology, SEED).columns()
    grid = model(topology, rows, workload.profile, SEED, 0)
    if not workload.set_up:
        started_s = time.perf_counter()
    latency_s = grid.run()
    return _sampled(latency_s, len(latency_s) / (time.perf_counter() - started_s))


def _gridlab(workload: Workload) -> Sample:
    """The kernels: code compiled before, as it is from the second run of a machine on."""
    _latencies(fan_out(10, 2, 2).short, workload)
    if workload.set_up:
        profiles = {node.name: workload.profile for node in workload.full.controllers}
        started_s = time.perf_counter()
        run = simulate(
            workload.full,
            seed=SEED,
            replications=1,
            processes=1,
            profiles=profiles,
            engine="compiled",
        )
        rate_per_s = run.header.counts.delivered / (time.perf_counter() - started_s)
    else:
        grid, _ = _grid(workload.full, workload, traced=False)
        started_s = time.perf_counter()
        delivered = grid.run()[0].delivered
        rate_per_s = delivered / (time.perf_counter() - started_s)
    peak_rss_bytes = environment.peak_rss_bytes()
    found = _sampled(_latencies(workload.short, workload), rate_per_s)
    return Sample(rate_per_s, found.p50_s, found.p99_s, peak_rss_bytes)


def _measured(workload: Workload) -> Sample:
    """The kernels on a server that was measured, held against the reference on the short grid.

    Raises
    ------
    BenchmarkError
        They differ by more than 1e-9 in a quantile.
    """
    found, topology = _gridlab(workload), workload.short
    plan = Plan(topology, SEED)
    study = Study(topology, phases.timetable(topology), SEED, 0, plan.rows, traced=True)
    trace = reference.run(study, plan, {topology.controllers[0].name: workload.profile})[0].trace
    latency_s = trace["received_s"] - plan.columns().intended_s[trace["row"]]
    _require_same(workload, workload.profile.name, found, _sampled(latency_s, 0.0))
    return found


def _grid(topology: Topology, workload: Workload, traced: bool) -> tuple[Grid, Plan]:
    plan = Plan(topology, SEED)
    table = phases.timetable(topology)
    study = Study(topology, table, SEED, 0, plan.rows, traced=traced)
    return Grid(study, plan, {topology.controllers[0].name: workload.profile}), plan


def _latencies(topology: Topology, workload: Workload) -> Floats:
    """Latency of every copy, from a traced run. [s]"""
    grid, plan = _grid(topology, workload, traced=True)
    trace = grid.run()[0].trace
    latency_s: Floats = trace["received_s"] - plan.columns().intended_s[trace["row"]]
    return latency_s


def _sampled(latency_s: Floats, rate_per_s: float) -> Sample:
    p50_s, p99_s = np.quantile(latency_s, [0.5, 0.99])
    return Sample(rate_per_s, float(p50_s), float(p99_s), environment.peak_rss_bytes())


def scaling(most: int = 10**9) -> list[tuple[int, float]]:
    """Deliveries and seconds of ever longer fan-outs to 10^4, up to `most` deliveries."""
    workload, found = fan_out(10_000, 2, 2), []
    profiles = {"c": workload.profile}
    simulate(workload.full, seed=SEED, replications=1, processes=1, profiles=profiles)
    for decade in range(6, round(np.log10(most)) + 1):
        grid = fan_out(10_000, 2, 10 ** (decade - 4)).full
        started_s = time.perf_counter()
        run = simulate(grid, seed=SEED, replications=1, processes=1, profiles=profiles)
        found.append((run.header.counts.delivered, time.perf_counter() - started_s))
    return found


def slope(points: Sequence[tuple[int, float]]) -> float:
    """Exponent of cost in deliveries: 1 is linear. [1]"""
    deliveries, wall_s = np.log(np.array(points).T)
    return float(np.polyfit(deliveries, wall_s, 1)[0])


def render_scaling(points: Sequence[tuple[int, float]]) -> str:
    """A line for people."""
    seconds = ", ".join(f"{wall_s:.3g} s for {count:.3g}" for count, wall_s in points)
    return f"Cost over deliveries: {seconds}; it grows with their number to the {slope(points):.3f}"


def compared(workload: Workload, samples: Mapping[str, Sequence[Sample]]) -> list[BenchmarkRow]:
    """The rows of one workload.

    Raises
    ------
    BenchmarkError
        Two engines differ by more than 1e-9 in a quantile.
    """
    for engine, taken in samples.items():
        for each in () if engine.startswith(MEASURED) else taken:
            _require_same(workload, engine, each, samples["simpy"][0])
    simpy_per_s = statistics.median(each.rate_per_s for each in samples["simpy"])
    rows: list[BenchmarkRow] = []
    for engine, taken in samples.items():
        rates = [each.rate_per_s for each in taken]
        median_per_s = statistics.median(rates)
        row: BenchmarkRow = {
            "name": workload.name,
            "size": workload.size,
            "engine": engine,
            "ratio_to_simpy": median_per_s / simpy_per_s,
            "p50_s": taken[0].p50_s,
            "p99_s": taken[0].p99_s,
            "spread": (max(rates) - min(rates)) / median_per_s,
            "peak_rss_bytes": max(each.peak_rss_bytes for each in taken),
        }
        if workload.storm:
            row["events_per_s"] = median_per_s
        else:
            row["deliveries_per_s"] = median_per_s
        rows.append(row)
    return rows


def _require_same(workload: Workload, engine: str, got: Sample, want: Sample) -> None:
    for name in ("p50_s", "p99_s"):
        found_s, known_s = getattr(got, name), getattr(want, name)
        if abs(found_s - known_s) > TOLERANCE * known_s:
            rule = f"{engine} has {found_s!r} s, simpy {known_s!r} s; they must be the same to 1e-9"
            raise BenchmarkError(f"{workload.name} {workload.size}: {name}: {rule}")


def render(document: Benchmark) -> Any:
    """A table for people."""
    from rich.table import Table

    from results import units

    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("workload", "size", "engine"):
        table.add_column(title, no_wrap=True)
    for title in ("rate", "x SimPy", "p50", "p99", "spread", "memory"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in document["workloads"]:
        table.add_row(
            row["name"],
            f"{row['size']:,}",
            row["engine"],
            units.rate(row.get("deliveries_per_s", row.get("events_per_s", 0.0))),
            f"{row['ratio_to_simpy']:,.4g}",
            units.seconds(row["p50_s"]),
            units.seconds(row["p99_s"]),
            units.percent(row["spread"]),
            units.size(row["peak_rss_bytes"]),
        )
    return table


if __name__ == "__main__":
    chosen = workloads(sys.argv[3] == "quick")[int(sys.argv[1])]
    print(json.dumps(asdict(sample(chosen, sys.argv[2]))))
