"""A grid whose servers only deliver, for as long as a block runs (`loadtest.nullserver`)."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest import addresses, rails
from loadtest.authority import Authority
from loadtest.grid import Grid
from loadtest.nullstream import PASSWORD
from loadtest.problems import DeploymentError
from loadtest.provisioning import OWNER

if TYPE_CHECKING:
    from topologies.schema import Topology

PORT = 5222


@dataclass(frozen=True)
class NullGrid(Grid):
    """A null server for each Controller, behind the same interface as a deployed grid."""

    topology: Topology
    served: dict[str, dict[str, Any]]
    servers: dict[str, subprocess.Popen[bytes]]

    def document(self) -> dict[str, Any]:
        """As a deployed grid's: Controllers, Brokers, state."""
        domains = {each.name: each.domain for each in self.topology.controllers}
        return {
            "name": self.name,
            "state": "up",
            "problem": None,
            "topology": self.topology.name,
            "controllers": self.served,
            "brokers": {
                each.name: f"broker.{domains[each.controller]}" for each in self.topology.brokers
            },
        }

    def check(self) -> None:
        """Raise DeploymentError where a server has ended."""
        for name, server in self.servers.items():
            if server.poll() is not None:
                raise DeploymentError(f'null server "{name}": ended with code {server.returncode}')

    def credentials(self) -> dict[str, str]:
        """The one password of all accounts, by bare JID."""
        domains = {each.name: each.domain for each in self.topology.controllers}
        accounts = [
            f"{population.name}-{number}@{domains[population.controller]}"
            for population in self.topology.platforms
            for number in range(population.count)
        ]
        owners = [f"{OWNER}@{domain}" for domain in domains.values()]
        return dict.fromkeys(accounts + owners, PASSWORD)

    @property
    def ca_file(self) -> Path:
        """The certificate that the servers' certificates are verified with."""
        return self.directory / "ca.pem"

    def server_pid(self, controller: str) -> int:
        """Process id of one Controller's server."""
        return self.servers[controller].pid

    def components(self) -> dict[str, int]:
        """None of its Brokers is a process of its own."""
        return {}


@contextlib.contextmanager
def ephemeral(topology: Topology, *, cores: Sequence[int] = ()) -> Iterator[NullGrid]:
    """A null grid for `topology`; its servers are kept to `cores`, and end with this process.

    Raises
    ------
    DeploymentError
        A server could not start.
    """
    rails.check(rails.Caps(sum(each.count for each in topology.platforms), 0.0, 0.0, 0.0))
    name = f"null-{os.getpid()}-{secrets.token_hex(3)}"
    servers: dict[str, subprocess.Popen[bytes]] = {}
    served: dict[str, dict[str, Any]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="gridlab-null-") as place,
        contextlib.ExitStack() as end,
    ):
        directory, authority = Path(place), Authority()
        (directory / "ca.pem").write_bytes(authority.certificate_pem)
        for controller in topology.controllers:
            address = addresses.choose(name, controller.name, (PORT, PORT + 1))
            each = {
                "domain": controller.domain,
                "address": address,
                "addresses": [address],
                "port": PORT,
                "direct_tls_port": PORT + 1,
                "server": "null",
                "ca_file": str(directory / "ca.pem"),
            }
            chain = directory / f"{controller.name}.pem"
            chain.touch(0o600)
            identity = authority.issue_server([controller.domain])
            chain.write_bytes(identity.certificate_pem + identity.key_pem)
            spec = {"chain_file": str(chain), "cores": list(cores), "parent_pid": os.getpid()}
            spec_file = directory / f"{controller.name}.json"
            spec_file.write_text(json.dumps(each | spec))
            server = servers[controller.name] = _start(spec_file)
            end.callback(_stop, server)
            served[controller.name] = each | {"pid": server.pid, "pids": [server.pid]}
        yield NullGrid(name, directory, topology, served, servers)


def _start(spec: Path) -> subprocess.Popen[bytes]:
    package_parent = str(Path(__file__).resolve().parents[1])
    search_path = os.pathsep.join(filter(None, (package_parent, os.environ.get("PYTHONPATH"))))
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "loadtest.nullserver", str(spec)],
        env={**os.environ, "PYTHONPATH": search_path},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert server.stdout is not None
    if server.stdout.readline() != b"ready\n":
        raise DeploymentError(f"null server: did not start (code {server.wait()})")
    return server


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.wait()
    if server.stdout:
        server.stdout.close()
