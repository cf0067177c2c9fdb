"""Several servers that share one domain as a cluster: what their sites have in common.

Erlang's nodes find each other without epmd: all listen on one port, each on an address of its own,
which is also their name. Who is let in is decided by a cookie of this grid alone, in a file of mode
0600 (erl_epmd(3), `-erl_epmd_port`).
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest.server import Cluster, Site

PORT: Final = 4370  # beside epmd's 4369


def node_name(controller: str, number: int) -> str:
    """How the process of a cluster's node is called, beside the first, which has the Controller's
    own name."""
    return f"{controller} node {number + 1}"


def controller_of(site: Site) -> str:
    """The Controller of a site, whichever node of a cluster it is."""
    return site.controller.partition(" ")[0]


def sites(first: Site, addresses: Sequence[str], directories: Sequence[Path]) -> list[Site]:
    """The first site as part of a cluster, and its mates.

    Parameters
    ----------
    addresses : sequence of str
        Of the mates.
    directories : sequence of Path
        Of the mates.
    """
    if not addresses:
        return [first]
    cluster = Cluster(secrets.token_urlsafe(32), first.address)
    members = [dataclasses.replace(first, cluster=cluster)]
    for number, (address, directory) in enumerate(zip(addresses, directories, strict=True), 1):
        mate = dataclasses.replace(
            members[0],
            controller=node_name(first.controller, number),
            address=address,
            directory=directory,
            accounts=(),  # it gets them from the first
        )
        members.append(mate)
    return members
