"""`gridlab bench sim`: how fast the kernels are, side by side with what one would write instead.

Every engine plays the same plan with the same draws, in a process of its own on one core, in
rounds: first each engine once, then each again, so that a machine that slows down slows them all.
Rates are medians over the rounds; a ratio is the median of those of each round, of two the smaller.
The latencies of all engines must be the same to 1e-9, or there
is no benchmark. A small fan-out is played by ciw too. `gridlab-loop-turns` and
`gridlab-fanout-process` play the fan-out on servers that the naive model cannot say; their
latencies must be those of `reference.py`, which plays stanza by stanza, once and to 10,000
subscribers at most; every later round must have the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from sim import benchmark_singles, benchmark_targets
from sim.benchmark_grids import Workload, workloads
from sim.benchmark_plays import KERNELS, Sample, in_fresh_process, require_same
from sim.benchmark_rounds import Rounds
from sim.benchmark_singles import Single
from sim.benchmark_targets import Judged

QUICK_ROUNDS = 2
KERNELS_S, WITNESS_S = 3.5, 12.0  # that a play takes, its process included; the reference's, about
SINGLE_S = {"scaling": 22.0, "first-result": 12.0, "edr-scale": 25.0}  # the same of these, about
ENGINES = ("simpy", "gridlab")
Progress = Callable[[float, str], None]
Finished = Callable[[Any], None]


class Round(TypedDict):
    """One engine's play of a workload; the ratio is to SimPy's play of the same round."""

    per_s: float
    ratio_to_simpy: float
    peak_rss_bytes: int


class BenchmarkRow(TypedDict):
    """One engine on one workload; rates are medians, spread is (largest - smallest) / median.

    `played` are a round's deliveries, or its events: steps of logins that were answered in a storm.
    `ratio_to_simpy` is the median of the rounds' ratios; of an even number, the smaller in the
    middle.
    """

    name: str
    size: int
    engine: str
    played: int
    deliveries_per_s: NotRequired[float]
    events_per_s: NotRequired[float]
    ratio_to_simpy: float
    p50_s: float
    p99_s: float
    spread: float
    rounds: int
    peak_rss_bytes: int
    each_round: list[Round]


class Benchmark(TypedDict):
    """The document of `gridlab bench sim --json`."""

    workloads: list[BenchmarkRow]
    singles: list[Single]
    targets: list[Judged]


class Forecast:
    """How much is done, and what is left, by what plays took and are expected to take. [s]"""

    def __init__(self, progress: Progress | None, expected_s: Sequence[float]) -> None:
        self._progress, self._left_s, self._done_s = progress, list(expected_s), 0.0

    def tell(self, remark: str) -> None:
        """What is played now."""
        if self._progress is not None:
            left_s = sum(self._left_s)
            share = self._done_s / (self._done_s + left_s)
            self._progress(share, f"{remark}; {left_s / 60.0:.0f} min left")

    def pass_one(self) -> None:
        """The next of what was expected is done."""
        self._done_s += self._left_s.pop(0)


def bench(
    quick: bool = False,
    progress: Progress | None = None,
    only: Collection[str] = (),
    out: Path | None = None,
    finished: Finished = lambda shown: None,
) -> Benchmark:
    """Play every workload on every engine, in rounds, and time what has no rival.

    Parameters
    ----------
    quick : bool
        Smaller workloads and fewer rounds: by estimate 90 s instead of twelve minutes; no targets.
    progress : callable, optional
        Called with the share done and a remark.
    only : collection of str
        Names of what to play; everything where none is named.
    out : Path, optional
        File that keeps every round, and from which a benchmark goes on.
    finished : callable, optional
        Called with what is to be shown of each workload as it is finished.

    Raises
    ------
    BenchmarkError
        Two engines did not play the same.
    TopologyError
        The file is of another benchmark, or what is measured changed meanwhile.
    """
    rounds = Rounds(out, quick)
    places = {
        place: each for place, each in enumerate(workloads(quick)) if not only or each.name in only
    }
    singles = [each for each in benchmark_singles.singles(quick) if not only or each[0] in only]
    forecast = Forecast(
        progress,
        [
            *(sum(_expected_s(each, turn)) for each in places.values()
              for turn in range(_rounds(each, quick))),
            *(SINGLE_S[name] for name, _ in singles),
        ],
    )  # fmt: skip
    document: Benchmark = {"workloads": [], "singles": [], "targets": []}
    for place, workload in places.items():
        samples: dict[str, list[Sample]] = {engine: [] for engine in engines_of(workload)}
        for turn in range(_rounds(workload, quick)):
            for engine, found in _round(place, workload, turn, rounds, forecast, quick).items():
                samples[engine].append(found)
            forecast.pass_one()
        rows = compared(workload, samples)
        document["workloads"] += rows
        finished(render(rows))
    for name, most in singles:
        forecast.tell(name)
        single: Single | None = rounds.found(name, 0)
        if single is None:
            single, _ = benchmark_singles.measured(name, most)
            rounds.keep(name, 0, single)
        forecast.pass_one()
        document["singles"].append(single)
        finished(benchmark_singles.render(single))
    if not quick:
        document["targets"] = _judged(document, forecast)
    return document


def _rounds(workload: Workload, quick: bool) -> int:
    return QUICK_ROUNDS if quick else workload.rounds


def _expected_s(workload: Workload, turn: int) -> list[float]:
    """How long each engine's play takes, about. [s]"""
    kernels_s = KERNELS_S + (WITNESS_S if turn == 0 and workload.measured else 0.0)
    others = len(engines_of(workload)) - len(ENGINES)
    return [workload.naive_s + KERNELS_S, KERNELS_S, *[kernels_s] * others]


