"""Validations and their scores as a terminal shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from results import pilots, units
from results.evidence import Metric
from results.twin import BOUNDS
from results.twin_documents import (
    Beyond,
    Cause,
    MetricError,
    PointVerdict,
    Score,
    Scored,
    TwinPoint,
    TwinRefutation,
    Validation,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

SHOWN: dict[Metric, tuple[str, Callable[[float], str]]] = {
    "cpu": ("CPU", units.percent),
    "cpu_per_publication": ("CPU/publication", units.seconds),
    "p50": ("p50", units.seconds),
    "p95": ("p95", units.seconds),
    "p99": ("p99", units.seconds),
    "last_p50": ("last copy p50", units.seconds),
    "last_p95": ("last copy p95", units.seconds),
    "throughput": ("throughput", units.rate),
    "memory": ("memory", units.size),
}
BEYOND_SHOWN: dict[str, Callable[[float], str]] = {
    "what-if CPU": units.seconds,
    "capacity": units.rate,
    "knee": lambda load: f"{load:.3g}",
    "memory": units.size,
    "makespan": units.seconds,
    "limiter rate": lambda rate: f"{units.size(rate)}/s",
    "limiter burst": units.size,
}
LEVELS = {
    "cost": "cost", "structure": "structure", "blind": "blind", "bracketed": "bracketed",
    "given_pace": "given pace",
}  # fmt: skip
REFUTED_MAX = 30
SCORES = (
    "Errors over the points that count: predicted against measured, absolute. cost: CPU per "
    "publication; structure: latencies once that is known; blind: without any help; bracketed: "
    "from a light load just before each run; given pace: told how fast the cores were; all: median "
    "over all points, scored or not."
)


def render(document: Validation) -> RenderableType:
    """Fit, points, scores, causes and refutations of one validation."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(_fit(document), style="dim"), ""]
    if why := pilots.spoiled(document):
        parts[1:1] = [Text(f"Not scored: {why}.", "yellow")]
    if why := pilots.untold(document):
        parts[1:1] = [Text(f"Not known whether the machine was the same: {why}.", "yellow")]
    if changes := document.get("changes"):
        parts[1:1] = [Text(f"Changed after that: {', '.join(changes)}.", style="dim")]
    parts += [_point(point) for point in document["points"]]
    if not any(point["repeats"] for point in document["points"]):
        return Group(*parts, "", "No measurement is valid: this says nothing about the model.")
    parts += ["", scores_table(document["summary"]["servers"])]
    if rows := document.get("beyond"):
        parts += ["", beyond_table(rows), ""]
    parts += lines(document["summary"]["causes"], document["refuted"])
    return Group(*parts)


def _fit(document: Validation) -> str:
    fit = document["fit"]
    if fit["pilot"] is None:
        return f"Costs of the profile {fit['profile']}, as it is."
    speed = units.with_interval(fit["speed"])
    slowed = "".join(
        f" {name} was slowed {each['factor']:.1f} times, for {units.seconds(each['mean_s'])} at a "
        f"go and {each['share']:.0%} of the time."
        for name, each in fit.get("spells", {}).items()
    )
    collected = "".join(
        f" Collections take {units.with_interval(each['share'])} of {name}'s CPU time."
        for name, each in fit.get("collections", {}).items()
    )
    return (
        f"Costs fitted on {fit['publications']} publications: this machine pays {speed} times "
        f"what the shipped profile says.{collected}{slowed}"
    )


def _point(point: TwinPoint) -> Table:
    """One point: predicted, measured, error, with the same error once the cost is known."""
    from rich.table import Table
    from rich.text import Text

    verdict, repeats = point["verdict"], point["repeats"]
    times = "one run" if repeats == 1 else f"{repeats} runs"
    colour = {"agrees": "green", "disagrees": "red"}.get(verdict["verdict"], "yellow")
    title = Text.assemble(
        f"load {point['load']:.3g}: {point['offered_load_per_s']:.3g} publications/s to "
        f"{point['subscribers']} subscribers, predicted {point['utilisation']:.0%} busy, {times}: ",
        (verdict["verdict"], colour),
    )
    caption = "; ".join([*verdict["reasons"], *_ahead(point), *_pace(point)])
    told_of = [level for level in ("bracketed", "given_pace") if point.get(level)]
    given = [heading for level in told_of for heading in (LEVELS[level], "noise")]
    table = Table(
        title=title, title_justify="left", title_style="", caption=caption, box=None,
        caption_justify="left", padding=(0, 3, 0, 0),
    )  # fmt: skip
    for heading in ("", "predicted", "measured", "error", "noise", *given, "given cost"):
        table.add_column(heading, justify="left" if not heading else "right")
    for metric, (name, show) in SHOWN.items():
        error: MetricError = point[metric]
        told = point["structure"].get(metric)
        sides = [_estimate(error[side], show) for side in ("predicted", "measured")]
        cells = [name, *sides, *_error(error)]
        for level in told_of:
            cells += _error(point[level].get(metric))  # type: ignore[literal-required]
        table.add_row(*cells, signed(told["error"]) if told else "")
    return table


