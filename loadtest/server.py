"""What every kind of server has in common: where it is put, what it is told, how it is started.

A kind of server is a small class: it writes its own files into a directory of its own and says how
to start it and how to see that it is ready. The supervisor knows nothing else about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from loadtest.provisioning import Account, Node


@dataclass(frozen=True)
class Broker:
    """A publish-subscribe service in the server's process."""

    jid: str
    owner: str
    nodes: Sequence[Node]


@dataclass(frozen=True)
class Site:
    """One Controller that is to be deployed."""

    controller: str
    domain: str
    address: str
    port: int
    direct_tls_port: int
    directory: Path
    accounts: Sequence[Account]
    brokers: Sequence[Broker]
    memory_bytes: float
    cores: tuple[int, ...]


@dataclass(frozen=True)
class Launch:
    """How to start one server, see that it is ready, and find what went wrong; ready for JSON.

    It is ready when it answers `hello` on its port with something that contains `answer`; anything
    in `errors_file` by then is a failed start.
    """

    controller: str
    argv: tuple[str, ...]
    directory: str
    user: str | None
    cores: tuple[int, ...]
    address: str
    port: int
    hello: str
    answer: str
    log_file: str
    errors_file: str
    memory_bytes: float


class Server(Protocol):
    """A kind of server that can be deployed."""

    name: str

    def locate(self) -> None:
        """Check that it is installed; DeploymentError says how to install it."""

    def user(self) -> str | None:
        """The account that it must run as; None where that is the caller's own."""

    def prepare(self, site: Site) -> Launch:
        """Write all of its files into the site's directory, which exists and is private."""

    def version(self, directory: Path) -> str:
        """The version of the server that was started there."""