def _round(
    place: int, workload: Workload, turn: int, rounds: Rounds, forecast: Forecast, quick: bool
) -> dict[str, Sample]:
    """Every engine plays a workload once; or did, if they are those that were at hand then."""
    title = f"{workload.name} {workload.size:,}"
    kept = rounds.found(title, turn)
    if kept is not None and set(kept) == set(engines_of(workload)):
        return {engine: Sample(**each) for engine, each in kept.items()}
    found = {}
    for engine in engines_of(workload):
        forecast.tell(f"{title}: {engine}, round {turn + 1} of {_rounds(workload, quick)}")
        flags = [*(["quick"] if quick else []), *(["checked"] if turn == 0 else [])]
        found[engine] = in_fresh_process(place, engine, *flags)
    rounds.keep(title, turn, {engine: asdict(each) for engine, each in found.items()})
    return found


def _judged(document: Benchmark, forecast: Forecast) -> list[Judged]:
    """The targets; what is missed is played once more, under a profile."""
    verdicts = benchmark_targets.judged(document)
    places = {(each.name, each.size): place for place, each in enumerate(workloads(False))}
    most = dict(benchmark_singles.singles(False))
    for each in verdicts:
        if each["verdict"] != benchmark_targets.MISSED:
            continue
        forecast.tell(f"{each['name']} {each['size']:,}: {each['engine']}, profile of a miss")
        if each["name"] in most:
            _, spots = benchmark_singles.measured(each["name"], most[each["name"]], "profiled")
            each["profile"] = spots
        else:
            place = places[each["name"], each["size"]]
            each["profile"] = list(in_fresh_process(place, each["engine"], "profiled").hottest)
    return verdicts


def engines_of(workload: Workload) -> list[str]:
    """Names of the engines that play a workload."""
    kernels = [KERNELS + discipline for discipline in workload.measured]
    return [*ENGINES, *workload.others, *kernels]


def compared(workload: Workload, samples: Mapping[str, Sequence[Sample]]) -> list[BenchmarkRow]:
    """The rows of one workload.

    Raises
    ------
    BenchmarkError
        Two engines, or two rounds of one, did not play the same.
    """
    for engine, taken in samples.items():
        known = engine if engine.startswith(KERNELS) else "simpy"
        for each in taken:
            require_same(workload, engine, each, samples[known][0], known)
    rows: list[BenchmarkRow] = []
    for engine, taken in samples.items():
        rates = [each.rate_per_s for each in taken]
        each_round: list[Round] = [
            {
                "per_s": each.rate_per_s,
                "ratio_to_simpy": each.rate_per_s / simpy.rate_per_s,
                "peak_rss_bytes": each.peak_rss_bytes,
            }
            for each, simpy in zip(taken, samples["simpy"], strict=True)
        ]
        median_per_s = statistics.median(rates)
        row: BenchmarkRow = {
            "name": workload.name,
            "size": workload.size,
            "engine": engine,
            "played": taken[0].played,
            "ratio_to_simpy": statistics.median_low(each["ratio_to_simpy"] for each in each_round),
            "p50_s": taken[0].p50_s,
            "p99_s": taken[0].p99_s,
            "spread": (max(rates) - min(rates)) / median_per_s,
            "rounds": len(taken),
            "peak_rss_bytes": max(each.peak_rss_bytes for each in taken),
            "each_round": each_round,
        }
        if workload.counts_events:
            row["events_per_s"] = median_per_s
        else:
            row["deliveries_per_s"] = median_per_s
        rows.append(row)
    return rows


def render(rows: Sequence[BenchmarkRow]) -> Any:
    """A table for people of one workload."""
    from rich.table import Table

    from results import units

    title = f"{rows[0]['name']} {rows[0]['size']:,}, {rows[0]['rounds']} rounds"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("engine", no_wrap=True, min_width=22)
    for column, width in (("per s", 11), ("x SimPy", 7), ("p50", 7), ("p99", 7), ("spread", 6)):
        table.add_column(column, justify="right", no_wrap=True, min_width=width)
    table.add_column("memory", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["engine"],
            f"{row.get('deliveries_per_s', row.get('events_per_s', 0.0)):,.0f}",
            f"{row['ratio_to_simpy']:,.4g}",
            units.seconds(row["p50_s"]),
            units.seconds(row["p99_s"]),
            units.percent(row["spread"]),
            units.size(row["peak_rss_bytes"]),
        )
    return table
