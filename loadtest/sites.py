"""From a topology to servers that need only be started: places, certificates, accounts, files."""

from __future__ import annotations

import importlib
import os
import resource
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import topologies
from loadtest import addresses, capabilities, cluster, fronts, lease, provisioning, rails
from loadtest.development import development
from loadtest.problems import DeploymentError
from loadtest.server import (
    ACTIVITY_FILE,
    COMPONENT_PORT,
    COUNTERS_PORT,
    FEDERATION_PORT,
    Broker,
    Launch,
    Options,
    Server,
    Site,
)
from topologies import support

if TYPE_CHECKING:
    from loadtest.authority import Authority
    from topologies.schema import Controller, Topology

PORT: Final = 5222
GRID_FILE: Final = "grid.json"
ACCOUNTS_FILE: Final = "accounts.csv"
AUTHORITY_FILE: Final = "ca.pem"
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


@dataclass(frozen=True)
class Place:
    """Where servers are to listen and run; the address of a lone one may be given."""

    address: str | None = None
    port: int = PORT
    cores: tuple[int, ...] = ()

    @property
    def direct_tls_port(self) -> int:
        """The port for direct TLS."""
        return self.port + 1


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


def prepare(
    topology: Topology,
    name: str,
    directory: Path,
    kinds: Mapping[str, Server],
    place: Place,
    options: Options,
) -> list[Launch]:
    """Write everything that the servers of a grid need; what is left is to start them.

    Parameters
    ----------
    directory : Path
        The grid's own, private and empty; it is named in its `launch.json` what else there is.

    Raises
    ------
    DeploymentError
        An address or a port is not to be had.
    """
    from loadtest import certificates
    from loadtest.authority import Authority

    if place.address is not None and len(topology.controllers) > 1:
        raise DeploymentError(
            f'address: "{place.address}": is one for {len(topology.controllers)} Controllers; '
            "leave it out, and each gets its own"
        )
    where = _addresses(topology, name, place, options)
    doors = dict(where)
    proxied = fronts.proxied(topology, kinds, options)
    if proxied:  # the proxy is met where the server would be, and the server elsewhere
        behind = _addresses(topology, f"{name} behind", Place(port=place.port), options)
        where |= {controller: behind[controller] for controller in proxied}
    planned = [
        _site(topology, controller, directory, kinds[controller.name], where, place, options)
        for controller in topology.controllers
    ]
    planned = [
        each for site in planned for each in _clustered(topology, site, name, kinds, directory)
    ]
    _record_directories(directory, planned)
    authority = Authority()
    lease.write_secret(directory / AUTHORITY_FILE, authority.certificate_pem)
    everybody = [account for site in planned for account in site.accounts]
    lease.write_secret(directory / ACCOUNTS_FILE, provisioning.accounts_csv(everybody))
    if options.certificates:
        certificates.write(
            directory, authority, [each.accounts for each in planned if each.accounts]
        )
    if options.files is not None:
        certificates.write_files(directory, authority, options.files)
    launches = [_furnish(site, _kind(site, kinds), authority) for site in planned]
    document = _document(topology, directory, planned, kinds)
    for site in planned:
        if site.controller not in kinds:
            continue
        if site.controller in proxied:
            members = [each for each in planned if cluster.controller_of(each) == site.controller]
            met_at = [doors[site.controller], *fronts.further(name, members)]
            kind = kinds[site.controller]
            launches.append(fronts.front(members, kind, directory, met_at, document))
        launches += _components(site, directory)
    if options.activity:
        document["activity_files"] = _activity_files(directory, planned)
    if options.certificates:
        document["certificates_directory"] = str(directory / certificates.DIRECTORY)
    lease.write_json(directory / GRID_FILE, document)
    return launches


def _kind(site: Site, kinds: Mapping[str, Server]) -> Server:
    """The kind of server of a site: further nodes of a cluster are named after their Controller."""
    return kinds[cluster.controller_of(site)]


def _clustered(
    topology: Topology, first: Site, grid: str, kinds: Mapping[str, Server], directory: Path
) -> list[Site]:
    """A Controller's site and those of the other servers of its cluster, if it is one."""
    described = next(each for each in topology.controllers if each.name == first.controller)
    ports = (first.port, first.direct_tls_port, cluster.PORT)
    if described.nodes > 1:
        addresses.check_free(first.address, ports)
    names = [cluster.node_name(first.controller, k) for k in range(1, described.nodes)]
    user = kinds[first.controller].user()
    places = [_server_directory(directory, each.replace(" ", "-"), user) for each in names]
    return cluster.sites(first, [addresses.choose(grid, each, ports) for each in names], places)


def _addresses(topology: Topology, grid: str, place: Place, options: Options) -> dict[str, str]:
    """An address for each Controller on which all its ports are free."""
    ports = [place.port, place.direct_tls_port]
    if options.counters:
        ports.append(COUNTERS_PORT)
    if any(broker.kind == "component" for broker in topology.brokers):
        ports.append(COMPONENT_PORT)
    if len(topology.controllers) > 1:
        ports.append(FEDERATION_PORT)
    if place.address is None:
        names = (controller.name for controller in topology.controllers)
        return {name: addresses.choose(grid, name, ports) for name in names}
    address = rails.check_address(place.address)
    addresses.check_free(address, ports)
    return {topology.controllers[0].name: address}


