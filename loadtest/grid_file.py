"""What is fixed while a grid is up: its `grid.json`, and the files that it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadtest import lease
from loadtest.server import Server

if TYPE_CHECKING:
    from topologies.schema import Topology

GRID_FILE: Final = "grid.json"
ACCOUNTS_FILE: Final = "accounts.csv"
AUTHORITY_FILE: Final = "ca.pem"


def fixed(
    topology: Topology, directory: Path, controllers: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The document of a grid, in the form of `gridlab grid status --json`.

    Parameters
    ----------
    directory : Path
        The grid's own.
    controllers : mapping
        What there is to say of each, by name; where its authority is comes to that.
    """
    source = topology.source
    authority = {"ca_file": str(directory / AUTHORITY_FILE)}
    return {
        "topology": topology.name,
        "topology_file": str(source.path.resolve()) if source and source.path else None,
        "overrides": list(source.overrides) if source else [],
        "directory": str(directory),
        "accounts_file": str(directory / ACCOUNTS_FILE),
        "controllers": {name: {**each, **authority} for name, each in controllers.items()},
        "brokers": {
            broker.name: f"{broker.name}.{controller.domain}"
            for controller in topology.controllers
            for broker in topology.brokers
            if broker.controller == controller.name
        },
    }


def record_versions(directory: Path, kinds: Mapping[str, Server]) -> None:
    """Add to the grid's document which version of each server was started."""
    document = lease.read_json(directory / GRID_FILE)
    for controller, served in document["controllers"].items():
        started_in = Path(served["server_directory"])
        served["version"] = kinds[controller].version(started_in)
    lease.write_json(directory / GRID_FILE, document)
