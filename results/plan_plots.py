"""Pictures of a plan: size against latency, load against latency, and what is used up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results import style
from results.plan_words import RESOURCES
from results.plans import Evidence, PlanDocument

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"meets": style.GREEN, "misses": style.VERMILION, "refused": style.MUTED}


def own_links(document: PlanDocument) -> list[Evidence]:
    """Trials with the answer's network links, events one by one; the others are tried after it."""
    plain = [each for each in document["evidence"] if each["collected_by"] is None]
    links = (each["nic_bytes_per_s"] for each in plain if each["verdict"] == "meets")
    own = next(links, None)
    return [each for each in plain if each["nic_bytes_per_s"] == own]


@style.styled
def cost_curve(document: PlanDocument, bound_s: float) -> Figure:
    """p99 by the number of cores, with the bound that it must keep. [s]"""
    tried = [each for each in own_links(document) if each["load"] == 1.0]
    tried = [each for each in tried if each["case"] == "normal"]
    figure, (axes,) = style.panels([2.7])
    cores = [each["controllers"] * each["cores"] for each in tried]
    _marks(axes, tried, cores, bound_s)
    axes.set_xticks(sorted(set(cores)))
    axes.set_xlim(min(cores, default=1) - 0.6, max(cores, default=1) + 0.6)
    axes.set_xlabel("cores")
    style.title(axes, "99 % of the deliveries arrive within …, by the size of the grid")
    return figure


@style.styled
def load_curve(document: PlanDocument, bound_s: float) -> Figure:
    """p99 of the answer by multiples of the load. [s]"""
    answer = document["answer"]
    assert answer is not None
    sizes = {(p["controller"], p["controllers"], p["cores"]) for p in answer["parts"]}
    tried = [
        each
        for each in own_links(document)
        if (each["controller"], each["controllers"], each["cores"]) in sizes
        and each["case"] == "normal"
    ]
    figure, (axes,) = style.panels([2.7])
    loads = [each["load"] for each in tried]
    _marks(axes, tried, loads, bound_s)
    axes.set_xlim(0.97 * min(loads), 1.03 * max(loads))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} ×")
    axes.set_xlabel("load, as a multiple of the file's")
    style.title(axes, "99 % of the deliveries arrive within …, by the load on the answer")
    return figure


def _marks(axes: Axes, tried: Sequence[Evidence], places: Sequence[float], bound_s: float) -> None:
    """A mark with its interval for each trial; what was refused stands as a cross at the top."""
    levels = [bound_s]
    for each, place in zip(tried, places, strict=True):
        p99 = each["p99_s"]
        if p99 is None or p99["value"] is None:
            continue
        value, low, high = p99["value"], p99["low"] or p99["value"], p99["high"] or p99["value"]
        low = max(low, 0.2 * value)
        colour = COLOURS[each["verdict"]]
        axes.plot([place, place], [low, high], color=colour, linewidth=2.4, alpha=0.45)
        axes.plot(place, value, "o" if each["verdict"] == "meets" else "s", color=colour)
        levels += [low, high]
    low_s, high_s = 0.5 * min(levels), 3.0 * max(levels)
    style.latency_axis(axes, "y", low_s, high_s)
    for each, place in zip(tried, places, strict=True):
        if each["verdict"] == "refused":
            axes.plot(place, high_s / 1.5, "x", color=COLOURS["refused"])
            axes.annotate(
                "impossible", (place, high_s / 1.5), xytext=(7, -3), textcoords="offset points",
                color=style.MUTED,
            )  # fmt: skip
    axes.axhline(bound_s, color=style.INK, linewidth=1.0, dashes=(4, 2))
    style.label_ends(axes, [(bound_s, "promise", style.INK)], gap=0.07)


@style.styled
def constraints(document: PlanDocument) -> Figure:
    """How much of each resource the answer uses, the binding one first. [%]"""
    binding = document["binding"]
    assert binding is not None
    listed = [binding, *document["next"]]
    figure, (axes,) = style.panels([0.9 + 0.35 * len(listed)])
    for row, each in enumerate(listed):
        colour = style.VERMILION if row == 0 else style.BLUE
        axes.barh(row, 100.0 * each["share"], color=colour, height=0.55)
    axes.set_yticks(
        range(len(listed)), [f"{RESOURCES[c['resource']]}, {c['controller']}" for c in listed]
    )
    axes.set_ylim(len(listed) - 0.5, -0.5)
    axes.set_xlim(0.0, 105.0)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", labelcolor=style.INK)
    axes.set_xlabel("% in use by the answer")
    style.title(axes, "What binds, and what would bind next")
    return figure
