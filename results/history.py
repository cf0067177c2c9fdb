"""How a figure moved over stored runs, and where it changed for good.

Runs of one topology and origin make a series in order of time. Its logarithm is split into pieces
of constant mean by PELT [1]_ (library `ruptures`); the penalty for a further piece is
`PENALTY * sigma^2 * log n`, sigma estimated from differences of neighbours, which a step does not
move. A change annotates, it never blocks: a gate that may block is `gridlab regress`.

References
----------
.. [1] R. Killick, P. Fearnhead and I. A. Eckley, "Optimal detection of changepoints with a linear
   computational cost," Journal of the American Statistical Association 107(500), 2012.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from results import ratios, statistics
from results.records import RecordError
from results.statistics import Estimate, Sample
from results.store import open_run

if TYPE_CHECKING:
    from results.run import Run

Floats = npt.NDArray[np.float64]
PENALTY: Final = 4.0
PIECE_MIN: Final = 3
METRICS: Final = (*ratios.COSTS, *ratios.QUANTILES)
MAD_TO_SIGMA: Final = 1.4826  # of a normal distribution


class Entry(TypedDict):
    """One run of the series."""

    run_id: str
    created: str
    commit: str
    value: float


class Change(TypedDict):
    """Where the level changed: the first run of the new one, and after over before."""

    run_id: str
    commit: str
    index: int
    ratio: Estimate


class History(TypedDict):
    """The document of `gridlab history --json`."""

    metric: str
    topology: str
    origin: str
    entries: list[Entry]
    changes: list[Change]
    skipped: list[str]


class Trial(TypedDict):
    """How the detector did on made series: shares with their 95 % intervals."""

    noise: float
    length: int
    false_alarms: Estimate
    hits: dict[str, Estimate]


@dataclass(frozen=True)
class Chosen:
    """What to follow: a metric of the runs of one topology and origin."""

    metric: str
    topology: str | None = None
    origin: str | None = None


def history(directory: Path, chosen: Chosen) -> History:
    """The series of a metric over the runs in a directory, and its changes.

    Raises
    ------
    RecordError
        No run fits, or several topologies or origins do.
    """
    runs, skipped = _runs(directory, chosen)
    kinds = sorted({(run.header.topology.name, run.header.origin) for run in runs})
    if len(kinds) != 1:
        told = ", ".join(f"{topology} ({origin})" for topology, origin in kinds)
        rule = f"choose one with --topology and --origin: {told}" if kinds else "no run fits"
        raise RecordError(f"{directory}: {rule}")
    entries = [entry for run in runs if (entry := _entry(run, chosen.metric)) is not None]
    values = np.array([entry["value"] for entry in entries])
    return {
        "metric": chosen.metric,
        "topology": kinds[0][0],
        "origin": kinds[0][1],
        "entries": entries,
        "changes": [_change(entries, values, edges) for edges in _pieces(change_points(values))],
        "skipped": skipped,
    }


def _runs(directory: Path, chosen: Chosen) -> tuple[list[Run], list[str]]:
    """Runs that fit and are valid, in order of time; others with the reason."""
    if not directory.is_dir():
        raise RecordError(f"{directory}: is not a directory of runs; name one with runs in it")
    found, skipped = [], []
    for path in sorted(each for each in directory.iterdir() if (each / "run.json").is_file()):
        try:
            run = open_run(path)
        except RecordError as error:
            skipped.append(str(error))
            continue
        header = run.header
        if chosen.topology not in (None, header.topology.name):
            continue
        if chosen.origin not in (None, header.origin):
            continue
        if not header.verdict.valid:
            skipped.append(f"{header.run_id}: is not valid: {'; '.join(header.verdict.reasons)}")
            continue
        found.append(run)
    return sorted(found, key=lambda run: run.header.created), skipped


def _entry(run: Run, metric: str) -> Entry | None:
    if metric in ratios.COSTS:
        value = ratios.cost(metric, run)
    else:
        value = run.latency.sample(ratios.QUANTILES[metric]).value
    if not np.isfinite(value) or value <= 0.0:
        return None
    header = run.header
    return {
        "run_id": header.run_id,
        "created": header.created,
        "commit": header.software.get("commit", "")[:12],
        "value": float(value),
    }


def change_points(values: npt.ArrayLike) -> list[int]:
    """Indices at which a new level begins, in a series of positive figures."""
    import ruptures

    logs = np.log(np.asarray(values, dtype=np.float64))
    if len(logs) < 2 * PIECE_MIN:
        return []
    steps = np.diff(logs)
    sigma = MAD_TO_SIGMA * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2.0)
    if sigma == 0.0:
        sigma = float(np.std(steps)) or 1e-12
    search = ruptures.Pelt(model="l2", min_size=PIECE_MIN, jump=1).fit(logs[:, None] / sigma)
    ends: list[int] = search.predict(pen=PENALTY * np.log(len(logs)))
    return ends[:-1]


def _pieces(points: Sequence[int]) -> list[tuple[int, int, int | None]]:
    """Each change with the start of the piece before it and the end of the one after it."""
    starts, ends = [0, *points], [*points, None]
    return list(zip(starts, points, ends[1:], strict=False))


def _change(entries: Sequence[Entry], values: Floats, edges: tuple[int, int, int | None]) -> Change:
    start, point, end = edges
    before, after = values[start:point], values[point:end]
    sides = [Sample(float(side.mean()), side, 0.0) for side in (before, after)]
    return {
        "run_id": entries[point]["run_id"],
        "commit": entries[point]["commit"],
        "index": point,
        "ratio": statistics.ratio(*sides, paired=False),
    }


def trial(seed: int, *, noise: float = 0.03, length: int = 40, series: int = 500) -> Trial:
    """Hit and false-alarm rates on series with log-normal noise of this spread.

    A hit is a change found within two runs of where a step of +5, +10 or +20 % was put; a false
    alarm is any change in a series without one.
    """
    generator = np.random.default_rng(seed)
    steps = {"none": 0.0, "+5 %": 0.05, "+10 %": 0.10, "+20 %": 0.20}
    found = {}
    for name, step in steps.items():
        logs = noise * generator.standard_normal((series, length))
        logs[:, length // 2 :] += np.log1p(step)
        points = [change_points(np.exp(row)) for row in logs]
        near = [any(abs(point - length // 2) <= 2 for point in each) for each in points]
        found[name] = sum(map(bool, points)) if name == "none" else sum(near)
    rates = {name: _share(count, series) for name, count in found.items()}
    return {
        "noise": noise,
        "length": length,
        "false_alarms": rates.pop("none"),
        "hits": rates,
    }


def _share(count: int, total: int) -> Estimate:
    """A share with Wilson's 95 % interval."""
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(method="wilson")
    low, high = float(interval.low), float(interval.high)
    return {"value": count / total, "low": low, "high": high, "n": total}


