"""Where boxes and curves go: Graphviz's `dot`, which comes with pygraphviz, without its fonts.

Boxes have the sizes that they are given and labels are empty boxes of a given width, so that the
layout is the same on every machine, whatever fonts it has.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

POINTS = 72.0  # to an inch
MARGIN, HEAD, FRAME = 12.0, 36.0, 16.0  # around all; of a Controller's frame, above and beside
Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]  # left, top, width, height [px]


@dataclass(frozen=True)
class Box:
    """The size of a box. [px]"""

    width: float
    height: float


@dataclass(frozen=True)
class Curve:
    """A chain of cubic Béziers as points, where it ends, and the middle of its label."""

    points: tuple[Point, ...]
    end: Point
    label: Point | None

    @property
    def path(self) -> str:
        """For an SVG path, up to where the tip begins."""
        (x, y), *others = self.points
        triples = [others[k : k + 3] for k in range(0, len(others), 3)]
        curves = ("C" + " ".join(f"{px:.1f},{py:.1f}" for px, py in triple) for triple in triples)
        return f"M{x:.1f},{y:.1f}" + "".join(curves)

    def tip(self, size: float) -> tuple[Point, Point, Point]:
        """A triangle from the curve's last point to its end."""
        (x, y), (ex, ey) = self.points[-1], self.end
        length = math.hypot(ex - x, ey - y) or 1.0
        ux, uy = (ex - x) / length, (ey - y) / length
        bx, by = ex - ux * 1.6 * size, ey - uy * 1.6 * size
        return (ex, ey), (bx - uy * 0.6 * size, by + ux * 0.6 * size), (
            bx + uy * 0.6 * size, by - ux * 0.6 * size,
        )  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """Everything in its place; the origin is the left top corner. [px]"""

    size: Point
    nodes: Mapping[str, Rectangle]
    homes: Mapping[str, Rectangle]
    curves: tuple[Curve, ...]


def place(
    boxes: Mapping[str, tuple[Box, str | None]],
    edges: Sequence[tuple[str, str, float]],
    heads: Mapping[str, float],
) -> Placed:
    """Lay out boxes, some of them in homes, and the curves between them.

    Parameters
    ----------
    boxes : mapping of str to (Box, str or None)
        Size of each box and the home that it stands in.
    edges : sequence of (str, str, float)
        From where to where, and the width of the label. [px]
    heads : mapping of str to float
        Width that the head of each home needs. [px]
    """
    import pygraphviz

    graph = pygraphviz.AGraph(
        directed=True, strict=False, rankdir="LR", ranksep="0.9", nodesep="0.25", splines="true"
    )
    homes: dict[str, list[str]] = {}
    for name, (box, home) in boxes.items():
        graph.add_node(
            name, shape="box", fixedsize="true", label="",
            width=f"{box.width / POINTS:.4f}", height=f"{box.height / POINTS:.4f}",
        )  # fmt: skip
        if home is not None:
            homes.setdefault(home, []).append(name)
    for home, members in homes.items():
        head = _blank(heads.get(home, 0.0) - FRAME, HEAD - 8.0)
        graph.add_subgraph(members, name=f"cluster {home}", label=head)
    for number, (source, target, width) in enumerate(edges):
        label = {"label": _blank(width, 16.0)} if width else {}
        graph.add_edge(source, target, key=str(number), **label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # dot's remarks on labels and splines
        graph.layout(prog="dot")
    return _read(graph, boxes, edges, list(homes))


def _blank(width: float, height: float) -> str:
    """A label of that size without text."""
    return (
        f'<<TABLE BORDER="0" FIXEDSIZE="TRUE" WIDTH="{width:.0f}" HEIGHT="{height:.0f}">'
        "<TR><TD></TD></TR></TABLE>>"
    )


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _read(
    graph: object,
    boxes: Mapping[str, tuple[Box, str | None]],
    edges: Sequence[tuple[str, str, float]],
    homes: Sequence[str],
) -> Placed:
    """Graphviz's places with the origin at the left top corner and a margin."""
    import pygraphviz

    assert isinstance(graph, pygraphviz.AGraph)
    left, bottom, right, top = _numbers(graph.graph_attr["bb"])

    def point(text: str) -> Point:
        x, y = _numbers(text)
        return x - left + MARGIN, top - y + MARGIN

    nodes: dict[str, Rectangle] = {}
    for name, (box, _) in boxes.items():
        x, y = point(graph.get_node(name).attr["pos"])
        nodes[name] = (x - box.width / 2, y - box.height / 2, box.width, box.height)
    frames: dict[str, Rectangle] = {}
    for home in homes:
        x0, y0, x1, y1 = _numbers(graph.get_subgraph(f"cluster {home}").graph_attr["bb"])
        frames[home] = (x0 - left + MARGIN, top - y1 + MARGIN, x1 - x0, y1 - y0)
    curves = []
    for number, (source, target, _) in enumerate(edges):
        attributes = graph.get_edge(source, target, str(number)).attr
        end, *path = attributes["pos"].split()
        label = attributes["lp"]
        curves.append(
            Curve(
                tuple(point(part) for part in path),
                point(end.removeprefix("e,")),
                point(label) if label else None,
            )
        )
    size = (right - left + 2 * MARGIN, top - bottom + 2 * MARGIN)
    return Placed(size, nodes, frames, tuple(curves))
