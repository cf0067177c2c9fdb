"""From a topology to servers that need only be started: places, certificates, accounts, files."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadtest import addresses, cluster, fronts, lease, provisioning, rails
from loadtest.development import development
from loadtest.grid_file import ACCOUNTS_FILE, AUTHORITY_FILE, GRID_FILE, fixed
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

if TYPE_CHECKING:
    from loadtest.authority import Authority
    from topologies.schema import Controller, Topology

PORT: Final = 5222


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
    nodes = next(each.nodes for each in topology.controllers if each.name == first.controller)
    ports = (first.port, first.direct_tls_port, cluster.PORT)
    if nodes > 1:
        addresses.check_free(first.address, ports)
    names = [cluster.node_name(first.controller, k) for k in range(1, nodes)]
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


def _document(
    topology: Topology, directory: Path, planned: list[Site], kinds: Mapping[str, Server]
) -> dict[str, Any]:
    """The grid's document; the versions of its servers are known when they are up."""
    controllers = {
        site.controller: {
            "domain": site.domain,
            "address": site.address,
            "port": site.port,
            "direct_tls_port": site.direct_tls_port,
            "server": kinds[site.controller].name,
            "server_directory": str(site.directory),
            "addresses": [
                each.address for each in planned if cluster.controller_of(each) == site.controller
            ],
        }
        for site in planned
        if site.controller in kinds
    }
    counters = any(site.options.counters for site in planned)
    return {**fixed(topology, directory, controllers), "counters": counters}
