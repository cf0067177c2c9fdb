"""Proxies before the Controllers of a grid: which have one, and where it is met instead of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest import addresses
from loadtest.server import Launch, Options, Server, Site

if TYPE_CHECKING:
    from topologies.schema import Topology


def proxied(topology: Topology, kinds: Mapping[str, Server], options: Options) -> set[str]:
    """Controllers with a proxy before them: all, or those whose server needs one for its limits."""
    return {
        each.name
        for each in topology.controllers
        if options.proxied
        or (each.limits.address is not None and not kinds[each.name].limits_addresses())
    }


def further(grid: str, members: Sequence[Site]) -> list[str]:
    """Addresses at which the proxy before a cluster is met instead of its further nodes."""
    return [
        addresses.choose(f"{grid} before", each.controller, (each.port, each.direct_tls_port))
        for each in members[1:]
    ]


def front(
    members: Sequence[Site],
    kind: Server,
    directory: Path,
    doors: Sequence[str],
    document: dict[str, Any],
) -> Launch:
    """A proxy before a Controller, all of its nodes; the grid's document then leads there."""
    from loadtest.front import launch

    site = members[0]
    served = document["controllers"][site.controller]
    served["server_address"], served["address"] = site.address, doors[0]
    served["addresses"] = list(doors)
    served["proxy_directory"] = str(directory / f"proxy-{site.controller}")
    ports = (site.port, site.direct_tls_port)
    routes = {
        (door, port): (each.address, port)
        for door, each in zip(doors, members, strict=True)
        for port in ports
    }
    limit, asked = None, site.limits.address
    if asked is not None and not kind.limits_addresses():
        limit = (asked.connections, asked.per)
    return launch(site.controller, Path(served["proxy_directory"]), routes, limit)