def _site(
    topology: Topology,
    controller: Controller,
    directory: Path,
    server: Server,
    where: Mapping[str, str],
    place: Place,
    options: Options,
) -> Site:
    owner = f"{provisioning.OWNER}@{controller.domain}"
    return Site(
        controller=controller.name,
        domain=controller.domain,
        address=where[controller.name],
        port=place.port,
        direct_tls_port=place.direct_tls_port,
        directory=_server_directory(directory, controller.name, server.user()),
        accounts=provisioning.accounts(topology, controller.name),
        brokers=[
            Broker(
                f"{broker.name}.{controller.domain}",
                owner,
                provisioning.nodes(topology, broker.name),
                secrets.token_urlsafe(24) if broker.kind == "component" else None,
            )
            for broker in topology.brokers
            if broker.controller == controller.name
        ],
        peers=_peers(topology, controller, where),
        options=options,
        cores_used=controller.cores,
        memory_bytes=controller.memory,
        cores=place.cores,
        limits=controller.limits,
        development=development(topology, controller),
        collection=controller.collection,
    )


def _peers(topology: Topology, controller: Controller, where: Mapping[str, str]) -> dict[str, str]:
    """Address of each name at which the other Controllers and their Brokers are spoken to."""
    peers = {}
    for other in topology.controllers:
        if other.name != controller.name:
            peers[other.domain] = where[other.name]
            for broker in topology.brokers:
                if broker.controller == other.name:
                    peers[f"{broker.name}.{other.domain}"] = where[other.name]
    return peers


def _server_directory(directory: Path, controller: str, user: str | None) -> Path:
    """Inside the grid's directory, unless the server is another user, who cannot enter there."""
    if user is None:
        return directory / f"server-{controller}"
    return Path(tempfile.gettempdir()) / f"gridlab-server-{secrets.token_hex(8)}"


def _record_directories(directory: Path, planned: list[Site]) -> None:
    """Before they are made: whoever finds a left-over grid finds them, too."""
    servers_of_grid = [{"directory": str(site.directory)} for site in planned]
    lease.write_json(directory / lease.LAUNCH_FILE, {"servers": servers_of_grid})


def _furnish(site: Site, server: Server, authority: Authority) -> Launch:
    from loadtest import certificates

    site.directory.mkdir(mode=0o700)
    identity = certificates.of_server(authority, site)
    lease.write_secret(site.directory / "server.key", identity.key_pem)
    lease.write_secret(site.directory / "server.crt", identity.certificate_pem)
    lease.write_secret(site.directory / "ca.crt", authority.certificate_pem)
    lease.write_secret(site.directory / "revoked.crl", authority.revocation_list_pem)
    launch = server.prepare(site)
    if launch.user is not None:
        _give(site.directory, launch.user)
    return launch


def _components(site: Site, directory: Path) -> list[Launch]:
    """The Brokers that are processes of their own."""
    from loadtest import component

    place, noted = (site.address, COMPONENT_PORT), site.options.activity
    places = {broker.jid: directory / f"broker-{broker.jid}" for broker in site.components}
    return [
        component.launch(each, places[each.jid], place, site.max_items, activity=noted)
        for each in site.components
    ]


def _activity_files(directory: Path, planned: list[Site]) -> list[str]:
    """Where servers and external Brokers note what Platforms do."""
    brokers = {each.jid: directory / f"broker-{each.jid}" for s in planned for each in s.components}
    places = [*(site.directory for site in planned), *brokers.values()]
    return [str(place / ACTIVITY_FILE) for place in places]


def _give(directory: Path, user: str) -> None:
    for place, _, files in os.walk(directory):
        for path in (place, *(os.path.join(place, file) for file in files)):
            shutil.chown(path, user, user)


def record_versions(directory: Path, kinds: Mapping[str, Server]) -> None:
    """Add to the grid's document which version of each server was started."""
    document = lease.read_json(directory / GRID_FILE)
    for controller, served in document["controllers"].items():
        started_in = Path(served["server_directory"])
        served["version"] = kinds[controller].version(started_in)
    lease.write_json(directory / GRID_FILE, document)


def _document(
    topology: Topology, directory: Path, planned: list[Site], kinds: Mapping[str, Server]
) -> dict[str, Any]:
    """What is fixed while the grid is up, in the form of `gridlab grid status --json`."""
    source = topology.source
    return {
        "topology": topology.name,
        "topology_file": str(source.path.resolve()) if source and source.path else None,
        "overrides": list(source.overrides) if source else [],
        "directory": str(directory),
        "accounts_file": str(directory / ACCOUNTS_FILE),
        "counters": any(site.options.counters for site in planned),
        "controllers": {
            site.controller: {
                "domain": site.domain,
                "address": site.address,
                "port": site.port,
                "direct_tls_port": site.direct_tls_port,
                "server": kinds[site.controller].name,
                "server_directory": str(site.directory),
                "ca_file": str(directory / AUTHORITY_FILE),
                "addresses": [
                    each.address
                    for each in planned
                    if cluster.controller_of(each) == site.controller
                ],
            }
            for site in planned
            if site.controller in kinds
        },
        "brokers": {
            broker.name: f"{broker.name}.{controller.domain}"
            for controller in topology.controllers
            for broker in topology.brokers
            if broker.controller == controller.name
        },
    }
