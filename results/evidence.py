"""What is kept of a prediction or of a measurement, small enough to store: counts and histograms.

A side of a point, from one run or several on the same plan. Its figures are computed from what is
kept, so that anybody can compute them again (`results.trust`); only the figures of the independent
parts, from which the intervals come, are kept as figures.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NotRequired, get_args

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from results import histogram, statistics
from results.figures import BATCHES, BATCHES_MIN, Figures, Unit, units
from results.statistics import FloatArray, Sample

if TYPE_CHECKING:
    from results.run import Run

Metric = Literal[
    "throughput", "p50", "p95", "p99", "last_p50", "last_p95", "cpu", "cpu_per_publication",
    "memory",
]  # fmt: skip
METRICS: tuple[Metric, ...] = get_args(Metric)
QUANTILES: dict[Metric, tuple[str, float]] = {
    "p50": ("latency", 0.5),
    "p95": ("latency", 0.95),
    "p99": ("latency", 0.99),
    "last_p50": ("last", 0.5),
    "last_p95": ("last", 0.95),
}


class Totals(TypedDict):
    """Sums of one replication or run over its measured phases. [s], [1], [s of CPU], [B]"""

    seconds: float
    offered: int
    delivered: int
    busy_s: float
    memory_bytes: float


class Evidence(TypedDict):
    """One side of a point.

    `latency` and `last` are histograms as text, `bin:count` by `results.histogram`: of each run, or
    of all together; of the deliveries, and of the time until a publication's last subscriber has
    it. `parts` has each figure of each independent part; `span` is the median share of the time to
    the last subscriber that lies between the first and the last copy; `used` how busy each
    Controller was. `pace_per_s` is the pace of the servers' cores [1/s]: of each measured run, or
    that for which the predicted costs hold; absent where it is not known (`results.pacing`).
    """

    runs: list[str]
    created: list[str]
    publications: int
    totals: list[Totals]
    latency: list[str]
    last: list[str]
    parts: dict[str, list[float]]
    span: float | None
    used: dict[str, float]
    pace_per_s: NotRequired[list[float]]


def gather(
    runs: Sequence[Run], *, apart: bool, pace_per_s: Sequence[float | None] = ()
) -> Evidence:
    """What is kept of some runs of one plan.

    Parameters
    ----------
    runs : sequence of Run
        One simulated run with its replications, or measured repeats.
    apart : bool
        Keep a histogram for each replication or run instead of one for all.
    pace_per_s : sequence of float, optional
        Pace of the servers' cores, of each run; kept where it is known of all. [1/s]
    """
    every = units(runs)
    each = [Figures([run], only=[(run, number)]) for run, number in every]
    latency = [
        run.latencies.counts(replication=number, phases=figures.phases)
        for figures, (run, number) in zip(each, every, strict=True)
    ]
    ends = [_completions(figures, unit) for figures, unit in zip(each, every, strict=True)]
    last = [histogram.count(last_s) for _, last_s, _ in ends]
    spans = np.concatenate([span for _, _, span in ends])
    publications, batch = runs[0].publications["replication"], len(every) == 1
    evidence: Evidence = {
        "runs": [run.header.run_id for run in runs],
        "created": [run.header.created for run in runs],
        "publications": int(np.count_nonzero(publications == every[0][1])),
        "totals": [_totals(figures) for figures in each],
        "latency": [_text(counts) for counts in (latency if apart else [_merged(latency)])],
        "last": [_text(counts) for counts in (last if apart else [_merged(last)])],
        "parts": _batches(each[0], ends[0]) if batch else _parts(each, latency, last),
        "span": float(np.median(spans)) if len(spans) else None,
        "used": {
            name: float(Figures(runs, only=every).utilisation(name).value)
            for name in each[0].controllers
        },
    }
    known = [pace for pace in pace_per_s if pace is not None]
    if known and len(known) == len(pace_per_s):
        evidence["pace_per_s"] = known
    return evidence


def together(each: Sequence[Evidence]) -> Evidence:
    """Several sides as one: histograms added up, a part for each of them.

    Raises
    ------
    ValueError
        There is none.
    """
    if not each:
        raise ValueError("there is no side to put together")
    figures = [samples(one) for one in each]
    spans = [one["span"] for one in each if one["span"] is not None]
    return {
        "runs": [run for one in each for run in one["runs"]],
        "created": [instant for one in each for instant in one["created"]],
        "publications": each[0]["publications"],
        "totals": [row for one in each for row in one["totals"]],
        "latency": [_text(_merged([counts_of(one, "latency") for one in each]))],
        "last": [_text(_merged([counts_of(one, "last") for one in each]))],
        "parts": _finite({str(name): [one[name].value for one in figures] for name in METRICS}),
        "span": float(np.median(spans)) if spans else None,
        "used": {
            name: float(np.mean([one["used"][name] for one in each])) for name in each[0]["used"]
        },
        "pace_per_s": [pace for one in each for pace in one.get("pace_per_s", [])],
    }


def chosen(evidence: Evidence, numbers: Sequence[int]) -> Evidence:
    """Some of the runs of a measured side, by number; the span and what was used are of all."""
    count = len(evidence["runs"])
    if list(numbers) == list(range(count)):
        return evidence
    found: Evidence = {
        **evidence,
        "runs": [evidence["runs"][number] for number in numbers],
        "created": [evidence["created"][number] for number in numbers],
        "totals": [evidence["totals"][number] for number in numbers],
        "latency": [evidence["latency"][number] for number in numbers],
        "last": [evidence["last"][number] for number in numbers],
        "parts": {
            name: [values[number] for number in numbers] if len(values) == count else []
            for name, values in evidence["parts"].items()
        },
    }
    if "pace_per_s" in evidence:
        found["pace_per_s"] = [evidence["pace_per_s"][number] for number in numbers]
    return found


def samples(evidence: Evidence) -> dict[Metric, Sample]:
    """Every figure with its parts, computed from the counts and histograms.

    Rates in 1/s, quantiles and CPU per publication in s, cpu in core seconds per second, memory in
    B: the most that the servers held, averaged over runs. CPU per publication is of those that were
    delivered: beyond saturation fewer are than were offered.
    """
    totals = evidence["totals"]

    def part(name: Metric) -> FloatArray:
        return np.array(evidence["parts"].get(name, []), dtype=np.float64)

    def per(upper: str, lower: str, name: Metric) -> Sample:
        above = sum(row[upper] for row in totals)  # type: ignore[literal-required]
        below = sum(row[lower] for row in totals)  # type: ignore[literal-required]
        return Sample(above / below if below else math.nan, part(name), 0.0)

    found: dict[Metric, Sample] = {
        "throughput": per("delivered", "seconds", "throughput"),
        "cpu": per("busy_s", "seconds", "cpu"),
        "cpu_per_publication": _cost(evidence, part("cpu_per_publication")),
        "memory": Sample(
            float(np.mean([row["memory_bytes"] for row in totals])), part("memory"), 0.0
        ),
    }
    for name, (kind, q) in QUANTILES.items():
        counts = counts_of(evidence, kind)
        whole = statistics.quantile((counts,), q)
        found[name] = Sample(whole.value, part(name), 0.0, whole.reason, whole.resolution)
    return found


def _cost(evidence: Evidence, batches: FloatArray) -> Sample:
    """CPU time per publication delivered: per copy, times the copies of one. [s]"""
    ends = int(counts_of(evidence, "last").sum())
    copies = int(counts_of(evidence, "latency").sum()) / ends if ends else math.nan
    totals = evidence["totals"]
    each = [row["busy_s"] / row["delivered"] * copies for row in totals if row["delivered"]]
    delivered = sum(row["delivered"] for row in totals)
    value = sum(row["busy_s"] for row in totals) / delivered * copies if delivered else math.nan
    # Put together of several runs with several replications each, the parts are the runs.
    own = len(each) > 1 and len(batches) in (0, len(each))
    return Sample(value, np.array(each) if own else batches, 0.0)


def counts_of(evidence: Evidence, kind: str) -> histogram.Counts:
    """The merged histogram of all its runs: `latency` or `last`."""
    return _merged([counts_of_text(text) for text in evidence[kind]])  # type: ignore[literal-required]


def counts_of_text(text: str) -> histogram.Counts:
    """The histogram that a text `bin:count bin:count` holds."""
    pairs = [entry.split(":") for entry in text.split()]
    bins = np.array([int(first) for first, _ in pairs], dtype=np.int64)
    return histogram.dense(bins, np.array([int(second) for _, second in pairs], dtype=np.int64))


def digest(evidence: Evidence) -> str:
    """SHA-256 of a side, whatever the order of its keys."""
    text = json.dumps(evidence, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _text(counts: histogram.Counts) -> str:
    bins, held = histogram.sparse(counts)
    return " ".join(f"{place}:{count}" for place, count in zip(bins, held, strict=True))


def _merged(counts: Sequence[histogram.Counts]) -> histogram.Counts:
    merged: npt.NDArray[np.int64] = np.sum(counts, axis=0)
    return merged


def _totals(figures: Figures) -> Totals:
    ((run, _),) = figures.units
    seconds = sum(p.end_s - p.start_s for p in run.header.phases if p.name in figures.phases)
    return {
        "seconds": seconds,
        "offered": round(figures.rate("offered").value * seconds),
        "delivered": round(figures.rate("delivered").value * seconds),
        "busy_s": figures.busy().value * seconds,
        "memory_bytes": float(sum(map(figures.memory_bytes_max, figures.controllers))),
    }


def _completions(figures: Figures, unit: Unit) -> tuple[FloatArray, FloatArray, FloatArray]:
    """By publication: when it was intended, how long until all had it [s], and its span [1]."""
    run, number = unit
    columns = run.publications
    intended_s = columns["intended_s"]
    chosen = (columns["replication"] == number) & (columns["expected"] > 0)
    inside = np.zeros(len(intended_s), dtype=bool)
    for phase in run.header.phases:
        if phase.name in figures.phases:
            inside |= (intended_s >= phase.start_s) & (intended_s < phase.end_s)
    chosen &= inside
    complete = columns["delivered"][chosen] >= columns["expected"][chosen]
    last_s = columns["last_s"][chosen] - intended_s[chosen]
    first_s = columns["first_s"][chosen] - intended_s[chosen]
    last_s = np.where(complete, last_s, np.inf)
    wide = complete & (columns["expected"][chosen] > 1) & (last_s > 0.0)
    return intended_s[chosen], last_s, 1.0 - first_s[wide] / last_s[wide]


def _parts(
    each: Sequence[Figures], latency: Sequence[histogram.Counts], last: Sequence[histogram.Counts]
) -> dict[str, list[float]]:
    """Every figure of every replication or run."""
    kinds = {"latency": latency, "last": last}
    parts: dict[str, list[float]] = {
        "throughput": [figures.rate("delivered").value for figures in each],
        "cpu": [figures.busy().value for figures in each],
        "cpu_per_publication": [figures.busy_per_publication().value for figures in each],
        "memory": [float(sum(map(one.memory_bytes_max, one.controllers))) for one in each],
    }
    for name, (kind, q) in QUANTILES.items():
        parts[name] = [histogram.quantile(counts, q) for counts in kinds[kind]]
    return _finite(parts)


def _batches(
    figures: Figures, ends: tuple[FloatArray, FloatArray, FloatArray]
) -> dict[str, list[float]]:
    """Every figure of ten equal stretches of the only run, where it can be split."""
    latency = figures.latency()
    found = {
        "throughput": figures.rate("delivered"),
        "cpu": figures.busy(),
        "cpu_per_publication": figures.busy_per_publication(),
        "p50": latency.sample(0.5),
        "p95": latency.sample(0.95),
        "p99": latency.sample(0.99),
    }
    parts = {name: [float(value) for value in sample.parts] for name, sample in found.items()}
    intended_s, last_s, _ = ends
    if figures.batched and len(intended_s) >= 2 * BATCHES:
        edges = np.linspace(intended_s.min(), intended_s.max(), BATCHES + 1)[1:-1]
        batch = np.searchsorted(edges, intended_s, side="right")
        groups = [last_s[batch == k] for k in range(BATCHES)]
        filled = [group for group in groups if len(group)]
        if len(filled) >= BATCHES_MIN:
            parts["last_p50"] = [float(np.median(group)) for group in filled]
    return _finite(parts)


def _finite(parts: dict[str, list[float]]) -> dict[str, list[float]]:
    """Without figures that JSON cannot hold: where one part is unbounded, there is no interval."""
    return {name: values for name, values in parts.items() if np.isfinite(values).all()}
