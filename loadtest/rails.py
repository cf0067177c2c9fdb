"""What may be driven, and how hard: the one dialler, the caps, the STOP file and the audit log.

Every socket of the load side is opened here, to a numeric loopback address, or to one whose Broker
consents (`loadtest.consent`). The caps are compiled in: a run may ask for less, never for more.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import ipaddress
import json
import math
import os
import pwd
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from loadtest.problems import RailsError

STOP_NAME: Final = "STOP"
CONSENT_FILE: Final = "consent.json"
CONSENT_VARIABLE: Final = "GRIDLAB_CONSENT"  # where child processes find it
_CONSENT_AGE_S: Final = 25.0
_readable: Final[set[str]] = set()
_IP_BIND_ADDRESS_NO_PORT: Final = 24  # ip(7); Python has no name for it
_LOOPBACK_V4: Final = ipaddress.ip_network("127.0.0.0/8")
_LOOPBACK_V6: Final = ipaddress.ip_address("::1")


@dataclass(frozen=True)
class Caps:
    """The most that one run may ask of a server."""

    sessions: int = 20_000
    connections_per_s: float = 1_000.0
    stanzas_per_s: float = 20_000.0
    duration_s: float = 3_600.0


CAPS: Final = Caps()
_REPAIRS: Final = {
    "sessions": "use fewer Platforms",
    "connections_per_s": "let the Platforms log in more slowly",
    "stanzas_per_s": "lower the offered load",
    "duration_s": "play a shorter part of the workload",
}


def check(planned: Caps) -> None:
    """Refuse a planned run that exceeds a cap, naming all of them at once.

    Parameters
    ----------
    planned : Caps
        Sessions [1], peak connections and stanzas per second [1/s] and duration [s] of the run.

    Raises
    ------
    RailsError
        A figure is above its cap, negative or not finite.
    """
    problems = []
    consented = _consented_caps()
    for field in fields(Caps):
        figure, most = getattr(planned, field.name), float(getattr(Caps(), field.name))
        cap = min(most, consented.get(field.name, math.inf))
        if not math.isfinite(figure) or figure < 0:
            problems.append(f"{field.name}: {figure!r} is no figure that a run can have")
        elif figure > cap:
            repair = _REPAIRS[field.name]
            problems.append(f"{field.name}: {figure:g} is above the cap of {cap:g}; {repair}")
    if problems:
        raise RailsError("\n".join(problems))


def check_address(address: str) -> str:
    """The numeric loopback address `address`, in its canonical spelling.

    Names, short forms (`127.1`), wildcards, mapped and scoped addresses are refused, because what
    they reach is decided elsewhere.

    Raises
    ------
    RailsError
        Not a numeric address, or not a loopback one.
    """
    try:
        parsed = ipaddress.ip_address(str(address))
    except ValueError:
        raise RailsError(
            f'"{address}" is not a numeric address; write it out, for example 127.0.0.1'
        ) from None
    if parsed.version == 4 and parsed in _LOOPBACK_V4:
        return str(parsed)
    if parsed == _LOOPBACK_V6:
        return str(parsed)
    if str(parsed) in _readable or _consent(str(parsed)):
        return str(parsed)
    raise RailsError(
        f'"{address}" is not a loopback address; only 127.0.0.0/8 and ::1 may be driven without '
        "the consent of the grid's own Broker: deploy the grid on this machine, or see consent"
    )


def permit_reading(address: str) -> None:
    """Let this process, the reader of a grid's consent, reach the grid before there is any."""
    _readable.add(str(ipaddress.ip_address(address)))


def write_consent(path: Path, address: str, allowed: Mapping[str, float] | None) -> None:
    """Note what was read from a grid's Broker just now, for the dialler of every process.

    Parameters
    ----------
    allowed : mapping or None
        See `consent.granted`; None where nothing is allowed any more.
    """
    with _one_writer(path):  # each Controller's reader writes it
        try:
            known = json.loads(path.read_text())
        except FileNotFoundError:
            known = {}
        known.pop(str(ipaddress.ip_address(address)), None)
        if allowed is not None:
            known[str(ipaddress.ip_address(address))] = {**allowed, "read_s": time.time()}
        scratch = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as stream:
            json.dump(known, stream)
        scratch.replace(path)


@contextlib.contextmanager
def _one_writer(path: Path) -> Iterator[None]:
    """Keep others from changing the file meanwhile."""
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _consent(address: str) -> dict[str, float] | None:
    """What a grid elsewhere allows now; None where it allows nothing, or was not asked lately."""
    path = os.environ.get(CONSENT_VARIABLE)
    if path is None:
        return None
    try:
        with open(path) as stream:
            status = os.fstat(stream.fileno())
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                return None  # not what a reader of ours wrote
            if not _held(Path(path).parent):
                return None  # left over from a grid that is gone, or made up
            allowed = json.load(stream).get(address)
    except (OSError, ValueError):
        return None
    now_s = time.time()
    fresh = allowed and allowed["until_s"] > now_s and allowed["read_s"] > now_s - _CONSENT_AGE_S
    return dict(allowed) if fresh else None


