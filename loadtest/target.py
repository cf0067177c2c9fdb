"""The grid that a Locust run drives: up already, or a described one that is joined (`--host`)."""

from __future__ import annotations

import ipaddress
from argparse import Namespace
from contextlib import ExitStack
from dataclasses import dataclass

import topologies
from loadtest import deployment, standing
from loadtest.problems import LoadError
from topologies import Topology


@dataclass(frozen=True)
class Target:
    """What is played, and on which grid.

    Attributes
    ----------
    grid : str
        Its name.
    file : str
        The topology's file or name.
    changes : tuple of str
        Changes to the file.
    topology : Topology
        The file with the changes.
    """

    grid: str
    file: str
    changes: tuple[str, ...]
    topology: Topology


def find(options: Namespace, stack: ExitStack) -> Target:
    """The target that Locust's options name; a joined grid is left when the stack closes.

    Raises
    ------
    LoadError, DeploymentError
        There is no such grid, or it cannot be joined; the message says why.
    """
    if options.host:
        return _join(options.host, options.topology, options.grid, stack)
    grid = deployment.status(options.grid).document()
    file = str(options.topology or grid["topology_file"] or grid["topology"])
    changes = () if options.topology else tuple(grid["overrides"])
    return Target(options.grid, file, changes, topologies.load(file, changes))


def _join(host: str, file: str, name: str, stack: ExitStack) -> Target:
    """Join the grid that the file describes, at this address."""
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        raise LoadError(
            f'--host: "{host}": is not a numeric address; write it out, for example 127.0.0.5'
        ) from None
    if not file:
        raise LoadError(
            f'--host: "{host}": what runs there is not known; add --topology FILE, whose '
            "Controller says under running how to reach it"
        )
    described = topologies.load(file)
    if len(described.controllers) != 1 or not standing.described(described):
        raise LoadError(
            f"--host: {file} has {len(described.controllers)} Controllers, of which "
            f"{sum(each.running is not None for each in described.controllers)} are running; one "
            "is needed, with running: {address, ca, accounts}; several have their addresses in "
            "the file: gridlab grid up FILE, then --grid"
        )
    changes = (f"controllers[0].running.address={address}",)
    topology = topologies.load(file, changes)
    stack.enter_context(deployment.ephemeral(topology, name=name))
    return Target(name, file, changes, topology)
