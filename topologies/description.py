"""What a topology amounts to, in a few lines: who, where, how often, and how many deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

from topologies.loading import profile
from topologies.plan import offered
from topologies.schema import Topology

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

ROWS_MAX = 12  # rows of a table that a notebook shows


def describe(topology: Topology) -> dict[str, Any]:
    """The topology's summary as plain data.

    Returns
    -------
    dict
        Rates are means over the whole run of legitimate publications [1/s]; fan-out is deliveries
        per publication; attacks stand apart.

    Raises
    ------
    TopologyError
        A profile or a trace cannot be read.
    """
    topics = _topics(topology)
    source = topology.source
    return {
        "name": topology.name,
        "description": topology.description.strip(),
        "file": str(source.path) if source is not None and source.path is not None else None,
        "study": topology.workload.study,
        "duration_s": topology.workload.duration,
        "platforms": topology.platform_count,
        "offered_load_per_s": sum(topic["offered_load_per_s"] for topic in topics.values()),
        "deliveries_per_s": sum(topic["deliveries_per_s"] for topic in topics.values()),
        "controllers": _controllers(topology, topics),
        "topics": topics,
        "populations": _populations(topology),
        "attacks": _attacks(topology, topics),
    }


def _topics(topology: Topology) -> dict[str, dict[str, Any]]:
    rates, copies = offered(topology, "legitimate"), topology.fan_out()
    home = {broker.name: broker.controller for broker in topology.brokers}
    found = {}
    for topic in topology.topics:
        found[topic.name] = {
            "broker": topic.broker,
            "controller": home[topic.broker],
            "payload_bytes": topic.payload.size,
            "offered_load_per_s": rates[topic.name],
            "fan_out": copies[topic.name],
            "deliveries_per_s": rates[topic.name] * copies[topic.name],
        }
    return found


def _controllers(topology: Topology, topics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for controller in topology.controllers:
        costs = profile(topology, controller.name)
        here = [topic for topic in topics.values() if topic["controller"] == controller.name]
        homes = [each for each in topology.platforms if each.controller == controller.name]
        found[controller.name] = {
            "domain": controller.domain,
            "profile": controller.profile,
            "server": costs.server,
            "discipline": costs.costs.discipline,
            "cores": controller.cores,
            "platforms": sum(population.count for population in homes),
            "offered_load_per_s": sum(topic["offered_load_per_s"] for topic in here),
            "deliveries_per_s": sum(topic["deliveries_per_s"] for topic in here),
        }
    return found


def _populations(topology: Topology) -> dict[str, Any]:
    return {
        each.name: {
            "count": each.count,
            "role": each.role,
            "controller": each.controller,
            "publishes": list(each.publishes),
            "subscribes": [subscription.topic for subscription in each.subscribes],
        }
        for each in topology.platforms
    }


def _attacks(topology: Topology, topics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        each.name: {
            "kind": each.kind,
            "by": each.by,
            "topic": each.topic,
            "start_s": each.start,
            "end_s": each.start + each.duration,
            "rate_per_s": each.rate,
            "deliveries_per_s": each.rate * topics[each.topic]["fan_out"],
        }
        for each in topology.attacks
    }


@dataclass(frozen=True)
class Part:
    """A table of the summary: what its rows are, its headings, and a row of figures by name."""

    title: str
    headings: tuple[str, ...]
    rows: dict[str, tuple[object, ...]]


def headline(description: dict[str, Any]) -> str:
    """How long, how many, how much, in one line."""
    study = "steady study" if description["study"] == "steady" else "campaign"
    return (
        f"{study} of {description['duration_s']:g} s; {description['platforms']:,} Platforms; "
        f"{description['offered_load_per_s']:,.4g} publications/s make "
        f"{description['deliveries_per_s']:,.5g} deliveries/s"
    )


def parts(description: dict[str, Any]) -> list[Part]:
    """The tables of the summary; attacks only where there are some."""
    tables = [
        _part(
            description["controllers"],
            "Controller",
            {"server": "server", "cores": "cores", "platforms": "Platforms"},
        ),
        _part(
            description["topics"],
            "Topic",
            {
                "payload_bytes": "payload [B]",
                "offered_load_per_s": "offered [1/s]",
                "fan_out": "fan-out",
                "deliveries_per_s": "deliveries [1/s]",
            },
        ),
        _part(description["populations"], "Population", {"count": "Platforms", "role": "role"}),
        _part(
            description["attacks"],
            "Attack",
            {
                "topic": "Topic",
                "rate_per_s": "rate [1/s]",
                "start_s": "from [s]",
                "end_s": "to [s]",
                "deliveries_per_s": "deliveries [1/s]",
            },
        ),
    ]
    return [part for part in tables if part.rows]


def _part(rows: dict[str, dict[str, Any]], title: str, columns: dict[str, str]) -> Part:
    shown = {name: tuple(row[key] for key in columns) for name, row in rows.items()}
    return Part(title, tuple(columns.values()), shown)


def cell(value: object) -> str:
    """A figure as people read it."""
    return f"{value:,.5g}" if isinstance(value, float) else f"{value}"


def render(description: dict[str, Any]) -> RenderableType:
    """The summary for people."""
    from rich.console import Group
    from rich.text import Text

    lines = [
        f"[bold]{description['name']}[/bold]  {description['description']}",
        headline(description),
    ]
    return Group(*(Text.from_markup(line) for line in lines), *map(_table, parts(description)))


def _table(part: Part) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(part.title)
    for place, heading in enumerate(part.headings):
        number = all(isinstance(row[place], int | float) for row in part.rows.values())
        table.add_column(heading, justify="right" if number else "left")
    for name, row in part.rows.items():
        table.add_row(Text(name), *(Text(cell(value)) for value in row))
    return table


def html(description: dict[str, Any]) -> str:
    """The summary for a notebook: HTML without style sheets or scripts, long tables cut."""
    title = f"<b>{escape(description['name'])}</b> {escape(description['description'])}"
    lines = [f"<p>{title}<br>{escape(headline(description))}</p>"]
    for part in parts(description):
        heads = "".join(f"<th>{escape(head)}</th>" for head in (part.title, *part.headings))
        lines.append(f"<table><thead><tr>{heads}</tr></thead><tbody>")
        for name, row in islice(part.rows.items(), ROWS_MAX):
            cells = "".join(f"<td>{escape(cell(value))}</td>" for value in row)
            lines.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
        lines.append("</tbody></table>")
        if len(part.rows) > ROWS_MAX:
            lines.append(f"<p>… and {len(part.rows) - ROWS_MAX} more</p>")
    return "\n".join(lines)
