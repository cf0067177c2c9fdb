"""Beyond saturation, and what else a twin predicts that no point's metrics say: row by row.

What a publication costs in a grid that was changed after its costs were fitted, capacity and memory
at each point that fills a server, the knee of all points of a validation, the makespan of a storm
of logins (`gridlab attack S-HERD --real`), rate and burst of a limiter (`gridlab limits`). Each row
has what was predicted, what was measured, and what the error may be.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from results.documents import rounded
from results.evidence import Evidence, Metric, samples
from results.knee import CURVE_POINTS_MIN, knee_of_curve
from results.twin import bracketed
from results.twin_documents import Beyond, MetricError, PointEvidence, TwinPoint

SATURATED = 0.97
KNEE_POINTS_MIN = 4
LEVELS = {"blind": "", "given_pace": ", given pace", "bracketed": ", bracketed"}
BOUNDS = {
    "capacity": 0.05, "knee": 0.05, "memory": 0.10, "makespan": 0.10, "limiter rate": 0.02,
    "limiter burst": 0.05, "what-if CPU": 0.15,
}  # fmt: skip


def row(
    figure: str, server: str, where: str, predicted: float | None, measured: float | None
) -> Beyond:
    """A figure on both sides, and its error."""
    sides = [None if side is None or not math.isfinite(side) else side
             for side in (predicted, measured)]  # fmt: skip
    error = None
    if sides[0] is not None and sides[1]:
        error = sides[0] / sides[1] - 1.0
    found = {
        "figure": figure, "server": server, "where": where, "predicted": sides[0],
        "measured": sides[1], "error": error, "bound": BOUNDS[figure],
    }  # fmt: skip
    return cast("Beyond", rounded(found))


def of_points(
    points: Sequence[TwinPoint],
    changes: Sequence[str] = (),
    levels: Collection[str] = tuple(LEVELS),
) -> list[Beyond]:
    """Capacity and memory at the points that fill a server, and the knee of all of them.

    Of a grid that was changed, what a publication costs at each load, too. Only at the `levels`
    that say something: not blind where nobody knows that the machine stayed the same.
    """
    found = []
    for name in sorted({each["server"] for each in points}):
        own = sorted(
            (each for each in points if each["server"] == name and each["repeats"]),
            key=lambda each: each["load"],
        )
        found += [each for point in own if changes for each in _changed(point, changes, levels)]
        full = [each for each in own if each["utilisation"] >= SATURATED]
        found += [each for point in full for each in _of_full(name, point, levels)]
        if full and len(own) >= KNEE_POINTS_MIN:
            found += _knees(name, own, levels)
    return found


def _changed(point: TwinPoint, changes: Sequence[str], levels: Collection[str]) -> Iterator[Beyond]:
    """What a publication costs, by all that the model was told."""
    blind: dict[Metric, MetricError] = {"cpu_per_publication": point["cpu_per_publication"]}
    for level, told in (("blind", blind), ("given_pace", point["given_pace"])):
        if level in levels and (cost := told.get("cpu_per_publication")) is not None:
            where = f"{', '.join(changes)}; load {point['load']:.3g}{LEVELS[level]}"
            sides = (cost["predicted"]["value"], cost["measured"]["value"])
            yield row("what-if CPU", point["server"], where, *sides)


def _of_full(name: str, point: TwinPoint, levels: Collection[str]) -> Iterator[Beyond]:
    """Capacity where a server is full, by all that the model was told, and memory."""
    sides: dict[str, dict[Metric, MetricError]] = {
        "blind": {"throughput": point["throughput"], "memory": point["memory"]},
        "given_pace": point["given_pace"],
        "bracketed": point.get("bracketed") or {},
    }
    shown: tuple[tuple[str, Metric], ...] = (("capacity", "throughput"), ("memory", "memory"))
    for figure, metric in shown:
        for level, suffix in LEVELS.items():
            if level in levels and metric in sides[level]:
                error = sides[level][metric]
                values = (error["predicted"]["value"], error["measured"]["value"])
                yield row(figure, name, f"load {point['load']:.3g}{suffix}", *values)


def _knees(name: str, points: Sequence[TwinPoint], levels: Collection[str]) -> Iterator[Beyond]:
    """The knee by all that the model was told, at the points where that is known.

    A full server is told no pace, and the curve does without that point.
    """
    for level, suffix in LEVELS.items():
        sides = {each["load"]: _sides(each["evidence"], level) for each in points}
        known = {load: pair for load, pair in sides.items() if pair[0] and pair[1]}
        if level in levels and (level == "blind" or len(known) >= CURVE_POINTS_MIN):
            predicted, measured = ({load: pair[k] for load, pair in known.items()} for k in (0, 1))
            yield row("knee", name, f"{len(known)} loads{suffix}", _knee(predicted),
                      _knee(measured))  # fmt: skip


def _sides(kept: PointEvidence, level: str) -> tuple[Evidence | None, Evidence | None]:
    """What was predicted of a point, by what the model was told, and what was measured of it."""
    match level:
        case "blind":
            return kept["predicted"], kept["measured"]
        case "given_pace":
            return kept.get("given_pace"), kept["measured"]
    return bracketed(kept)


def _knee(curve: Mapping[float, Evidence | None]) -> float:
    """The load at which throughput over median latency is greatest.

    Of a curve through all points of a side: the greatest of a few noisy ones may be any of them.
    """
    known = [(load, kept) for load, kept in curve.items() if kept]
    return knee_of_curve(
        [load for load, _ in known],
        [max(kept["used"].values()) for _, kept in known],
        [samples(kept)["p50"].value for _, kept in known],
    )


def of_document(document: Mapping[str, Any]) -> list[Beyond]:
    """What another stored proof has of it: real storms of logins, and limits."""
    return [*_makespans(document), *_limits(document)]


def _makespans(document: Mapping[str, Any]) -> Iterator[Beyond]:
    """From when a server is back until all Platforms are, by defence."""
    compared = document.get("agreement")
    for each in compared if isinstance(compared, list) else ():
        if each.get("figure") == "makespan_s":
            sides = (each[side]["value"] for side in ("predicted", "measured"))
            where = f"{document.get('id', '')} {each['defence']}".strip()
            yield row("makespan", str(document.get("server", "–")), where, *sides)


def _limits(document: Mapping[str, Any]) -> Iterator[Beyond]:
    """Rate and burst of a limiter, as the model of that server has them."""
    predicted = document.get("predicted")
    if "configured" not in document or not isinstance(predicted, dict):
        return
    where = f"{document['configured']['rate_bytes_per_s']:,.0f} B/s"
    server = str(document["server"]).split()[0]
    rate, burst = ((predicted[each], document[each]["value"])
                   for each in ("rate_bytes_per_s", "burst_bytes"))  # fmt: skip
    yield row("limiter rate", server, where, *rate)
    yield row("limiter burst", server, where, *burst)
