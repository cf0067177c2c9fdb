"""The picture of one fan-out: what each stage takes of the way of some of its copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from results import style, units
from results.records import STAGES
from results.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = dict(zip(STAGES, [
    style.MUTED, style.PURPLE, style.ORANGE, style.VERMILION, style.BLUE, style.PURPLE,
    style.ORANGE, style.GREEN, style.MUTED,
], strict=True))  # fmt: skip


def has_waterfall(run: Run) -> bool:
    """Whether copies of a publication were followed."""
    return bool(run.header.measurement.get("waterfalls"))


@style.styled
def waterfall(run: Run) -> Figure:
    """Copies of one publication, the earliest on top, each as long as it took."""
    followed = next(iter(run.header.measurement["waterfalls"].values()))
    copies_s = np.array(followed["copies_s"])
    last_s = float(copies_s.max())
    scale_s, unit = units.seconds_scale(last_s)
    copies = copies_s / scale_s
    figure, (axes,) = style.panels([3.2])
    rows, lengths = np.arange(len(copies)), np.diff(copies, axis=1)
    named: set[str] = set()
    for place, stage in enumerate(STAGES):
        if lengths[:, place].max() < 2e-3 * copies.max():
            continue
        hatch = "//" if COLOURS[stage] in named else None
        named.add(COLOURS[stage])
        axes.barh(
            rows, lengths[:, place], left=copies[:, place], height=0.86, label=stage,
            color=COLOURS[stage], hatch=hatch, edgecolor=style.PAPER, linewidth=0.2,
        )  # fmt: skip
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xlim(0.0, float(copies.max()) * 1.02)
    axes.set_xlabel(f"since it was intended [{unit}]")
    axes.grid(visible=True, axis="x")
    last = units.seconds(last_s)
    style.title(axes, f"One publication on {followed['topic']}: its copies, the last after {last}")
    axes.legend(ncols=5, loc="upper left", bbox_to_anchor=(0.0, -0.14))
    return figure
