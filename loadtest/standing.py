"""A grid that already runs, as a topology describes it: nothing is deployed, it is only joined.

On loopback it may be driven at once; anywhere else, its own Broker must consent (`consent`).
"""

from __future__ import annotations

import csv
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import topologies
from loadtest import consent, lease, provisioning, rails
from loadtest.grid_file import ACCOUNTS_FILE, AUTHORITY_FILE, GRID_FILE, fixed
from loadtest.problems import DeploymentError
from loadtest.server import Launch

if TYPE_CHECKING:
    from topologies.schema import Controller, Running, Topology

_REACH_WITHIN_S: Final = 5.0


def described(topology: Topology) -> bool:
    """Whether the topology describes a grid that runs already.

    Raises
    ------
    DeploymentError
        Some of its Controllers run and others do not.
    """
    running = [each.name for each in topology.controllers if each.running is not None]
    if running and len(running) < len(topology.controllers):
        raise DeploymentError(
            f"controllers: {', '.join(running)} run already and the others do not; describe all, "
            "or none"
        )
    return bool(running)


def prepare(topology: Topology, name: str, directory: Path) -> list[Launch]:
    """Write what is known of the grid into its directory; who watches over its consent.

    Raises
    ------
    DeploymentError
        A file cannot be read, an account is missing, or nobody accepts connections.
    """
    accounts: dict[str, str] = {}
    certificates = b""
    for controller in topology.controllers:
        accounts |= _accounts(topology, controller)
        certificates += _beside(topology, controller, "ca").read_bytes()
    _require_platforms(topology, accounts)
    lease.write_secret(directory / AUTHORITY_FILE, certificates)
    rows = [
        provisioning.Account(jid.partition("@")[0], jid.partition("@")[2], password)
        for jid, password in accounts.items()
    ]
    lease.write_secret(directory / ACCOUNTS_FILE, provisioning.accounts_csv(rows))
    lease.write_json(directory / GRID_FILE, _document(topology, directory))
    return [
        _watch(topology, controller, name, directory, accounts)
        for controller in topology.controllers
        if not _reached(controller)
    ]


def _running(controller: Controller) -> Running:
    assert controller.running is not None
    return controller.running


def _beside(topology: Topology, controller: Controller, field: str) -> Path:
    """A file that a Controller's section names, relative to the topology's."""
    source = topology.source
    base = source.path.parent if source and source.path else Path.cwd()
    path = base / str(getattr(_running(controller), field))
    if not path.is_file():
        raise DeploymentError(
            f'"{controller.name}" running.{field}: "{path}": is no file; '
            "name one relative to the topology's"
        )
    return path


def _accounts(topology: Topology, controller: Controller) -> dict[str, str]:
    """Password of each account of the Controller's domain."""
    path = _beside(topology, controller, "accounts")
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    if rows and not {"jid", "password"} <= rows[0].keys():
        raise DeploymentError(f"{path}: has not the columns jid,password")
    domain = f"@{controller.domain}"
    return {row["jid"]: row["password"] for row in rows if row["jid"].endswith(domain)}


def _require_platforms(topology: Topology, accounts: dict[str, str]) -> None:
    domains = {each.name: each.domain for each in topology.controllers}
    wanted = [f"{provisioning.OWNER}@{domain}" for domain in domains.values()]
    for population in topology.platforms:
        domain = domains[population.controller]
        wanted += (f"{population.name}-{k}@{domain}" for k in range(population.count))
    missing = [jid for jid in wanted if jid not in accounts]
    if missing:
        raise DeploymentError(
            f"running.accounts: {len(missing)} accounts are missing, {missing[0]} first; "
            "add them, or describe fewer Platforms"
        )


def _reached(controller: Controller) -> bool:
    """Whether it is on loopback, and there; anywhere else nothing is tried without consent."""
    running = _running(controller)
    if not ipaddress.ip_address(running.address).is_loopback:
        return False
    for port in (running.port, running.direct_tls_port):
        try:
            rails.dial(running.address, port, _REACH_WITHIN_S).close()
        except OSError as error:
            raise DeploymentError(
                f'"{controller.name}" at {running.address}:{port}: {error.strerror or error}; '
                "is it up?"
            ) from None
    return True


def _watch(
    topology: Topology,
    controller: Controller,
    name: str,
    directory: Path,
    accounts: dict[str, str],
) -> Launch:
    running = _running(controller)
    brokers = [each.name for each in topology.brokers if each.controller == controller.name]
    if not brokers:
        raise DeploymentError(
            f'"{controller.name}" at {running.address}: has no Broker that could consent; '
            "describe one"
        )
    owner = f"{provisioning.OWNER}@{controller.domain}"
    settings = {
        "run": name,
        "address": running.address,
        "direct_tls_port": running.direct_tls_port,
        "domain": controller.domain,
        "broker": f"{brokers[0]}.{controller.domain}",
        "ca_file": str(directory / AUTHORITY_FILE),
        "account": owner,
        "password": accounts[owner],
        "consent_file": str(directory / rails.CONSENT_FILE),
    }
    return consent.launch(directory / f"consent-{controller.name}", controller.name, settings)


def _document(topology: Topology, directory: Path) -> dict[str, Any]:
    """The document of a grid that was running before it was joined."""
    controllers = {
        each.name: {
            "domain": each.domain,
            "address": _running(each).address,
            "port": _running(each).port,
            "direct_tls_port": _running(each).direct_tls_port,
            "server": topologies.profile(topology, each.name).server,
            "version": "as described",
            "server_directory": None,
            "addresses": [_running(each).address],
        }
        for each in topology.controllers
    }
    return fixed(topology, directory, controllers)
