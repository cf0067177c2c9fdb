"""Pictures of runs: what was offered and what came out, how late, and what it cost.

Every function returns a matplotlib Figure that belongs to nobody: no global state, no display.
`results.style.svg` makes it fit for a page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from results import histogram, style, units
from results.figures import Figures, measured_phases
from results.history import History, levels
from results.latencies import Latency
from results.run import Run
from results.sessions import online_share
from results.statistics import FloatArray
from results.timeline import Timeline, timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from results.records import Phase

SHOWN = 3e-4  # share of the deliveries down to which distributions are drawn
TOPICS_MAX = 12


@style.styled
def load(run: Run) -> Figure:
    """Publications offered, and deliveries made and made in time, over the run. [1/s]"""
    line, phases = _shown(run)
    figure, (offered, made) = style.panels([1.6, 1.9])
    _steps(offered, line, line.legitimate_per_s, style.BLUE, base=0.0)
    hostile = line.offered_per_s > line.legitimate_per_s
    if hostile.any():
        total_per_s = np.where(hostile, line.offered_per_s, np.nan)
        _steps(offered, line, total_per_s, style.VERMILION, base=line.legitimate_per_s)
    _steps(made, line, line.throughput_per_s, style.MUTED)
    _steps(made, line, line.goodput_per_s, style.GREEN, base=0.0)
    style.title(offered, "Publications offered per second", phases=phases)
    style.title(made, "Deliveries per second")
    style.time_axis([offered, made], phases)
    style.count_axis(offered, line.offered_per_s.max())
    style.count_axis(made, max(line.throughput_per_s.max(), line.goodput_per_s.max()))
    if hostile.any():
        ends = [
            (0.5 * line.legitimate_per_s[-1], "legitimate", style.BLUE),
            (line.offered_per_s.max(), "hostile", style.VERMILION),
        ]
        style.label_ends(offered, ends, gap=0.15)
    ends = [
        (line.throughput_per_s[-1], "all", style.MUTED),
        (line.goodput_per_s[-1], f"within {run.header.deadline_s:g} s", style.GREEN),
    ]
    style.label_ends(made, ends, gap=0.15)
    return figure


@style.styled
def latency(run: Run) -> Figure:
    """Mean latency by the instant of publication, with the median and p99 of each phase. [s]"""
    (line, phases), deadline_s = _shown(run), run.header.deadline_s
    figure, (axes,) = style.panels([2.9])
    levels = [*line.latency_s]
    for phase in phases:
        if phase.measured:
            merged = Figures([run], [phase.name]).latency()
            for q, above in ((0.5, False), (0.99, True)):
                value = merged.sample(q).value
                levels.append(value)
                span = (phase.start_s, phase.end_s)
                name = "p99" if above else "p50"
                _level(axes, span, value, f"{name} {units.seconds(value)}", above=above)
    _steps(axes, line, line.latency_s, style.BLUE)
    low_s, high_s = _limits(levels, deadline_s)
    style.latency_axis(axes, "y", low_s, high_s)
    style.title(axes, "Latency of a delivery, by the instant of its publication", phases=phases)
    style.time_axis([axes], phases)
    known = line.latency_s[np.isfinite(line.latency_s)]
    ends = [(level, "mean", style.BLUE) for level in known[-1:]]
    if low_s < deadline_s < high_s:
        axes.axhline(deadline_s, color=style.VERMILION, linewidth=1.0, dashes=(1, 2))
        ends.append((deadline_s, "deadline", style.VERMILION))
    style.label_ends(axes, ends, gap=0.07)
    return figure


@style.styled
def distribution(run: Run) -> Figure:
    """Share of the deliveries that are later than a latency, for each phase."""
    names = measured_phases(run)
    return _tails([(name, Figures([run], [name]).latency()) for name in names])


@style.styled
def prediction(predicted: Sequence[Run], measured: Sequence[Run]) -> Figure:
    """Share of the deliveries that are later than a latency, predicted and measured."""
    sides = (("predicted", predicted), ("measured", measured))
    return _tails([(name, Figures(runs).latency()) for name, runs in sides])


@style.styled
def controllers(run: Run) -> Figure:
    """How busy the Controllers are, how much waits in them, and what they hold, over the run."""
    line, phases = _shown(run)
    figure, (busy, backlog, memory) = style.panels([1.6, 1.3, 1.5])
    names = list(run.header.controllers)[: len(style.SERIES)]
    base = 0.0 if len(names) == 1 else None
    for name, colour in zip(names, style.SERIES, strict=False):
        _steps(busy, line, 100.0 * line.utilisation[name], colour, base=base)
        _steps(backlog, line, line.backlog_copies[name], colour, base=base)
        _steps(memory, line, line.memory_bytes[name] / 1e6, colour, base=base)
    style.title(busy, "CPU in use [%]", phases=phases)
    style.title(backlog, "Most copies waiting in the server")
    style.title(memory, "Memory of the server [MB]")
    style.time_axis([busy, backlog, memory], phases)
    busy.set_ylim(0.0, 105.0)
    busy.set_yticks([0.0, 50.0, 100.0])
    style.count_axis(backlog, max(line.backlog_copies[name].max() for name in names))
    style.count_axis(memory, max(line.memory_bytes[name].max() for name in names) / 1e6)
    if len(names) > 1:
        ends = zip(names, style.SERIES, strict=False)
        style.label_ends(busy, [(100.0 * line.utilisation[n][-1], n, c) for n, c in ends], gap=0.15)
    return figure


@style.styled
def sessions(run: Run) -> Figure:
    """Share of each population that lost sessions and is online, over the run. [%]"""
    line, phases = _shown(run)
    figure, (online,) = style.panels([2.2])
    entries = list(run.header.measurement["logins"].items())[: len(style.SERIES)]
    ends = []
    for (name, entry), colour in zip(entries, style.SERIES, strict=False):
        share = 100.0 * online_share(entry)[: len(line.start_s)]
        values = np.append(share, np.full(len(line.start_s) - len(share), share[-1]))
        _steps(online, line, values, colour, base=0.0 if len(entries) == 1 else None)
        ends.append((float(values[-1]), name, colour))
    style.title(online, "Platforms online [%]", phases=phases)
    style.time_axis([online], phases)
    online.set_ylim(0.0, 105.0)
    online.set_yticks([0.0, 50.0, 100.0])
    style.label_ends(online, ends, gap=0.15)
    return figure


@style.styled
def topics(run: Run) -> Figure:
    """p99 of the busiest Topics, one mark per phase, with its interval. [s]"""
    names = sorted(
        run.latencies.topics(), key=lambda name: -int(run.latencies.counts(topic=name).sum())
    )[:TOPICS_MAX]
    phases = measured_phases(run)
    figure, (axes,) = style.panels([0.9 + 0.3 * len(names)])
    shown: list[float] = []
    for place, (phase, colour) in enumerate(zip(phases, style.SERIES, strict=False)):
        offset = 0.5 * (place - (len(phases) - 1) / 2) / max(len(phases), 2)
        axes.plot([], [], "o", color=colour, label=phase, markersize=5)
        for row, topic in enumerate(names):
            p99 = Figures([run], [phase]).latency(topic).quantile(0.99)
            if p99["value"] is None:
                continue
            low, high = p99["low"] or p99["value"], p99["high"] or p99["value"]
            axes.plot([low, high], [row + offset] * 2, color=colour, linewidth=2.4, alpha=0.45)
            axes.plot(p99["value"], row + offset, "o", color=colour, markersize=5)
            shown += [low, high]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", labelcolor=style.INK)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    style.latency_axis(axes, "x", *_limits(shown, math.inf))
    style.title(axes, "99 % of a Topic's deliveries arrive within …")
    if len(phases) > 1:
        axes.legend(ncols=len(phases), loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


def _shown(run: Run) -> tuple[Timeline, tuple[Phase, ...]]:
    """Timeline and phases without what drains after the last of them in no time worth showing."""
    phases = run.header.phases
    last = phases[-1]
    if len(phases) > 1 and not last.measured and last.end_s - last.start_s < 0.02 * last.end_s:
        return timeline(run, until_s=last.start_s), phases[:-1]
    return timeline(run), phases


def _steps(
    axes: Axes,
    line: Timeline,
    values: FloatArray,
    colour: str,
    base: FloatArray | float | None = None,
) -> None:
    """A level that holds over each interval; with a base, the area down to it."""
    edges = np.append(line.start_s, line.end_s[-1])
    axes.stairs(values, edges, color=colour, linewidth=1.6, baseline=None)
    if base is not None:
        area = np.broadcast_to(base, values.shape)
        axes.stairs(values, edges, baseline=area, color=colour, alpha=0.18, fill=True, linewidth=0)


def _level(axes: Axes, span: tuple[float, float], value: float, text: str, *, above: bool) -> None:
    """A dashed line over a stretch of time with its name on it."""
    if not math.isfinite(value):
        return
    axes.plot(span, [value, value], color=style.INK, linewidth=1.0, dashes=(4, 2))
    axes.annotate(
        text,
        (span[0], value),
        xytext=(4, 3 if above else -3),
        textcoords="offset points",
        va="bottom" if above else "top",
        bbox={"facecolor": style.PAPER, "alpha": 0.7, "edgecolor": "none", "pad": 0.6},
    )


def _limits(levels: Sequence[float], deadline_s: float) -> tuple[float, float]:
    """Limits that hold all levels, and the deadline where it is near. [s]"""
    shown = [level for level in levels if math.isfinite(level) and level > 0.0] or [1e-3, 1.0]
    high_s = 2.0 * max(shown)
    if deadline_s < 5.0 * high_s:
        high_s = max(high_s, 1.6 * deadline_s)
    return min(shown) / 2.0, high_s


def tail(counts: histogram.Counts) -> tuple[FloatArray, FloatArray]:
    """The share of all deliveries that are later than each of some latencies [s], down to `SHOWN`.

    Exact at the edges of the histogram's bins, of which 150 a decade are drawn.
    """
    edges_s = histogram.edges_s()
    later = (counts.sum() - np.cumsum(counts)[histogram.ZERO : histogram.ABOVE]) / counts.sum()
    drawn: npt.NDArray[np.bool_] = (later < 1.0) & (later >= SHOWN / 2)
    column = np.round(150.0 * np.log10(edges_s))
    drawn[1:] &= column[1:] != column[:-1]
    return edges_s[drawn], later[drawn]


def _tails(curves: Sequence[tuple[str, Latency]]) -> Figure:
    """Complementary distributions with the quantiles that people ask for marked on them."""
    figure, (axes,) = style.panels([3.4])
    shown: list[float] = []
    for (name, merged), colour in zip(curves, style.SERIES, strict=False):
        if not merged.counts.any():
            continue
        latency_s, later = tail(merged.counts)
        shown += [*latency_s[later < 0.98]]
        axes.plot(latency_s, later, color=colour, label=name)
        for q in (0.5, 0.99, 0.999):
            value = merged.sample(q).value
            if math.isfinite(value):
                axes.plot(value, 1.0 - q, "o", color=colour, markersize=5)
    axes.set_yscale("log")
    axes.set_ylim(SHOWN, 1.15)
    axes.set_yticks([0.5, 0.1, 0.01, 0.001], ["half (p50)", "10 %", "1 % (p99)", "0.1 % (p999)"])
    axes.minorticks_off()
    axes.grid(visible=True, axis="x")
    style.latency_axis(axes, "x", *_limits(shown, math.inf))
    axes.set_xlabel("latency")
    style.title(axes, "Share of deliveries that are later than …")
    if len(curves) > 1:
        axes.legend(ncols=len(curves), loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


@style.styled
def history(document: History) -> Figure:
    """A figure over stored runs, with the level of each piece between changes."""
    figure, (axes,) = style.panels([2.4])
    values = [entry["value"] for entry in document["entries"]]
    axes.plot(range(len(values)), values, ".", color=style.MUTED)
    for first, last, level in levels(document):
        axes.plot([first - 0.4, last + 0.4], [level, level], color=style.BLUE)
    for change in document["changes"]:
        axes.axvline(change["index"] - 0.5, color=style.VERMILION, linewidth=0.8)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("run, oldest first")
    style.title(axes, f"{document['topology']} ({document['origin']}): {document['metric']}")
    return figure
