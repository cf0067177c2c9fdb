"""Beyond saturation, and what else a twin predicts that no point's metrics say: row by row.

What a publication costs in a grid that was changed after its costs were fitted, capacity and memory
at each point that fills a server, the knee of all points of a validation, the makespan of a storm
of logins (`gridlab attack S-HERD --real`), rate and burst of a limiter (`gridlab limits`). Each row
has what was predicted, what was measured, and what the error may be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import TypedDict

from results.evidence import Evidence, Metric, samples
from results.knee import knee

if TYPE_CHECKING:
    from results.twin_documents import TwinPoint

SATURATED = 0.97
KNEE_POINTS_MIN = 4
CURVE: tuple[Metric, Metric] = ("throughput", "p50")
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
    return {
        "figure": figure, "server": server, "where": where, "predicted": sides[0],
        "measured": sides[1], "error": error, "bound": BOUNDS[figure],
    }  # fmt: skip


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
        for point in full:
            for figure, metric in (("capacity", "throughput"), ("memory", "memory")):
                sides = point[metric]  # type: ignore[literal-required]
                where = f"load {point['load']:.3g}"
                found.append(row(figure, name, where, sides["predicted"]["value"],
                                 sides["measured"]["value"]))  # fmt: skip
        if full and len(own) >= KNEE_POINTS_MIN:
            found.append(row("knee", name, f"{len(own)} loads", *_knees(own)))
    return found


def _knees(points: Sequence[TwinPoint]) -> tuple[float, float]:
    """The load at which throughput over median latency is greatest, predicted and measured."""
    loads = [each["load"] for each in points]
    kept: list[list[Evidence | None]] = [
        [each["evidence"]["predicted"] for each in points],
        [each["evidence"]["measured"] for each in points],
    ]
    found = []
    for side in kept:
        known = [samples(evidence) for evidence in side if evidence is not None]
        throughputs, latencies_s = (
            np.array([[each[metric].value] for each in known]) for metric in CURVE
        )
        found.append(knee(loads, throughputs, latencies_s).value)
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
