"""One bout of a comparison: some receivers, one publisher of ours, one server, and what each pays.

Every contender is measured alike, from outside: CPU time of its process from just before the first
publication until its last delivery, less what it uses while nothing happens.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from loadtest import shares, tsung
from loadtest.generator import Generator
from loadtest.grid import Grid
from loadtest.observation import cpu_s
from loadtest.problems import LoadError
from loadtest.spool import Spool

if TYPE_CHECKING:
    from topologies.schema import Topology

Instants = npt.NDArray[Any]

LOGINS_PER_S = 200.0
CONCURRENT_LOGINS = 16
LOGIN_COSTS = ("login_cpu_s", "session_rss_bytes")
QUIET_S = 2.0
PAYLOAD_BYTES = 700
NODE = "incidents"

TOPOLOGY = """
schema: 1
name: bench-load
controllers:
  - {{name: alpha, domain: grid.test, profile: {profile}}}
brokers:
  - {{name: broker, controller: alpha}}
topics:
  - {{name: incidents, broker: broker, payload: {{kind: opaque, size: 700 B}}}}
platforms:
  - {{name: sensor, count: {publishers}, controller: alpha, publishes: [incidents]}}
  - {{name: tool, count: {subscribers}, controller: alpha, subscribes: [incidents]}}
workload:
  duration: 10 s
  arrivals:
    - {{topic: incidents, by: sensor, process: {process}, rate: 1/s}}
