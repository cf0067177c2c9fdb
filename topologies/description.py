"""What a topology amounts to, in a few lines: who, where, how often, and how many deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from topologies.loading import profile
from topologies.plan import offered
from topologies.schema import Topology

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


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


def render(description: dict[str, Any]) -> RenderableType:
    """The summary for people."""
    from rich.console import Group
    from rich.text import Text

    study = "steady study" if description["study"] == "steady" else "campaign"
    lines = [
        f"[bold]{description['name']}[/bold]  {description['description']}",
        f"{study} of {description['duration_s']:g} s; {description['platforms']:,} Platforms; "
        f"{description['offered_load_per_s']:,.4g} publications/s make "
        f"{description['deliveries_per_s']:,.5g} deliveries/s",
    ]
    return Group(
        *(Text.from_markup(line) for line in lines),
        _table(
            description["controllers"],
            "Controller",
            {"server": "server", "cores": "cores", "platforms": "Platforms"},
        ),
        _table(
            description["topics"],
            "Topic",
            {
                "payload_bytes": "payload [B]",
                "offered_load_per_s": "offered [1/s]",
                "fan_out": "fan-out",
                "deliveries_per_s": "deliveries [1/s]",
            },
        ),
        _table(description["populations"], "Population", {"count": "Platforms", "role": "role"}),
        *([_attack_table(description["attacks"])] if description["attacks"] else []),
    )


def _attack_table(attacks: dict[str, Any]) -> Table:
    columns = {
        "topic": "Topic",
        "rate_per_s": "rate [1/s]",
        "start_s": "from [s]",
        "end_s": "to [s]",
        "deliveries_per_s": "deliveries [1/s]",
    }
    return _table(attacks, "Attack", columns)


def _table(rows: dict[str, dict[str, Any]], title: str, columns: dict[str, str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(title)
    for key, heading in columns.items():
        number = all(isinstance(row[key], int | float) for row in rows.values())
        table.add_column(heading, justify="right" if number else "left")
    for name, row in rows.items():
        shown = (row[key] for key in columns)
        cells = [f"{cell:,.5g}" if isinstance(cell, float) else f"{cell}" for cell in shown]
        table.add_row(Text(name), *map(Text, cells))
    return table