def render(document: History) -> str:
    """A line a run, changes marked, for a terminal."""
    changed = {change["index"]: change["ratio"] for change in document["changes"]}
    lines = [f"{document['topology']} ({document['origin']}): {document['metric']}"]
    for index, entry in enumerate(document["entries"]):
        if (ratio := changed.get(index)) is not None and ratio["value"] is not None:
            low, high = ratio["low"] or 0.0, ratio["high"] or 0.0
            lines.append(f"--- changed by {ratio['value']:.3f} ({low:.3f} to {high:.3f})")
        lines.append(f"{entry['created'][:19]}  {entry['commit']:12}  {entry['value']:.4g}")
    lines += [f"! skipped {reason}" for reason in document["skipped"]]
    return "\n".join(lines)


def render_trial(tried: Trial) -> str:
    """The detector's rates, for a terminal."""
    head = f"series of {tried['length']} runs with a noise of {100 * tried['noise']:g} %"
    rows = {"false alarms": tried["false_alarms"]}
    rows |= {f"hits of {step}": share for step, share in tried["hits"].items()}
    lines = [head]
    for name, share in rows.items():
        value, low, high = (100.0 * (share[key] or 0.0) for key in ("value", "low", "high"))
        lines.append(f"{name:14} {value:5.1f} % ({low:.1f} to {high:.1f}, n = {share['n']})")
    return "\n".join(lines)


def levels(document: History) -> list[tuple[int, int, float]]:
    """The pieces of constant level: first run, last run, mean."""
    values = [entry["value"] for entry in document["entries"]]
    edges = [0, *(change["index"] for change in document["changes"]), len(values)]
    return [(a, b - 1, float(np.mean(values[a:b]))) for a, b in itertools.pairwise(edges) if b > a]