"""


def topology(
    subscribers: int,
    publishers: int = 1,
    profile: str = "prosody-0.12",
    process: str = "deterministic",
) -> Topology:
    """One Topic, its subscribers and publishers; the bouts bring their own plan."""
    import topologies

    text = TOPOLOGY.format(
        profile=profile, publishers=publishers, subscribers=subscribers, process=process
    )
    return topologies.parse(text, "bench-load")


@dataclass(frozen=True)
class Cost:
    """What a contender paid.

    Attributes
    ----------
    count : int
        Deliveries, or publications.
    cpu_s, server_cpu_s : float
        CPU time of each, the contender's and the server's. [s]
    busy : float
        CPU time of the contender over the time it took. [1]
    login_cpu_s : float or None
        CPU time of a login. [s]
    session_rss_bytes : float or None
        Memory of a session. [B]
    """

    count: int
    cpu_s: float
    server_cpu_s: float
    busy: float
    login_cpu_s: float | None = None
    session_rss_bytes: float | None = None


class Receivers(Protocol):
    """Sessions that are online and subscribed."""

    pid: int

    def begin(self, start_ns: int) -> None:
        """Learn when the first publication is due."""

    def listen(self) -> None:
        """Take what they tell about each second: who is not heard stands still at a full pipe."""

    def received(self, expected: int) -> int:
        """Deliveries so far; `expected` of them once all have come."""


@dataclass(frozen=True)
class Ring:
    """Where bouts take place: a grid with a server on some cores, contenders on others.

    Parameters
    ----------
    grid, topology
        Deployed for `topology(...)`.
    core : int
        The contender's processor.
    publisher_core : int
        The publisher's; the server is on it as well where there are but two.
    """

    grid: Grid
    topology: Topology
    core: int
    publisher_core: int
    tag: str = field(default_factory=lambda: f"r{secrets.token_hex(4)}")

    @property
    def served(self) -> dict[str, Any]:
        """The Controller."""
        served: dict[str, Any] = self.grid.document()["controllers"]["alpha"]
        return served

    def accounts(self, population: str) -> dict[str, str]:
        """Password by local part."""
        return {
            jid.partition("@")[0]: password
            for jid, password in self.grid.credentials().items()
            if jid.startswith(f"{population}-")
        }

    def specs(
        self,
        directory: Path,
        due_s: Instants,
        receivers: shares.Receivers,
        publishing: int | None = None,
    ) -> list[shares.Spec]:
        """A receiving and a publishing share.

        Publications go round among the publishers, or among so many of them.
        """
        sizes = [each.count for each in self.topology.platforms]
        publishers = np.arange(sizes[0], dtype=np.uint32)
        subscribers = np.arange(sizes[0], sum(sizes), dtype=np.uint32)
        plan_file = directory / "plan.npz"
        np.savez(
            plan_file,
            intended_s=due_s,
            publisher=np.arange(len(due_s), dtype=np.uint32) % (publishing or sizes[0]),
            topic=np.zeros(len(due_s), dtype=np.uint16),
            payload_bytes=np.full(len(due_s), PAYLOAD_BYTES, dtype=np.uint32),
        )
        terms = shares.Terms(
            tag=self.tag,
            logins_per_s=LOGINS_PER_S,
            concurrent_logins=CONCURRENT_LOGINS,
            cores=(self.core,),
            tls="starttls",
            receivers=receivers,
            directory=str(directory),
            plan_file=str(plan_file),
        )
        cast = shares.Cast((subscribers,), publishers)
        made = shares.specs(
            self.topology, cast, self.grid.document(), self.grid.credentials(), terms
        )
        # Nobody's subscription is ended: other contenders have theirs. Each role logs in by itself.
        return [
            replace(spec, prunes=(), logins_per_s=LOGINS_PER_S, concurrent_logins=CONCURRENT_LOGINS)
            for spec in made
        ]


class Own:
    """Receivers of ours."""

    def __init__(self, generator: Generator, costs: Mapping[str, float]) -> None:
        self._generator = generator
        self.pid = generator.pid(0)
        self.costs = costs

    def deliveries(self) -> Instants:
        """Rows of the delivery log, once the process has handed over."""
        self._generator.tell(finish=True)
        for _ in self._generator.wait_for("done", 30.0):
            pass
        return Spool(self._generator.specs[0].result).read_deliveries()

    def begin(self, start_ns: int) -> None:
        """Learn when the first publication is due."""
        self._generator.tell(start_ns=start_ns)

    def listen(self) -> None:
        """Take what the process tells about each second.

        Raises
        ------
        LoadError
            It has ended.
        """
        for event in self._generator.events(0.0):
            if event["event"] == "ended":
                raise LoadError(event["why"])

    def received(self, expected: int) -> int:
        """Deliveries so far."""
        self._generator.tell(count=True)
        deadline_s = time.monotonic() + 10.0
        while time.monotonic() < deadline_s:
            for event in self._generator.events(1.0):
                if event["event"] == "count":
                    return int(event["deliveries"])
        raise LoadError("the receiving process does not answer")


class Foreign:
    """Receivers of another program: how far they are is seen by the bytes that they took."""

    def __init__(self, pid: int, served: Mapping[str, Any], sessions: int) -> None:
        self.pid = pid
        self._served = served
        deadline_s = time.monotonic() + 60.0 + sessions / tsung.USERS_PER_S
        while len(self._connections()) < sessions:
            if time.monotonic() > deadline_s:
                raise LoadError(f"only {len(self._connections())} of {sessions} sessions connected")
            time.sleep(0.2)
        self._before = self._last = 0
        moved_s = time.monotonic()
        while time.monotonic() < moved_s + tsung.SETTLE_S:
            now = sum(self._connections())
            if now != self._before:
                self._before = self._last = now
                moved_s = time.monotonic()
            time.sleep(0.2)

    def _connections(self) -> list[int]:
        return connection_bytes(self._served, self.pid, "received")

    def begin(self, start_ns: int) -> None:
        """Nothing to be told."""

    def listen(self) -> None:
        """Nothing to be heard."""

    def received(self, expected: int) -> int:
        """Zero until no more bytes come, then `expected` if there were enough of them."""
        time.sleep(0.2)
        before, self._last = self._last, sum(self._connections())
        enough = self._last - self._before >= expected * PAYLOAD_BYTES
        return expected if enough and self._last == before else self._last == before


def connection_bytes(
    served: Mapping[str, Any], pid: int, direction: Literal["sent", "received"]
) -> list[int]:
    """Bytes that each connection of a process to a Controller has carried (tcp_info). [B]"""
    where = f"dst = {served['address']} and dport = :{served['port']}"
    command = ["ss", "-Htnpi", "state", "established", where]
    told = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    count = re.compile(rf"bytes_{direction}:(\d+)")
    return [
        int(found[1]) if (found := count.search(each)) else 0
        for each in re.split(r"\n(?=\d)", told)
        if f"pid={pid}," in each
    ]


@contextmanager
def own(ring: Ring, receivers: shares.Receivers, due_s: Instants) -> Iterator[Own]:
    """Our receivers, all online, for publications that are due at these instants."""
    with tempfile.TemporaryDirectory(prefix="gridlab-bout-") as place:
        spec = ring.specs(Path(place), due_s, receivers)[0]
        with Generator(Path(place), [spec]) as generator:
            yield Own(generator, online(generator))


@contextmanager
def of_tsung(ring: Ring) -> Iterator[Foreign]:
    """Tsung's receivers, all online."""
    served, accounts = ring.served, ring.accounts("tool")
    work = tsung.subscribing(f"broker.{served['domain']}", NODE, served["domain"])
    with (
        tempfile.TemporaryDirectory(prefix="gridlab-bout-") as place,
        tsung.running(Path(place), served, accounts, work, (ring.core,)) as pid,
    ):
        yield Foreign(pid, served, len(accounts))


