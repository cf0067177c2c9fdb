"""Pictures of a validation: predicted and measured over load, and their distributions together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from results import style
from results.evidence import Metric, counts_of
from results.plots import tail
from results.twin_documents import TwinPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS: tuple[tuple[Metric, str, float], ...] = (
    ("p50", "Median latency", 0.0),
    ("p99", "99 % of the deliveries arrive within …", 0.0),
    ("cpu", "CPU in use [%]", 100.0),
)
CURVES_MAX = 6


@style.styled
def over_load(points: Sequence[TwinPoint]) -> Figure:
    """Median, p99 and CPU over the offered load: the predicted line, the measured points."""
    ordered = sorted(points, key=lambda point: point["offered_load_per_s"])
    figure, panels = style.panels([2.0, 2.0, 1.7])
    offered_per_s = [point["offered_load_per_s"] for point in ordered]
    for axes, (metric, text, scale) in zip(panels, PANELS, strict=True):
        _sides(axes, ordered, metric, scale or 1.0)
        if scale:
            axes.set_ylim(0.0, 105.0)
        else:
            values = [
                value
                for point in ordered
                for side in ("predicted", "measured")
                for key in ("value", "low", "high")
                if (value := point[metric][side][key])
            ]
            if values:
                style.latency_axis(axes, "y", min(values) / 1.5, max(values) * 1.5)
        style.title(axes, text)
    panels[-1].set_xlim(0.0, 1.05 * max(offered_per_s))
    panels[-1].set_xlabel("publications per second")
    panels[0].legend(ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


def _sides(axes: Axes, ordered: Sequence[TwinPoint], metric: Metric, scale: float) -> None:
    """The predicted line with its points' intervals, and the measured points with theirs."""
    for side, colour, mark in (("predicted", style.BLUE, "-"), ("measured", style.VERMILION, "o")):
        known = [p for p in ordered if p[metric][side]["value"] is not None]  # type: ignore[literal-required]
        loads = [p["offered_load_per_s"] for p in known]
        estimates = [p[metric][side] for p in known]  # type: ignore[literal-required]
        values = [scale * (e["value"] or 0.0) for e in estimates]
        axes.plot(loads, values, mark, color=colour, label=side, markersize=5)
        for load, estimate in zip(loads, estimates, strict=True):
            if estimate["low"] is not None and estimate["high"] is not None:
                low = max(estimate["low"], 0.02 * (estimate["value"] or 0.0))
                ends = [scale * low, scale * estimate["high"]]
                axes.plot([load, load], ends, color=colour, linewidth=2.4, alpha=0.35)


@style.styled
def distributions(points: Sequence[TwinPoint]) -> Figure:
    """Share of the deliveries that are later than a latency, of every point: both sides."""
    figure, (axes,) = style.panels([3.4])
    chosen = sorted(
        (point for point in points if point["evidence"]["measured"]), key=lambda p: p["load"]
    )
    if len(chosen) > CURVES_MAX:
        places = np.linspace(0, len(chosen) - 1, CURVES_MAX).round().astype(int)
        chosen = [chosen[place] for place in places]
    shown: list[float] = []
    colours = [*style.SERIES, style.MUTED]
    for point, colour in zip(chosen, colours, strict=False):
        for side, dashes in (("predicted", (4, 2)), ("measured", (None, None))):
            evidence = point["evidence"][side]  # type: ignore[literal-required]
            latency_s, later = tail(counts_of(evidence, "latency"))
            shown += [*latency_s[later < 0.98]]
            name = f"load {point['load']:.3g}" if side == "measured" else None
            (line,) = axes.plot(latency_s, later, color=colour, label=name)
            if dashes[0] is not None:
                line.set_dashes(dashes)
    axes.set_yscale("log")
    axes.set_ylim(3e-3, 1.15)
    axes.set_yticks([0.5, 0.1, 0.01], ["half (p50)", "10 %", "1 % (p99)"])
    axes.minorticks_off()
    if shown:
        style.latency_axis(axes, "x", min(shown) / 1.5, max(shown) * 1.5)
        axes.legend(ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    style.title(axes, "Deliveries later than …, predicted (dashed), measured")
    return figure


PICTURES: tuple[tuple[str, Callable[[Sequence[TwinPoint]], Figure], str], ...] = (
    (
        "over-load",
        over_load,
        "What was predicted (line) and what was measured (points), over the offered load. Bars "
        "are 95 % intervals.",
    ),
    (
        "distributions",
        distributions,
        "The spread of the lateness at every load, as predicted (dashed) and as measured. Where "
        "a pair of curves lies on each other, the model speaks of this server.",
    ),
)
