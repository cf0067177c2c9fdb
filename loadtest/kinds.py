"""Which server each Controller of a topology is, checked to be installed and able to be it."""

from __future__ import annotations

import importlib
import resource
from typing import TYPE_CHECKING, Final, cast

import topologies
from loadtest import capabilities
from loadtest.development import development
from loadtest.problems import DeploymentError
from loadtest.server import Server
from topologies import support

if TYPE_CHECKING:
    from topologies.schema import Controller, Topology

_KINDS: Final = {
    "prosody": ("loadtest.prosody", "Prosody"),
    "ejabberd": ("loadtest.ejabberd", "Ejabberd"),
}
_SPARE_DESCRIPTORS: Final = 100
UNSUPPORTED: Final = (
    "controllers.queue",
    "platforms.network.uplink",
    "platforms.network.downlink",
    "platforms.reader",
    "platforms.addresses",
    "platforms.failover",
    "platforms.login",
    "topics.last_item",
    "topics.notify_retract", "topics.priority",
    "workload.queries",
    "platforms.retry",
    "controllers.admission",
    "controllers.resumption", "controllers.offline", "topics.notification",
    "faults",
    "links.delay",
    "brokers.delay",
    "links.rate",
    "links.copies",
    "controllers.hop", "brokers.runs_on", "topics.flow", "topics.fetch",
)  # fmt: skip


def servers(topology: Topology) -> dict[str, Server]:
    """The kind of server of each Controller, each checked to be installed.

    Raises
    ------
    DeploymentError
        What cannot be deployed, all at once.
    """
    problems: list[str] = []
    kinds = {}
    try:
        support.refuse(topology, UNSUPPORTED, "deployed grids")
    except topologies.TopologyError as error:
        problems += error.problems
    for number, controller in enumerate(topology.controllers):
        try:
            kinds[controller.name] = _server(topology, controller)
        except DeploymentError as error:
            problems.append(f"controllers[{number}]: {error}")
    if problems:
        raise DeploymentError("\n".join(problems))
    return kinds


def _server(topology: Topology, controller: Controller) -> Server:
    kind = topologies.profile(topology, controller.name).server
    if kind not in _KINDS:
        raise DeploymentError(
            f'profile "{controller.profile}" is for the server "{kind}", which is not deployed; '
            f"choose a profile with one of {', '.join(f'`server: {each}`' for each in _KINDS)}"
        )
    module, name = _KINDS[kind]
    server = cast(Server, getattr(importlib.import_module(module), name)())
    _developed(topology, controller, kind)
    if controller.server is None or controller.server.executable is None:
        server.locate()
    server.user()
    if missing := list(capabilities.lacks(topology, controller, kind)):
        raise DeploymentError("\n".join(missing))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    sessions = sum(p.count for p in topology.platforms if p.controller == controller.name)
    if sessions + _SPARE_DESCRIPTORS > limit:
        raise DeploymentError(
            f'"{controller.name}" has {sessions} Platforms, and a process may open '
            f"{limit} files; raise the hard limit (ulimit -Hn) or use fewer Platforms"
        )
    return server


def _developed(topology: Topology, controller: Controller, kind: str) -> None:
    """Refuse what cannot be read now, and modules for a server that takes none from us."""
    if development(topology, controller).modules and kind != "prosody":
        raise DeploymentError(
            f"server.modules: {kind} does not load modules from files; put them into its "
            "installation and name its program in server.executable"
        )