def online(generator: Generator) -> dict[str, float]:
    """Wait until the processes are online; what a session of the first of them cost."""
    costs: dict[str, float] = {}
    for event in generator.wait_for("ready", 180.0):
        if event["event"] == "ready" and not event["place"]:
            costs = {name: event[name] for name in LOGIN_COSTS if name in event}
    return costs


def measure(ring: Ring, receivers: Receivers, due_s: Instants, idle_s: float) -> Cost:
    """Publish to receivers that are online; what they and the server pay.

    Parameters
    ----------
    ring, receivers
        Where, and who.
    due_s : ndarray
        When publications are due. [s]
    idle_s : float
        How long to watch before what the receivers use while nothing happens. [s]
    """
    expected = len(due_s) * ring.topology.platforms[1].count
    with tempfile.TemporaryDirectory(prefix="gridlab-bout-") as place:
        spec = replace(ring.specs(Path(place), due_s, "counting")[1], cores=(ring.publisher_core,))
        with Generator(Path(place), [spec]) as publisher:
            online(publisher)
            server = ring.grid.server_pid("alpha")
            idle = cpu_s(receivers.pid)
            time.sleep(idle_s)
            idle_rate = (cpu_s(receivers.pid) - idle) / idle_s
            before_s, before = time.monotonic(), (cpu_s(receivers.pid), cpu_s(server))
            start_ns = time.monotonic_ns() + 250_000_000
            receivers.begin(start_ns)
            publisher.tell(start_ns=start_ns)
            count = _until_all_came(publisher, receivers, expected, float(due_s[-1]))
            took_s = time.monotonic() - before_s
            used = (cpu_s(receivers.pid) - before[0], cpu_s(server) - before[1])
    if not count:
        raise LoadError("nothing was delivered")
    return Cost(
        count=count,
        cpu_s=(used[0] - idle_rate * took_s) / count,
        server_cpu_s=used[1] / count,
        busy=used[0] / took_s,
    )


def _until_all_came(
    publisher: Generator, receivers: Receivers, expected: int, duration_s: float
) -> int:
    """Wait for the last delivery, or until none has come for a while; how many came."""
    for _ in publisher.wait_for("played", duration_s + 60.0):  # it tells something each second
        receivers.listen()
    count, moved_s = -1, time.monotonic()
    while time.monotonic() < moved_s + QUIET_S:
        now = receivers.received(expected)
        if now >= expected:
            return expected
        if now != count:
            count, moved_s = now, time.monotonic()
        time.sleep(0.02)
    return count
