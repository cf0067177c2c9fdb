"""Loopback addresses of a grid's servers: one of its own for each, and who holds a busy one."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Sequence
from typing import Final

from loadtest import lease
from loadtest.problems import DeploymentError

_CANDIDATES: Final = 8


def choose(grid: str, controller: str, ports: Sequence[int]) -> str:
    """A loopback address on which all `ports` are free, derived from the grid's and server's names.

    Addresses start at 127.64.0.1, away from those that systems use themselves. The same names give
    the same address as long as it is free; grids that are kept elsewhere (`lease.base_directory`)
    get others, so that two of one name that come up at once do not meet.

    Raises
    ------
    DeploymentError
        A port is held on all candidates, as a listener on every address does.
    """
    key = os.fsencode(f"{os.getuid()}/{lease.base_directory()}/{grid}/{controller}")
    digest = hashlib.sha256(key).digest()
    problem = None
    for candidate in range(_CANDIDATES):
        second, third, fourth = digest[3 * candidate : 3 * candidate + 3]
        address = f"127.{64 + second % 128}.{third}.{1 + fourth % 254}"
        try:
            check_free(address, ports)
            return address
        except DeploymentError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def check_free(address: str, ports: Sequence[int]) -> None:
    """Refuse an address on which somebody listens on one of `ports`.

    Raises
    ------
    DeploymentError
        Names address, port and, where it may be seen, the process that holds it.
    """
    for port in ports:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                probe.listen(1)
            except OSError as error:
                raise DeploymentError(
                    f"{address}:{port}: cannot listen here, {_reason(error, address, port)}; "
                    "end that process or choose another address or port"
                ) from None


def _reason(error: OSError, address: str, port: int) -> str:
    holder = holder_of(address, port)
    return f"{holder} does already" if holder else (error.strerror or str(error)).lower()


def pid_of(address: str, port: int) -> int | None:
    """The process that listens on a port; None where none is seen to."""
    import psutil

    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr == (address, port):
            return int(connection.pid) if connection.pid else None
    return None


def holder_of(address: str, port: int) -> str | None:
    """Who listens on a port, in words; None where nobody is seen to."""
    import psutil

    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        place, listened = connection.laddr
        if listened != port or place not in (address, "0.0.0.0", "::"):
            continue
        if connection.pid is None:
            return f"a process of another user ({place}:{port})"
        try:
            name = psutil.Process(connection.pid).name()
        except psutil.Error:
            name = "ended since"
        return f"process {connection.pid} ({name}, {place}:{port})"
    return None
