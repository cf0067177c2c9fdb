"""A topology as a picture: Controllers with their Brokers, populations around them, what flows.

Publishers stand left of what they publish on, subscribers right of it. Graphviz's `dot` lays the
graph out [1]_; the SVG is written here, so that it follows the reader's choice of day or night,
stands on a page as it is, and says in words what it shows.

References
----------
.. [1] E. R. Gansner, E. Koutsofios, S. C. North, K.-P. Vo, "A technique for drawing directed
   graphs," IEEE Trans. Software Engineering 19(3), 1993.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

from topologies.layout import Box, Curve, Placed, place
from topologies.plan import offered
from topologies.schema import Broker, Controller, Population, Topology

TOPICS_MAX = 8
LINE, PADDING = 16.0, 10.0  # height of a line of text, space around it [px]
LETTER, BOLD = 6.6, 7.4  # width of a letter [px]
# Colours by day and by night; Okabe and Ito's, as in all plots.
PALETTE = {
    "paper": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "muted": ("#59636e", "#9198a1"),
    "line": ("#818b98", "#6e7681"),
    "soft": ("#f2f5f8", "#161b22"),
    "box": ("#ffffff", "#0d1117"),
    "blue": ("#0072b2", "#58a6e8"),
    "green": ("#00835f", "#2bbf91"),
    "orange": ("#b87d00", "#f0b429"),
    "vermilion": ("#c04e00", "#ff8a4c"),
}
BUSY = ((0.5, "green"), (0.8, "orange"), (math.inf, "vermilion"))  # up to a utilisation, a colour


@dataclass(frozen=True)
class Node:
    """A box with a title and lines below it; `home` is the Controller that it stands in."""

    name: str
    title: str
    lines: tuple[str, ...]
    home: str | None = None
    hostile: bool = False

    @property
    def box(self) -> Box:
        """Its size. [px]"""
        width = max(len(self.title) * BOLD, *(len(line) * LETTER for line in self.lines), 60.0)
        return Box(width + 2 * PADDING, LINE * (1 + len(self.lines)) + 2 * PADDING)


@dataclass(frozen=True)
class Flow:
    """What flows from one box to another, per second."""

    source: str
    target: str
    per_s: float
    text: str
    hostile: bool = False
    distant: bool = False


@dataclass
class Picture:
    """The boxes and flows of a topology."""

    nodes: list[Node] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)


def draw(topology: Topology, utilisation: Mapping[str, float] | None = None) -> str:
    """The topology as an SVG document.

    Parameters
    ----------
    topology : Topology
        What is drawn.
    utilisation : mapping of str to float, optional
        How busy each Controller was in a run: it colours the Controllers. [1]
    """
    picture = _picture(topology)
    placed = place(
        {node.name: (node.box, node.home) for node in picture.nodes},
        [(flow.source, flow.target, len(flow.text) * LETTER) for flow in picture.flows],
        {node.name: _head_width(node, utilisation) for node in topology.controllers},
    )
    return "\n".join(_svg(topology, picture, placed, utilisation))


def _picture(topology: Topology) -> Picture:
    picture, rates = Picture(), offered(topology, "legitimate")
    hosts = {broker.name: broker.controller for broker in topology.brokers}
    brokers = {topic.name: topic.broker for topic in topology.topics}
    picture.nodes += [_broker(topology, broker, rates) for broker in topology.brokers]
    for population in topology.platforms:
        if population.publishes or population.subscribes:
            picture.nodes.append(_population(population))
        picture.flows += _flows(topology, population, brokers, hosts, rates)
    return picture


def _broker(topology: Topology, broker: Broker, rates: Mapping[str, float]) -> Node:
    own = [topic.name for topic in topology.topics if topic.broker == broker.name]
    own.sort(key=lambda name: -rates[name])
    lines = [f"{name}  {_figure(rates[name])}/s" for name in own[:TOPICS_MAX]]
    if len(own) > TOPICS_MAX:
        lines.append(f"… and {len(own) - TOPICS_MAX} more Topics")
    return Node(_broker_key(broker.name), broker.name, tuple(lines), broker.controller)


def _population(population: Population) -> Node:
    count = f"{population.count:,} Platform{'s' if population.count > 1 else ''}"
    hostile = population.role == "adversary"
    lines = (count, "adversary") if hostile else (count,)
    return Node(_population_key(population.name), population.name, lines, None, hostile)


def _broker_key(name: str) -> str:
    return f"broker {name}"


def _population_key(name: str) -> str:
    return f"population {name}"


def _flows(
    topology: Topology,
    population: Population,
    brokers: Mapping[str, str],
    hosts: Mapping[str, str],
    rates: Mapping[str, float],
) -> Iterator[Flow]:
    """What a population publishes and receives, one flow for each Broker."""
    published: dict[str, float] = {}
    for topic in population.publishes:
        published.setdefault(brokers[topic], 0.0)
    whole = topology.model_copy(
        update={
            "workload": topology.workload.model_copy(
                update={
                    "arrivals": tuple(
                        each for each in topology.workload.arrivals if each.by == population.name
                    )
                }
            )
        }
    )
    for topic, rate in offered(whole, "legitimate").items():
        if rate:
            published[brokers[topic]] = published.get(brokers[topic], 0.0) + rate
    for attack in topology.attacks:
        if getattr(attack, "by", None) == population.name and hasattr(attack, "topic"):
            broker = brokers[attack.topic]
            published[broker] = published.get(broker, 0.0) + getattr(attack, "rate", 0.0)
    hostile = population.role == "adversary"
    here, there = _population_key(population.name), population.controller
    for broker, rate in published.items():
        text = f"{_figure(rate)}/s" if rate else ""
        distant = hosts[broker] != there
        yield Flow(here, _broker_key(broker), rate, text, hostile, distant)
    received: dict[str, float] = {}
    for each in population.subscribes:
        copies = rates[each.topic] * each.platforms_of(population.count)
        broker = brokers[each.topic]
        received[broker] = received.get(broker, 0.0) + copies
    for broker, copies in received.items():
        distant = hosts[broker] != there
        yield Flow(_broker_key(broker), here, copies, f"{_figure(copies)}/s", False, distant)


def _figure(value: float) -> str:
    """Three digits, thousands parted."""
    if value == 0.0:
        return "0"
    digits = max(2 - math.floor(math.log10(value)), 0)
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"


def _head(node: Controller, utilisation: Mapping[str, float] | None) -> str:
    cores = f"{node.cores} core{'s' if node.cores > 1 else ''}"
    head = f"{node.name} · {node.profile} · {cores}"
    if utilisation and node.name in utilisation:
        head += f" · CPU {100.0 * utilisation[node.name]:.0f} %"
    return head


def _head_width(node: Controller, utilisation: Mapping[str, float] | None) -> float:
    return len(_head(node, utilisation)) * BOLD + 2 * PADDING


def describe(topology: Topology, utilisation: Mapping[str, float] | None) -> str:
    """What the picture shows, for those who do not see it."""
    picture = _picture(topology)
    parts = [_head(node, utilisation) for node in topology.controllers]
    titles = {node.name: node.title for node in picture.nodes}
    parts += [
        f"{titles[flow.source]} to {titles[flow.target]}{f' {flow.text}' if flow.text else ''}"
        for flow in picture.flows
    ]
    return f"{topology.name}: {'; '.join(parts)}."


def _svg(
    topology: Topology,
    picture: Picture,
    placed: Placed,
    utilisation: Mapping[str, float] | None,
) -> Iterator[str]:
    width, height = placed.size
    label = escape(describe(topology, utilisation))
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{label}">'
    )
    yield f"<title>{escape(topology.name)}</title>"
    yield f"<style>{_style()}</style>"
    yield f'<rect class="paper" width="{width:.0f}" height="{height:.0f}"/>'
    for node in topology.controllers:
        if node.name in placed.homes:
            yield from _home(node, placed, utilisation)
    most = max((flow.per_s for flow in picture.flows), default=1.0)
    for flow, curve in zip(picture.flows, placed.curves, strict=True):
        yield from _arrow(flow, curve, most)
    for each in picture.nodes:
        yield from _box(each, placed)
    yield "</svg>"


def _style() -> str:
    day, night = (";".join(f"--{name}:{pair[k]}" for name, pair in PALETTE.items()) for k in (0, 1))
    colours = "".join(f".{name}{{--own:var(--{name})}}" for _, name in BUSY)
    return (
        f"svg{{{day}}}@media (prefers-color-scheme:dark){{svg{{{night}}}}}"
        f"@media print{{svg{{{day}}}}}{colours}"
        "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif;"
        "fill:var(--ink)}.paper{fill:var(--paper)}.small{fill:var(--muted)}"
        ".title{font-weight:600}.box{fill:var(--box);stroke:var(--line)}"
        ".home{fill:var(--soft);stroke:var(--own,var(--line));stroke-width:1.5}"
        ".busy .home{stroke-width:3}.bar{fill:var(--own)}"
        ".flow{fill:none;stroke:var(--blue);stroke-linecap:round}.tip{fill:var(--blue)}"
        ".distant .flow{stroke-dasharray:6 4}"
        ".hostile .flow,.hostile .box{stroke:var(--vermilion)}"
        ".hostile .tip,.hostile .title,.hostile .small{fill:var(--vermilion)}"
        ".halo{stroke:var(--paper);stroke-width:4;paint-order:stroke;stroke-linejoin:round}"
    )


def _home(
    node: Controller, placed: Placed, utilisation: Mapping[str, float] | None
) -> Iterator[str]:
    """A Controller: the frame around its Brokers, with a bar as long as it is busy."""
    x, y, width, height = placed.homes[node.name]
    busy = (utilisation or {}).get(node.name)
    colour = next(name for limit, name in BUSY if busy <= limit) if busy is not None else ""
    yield f'<g class="{f"busy {colour}" if colour else "calm"}">'
    yield (
        f'<rect class="home" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        'rx="8"/>'
    )
    yield (
        f'<text class="title" x="{x + PADDING:.1f}" y="{y + 20:.1f}">'
        f"{escape(_head(node, utilisation))}</text>"
    )
    if busy is not None:
        length = (width - 2 * PADDING) * min(busy, 1.0)
        yield (
            f'<rect class="bar" x="{x + PADDING:.1f}" y="{y + 26:.1f}" width="{length:.1f}" '
            'height="4" rx="2"/>'
        )
    yield "</g>"


def _arrow(flow: Flow, curve: Curve, most: float) -> Iterator[str]:
    """A flow: wider the more flows, dashed where it crosses between Controllers."""
    share = math.log1p(flow.per_s) / math.log1p(most) if most else 0.0
    stroke = 1.0 + 3.5 * share
    names = " ".join(
        name for name, so in (("hostile", flow.hostile), ("distant", flow.distant)) if so
    )
    yield f'<g class="{names}">' if names else "<g>"
    yield f'<path class="flow" stroke-width="{stroke:.1f}" d="{curve.path}"/>'
    tip = " ".join(f"{x:.1f},{y:.1f}" for x, y in curve.tip(5.0 + stroke))
    yield f'<polygon class="tip" points="{tip}"/>'
    if flow.text and curve.label is not None:
        x, y = curve.label
        yield (
            f'<text class="small halo" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">'
            f"{escape(flow.text)}</text>"
        )
    yield "</g>"


def _box(node: Node, placed: Placed) -> Iterator[str]:
    x, y, width, height = placed.nodes[node.name]
    yield '<g class="hostile">' if node.hostile else "<g>"
    yield (
        f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{6 if node.home else 14}"/>'
    )
    for number, line in enumerate((node.title, *node.lines)):
        place_y = y + PADDING + LINE * (number + 0.75)
        name = "title" if number == 0 else "small"
        yield (
            f'<text class="{name}" x="{x + PADDING:.1f}" y="{place_y:.1f}">{escape(line)}</text>'
        )
    yield "</g>"
