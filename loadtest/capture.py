"""What the kernel says of a delivery's receipt, against a packet capture of the same port.

tcpdump (it needs root, or the capability) stamps each packet as it passes the loopback device; the
engine asks the kernel when it received what it reads. The null server sends one copy after another,
so the n-th one to a connection is the n-th delivery of its session.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from loadtest import bout, nullgrid, promises, receiver
from loadtest.problems import LoadError
from loadtest.promises import Promise, promise

Instants = npt.NDArray[np.int64]

_FILE = struct.Struct("<IHHiIII")
_PACKET = struct.Struct("<IIII")
_NANOSECONDS = 0xA1B23C4D  # pcap-savefile(5)
_LINK_BYTES, _ETHERNET, _SYN = 14, 1, 2
_UNEVEN = 0.1  # of a copy: sizes differ by the digits of a number
PLAYS_MAX = 3  # until the capture is whole
_SHARES = {"p50": 0.5, "p99": 0.99}
SNAP_BYTES = 96
AGREES_WITHIN_MS = {"p50": 0.2, "p99": 1.0}
RATE_SHARE_MIN = 0.98  # of what was asked for: less was another run


@contextmanager
def running(file: Path, address: str, port: int) -> Iterator[None]:
    """Capture what a server's port sends, into `file`.

    Raises
    ------
    LoadError
        There is no tcpdump, or it may not capture.
    """
    if shutil.which("tcpdump") is None:
        raise LoadError("tcpdump: is not installed (Debian's package tcpdump)")
    command = ["tcpdump", "--immediate-mode", "-i", "lo", "-n", "-s", str(SNAP_BYTES)]
    what = f"src host {address} and src port {port}"
    program = subprocess.Popen(
        [*command, "-B", "65536", "--time-stamp-precision=nano", "-w", str(file), what],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _until_listening(program)
        yield
        time.sleep(0.5)  # what was captured last is written
    finally:
        program.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            program.wait(5.0)
        program.kill()
        program.wait()
        if program.stderr:
            program.stderr.close()


def _until_listening(program: subprocess.Popen[bytes]) -> None:
    assert program.stderr is not None
    said = b""
    while b"listening" not in said:
        line = program.stderr.readline()
        if not line:
            raise LoadError(f"tcpdump: {said.decode(errors='replace').strip() or 'ended'}")
        said += line


def copies(file: Path) -> dict[int, Instants]:
    """Instants at which copies passed, by the client's port.

    Wall clock, in the order of the connection. A packet sent again is left out, and so is a
    connection that was opened during the capture: the publisher's. [ns]
    """
    data = file.read_bytes()
    magic, *_, network = _FILE.unpack_from(data)
    if magic != _NANOSECONDS or network != _ETHERNET:
        raise LoadError(f"{file}: is no capture of the loopback device in nanoseconds")
    place, found = _FILE.size, dict[int, list[tuple[int, int]]]()
    highest: dict[int, int] = {}
    opened: set[int] = set()
    while place + _PACKET.size <= len(data):
        seconds, nanoseconds, kept, _ = _PACKET.unpack_from(data, place)
        place += _PACKET.size
        packet = data[place : place + kept]
        place += kept
        header = _LINK_BYTES + 4 * (packet[_LINK_BYTES] & 15)
        size_of_ip = int.from_bytes(packet[_LINK_BYTES + 2 : _LINK_BYTES + 4], "big")
        client, sequence = struct.unpack_from(">HI", packet, header + 2)
        opened |= {client} if packet[header + 13] & _SYN else set()
        size = size_of_ip - (header - _LINK_BYTES) - 4 * (packet[header + 12] >> 4)
        last = highest.get(client)
        if size <= 0 or (last is not None and (sequence - last) % 2**32 > 2**31):
            continue
        highest[client] = (sequence + size) % 2**32
        found.setdefault(client, []).append((seconds * 1_000_000_000 + nanoseconds, size))
    return {
        client: _apart(np.array(rows, dtype=np.int64))
        for client, rows in found.items()
        if client not in opened
    }


def _apart(rows: Instants) -> Instants:
    """Instants of copies, from instants [ns] and sizes [B] of packets of a connection.

    On a busy machine copies wait in the server's socket, and several go in one packet, the last of
    them perhaps in part. They are of about one size, that of most packets.
    """
    one_bytes = float(np.median(rows[:, 1]))
    passed: list[int] = []
    begun = 0.0  # of a copy whose end is still to come
    for time_ns, size_bytes in rows.tolist():
        begun += size_bytes / one_bytes
        whole = int(begun + _UNEVEN)
        begun = begun - whole if begun - whole > _UNEVEN else 0.0
        passed += [time_ns] * whole
    return np.array(passed, dtype=np.int64)


class IncompleteError(LoadError):
    """The capture has other copies than the engine: tcpdump may drop some under load."""


def agreement(
    captured: dict[int, Instants], received_ns: dict[int, Instants], wall_minus_monotonic_ns: int
) -> Instants:
    """Receipt as the engine has it minus as captured, of every delivery; ascending. [ns]

    Sessions and connections are matched by their first instants: copies of one publication leave
    the server one after another, in the order of its connections.

    Parameters
    ----------
    captured : mapping
        Instants by the client's port, wall clock. [ns]
    received_ns : mapping
        Instants by session, monotonic clock. [ns]
    wall_minus_monotonic_ns : int
        Difference of the clocks. [ns]

    Raises
    ------
    IncompleteError
        They do not tell of the same deliveries.
    """
    theirs = sorted(captured.values(), key=lambda times: int(times[0]))
    ours = sorted(received_ns.values(), key=lambda times: int(times[0]))
    if [len(each) for each in theirs] != [len(each) for each in ours]:
        raise IncompleteError(
            f"the capture has {sum(map(len, theirs))} copies on {len(theirs)} connections, the "
            f"engine {sum(map(len, ours))} deliveries to {len(ours)} sessions"
        )
    differences = [
        own + wall_minus_monotonic_ns - other for own, other in zip(ours, theirs, strict=True)
    ]
    return np.sort(np.concatenate(differences))


class Captured(TypedDict):
    """Deliveries seen both ways; differences and delays are of receipt by the kernel. [s]"""

    deliveries: int
    deliveries_per_s: float
    difference_p50_s: float
    difference_p99_s: float
    latency_p50_s: float
    latency_p99_s: float
    captured_latency_p50_s: float
    captured_latency_p99_s: float
    reading_p50_s: float
    reading_p99_s: float
    claims: dict[str, Promise]


def compare(sessions: int, deliveries_per_s: float, duration_s: float) -> Captured:
    """Deliver from a null server at a steady rate, and set the engine's receipts against a capture.

    Raises
    ------
    LoadError
        There can be no capture, or the two do not tell of the same deliveries, `PLAYS_MAX` times.
    """
    for _ in range(PLAYS_MAX - 1):
        with contextlib.suppress(IncompleteError):
            return _play(sessions, deliveries_per_s, duration_s)
    return _play(sessions, deliveries_per_s, duration_s)


def _play(sessions: int, deliveries_per_s: float, duration_s: float) -> Captured:
    rate_per_s = deliveries_per_s / sessions
    due_s = np.arange(1, round(rate_per_s * duration_s) + 1) / rate_per_s
    described = bout.topology(sessions)
    cores = sorted(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="gridlab-capture-") as place,
        nullgrid.ephemeral(described, cores=cores[:1]) as grid,
    ):
        ring, file = bout.Ring(grid, described, cores[-1], cores[0]), Path(place) / "loopback.pcap"
        with bout.own(ring, "counting", due_s) as own:
            with running(file, ring.served["address"], ring.served["port"]):
                bout.measure(ring, own, due_s, 0.2)
                offset_ns = time.time_ns() - time.monotonic_ns()
            rows = own.deliveries()
        # Logins are done before it starts: subscribers get nothing but copies meanwhile.
        captured = copies(file)
        return _compared(captured, rows, offset_ns, due_s, deliveries_per_s)


def _compared(
    captured: dict[int, Instants],
    rows: Instants,
    offset_ns: int,
    due_s: npt.NDArray[np.float64],
    asked_per_s: float,
) -> Captured:
    publication, session, received_ns, delay_ns, _ = receiver.columns(rows)
    by_session = {int(each): received_ns[session == each] for each in np.unique(session)}
    difference_s = np.abs(agreement(captured, by_session, offset_ns)) / 1e9
    # Latencies from the same origin: the first publication's first copy, by either clock.
    intended_ns = (due_s[publication] * 1e9).astype(np.int64)
    start_ns = int((received_ns - intended_ns).min())
    latency_s = (received_ns - intended_ns - start_ns) / 1e9
    every = np.sort(np.concatenate(list(captured.values()))) - offset_ns
    order = np.argsort(received_ns, kind="stable")
    captured_s = (every - intended_ns[order] - start_ns) / 1e9
    figures = {
        "difference": difference_s,
        "latency": latency_s,
        "captured_latency": captured_s,
        "reading": delay_ns / 1e9,
    }
    quantiles = {
        f"{name}_{label}_s": float(np.quantile(values, share))
        for name, values in figures.items()
        for label, share in _SHARES.items()
    }
    lasted_s = float(received_ns.max() - received_ns.min()) / 1e9
    rate_per_s = len(rows) / max(lasted_s, 1e-9)
    document: Captured = {
        "deliveries": len(rows),
        "deliveries_per_s": rate_per_s,
        **quantiles,  # type: ignore[typeddict-item]
        "claims": _claims(difference_s, rate_per_s, asked_per_s),
    }
    return document


def _claims(
    difference_s: npt.NDArray[np.float64], rate_per_s: float, asked_per_s: float
) -> dict[str, Promise]:
    """What is promised: that both tell the same, at the rate that was asked for."""
    least_per_s = RATE_SHARE_MIN * asked_per_s
    found = {"rate": promise("deliveries per second", "at least", least_per_s, [rate_per_s])}
    for name, share in _SHARES.items():
        found[f"difference_{name}"] = promise(
            f"receipt, ours less the capture's, {name} in ms",
            "at most",
            AGREES_WITHIN_MS[name],
            [float(np.quantile(difference_s, share)) * 1e3],
        )
    return found


def render(document: Captured) -> str:
    """The document for people."""

    def line(what: str, name: str) -> str:
        p50_s, p99_s = (document[f"{name}_{label}_s"] for label in ("p50", "p99"))  # type: ignore[literal-required]
        return f"{what:<34} p50 {p50_s * 1e3:9.4f} ms   p99 {p99_s * 1e3:9.4f} ms"

    return "\n".join(
        [
            f"{document['deliveries']:,} deliveries, {document['deliveries_per_s']:,.0f}/s",
            line("receipt, ours less the capture's", "difference"),
            line("latency by the kernel's stamps", "latency"),
            line("latency by the capture", "captured_latency"),
            line("from the kernel to the application", "reading"),
            *promises.lines(document["claims"]),
        ]
    )