def _error(error: MetricError | None) -> list[str]:
    """An error and the noise that it is seen through."""
    if error is None:
        return ["", ""]
    floor = error["noise_floor"]
    return [signed(error["error"]), "" if floor is None else f"{floor:.1%}"]


def _ahead(point: TwinPoint) -> list[str]:
    """What the point is from light loads just before its runs; nothing if there were none."""
    verdict = point.get("verdict_bracketed")
    return [f"from a light load before each run: {_told(verdict)}"] if verdict else []


def _pace(point: TwinPoint) -> list[str]:
    """What the pace of the cores was, and what the point is given that; nothing if not known."""
    slower, verdict = point.get("slowdown"), point.get("verdict_given_pace")
    if slower is None or verdict is None:
        return []
    return [
        f"its cores took {slower:.2f} times as long as the costs hold for; given that: "
        f"{_told(verdict)}"
    ]


def _told(verdict: PointVerdict) -> str:
    why = "; ".join(verdict["reasons"])
    return f"{verdict['verdict']} ({why})" if why else verdict["verdict"]


def scores_table(servers: Mapping[str, Scored]) -> Table:
    """A row for each server, level and metric: how many points, and how far off."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), title=SCORES, title_justify="left")
    for heading in (
        "", "", "points", "median", "p90", "worst", "inside", "noise", "bound", "all",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if not heading else "right")
    for server, scored in servers.items():
        for level in BOUNDS:
            for metric, score in scored.get(level, {}).items():  # type: ignore[attr-defined]
                if not score["points"] + score["not_scored"]:
                    continue
                table.add_row(f"{server} {LEVELS[level]}", SHOWN[metric][0], *_cells(score))
    return table


def _cells(score: Score) -> Iterator[str]:
    yield f"{score['points']} of {score['points'] + score['not_scored']}"
    for value in (
        score["median_error"], score["p90_error"], score["worst"], score["inside_interval"],
        score["noise_floor"], score["bound"], score["median_of_all"],
    ):  # fmt: skip
        yield "–" if value is None else f"{value:.1%}"


def beyond_table(rows: Sequence[Beyond]) -> Table:
    """A row for each figure beyond the points' own."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "", "", "predicted", "measured", "error", "bound"):
        table.add_column(heading, justify="right" if heading else "left")
    for each in rows:
        table.add_row(*beyond_cells(each))
    return table


def beyond_cells(row: Beyond) -> tuple[str, ...]:
    """Server, figure, of what, both sides, error and bound, as text."""
    show = BEYOND_SHOWN[row["figure"]]
    sides = ["–" if side is None else show(side) for side in (row["predicted"], row["measured"])]
    return (row["server"], row["figure"], row["where"], *sides, signed(row["error"]),
            f"{row['bound']:.0%}")  # fmt: skip


def lines(causes: Sequence[Cause], refuted: Sequence[TwinRefutation]) -> list[str]:
    """What the points tell about the model, and every figure that is off."""
    found = [f"{cause['server']}: {cause['cause']}: {cause['why']}" for cause in causes]
    for each in sorted(refuted, key=lambda each: -abs(each["error"]))[:REFUTED_MAX]:
        found.append(
            f"refuted: {each['server']} at load {each['load']:.3g} "
            f"({each['utilisation']:.0%} busy): {figure(each)} "
            f"{signed(each['error'])}, bound {each['bound']:.0%}; {each['cause']}"
        )
    if len(refuted) > REFUTED_MAX:
        found.append(f"and {len(refuted) - REFUTED_MAX} more; see --json")
    return found or ["Nothing is refuted."]


def figure(refuted: TwinRefutation) -> str:
    """What is off, and whether it is so bracketed, or given the pace of the cores."""
    name = SHOWN[refuted["metric"]][0]
    told = [LEVELS[level] for level in ("bracketed", "given_pace") if refuted.get(level)]
    return " ".join([name, *told])


def signed(error: float | None) -> str:
    """A relative error: `-12.3 %`."""
    return "–" if error is None else f"{100.0 * error:+.1f} %".replace("-", "−")


def _estimate(estimate: Mapping[str, object], show: Callable[[float], str]) -> str:
    value, high = estimate["value"], estimate["high"]
    if not isinstance(value, float | int):
        return str(estimate.get("reason", "–"))
    if not isinstance(high, float | int) or not value:
        return show(value)
    half = 100.0 * (high / value - 1.0)
    return f"{show(value)} ± {half:.{0 if half >= 9.5 else 1}f} %"
