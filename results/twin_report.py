"""The page about a validation: how far off, at every load and in all; then each point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from results import report, style, twin_plots, twin_table
from results.report import Column, Picture, Section
from results.run import Run
from results.twin_documents import Cause, TwinPoint, Validation
from results.twin_table import SHOWN, signed
from results.wording import Row

CAPTION = (
    "Error of every figure, predicted over measured, by load. All predictions were stored before "
    "the first of the runs, which came in random order."
)

TOLD = {
    "bracketed": "error from a light load before each run",
    "given_pace": "error given the pace of the cores",
}
HEADLINES = {
    "bracketed": "from a light load before each run",
    "given_pace": "given the pace of its cores",
}


def write(document: Validation, runs: Sequence[Run], path: Path) -> Path:
    """Write the page about a validation and its runs.

    Raises
    ------
    RecordError
        The file cannot be written.
    """
    return report.write(runs, path, lead=[section(document)])


def section(document: Validation) -> Section:
    """The answer over all points."""
    points = document["points"]
    causes, refuted = document["summary"]["causes"], document["refuted"]
    return Section(
        title=f"{document['topology']}: how far the model is off",
        headline=headline(document),
        caption=CAPTION,
        columns=[Column(f"load {p['load']:.3g}", p["verdict"]["verdict"]) for p in points],
        rows=list(_rows(points)),
        pictures=list(_pictures(points)),
        verdict=_verdict(causes, len(refuted)),
        problems=[f"load {p['load']:.3g}: {why}" for p in points for why in _invalid(p)],
    )


def headline(document: Validation) -> str:
    """How many points agree, and how far off the scores are, in one sentence."""
    summary = document["summary"]
    verdicts = ", ".join(f"{count} {name}" for name, count in summary["verdicts"].items() if count)
    parts = [f"Of {summary['points']} points: {verdicts}"]
    for server, scored in summary["servers"].items():
        known = [
            f"{SHOWN[metric][0]} {score['median_error']:.0%}"
            for metric in ("cpu", "p50", "p99")
            if (score := scored["blind"].get(metric)) and score["median_error"] is not None
        ]
        for level, words in HEADLINES.items():
            at = [
                f"{SHOWN[metric][0]} {score['median_error']:.0%}"
                for metric in ("cpu", "p50", "p99")
                if (score := scored.get(level, {}).get(metric))  # type: ignore[attr-defined]
                and score["median_error"] is not None
            ]
            if at:
                known.append(f"{words}: {', '.join(at)}")
        if known:
            parts.append(f"{server}, median error without any help: {', '.join(known)}")
    return "; ".join(parts) + "."


def _verdict(causes: Sequence[Cause], refuted: int) -> str:
    """What the points tell about the model, in sentences."""
    told = twin_table.lines(causes, []) if causes else []
    count = f"{refuted} figures are off by more than their bound and by more than noise"
    return " ".join(f"{line.capitalize()}." for line in [*told, count])


def _invalid(point: TwinPoint) -> list[str]:
    verdict = point["verdict"]
    return verdict["reasons"] if verdict["verdict"] == "invalid" else []


def _rows(points: Sequence[TwinPoint]) -> Iterator[Row]:
    used = tuple(f"{point['utilisation']:.0%}" for point in points)
    yield Row("CPU", "predicted", used)
    for metric, (name, _) in SHOWN.items():
        yield Row(name, "error", tuple(signed(point[metric]["error"]) for point in points))
    for level, title in TOLD.items():
        if not any(point[level] for point in points):  # type: ignore[literal-required]
            continue
        for metric in ("cpu_per_publication", "p50", "p95", "p99"):
            told = [point[level].get(metric) for point in points]  # type: ignore[literal-required]
            cells = tuple(signed(error["error"]) if error else "–" for error in told)
            yield Row(SHOWN[metric][0], title, cells)
    for metric in ("p50", "p95", "p99"):
        told = [point["structure"].get(metric) for point in points]
        cells = tuple(signed(error["error"]) if error else "–" for error in told)
        yield Row(metric, "error given the measured cost", cells)


def _pictures(points: Sequence[TwinPoint]) -> Iterator[Picture]:
    for name, draw, caption in twin_plots.PICTURES:
        figure = draw(points)
        yield Picture(Markup(style.svg(figure, f"twin-{name}", caption)), caption)
