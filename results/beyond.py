"""Beyond saturation, and what else a twin predicts that no point's metrics say: row by row.

What a publication costs in a grid that was changed after its costs were fitted, capacity and memory
at each point that fills a server, the knee of all points of a validation, the makespan of a storm
of logins (`gridlab attack S-HERD --real`), rate and burst of a limiter (`gridlab limits`). Each row
has what was predicted, what was measured, and what the error may be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import TypedDict

from results.documents import rounded
from results.evidence import Evidence, samples
from results.knee import CURVE_POINTS_MIN, knee_of_curve

if TYPE_CHECKING:
    from results.twin_documents import TwinPoint

SATURATED = 0.97
KNEE_POINTS_MIN = 4
GIVEN_PACE = ", given pace"
BOUNDS = {
    "capacity": 0.05, "knee": 0.05, "memory": 0.10, "makespan": 0.10, "limiter rate": 0.02,
    "limiter burst": 0.05, "what-if CPU": 0.15,
}  # fmt: skip


class Beyond(TypedDict):
    """One figure: s, deliveries/s, a load, B, s, B/s or B; `error` is predicted / measured - 1.

    `where` tells which point, defence or limit; `error` is null where one side has no figure.
    """

    figure: str
    server: str
    where: str
    predicted: float | None
    measured: float | None
    error: float | None
    bound: float


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


def of_points(points: Sequence[TwinPoint], changes: Sequence[str] = ()) -> list[Beyond]:
    """Capacity and memory at the points that fill a server, and the knee of all of them.

    Of a grid that was changed, what a publication costs at each load, too.
    """
    found = []
    for name in sorted({each["server"] for each in points}):
        own = sorted(
            (each for each in points if each["server"] == name and each["repeats"]),
            key=lambda each: each["load"],
        )
        for point in own if changes else ():
            cost = point["cpu_per_publication"]
            where = f"{', '.join(changes)}; load {point['load']:.3g}"
            found.append(row("what-if CPU", name, where, cost["predicted"]["value"],
                             cost["measured"]["value"]))  # fmt: skip
        full = [each for each in own if each["utilisation"] >= SATURATED]
        found += [each for point in full for each in _of_full(name, point)]
        if full and len(own) >= KNEE_POINTS_MIN:
            found.append(row("knee", name, f"{len(own)} loads", *_knees(own)))
            # Beside a full server no pace is told; the curve does without that point.
            paced = [each for each in own if each["evidence"].get("given_pace")]
            if len(paced) >= CURVE_POINTS_MIN:
                where = f"{len(paced)} loads{GIVEN_PACE}"
                found.append(row("knee", name, where, *_knees(paced, given_pace=True)))
    return found


def _of_full(name: str, point: TwinPoint) -> Iterator[Beyond]:
    """Capacity and memory where a server is full, and capacity given the pace of its cores."""
    where = f"load {point['load']:.3g}"
    shown = [("capacity", point["throughput"], ""), ("memory", point["memory"], "")]
    if "throughput" in point["given_pace"]:
        shown.insert(1, ("capacity", point["given_pace"]["throughput"], GIVEN_PACE))
    for figure, sides, given in shown:
        values = (sides["predicted"]["value"], sides["measured"]["value"])
        yield row(figure, name, f"{where}{given}", *values)


def _knees(points: Sequence[TwinPoint], given_pace: bool = False) -> tuple[float, float]:
    """The load at which throughput over median latency is greatest, predicted and measured.

    Of a curve through all points of a side: the greatest of a few noisy ones may be any of them.
    """
    sides: list[list[Evidence | None]] = [
        [each["evidence"].get("given_pace") for each in points]
        if given_pace
        else [each["evidence"]["predicted"] for each in points],
        [each["evidence"]["measured"] for each in points],
    ]
    found = []
    for side in sides:
        known = [(point["load"], kept) for point, kept in zip(points, side, strict=True) if kept]
        found.append(
            knee_of_curve(
                [load for load, _ in known],
                [max(kept["used"].values()) for _, kept in known],
                [samples(kept)["p50"].value for _, kept in known],
            )
        )
    return found[0], found[1]


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
