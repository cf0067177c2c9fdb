"""A grid's claim on a name: one private directory, locked for as long as its supervisor lives.

The lock is the kernel's (flock on the directory): it cannot outlive its holder, so a directory
whose lock is free is a left-over and may be cleared.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from loadtest import processes
from loadtest.problems import DeploymentError

LAUNCH_FILE: Final = "launch.json"
STATE_FILE: Final = "state.json"
RESTART_FILE: Final = "restart.json"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_BUSY_WAIT_S: Final = 0.5


def base_directory() -> Path:
    """Where the grids of this user are: in the runtime directory, else in the temporary one."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime) / "gridlab"
    return Path(tempfile.gettempdir()) / f"gridlab-{os.getuid()}"


def directory_of(name: str) -> Path:
    """The directory of the grid `name`, whether it is up or not."""
    if not _NAME.fullmatch(name):
        raise DeploymentError(
            f'grid name: "{name}" is not a name; use lower-case letters, digits, . _ -'
        )
    return base_directory() / name


def names() -> list[str]:
    """The grids of this user that are up or were left over, in alphabetical order."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(place.name for place in base_directory().iterdir() if place.is_dir())
    return []


@dataclass(frozen=True)
class Lease:
    """A claimed directory and the open lock on it."""

    directory: Path
    descriptor: int

    def holds(self) -> bool:
        """Whether the directory is still the one that was claimed, not removed or made anew."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self.directory.lstat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let go of this end of the lock; a supervisor that inherited it keeps it."""
        os.close(self.descriptor)


def claim(name: str) -> Lease:
    """The directory of the grid `name`, new, empty and locked; left-overs in it are cleared.

    Raises
    ------
    DeploymentError
        A grid of this name is up, or the directory above is not this user's alone.
    """
    directory = directory_of(name)
    deadline_s = time.monotonic() + _BUSY_WAIT_S
    while True:
        _own(directory.parent)
        lease = _lock(directory)
        if lease is not None:
            _end_recorded(directory)
            _empty(directory)
            return lease
        if time.monotonic() > deadline_s:
            raise DeploymentError(
                f'grid "{name}": is up already, or about to be; '
                f"take it down first (gridlab grid down {name}) or use another --name"
            )
        time.sleep(0.02)


def release(lease: Lease) -> None:
    """Remove all that the grid left: processes, servers' directories, its own directory."""
    if lease.holds():
        _end_recorded(lease.directory)
        clear_files(lease.directory)
    lease.close()


def clear_files(directory: Path) -> None:
    """Remove a grid's directory and those of its servers, and the one above it once it is empty."""
    _empty(directory)
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        directory.parent.rmdir()


def clear_leftovers() -> None:
    """Clear what killed supervisors left of any grid of this user."""
    for name in names():
        lease = _lock(base_directory() / name, create=False)
        if lease is not None:
            release(lease)


def read_json(path: Path) -> dict[str, Any]:
    """A state file's document; empty where there is none."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    assert isinstance(document, dict)
    return document


def write_json(path: Path, document: object) -> None:
    """Replace a state file at once: a reader sees the old document or the new one, whole."""
    scratch = path.with_name(path.name + ".new")
    write_secret(scratch, json.dumps(document, indent=1).encode())
    scratch.replace(path)


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    with open_secret(path) as stream:
        stream.write(content)


def open_secret(path: Path) -> IO[bytes]:
    """A new file that only its owner may read, to write and to read back."""
    return open(path, "w+b", opener=lambda name, flags: os.open(name, flags, 0o600))


def _own(base: Path) -> None:
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700, parents=True)
    try:
        status = base.lstat()
    except FileNotFoundError:  # another grid went down in between; the caller tries again
        return
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise DeploymentError(
            f"{base}: is not a directory of yours alone (owner you, mode 0700); "
            "remove it or set XDG_RUNTIME_DIR to a private directory"
        )


def _lock(directory: Path, *, create: bool = True) -> Lease | None:
    """The locked directory; None where somebody else holds it or has just removed it."""
    if create:
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            directory.mkdir(mode=0o700)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(directory, flags)
    except FileNotFoundError:
        return None
    lease = Lease(directory, descriptor)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lease.holds():
            return lease
    lease.close()
    return None


def _end_recorded(directory: Path) -> None:
    state = read_json(directory / STATE_FILE)
    for identity in _identities(state):
        if identity.pid != os.getpid():
            processes.end(identity, grace_s=0.0)


def _identities(state: dict[str, Any]) -> Iterator[processes.Identity]:
    """The supervisor and the servers that a state file records, the supervisor first."""
    recorded = [state.get("supervisor"), *state.get("servers", {}).values()]
    for fields in recorded:
        if fields is not None:
            yield processes.Identity(**fields)


def _empty(directory: Path) -> None:
    launch = read_json(directory / LAUNCH_FILE)
    for server in launch.get("servers", []):
        shutil.rmtree(server["directory"], ignore_errors=True)
    for entry in directory.iterdir() if directory.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
