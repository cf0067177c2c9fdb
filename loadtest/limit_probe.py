"""What a server's inbound byte limit really is: rate, burst, shape, and who else feels it.

One session rests until its credit is full, then sends pings of known size all at once; another one
pings at leisure. A limiter that delays answers the first session's pings along a line: as many
bytes at once as its burst, the others at its rate. Rate and burst are read from that line, for each
of several trains; their spread gives the intervals.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loadtest import deployment
from loadtest.dialogue import Dialogue
from loadtest.observation import cpu_s
from loadtest.problems import LoadError
from loadtest.testbed import door_of
from results.statistics import Estimate, Sample

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from topologies.limits import ByteRate
    from topologies.schema import Topology

PING_BYTES = 500
TRAIN_S = 3.0  # of the configured rate, beyond the burst
TRAINS = 3
REST_S = 1.5
CHUNK_BYTES = 65_536  # a server may read, and act on, so much before it counts it
NEIGHBOUR_S = 0.05
PROSODY_READ_BYTES = 4096.0
RATE_OFF, BURST_OFF = 0.02, 0.05
Floats = npt.NDArray[np.float64]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Bucket:
    """A token bucket, as a train of stanzas shows it. [B/s], [B]"""

    rate_bytes_per_s: float
    burst_bytes: float


def read(sent_bytes: Floats, answered_s: Floats) -> Bucket | None:
    """Rate and burst from when each stanza of a train was answered; None where none was delayed.

    Stanzas are answered in groups, as the server reads them. The line goes through the last stanza
    of each group that was delayed: what has been paid for at that instant.

    Parameters
    ----------
    sent_bytes : ndarray, shape (n,)
        Bytes up to and with each stanza. [B]
    answered_s : ndarray, shape (n,)
        When it was answered, since the train was sent. [s]
    """
    gaps_s = np.diff(answered_s)
    if len(gaps_s) < 3 or answered_s[-1] < 0.2:
        return None
    pause_s = max(5e-3, 0.2 * float(gaps_s.max()))
    ends = np.append(np.flatnonzero(gaps_s > pause_s), len(answered_s) - 1)
    if len(ends) < 4:  # answered evenly: every stanza is on the line, once it has begun
        late = answered_s > 0.3 * answered_s[-1]
        places = np.flatnonzero(late)
    else:
        places = ends[:-1]  # the last group is cut short
    slope, level = np.polyfit(answered_s[places], sent_bytes[places], 1)
    return Bucket(float(slope), float(level)) if slope > 0.0 else None


def predicted(kind: str, asked: ByteRate, ping_s: float) -> Bucket:
    """What the model of that kind of server's limiter (`sim.limiters`) makes of such a train.

    A Prosody that has read n bytes acts on all of them, then pauses for n / rate: what it needs for
    them comes on top, and nothing is saved up. An ejabberd counts what it earns from read to read,
    whatever it does meanwhile.

    Parameters
    ----------
    kind : str
        `prosody` or `ejabberd`.
    asked : ByteRate
        As configured.
    ping_s : float
        CPU time that the server needs for one stanza of the train. [s]
    """
    if kind == "prosody":
        return Bucket(1.0 / (1.0 / asked.rate + ping_s / PING_BYTES), PROSODY_READ_BYTES)
    return Bucket(asked.rate, asked.burst)


@dataclass(frozen=True)
class Probed:
    """Trains that were answered, and how: the figures behind a verdict.

    `ping_s` is the server's CPU time for each stanza of the trains. [s]
    """

    trains: list[Bucket]
    shape: str
    answered: int
    sent: int
    calm_s: Floats
    meanwhile_s: Floats
    ping_s: float = 0.0


def probe(
    topology: Topology,
    progress: Progress = lambda share, remark: None,
    *,
    trains: int = TRAINS,
) -> dict[str, Any]:
    """Deploy the topology and measure the client limit of its first Controller that has one.

    Raises
    ------
    DeploymentError, LoadError
        It cannot be deployed, or none of its Controllers limits clients.
    """
    limited = next((c for c in topology.controllers if c.limits.client is not None), None)
    if limited is None:
        raise LoadError(
            "controllers[].limits.client: no Controller limits its clients; "
            "set for example --set 'controllers[0].limits.client.rate=100 kB/s'"
        )
    asked = limited.limits.client
    assert asked is not None
    progress(0.0, "deploying")
    with deployment.ephemeral(topology) as grid:
        served = grid.document()["controllers"][limited.name]
        watched = grid.server_pid(limited.name)
        found = asyncio.run(_story(grid, limited.domain, asked, trains, watched, progress))
    return document(f"{served['server']} {served.get('version', '')}".strip(), asked, found)


async def _story(
    grid: Grid, domain: str, asked: ByteRate, count: int, pid: int, progress: Progress
) -> Probed:
    """Trains on one session, a neighbour's pings beside them."""
    stanzas, used_s = 0, 0.0
    door = door_of(grid)
    if door.domain != domain:
        raise LoadError(
            f"the first Controller with a Broker is {door.domain}, the limited one {domain}; "
            "probe a topology of that Controller alone"
        )
    names = sorted(jid for jid in grid.credentials() if jid.endswith(f"@{door.domain}"))
    if len(names) < 2:
        raise LoadError("two accounts are needed: one that is limited, one beside it")
    total = int((asked.burst + TRAIN_S * asked.rate) // PING_BYTES)
    trains, meanwhile, calm_s, shape, answered = [], [], np.empty(0), "delay", 0
    async with _session(grid, door, names[1]) as neighbour:
        calm_s = await _pings(neighbour, 20)
        for number in range(count):
            progress(number / count, f"train {number + 1} of {count}")
            async with _session(grid, door, names[0]) as limited:
                await asyncio.sleep(REST_S + asked.burst / asked.rate)
                watching = asyncio.ensure_future(_pings(neighbour, None))
                before_s = cpu_s(pid)
                shape, times_s = await _train(limited, total, 4.0 * TRAIN_S + 5.0)
                watching.cancel()
                meanwhile.append(await watching)
                used_s += cpu_s(pid) - before_s
                stanzas += len(times_s) + len(meanwhile[-1])
            answered = len(times_s)
            bucket = read(PING_BYTES * np.arange(1.0, answered + 1.0), times_s)
            if bucket is None:
                break
            trains.append(bucket)
    ping_s = used_s / stanzas if stanzas else 0.0
    return Probed(trains, shape, answered, total, calm_s, np.concatenate(meanwhile), ping_s)


@contextlib.asynccontextmanager
async def _session(grid: Grid, door: Any, jid: str) -> Any:
    stream = await Dialogue.open(door)
    try:
        await stream.authenticate(jid.partition("@")[0], grid.credentials()[jid])
        yield await stream.bind("limits")
    finally:
        await stream.leave()


async def _train(stream: Dialogue, total: int, within_s: float) -> tuple[str, Floats]:
    """Send all pings at once; how they were met, and when each was answered. [s]"""
    domain = stream.jid.partition("@")[2].partition("/")[0]
    text = "<iq type='get' id='k{:07d}' to='{}'><ping xmlns='urn:xmpp:ping'/></iq>"
    pings = [text.format(k, domain) for k in range(total)]
    padded = [each[:-5] + " " * (PING_BYTES - len(each)) + each[-5:] for each in pings]
    seen: dict[str, tuple[float, bool]] = {}
    stream.forget()
    begun_s = time.monotonic()
    stream.say("".join(padded))
    while len(seen) < total and (left_s := begun_s + within_s - time.monotonic()) > 0.0:
        if stream.closed is not None or not await stream.hear(lambda _: True, left_s):
            break
        now_s = time.monotonic() - begun_s
        for stanza in stream.heard(lambda _: True):
            if (name := str(stanza.xml.get("id", ""))).startswith("k"):
                seen[name] = now_s, stanza.xml.get("type") == "error"
        stream.forget()  # what is heard is gone through again and again otherwise
    times_s = np.array([at_s for at_s, _ in seen.values()])
    if stream.closed is not None:
        return f"disconnect: {stream.closed}", times_s
    refused = sum(error for _, error in seen.values())
    return "refusal" if refused > total / 10 else "delay", times_s


async def _pings(stream: Dialogue, count: int | None) -> Floats:
    """How long the answers to pings at leisure take, so many or until cancelled. [s]"""
    domain = stream.jid.partition("@")[2].partition("/")[0]
    took_s: list[float] = []
    with contextlib.suppress(asyncio.CancelledError):
        while count is None or len(took_s) < count:
            begun_s = time.monotonic()
            await stream.ask("get", domain, "<ping xmlns='urn:xmpp:ping'/>")
            took_s.append(time.monotonic() - begun_s)
            await asyncio.sleep(NEIGHBOUR_S)
    return np.array(took_s)


def document(server: str, asked: ByteRate, found: Probed) -> dict[str, Any]:
    """What `gridlab limits --json` prints."""
    rate = _estimate([each.rate_bytes_per_s for each in found.trains])
    burst = _estimate([each.burst_bytes for each in found.trains])
    off = None if rate["value"] is None else rate["value"] / asked.rate - 1.0
    missing = None if burst["value"] is None else burst["value"] - asked.burst
    model = predicted(server.partition(" ")[0], asked, found.ping_s)
    verdicts = []
    if found.shape != "delay":
        verdicts.append(f"the limiter does not delay: {found.shape}")
    if off is None:
        verdicts.append("no limit was seen")
    elif abs(off) > RATE_OFF:
        verdicts.append(f"the rate is {off:+.0%} of what is configured")
    if missing is not None and abs(missing) > BURST_OFF * asked.burst + CHUNK_BYTES / 2:
        verdicts.append(
            f"the burst is {burst['value']:,.0f} B where {asked.burst:,.0f} B is configured"
        )
    return {
        "server": server,
        "configured": {"rate_bytes_per_s": asked.rate, "burst_bytes": asked.burst},
        "predicted": {
            "rate_bytes_per_s": model.rate_bytes_per_s,
            "burst_bytes": model.burst_bytes,
            "ping_s": found.ping_s,
        },
        "rate_bytes_per_s": rate,
        "burst_bytes": burst,
        "rate_error": off,
        "burst_error_bytes": missing,
        "shape": found.shape,
        "answered": found.answered,
        "sent": found.sent,
        "neighbour_s": {
            "calm_p50": _quantile(found.calm_s, 0.5),
            "meanwhile_p50": _quantile(found.meanwhile_s, 0.5),
            "meanwhile_p99": _quantile(found.meanwhile_s, 0.99),
        },
        "findings": verdicts,
    }


def _estimate(values: list[float]) -> Estimate:
    parts = np.array(values)
    middle = float(parts.mean()) if len(parts) else float("nan")
    return Sample(middle, parts, reason="" if len(parts) else "no train was delayed").estimate()


def _quantile(values_s: Floats, q: float) -> float | None:
    return float(np.quantile(values_s, q)) if len(values_s) else None


def render(found: dict[str, Any]) -> str:
    """The same for people."""
    asked, rate, burst = found["configured"], found["rate_bytes_per_s"], found["burst_bytes"]
    neighbour = found["neighbour_s"]

    def shown(estimate: Estimate) -> str:
        if estimate["value"] is None:
            return str(estimate.get("reason", "–"))
        if estimate["low"] is None or estimate["high"] is None:
            return f"{estimate['value']:,.0f}"
        return f"{estimate['value']:,.0f} [{estimate['low']:,.0f} .. {estimate['high']:,.0f}]"

    lines = [
        f"{found['server']}: configured {asked['rate_bytes_per_s']:,.0f} B/s, burst "
        f"{asked['burst_bytes']:,.0f} B",
        f"  measured rate {shown(rate)} B/s, burst {shown(burst)} B; {found['shape']}, "
        f"{found['answered']} of {found['sent']} answered",
        f"  the model says {found['predicted']['rate_bytes_per_s']:,.0f} B/s, "
        f"{found['predicted']['burst_bytes']:,.0f} B",
        f"  a neighbour's ping takes {1e3 * (neighbour['calm_p50'] or 0):.2g} ms, meanwhile "
        f"{1e3 * (neighbour['meanwhile_p50'] or 0):.2g} ms (p99 "
        f"{1e3 * (neighbour['meanwhile_p99'] or 0):.2g} ms)",
    ]
    return "\n".join([*lines, *(f"  {each}" for each in found["findings"] or ["as configured"])])
