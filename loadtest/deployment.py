"""A real grid on loopback: up, status, down.

`up` writes everything that the servers need into a private directory, leaves one supervisor that
owns them, and returns when they answer. `down` leaves nothing: no process, no port, no file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from loadtest import grid_file, kinds, lease, processes, rails, sites
from loadtest.grid import Grid, render
from loadtest.problems import DeploymentError
from loadtest.server import Options, python_path

if TYPE_CHECKING:
    from topologies.schema import Topology

_START_WITHIN_S: Final = 30.0
_DOWN_GRACE_S: Final = 10.0
_AS_MEASURED: Final = Options()


def up(
    topology: Topology,
    name: str = "default",
    *,
    address: str | None = None,
    port: int = sites.PORT,
    cores: Sequence[int] = (),
    options: Options = _AS_MEASURED,
) -> Grid:
    """Deploy a grid for `topology` and return when its servers answer.

    Parameters
    ----------
    topology : Topology
        Its Controllers are started, its Platforms get accounts, its Topics are created.
    name : str
        Several grids of different names can be up.
    address : str, optional
        Loopback address of a lone Controller; by default a free one derived from the names.
    port : int
        For STARTTLS; direct TLS gets the next one.
    cores : sequence of int
        Processors that the servers may use; empty: all.
    options : Options
        Ways in and what else the topology does not say; by default as the profiles were measured.

    Raises
    ------
    DeploymentError
        It cannot be deployed; nothing is left of the attempt.
    rails.RailsError
        It has more Platforms than a run may have sessions.
    """
    place = sites.Place(address, port, tuple(cores))
    return _up(topology, name, place, options, owner=None)


@contextlib.contextmanager
def ephemeral(
    topology: Topology,
    *,
    name: str | None = None,
    cores: Sequence[int] = (),
    options: Options = _AS_MEASURED,
) -> Iterator[Grid]:
    """A grid for as long as the block runs; it ends with this process, even a killed one."""
    name = name or f"run-{os.getpid()}-{secrets.token_hex(3)}"
    owner = processes.Identity.of(os.getpid())
    grid = _up(topology, name, sites.Place(cores=tuple(cores)), options, owner)
    try:
        yield grid
    finally:
        _down(grid.directory)


def status(name: str = "default") -> Grid:
    """The grid of this name; DeploymentError where none is up."""
    grid = Grid(name, lease.directory_of(name))
    grid.document()
    return grid


def names() -> list[str]:
    """The grids that are up, in alphabetical order."""
    return [name for name in lease.names() if _is_up(name)]


def down(name: str = "default") -> bool:
    """Take a grid down and leave nothing of it, also where its supervisor was killed.

    Returns
    -------
    bool
        Whether there was anything to take down.
    """
    directory = lease.directory_of(name)
    found = directory.is_dir()
    if found:
        _down(directory)
    return found


def down_all() -> list[str]:
    """Take every grid of this user down; their names."""
    taken = lease.names()
    for name in taken:
        _down(lease.directory_of(name))
    return taken


def _is_up(name: str) -> bool:
    try:
        status(name)
    except DeploymentError:
        return False
    return True


def _down(directory: Path) -> None:
    supervisor = lease.read_json(directory / lease.STATE_FILE).get("supervisor")
    if supervisor is not None:
        processes.end(processes.Identity(**supervisor), _DOWN_GRACE_S)
    if directory.is_dir():  # the supervisor could not clean up: it was killed
        lease.release(lease.claim(directory.name))


def _up(
    topology: Topology,
    name: str,
    place: sites.Place,
    options: Options,
    owner: processes.Identity | None,
) -> Grid:
    rails.check(rails.Caps(topology.platform_count, 0.0, 0.0, 0.0))
    from loadtest import standing  # here: it brings asyncio and more

    described = standing.described(topology)
    servers = {} if described else kinds.servers(topology)
    lease.clear_leftovers()
    with _disk_told():
        held = lease.claim(name)

    def prepare() -> None:
        if described:
            launches = standing.prepare(topology, name, held.directory)
        else:
            launches = sites.prepare(topology, name, held.directory, servers, place, options)
        document = {
            "owner": owner and asdict(owner),
            "servers": [asdict(launch) for launch in launches],
        }
        lease.write_json(held.directory / lease.LAUNCH_FILE, document)
        rails.audit("start", f"grid {name}", {"platforms": topology.platform_count}, "asked for")

    try:
        if stop := rails.stop_file(held.directory):
            raise DeploymentError(f"{stop}: asks every run to stop; remove it first")
        with _disk_told():
            _start(held, prepare)
            if not described:
                grid_file.record_versions(held.directory, servers)
    except BaseException:
        lease.release(held)
        raise
    held.close()
    return Grid(name, held.directory)


@contextlib.contextmanager
def _disk_told() -> Iterator[None]:
    """Turn a full or read-only disk into a DeploymentError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        place = error.filename or lease.base_directory()
        raise DeploymentError(
            f"{place}: {error.strerror}; make room there, or set TMPDIR to a directory with some"
        ) from None


def _start(held: lease.Lease, prepare: Callable[[], None]) -> None:
    """Start the supervisor, prepare meanwhile, let it start the servers, wait for its report.

    It is there first so that it can clean up after us, whatever happens. On any failure it has
    ended on return.
    """
    ours, theirs = socket.socketpair()
    with ours, lease.open_secret(held.directory / "supervisor.log") as log:
        with theirs:
            started = _spawn_supervisor(held, theirs, log)
        try:
            prepare()
            started.wait(_START_WITHIN_S)  # it detaches at once
            ours.settimeout(_START_WITHIN_S)
            with contextlib.suppress(BrokenPipeError):  # it has ended; its log says why
                ours.sendall(b"start\n")
            report = json.loads(_read_line(ours) or "{}")
        except BaseException:
            _give_up(ours)
            raise
        if not report.get("ready"):
            _give_up(ours)
            log.seek(0)
            problem = report.get("problem") or "supervisor ended: " + log.read().decode()
            raise DeploymentError(problem)


def _spawn_supervisor(
    held: lease.Lease, control: socket.socket, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    inherited = (control.fileno(), held.descriptor)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "loadtest.supervisor", str(held.directory)]
        + [str(descriptor) for descriptor in inherited],
        env={**os.environ, "PYTHONPATH": python_path()},
        cwd="/",
        pass_fds=inherited,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


def _read_line(control: socket.socket) -> bytes:
    """What the other side says before it closes, a line at most."""
    received = b""
    while not received.endswith(b"\n") and (chunk := control.recv(65_536)):
        received += chunk
    return received


def _give_up(control: socket.socket) -> None:
    """Tell the supervisor that nobody waits any more; returns when it has cleaned up."""
    with contextlib.suppress(OSError):
        control.shutdown(socket.SHUT_WR)
        control.settimeout(_DOWN_GRACE_S)
        while control.recv(65_536):
            pass


__all__ = [
    "DeploymentError",
    "Grid",
    "Options",
    "down",
    "down_all",
    "ephemeral",
    "names",
    "render",
    "status",
    "up",
]
