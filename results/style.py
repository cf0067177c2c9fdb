"""How plots look: one size, quiet axes, colours that the colour-blind tell apart, day and night.

Colours are Okabe and Ito's [1]_. In the SVG each is a CSS variable with the day's colour as its
fallback, so that a page can set its own for the night and a viewer that knows no variables does not
care.

References
----------
.. [1] M. Okabe and K. Ito, "Color Universal Design," 2008.
"""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

from results import units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.records import Phase

INK, MUTED, LINE, SHADE, PAPER = "#1f2328", "#656d76", "#d1d9e0", "#818b98", "#fffffe"
BLUE, ORANGE, GREEN, VERMILION, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    SHADE: "--shade",
    PAPER: "--paper",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    VERMILION: "--vermilion",
    PURPLE: "--purple",
}
WIDTH_IN = 9.0
TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
_SETTINGS: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "sans-serif",
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.2,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0.0,
    "ytick.minor.size": 0.0,
    "xtick.minor.size": 0.0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "gridlab",
    "path.simplify_threshold": 0.3,
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """A function that makes a figure, made in the house's style."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return wrapper


def panels(heights_in: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A figure of panels one above the other with a common horizontal axis."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, sum(heights_in)), layout="constrained")
    axes = figure.subplots(
        len(heights_in), 1, sharex=True, squeeze=False, height_ratios=list(heights_in)
    )
    return figure, list(axes[:, 0])


def title(axes: Axes, text: str, *, phases: Sequence[Phase] = ()) -> None:
    """A panel's title; with phases, their names stand below it, each over its stretch."""
    axes.set_title(text, pad=19 if len(phases) > 1 else None)
    if len(phases) < 2:
        return
    length_s = phases[-1].end_s - phases[0].start_s
    for phase in phases:
        narrow = phase.end_s - phase.start_s < 0.12 * length_s
        axes.annotate(
            phase.name,
            (phase.start_s if narrow else 0.5 * (phase.start_s + phase.end_s), 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="left" if narrow else "center",
            color=MUTED,
            style="normal" if phase.measured else "italic",
        )


def time_axis(axes: Sequence[Axes], phases: Sequence[Phase]) -> None:
    """A common axis of time below the last panel; every other phase and the warm-up are shaded."""
    start_s, end_s = phases[0].start_s, phases[-1].end_s
    step_s = next((s for s in TICKS_S if (end_s - start_s) / s <= 10), 86400)
    length_s, unit = next(u for u in ((3600, "hours"), (60, "minutes"), (1, "seconds"))
                          if step_s >= u[0])  # fmt: skip
    for panel in axes:
        measured = 0
        for phase in phases:
            if measured % 2 or not phase.measured:
                panel.axvspan(phase.start_s, phase.end_s, color=SHADE, alpha=0.13, linewidth=0)
            measured += phase.measured
    last = axes[-1]
    last.set_xlim(start_s, end_s)
    last.set_xticks(
        [k * step_s for k in range(math.ceil(start_s / step_s), int(end_s // step_s) + 1)]
    )
    last.xaxis.set_major_formatter(lambda value, _: f"{value / length_s:,.10g}")
    last.set_xlabel(f"{unit} since the start")


def count_axis(axes: Axes, top: float) -> None:
    """A vertical axis of plain numbers from zero to somewhat above `top`."""
    axes.set_ylim(0.0, 1.12 * top if top > 0.0 else 1.0)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def latency_axis(axes: Axes, which: str, low_s: float, high_s: float) -> None:
    """A logarithmic axis of durations, `which` being x or y."""
    from matplotlib.ticker import LogLocator, NullFormatter

    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(low_s, high_s)
    axis = axes.xaxis if which == "x" else axes.yaxis
    subs = (1.0, 2.0, 5.0) if high_s / low_s < 1500.0 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(lambda value, _: _short_seconds(value))


def _short_seconds(value_s: float) -> str:
    length_s, unit = units.seconds_scale(value_s)
    return f"{value_s / length_s:.3g} {unit}"


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], gap: float = 0.13) -> None:
    """Write each curve's name at the right, at its end's height, none over another.

    Limits of the vertical axis must be final. `ends` are (value at the end, name, colour).
    """
    to_fraction = axes.transData + axes.transAxes.inverted()
    heights = []
    for value, text, colour in ends:
        height = float(to_fraction.transform((axes.get_xlim()[1], value))[1])
        heights.append((min(max(height, 0.0), 1.0), text, colour))
    placed = [-math.inf]
    for height, _, _ in sorted(heights):
        placed.append(max(height, placed[-1] + gap))
    excess = max(placed[-1] - 1.0, 0.0)  # a crowd at the top begins lower
    for height, (_, text, colour) in zip(placed[1:], sorted(heights), strict=True):
        axes.annotate(
            text,
            (1.0, height - excess),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            annotation_clip=False,
        )


def svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an SVG element for a page: no fixed size, themed colours, ids of its own.

    Parameters
    ----------
    figure : Figure
        A figure of `results.plots`.
    name : str
        Prefix of the ids inside, so that several can stand on one page.
    description : str
        What a reader who cannot see it is told.
    """
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator")))
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"| xmlns(:xlink)?="[^"]*"', "", text)
    text = re.sub(r'( id="|url\(#)', rf"\1{name}-", text).replace(
        'xlink:href="#', f'href="#{name}-'
    )
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    label = description.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