def _held(directory: Path) -> bool:
    """Whether a directory is that of a grid that is up: its supervisor holds the lock on it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _consented_caps() -> dict[str, float]:
    """The lowest of the caps that the consents name; none for loopback alone."""
    path = os.environ.get(CONSENT_VARIABLE)
    if path is None or not Path(path).exists():
        return {}
    found = [_consent(address) or {} for address in json.loads(Path(path).read_text())]
    names = {field.name for field in fields(Caps)}
    return {
        name: min(each.get(name, 0.0) for each in found)
        for name in names & {key for each in found for key in each}
    }


class Meter:
    """Counts connections over the last second and refuses those above the cap.

    Parameters
    ----------
    limit_per_s : int
        Most connections in any window of one second. [1/s]
    clock : callable
        Time now; a test turns it by hand. [s]
    """

    def __init__(self, limit_per_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._recent: collections.deque[float] = collections.deque(maxlen=limit_per_s)
        self._clock = clock
        self._lock = threading.Lock()

    def admit(self) -> None:
        """Count one connection, or raise RailsError where the window is full."""
        with self._lock:
            now = self._clock()
            full = len(self._recent) == self._recent.maxlen
            if full and now - self._recent[0] < 1.0:
                raise RailsError(
                    f"more than {self._recent.maxlen} connections within one second; "
                    "let the Platforms log in more slowly"
                )
            self._recent.append(now)


_meter: Final = Meter(int(CAPS.connections_per_s))


def dial(
    address: str, port: int, timeout_s: float = 5.0, source: str | None = None
) -> socket.socket:
    """A connected TCP socket without Nagle's delay, to a numeric loopback address.

    Parameters
    ----------
    timeout_s : float
        Longest wait for the connection. [s]
    source : str, optional
        Loopback address to come from; by default the system's choice.

    Raises
    ------
    RailsError
        The address is not allowed, or this process dials too fast.
    OSError
        Nobody accepts there within `timeout_s` [s].
    """
    connection = _open_socket(address, source)
    try:
        connection.settimeout(timeout_s)
        connection.connect((check_address(address), port))
    except BaseException:
        connection.close()
        raise
    return connection


async def dial_async(
    address: str, port: int, timeout_s: float = 5.0, source: str | None = None
) -> socket.socket:
    """Like `dial`, on the running loop; the socket does not block.

    Hand it to `loop.create_connection(..., sock=...)`.
    """
    import asyncio  # here: the supervisor does without

    connection = _open_socket(address, source)
    try:
        connection.setblocking(False)
        connecting = asyncio.get_running_loop().sock_connect(
            connection, (check_address(address), port)
        )
        async with asyncio.timeout(timeout_s):
            await connecting
    except BaseException:
        connection.close()
        raise
    return connection


def _open_socket(address: str, source: str | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in check_address(address) else socket.AF_INET
    _meter.admit()
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            # The port is chosen with the connection, so that one address can hold many.
            connection.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            connection.bind((check_address(source), 0))
    except BaseException:
        connection.close()
        raise
    return connection


def stop_file(directory: Path) -> Path | None:
    """The STOP file that asks the grid in `directory`, or every grid beside it, to stop."""
    for place in (directory, directory.parent):
        if (place / STOP_NAME).exists():
            return place / STOP_NAME
    return None


def audit_file() -> Path:
    """Where the audit log is: it outlives the grids, in the user's state directory."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "gridlab" / "audit.log"


def audit(event: str, what: str, how_hard: object, why: str) -> None:
    """Append one line to the audit log: who did what, when, how hard, and why it ended.

    Parameters
    ----------
    event : str
        `start` or `end`.
    what, why : str
        The run, and the reason for this event.
    how_hard : object
        JSON-ready figures.

    Raises
    ------
    RailsError
        The log cannot be written: nothing runs unaudited.
    """
    entry = {
        "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "who": _user_name(),
        "pid": os.getpid(),
        "event": event,
        "what": what,
        "how_hard": how_hard,
        "why": why,
    }
    _append(audit_file(), json.dumps(entry, ensure_ascii=True) + "\n")


def _append(path: Path, line: str) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise RailsError(
            f"{path}: the audit log cannot be opened ({error.strerror}); "
            "set XDG_STATE_HOME to a directory of yours"
        ) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise RailsError(f"{path}: the audit log is not a file of yours; move it away")
        os.write(descriptor, line.encode())  # one write: lines of several processes do not mix
    finally:
        os.close(descriptor)


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


@dataclass
class Ending:
    """Why a run ended; the run may overwrite it."""

    why: str = "finished"


@contextlib.contextmanager
def audited(what: str, how_hard: object) -> Iterator[Ending]:
    """Write a line when a run starts and one when it ends, also where an exception ends it."""
    audit("start", what, how_hard, "asked for")
    ending = Ending()
    try:
        yield ending
    except BaseException as error:
        ending.why = f"{type(error).__name__}: {error}".rstrip(": ")
        raise
    finally:
        audit("end", what, how_hard, ending.why)
