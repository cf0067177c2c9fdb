"""An attack's variants in one picture: what happens over time, and the figure that matters most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from results import style
from results.statistics import Estimate
from results.variants import STANDARD, Attack, Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES_MAX: Final = 6  # more than that nobody tells apart
ROW_IN: Final = 0.28
EXTRA: Final = ("#56b4e9", "#1f2328")  # Okabe and Ito's sky blue, and ink


def headline_figure(document: Attack, variant: Variant) -> Estimate:
    """A variant's headline figure.

    Raises
    ------
    KeyError
        There is none of this name.
    """
    name = document["headline"]
    if name in STANDARD:
        estimate: Estimate = variant[name]  # type: ignore[literal-required]
        return estimate
    return variant["figures"][name]


@style.styled
def headline(document: Attack) -> Figure:
    """Curves of the variants above, the headline figure of each with its interval below."""
    from matplotlib.figure import Figure

    variants = document["variants"]
    height_in = 0.8 + ROW_IN * len(variants)
    figure = Figure(figsize=(style.WIDTH_IN, 3.2 + height_in), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[3.2, height_in])
    colours = _colours(variants)
    _curves(upper, document, colours)
    _dots(lower, document, colours)
    return figure


def _colours(variants: list[Variant]) -> dict[str, str]:
    """Of the variants whose curves are drawn; the others are grey."""
    drawn = [each["defence"] for each in variants if each["curve"]]
    series = (style.VERMILION, style.BLUE, style.GREEN, style.PURPLE, style.ORANGE, *EXTRA)
    return dict(zip(drawn[:CURVES_MAX], series, strict=False))


def _curves(axes: Axes, document: Attack, colours: dict[str, str]) -> None:
    top = 0.0
    for each in document["variants"]:
        curve, colour = each["curve"], colours.get(each["defence"])
        if curve is None or colour is None:
            continue
        y = [math.nan if value is None else value for value in curve["y"]]
        top = max([top, *(value for value in y if math.isfinite(value))])
        wide = 2.4 if each["defence"] == "none" else 1.4
        axes.plot(curve["x"], y, color=colour, label=each["defence"], linewidth=wide)
    style.count_axis(axes, top)
    axes.set_title(f"{document['id']} on {document['topology']}: {document['axes']['y']}")
    axes.set_xlabel(document["axes"]["x"])
    axes.legend(ncols=2, fontsize=8.0, loc="best")


def _dots(axes: Axes, document: Attack, colours: dict[str, str]) -> None:
    """One row for each variant; those without a value say why."""
    variants = document["variants"]
    values = []
    for row, each in enumerate(variants):
        estimate = headline_figure(document, each)
        colour = colours.get(each["defence"], style.MUTED)
        value = estimate["value"]
        if value is None:
            note = estimate.get("reason", "none").split(":")[0]
            axes.annotate(note, (0.0, row), xycoords=("axes fraction", "data"), xytext=(4, 0),
                          textcoords="offset points", va="center", color=style.MUTED)  # fmt: skip
            continue
        low = value if estimate["low"] is None else estimate["low"]
        high = value if estimate["high"] is None else estimate["high"]
        axes.plot([low, high], [row, row], color=colour, linewidth=3.0, alpha=0.45)
        axes.plot([value], [row], "o", color=colour, markersize=5.0)
        values.append(high)
    axes.set_yticks(range(len(variants)), [each["defence"] for each in variants])
    axes.set_ylim(len(variants) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.grid(axis="y", visible=False)
    positive = [value for value in values if value > 0.0]
    if len(positive) == len(values) and positive and max(positive) > 300.0 * min(positive):
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=min(0.0, *values, 0.0), right=1.05 * max([*values, 1e-9]))
    axes.set_title(f"{document['headline'].replace('_', ' ')} of each variant, 95 % intervals")
