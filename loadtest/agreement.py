"""How well prediction and measurement agree: points, their verdicts, the document, the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadtest.calibration import Fit
from results.units import number, percent, rate, seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

    from results import Run
    from results.documents import Prediction
    from topologies.schema import Topology

# A metric is refuted where it is off by more than this and the intervals do not meet.
BOUNDS = {"throughput": 0.05, "p50": 0.10, "p99": 0.25, "cpu": 0.05}


@dataclass(frozen=True)
class Point:
    """One load: the prediction as stored, the measurement, and how they compare."""

    load: float
    predicted: Run
    measured: Run
    comparison: Prediction

    @property
    def refuted(self) -> list[str]:
        """Metrics that are off by more than their bound and by more than chance."""
        return [name for name, bound in BOUNDS.items() if _off(self.comparison, name, bound)]

    @property
    def verdict(self) -> dict[str, Any]:
        """Agrees, disagrees, or invalid with the reasons."""
        run = self.measured.header.verdict
        if not run.valid:
            return {"verdict": "invalid", "reasons": list(run.reasons)}
        off = self.refuted
        return {
            "verdict": "disagrees" if off else "agrees",
            "reasons": [f"{name} is off by more than {BOUNDS[name]:.0%}" for name in off],
        }


@dataclass(frozen=True)
class Outcome:
    """All points, and the fit that the predictions rest on."""

    topology: Topology
    fit: Fit
    points: list[Point] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether at least one point was measured without the generator as its limit."""
        return any(point.measured.header.verdict.valid for point in self.points)

    @property
    def runs(self) -> list[Run]:
        """Prediction and measurement of each point, in turn."""
        return [run for point in self.points for run in (point.predicted, point.measured)]

    @property
    def document(self) -> dict[str, Any]:
        """What `gridlab validate --json` prints."""
        points = [_document(self.topology, point) for point in self.points]
        return {"points": points, "summary": self._summary(), "refuted": self._refuted()}

    def _summary(self) -> dict[str, Any]:
        valid = [point for point in self.points if point.measured.header.verdict.valid]
        errors = {
            name: [abs(e) for point in valid if (e := _error(point.comparison, name)) is not None]
            for name in BOUNDS
        }
        worst = {name: max(values, default=None) for name, values in errors.items()}
        return {
            "points": len(self.points),
            "invalid": len(self.points) - len(valid),
            "worst_error": worst,
            "bounds": BOUNDS,
            "fit": self.fit.document(),
        }

    def _refuted(self) -> list[dict[str, Any]]:
        return [
            {"load": point.load, "metric": name, "error": _error(point.comparison, name)}
            for point in self.points
            if point.measured.header.verdict.valid
            for name in point.refuted
        ]


def _error(comparison: Prediction, name: str) -> float | None:
    error: float | None = comparison[name]["error"]  # type: ignore[literal-required]
    return error


def _off(comparison: Prediction, name: str, bound: float) -> bool:
    error = _error(comparison, name)
    if error is None or abs(error) <= bound:
        return False
    sides = comparison[name]  # type: ignore[literal-required]
    predicted, measured = sides["predicted"], sides["measured"]
    if None in (predicted["low"], measured["low"]):
        return True
    return bool(predicted["low"] > measured["high"] or measured["low"] > predicted["high"])


def _document(topology: Topology, point: Point) -> dict[str, Any]:
    header = point.measured.header
    counts = header.counts
    fan_out = counts.expected / max(counts.publications, 1)
    payload = point.measured.publications["payload_bytes"]
    controller = next(iter(header.controllers.values()))
    return {
        "load": point.load,
        "offered_load_per_s": counts.publications / header.duration_s,
        "subscribers": round(fan_out),
        "payload_bytes": float(payload.mean()) if len(payload) else None,
        "server": controller.server,
        **{name: dict(point.comparison[name]) for name in point.comparison},  # type: ignore[literal-required]
        "ledger": counts.model_dump(),
        "generator": header.measurement.get("generator", {}),
        "verdict": point.verdict,
        "runs": {"predicted": point.predicted.header.run_id, "measured": header.run_id},
    }


def render(outcome: Outcome) -> RenderableType:
    """Each point as a table of predicted, measured, error; then the verdict in words."""
    from rich.console import Group
    from rich.table import Table

    parts: list[RenderableType] = [_fit_sentence(outcome)]
    for point in outcome.points:
        document = _document(outcome.topology, point)
        title = (
            f"load {point.load:.3g}: {document['offered_load_per_s']:.3g} publications/s "
            f"to {document['subscribers']} subscribers"
        )
        table = Table(title=title, title_justify="left", box=None, padding=(0, 3, 0, 0))
        for heading in ("", "predicted", "measured", "error"):
            table.add_column(heading, justify="left" if not heading else "right")
        for name, show in _SHOWN.items():
            sides = document[name]
            error = "-" if sides["error"] is None else f"{sides['error']:+.1%}"
            both = [_interval(sides[side], show) for side in ("predicted", "measured")]
            table.add_row(name, *both, error)
        verdict = point.verdict
        parts += [
            "",
            table,
            f"{verdict['verdict']}: {'; '.join(verdict['reasons']) or 'within bounds'}",
        ]
    return Group(*parts)


def _fit_sentence(outcome: Outcome) -> str:
    speed, pilot = outcome.fit.speed, outcome.fit.pilot.header.counts.publications
    return (
        f"Costs fitted on {pilot} publications: this machine pays {_interval(speed, number)} "
        "times what the shipped profile says."
    )


_SHOWN: dict[str, Callable[[float], str]] = {
    "throughput": rate,
    "p50": seconds,
    "p95": seconds,
    "p99": seconds,
    "cpu": percent,
    "cpu_per_publication": seconds,
}


def _interval(estimate: Any, show: Callable[[float], str]) -> str:
    if estimate["value"] is None:
        return str(estimate.get("reason", "-"))
    if estimate["low"] is None:
        return show(estimate["value"])
    return f"{show(estimate['value'])} [{show(estimate['low'])} .. {show(estimate['high'])}]"
