"""One generator process: it opens its sessions, waits for the common start, plays, hands over.

`python -m loadtest.share SPEC` is started by `loadtest.engine`. It reads commands and tells events
as lines of JSON, over its standard input and output; what it measures goes to files (`spool`). It
ends at once when its parent does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import logging
import os
import resource
import signal
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtest import processes
from loadtest.actions import ActionLog
from loadtest.client import Endpoint, Session
from loadtest.counting import CountingSession
from loadtest.monitor import Monitor, Window
from loadtest.observation import resident_bytes
from loadtest.problems import LoadError
from loadtest.reactor import Reactor
from loadtest.receiver import DeliveryLog, columns
from loadtest.script import Script
from loadtest.shares import COMPILED_FROM, Login, Prune, Spec
from loadtest.spool import Spool
from loadtest.subscriptions import end_others, subscribe
from results import environment

REPORT_LOGINS_S = 0.25
PATIENCE_S = 1e-3  # see `reactor.Reactor`; epoll waits for whole milliseconds
_PR_SET_TIMERSLACK = 29


class Share:
    """Sessions of one process; what they do once online is a subclass's."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.log = DeliveryLog()
        self.spool = Spool(spec.result)
        self.script = Script(**spec.script) if spec.script else None
        self.actions = ActionLog()
        self.problems: list[str] = []  # that a scenario met with
        self.slow: set[int] = set()  # Platforms that leave deliveries unread on purpose
        self.sessions: list[Session | CountingSession] = []
        self._asked_s: list[float] = []  # what subscribing took, since last told
        self.start_ns = self._told = 0
        self._first: tuple[float, int] | None = None  # CPU time and memory with one session online
        contexts = {door.ca_file: _context(door.ca_file) for door in spec.doors.values()}
        self._endpoints = {
            name: Endpoint(door.address, door.port, door.domain, door.tls, contexts[door.ca_file])
            for name, door in spec.doors.items()
        }

    def prepare(self) -> None:
        """Nobody is online yet: what takes a while is done now."""

    def open(self, login: Login) -> Session:
        """A session that is not yet online."""
        return Session(
            login.jid,
            login.password,
            self._endpoints[login.door],
            number=max(login.platform, 0),
            tag=self.spec.tag,
            log=self.log,
        )

    def online(self, session: Session) -> Session | CountingSession:
        """A session that has just come online, as it is to stay."""
        return session

    def stand_by(self) -> None:
        """All are online; the start is near."""

    async def play(self) -> None:
        """Do what this share is for, from `start_ns` on."""

    async def wind_up(self) -> None:
        """All is over."""

    def window(self) -> dict[str, Any]:
        """What happened since the last window, beside what every process measures."""
        return {}

    def count(self) -> dict[str, int]:
        """Running totals, for the drain."""
        return {}

    def facts(self) -> dict[str, Any]:
        """What to say at the end, beside what every process says."""
        return {}

    async def run(self) -> None:
        """Log in, wait for the start, play until told to finish, hand over."""
        commands = await _commands()
        self.prepare()
        gc.freeze()  # a compiler's objects need not be walked while sessions log in
        await self._log_in()
        gc.collect()
        gc.freeze()
        self.stand_by()
        tell(event="ready", **self._login_costs())
        self.start_ns = (await commands.get())["start_ns"]
        monitor = Monitor(self.sessions, self._close, self.slow)
        watching = asyncio.ensure_future(monitor.run(self.start_ns))
        playing = asyncio.ensure_future(self.play())
        while "finish" not in (command := await commands.get()):
            if "halt" in command:
                playing.cancel()
            else:
                tell(event="count", **self.count())
        for task in (watching, playing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.wind_up()
        tell(event="rest", role=self.spec.role, **self.window())
        self._hand_over()
        tell(event="done")

    def _close(self, window: Window) -> None:
        tell(event="window", role=self.spec.role, **vars(window), **self.window())

    async def _log_in(self) -> None:
        reporting = asyncio.ensure_future(self._report_logins())
        turns = asyncio.Semaphore(self.spec.concurrent_logins)
        begun_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                for prune in self.spec.prunes:
                    group.create_task(self._prune(prune))
                for place in range(len(self.spec.logins)):
                    due_s = begun_s + place / self.spec.logins_per_s
                    group.create_task(self._bring_online(place, due_s, turns))
        except* LoadError as problems:
            first: BaseException = problems
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise LoadError(str(first)) from None
        finally:
            reporting.cancel()
        self._tell_logins()

    async def _bring_online(self, place: int, due_s: float, turns: asyncio.Semaphore) -> None:
        async with turns:
            await asyncio.sleep(due_s - asyncio.get_running_loop().time())
            session = self.open(self.spec.logins[place])
            await session.login()
            by_broker: dict[str, list[str]] = {}
            for topic in self.spec.topics_of[place]:
                node = self.spec.nodes[topic]
                by_broker.setdefault(node.broker, []).append(node.name)
            for broker, topics in by_broker.items():
                begun_s = time.monotonic()
                await subscribe(session, broker, topics)
                self._asked_s.append(time.monotonic() - begun_s)
            if by_broker and session.transport is not None:
                # The bare JID's deliveries go to sessions with presence.
                session.transport.write(b"<presence/>")
            self.sessions.append(self.online(session))
            self._first = self._first or _used()

    def _login_costs(self) -> dict[str, float]:
        """CPU time [s] and memory [B] of each session but the first, which loads what all need."""
        now, first, more = _used(), self._first, len(self.sessions) - 1
        if first is None or not more:
            return {}
        return {
            "login_cpu_s": (now[0] - first[0]) / more,
            "session_rss_bytes": (now[1] - first[1]) / more,
        }

    async def _prune(self, prune: Prune) -> None:
        owner = self.open(prune.owner)
        try:
            await owner.login()
            for topic, expected in prune.expected:
                node = self.spec.nodes[topic]
                await end_others(owner, node.broker, node.name, frozenset(expected))
        finally:
            owner.leave()

    async def _report_logins(self) -> None:
        while True:
            await asyncio.sleep(REPORT_LOGINS_S)
            self._tell_logins()

    def _tell_logins(self) -> None:
        """How many are online, and how long the newest took, as (bin, count) pairs."""
        from results import histogram

        newest = self.sessions[self._told :]
        self._told += len(newest)
        took_s = [(each.timeline.bound_ns - each.timeline.began_ns) / 1e9 for each in newest]
        asked_s, self._asked_s = self._asked_s, []
        tell(
            event="online",
            count=self._told,
            login=histogram.pairs(took_s),
            query=histogram.pairs(asked_s),
        )

    def _hand_over(self) -> None:
        more = self.facts()
        self.spool.finish(
            {
                "role": self.spec.role,
                "foreign": self.log.foreign,
                "others": self.log.others,
                "checked": self.log.checked,
                "mismatches": self.log.mismatches,
                "sessions": len(self.sessions),
                "lost_sessions": [(each.number, each.lost) for each in self.sessions if each.lost],
                "peak_rss_bytes": environment.peak_rss_bytes(),
                "logins_ns": [each.timeline.instants() for each in self.sessions],
                "problems": self.problems,
                "actions": self.actions.rows,
                **more,
            }
        )
        for session in self.sessions:
            session.leave()


class ReceiveShare(Share):
    """Sessions that subscribe; the transport and the log do the work."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        with np.load(spec.plan_file) as plan:
            self._intended_s = plan["intended_s"]
            by_topic = np.bincount(plan["topic"], minlength=len(spec.nodes))
        self._expected = sum(int(by_topic[list(each)].sum()) for each in spec.topics_of)
        self._read_bytes = 0
        self._interpreted_because: str | None = None

    def prepare(self) -> None:
        """Let compiled code read the sessions that count, where that pays."""
        if self.spec.receivers != "counting":
            self._interpreted_because = f"receivers: {self.spec.receivers}"
        elif self._expected < COMPILED_FROM:
            self._interpreted_because = f"fewer than {COMPILED_FROM:,} deliveries are expected"
        else:
            self._interpreted_because = Reactor.of_loop().compile(self.log, self.spec.tag)

    def online(self, session: Session) -> Session | CountingSession:
        """What the spec's `receivers` says."""
        if self.spec.receivers in ("counting", "interpreted"):
            return CountingSession(session, self.spec.tag, self.log)
        if self.spec.receivers == "stock":
            session.read_as_usual(self.spec.tag, self.log)
        return session

    def stand_by(self) -> None:
        """Count bytes from here on, and wait for sockets only; the sessions do the rest."""
        self._reactor = Reactor.of_loop()
        self._reactor.patience_s = PATIENCE_S
        self._read_bytes = self._reactor.read_bytes

    def window(self) -> dict[str, Any]:
        """Deliveries of the window, their latency as (bin, count) pairs, and the delay in here."""
        from results import histogram

        rows = self.log.take()
        self.spool.append(rows)
        publication, session, received_ns, delay_ns, _ = columns(rows)
        known = publication < len(self._intended_s)
        # As the record's tables reckon it, so that no latency falls into another bin there.
        received_s = (received_ns[known] - self.start_ns) / 1e9
        latency_s = received_s - self._intended_s[publication[known]]
        read_bytes = self._reactor.read_bytes - self._read_bytes
        self._read_bytes += read_bytes
        return {
            "deliveries": len(publication),
            "read_bytes": read_bytes,
            "delay_s": self._delay_s(session, delay_ns),
            "latency": histogram.pairs(latency_s),
        }

    def _delay_s(self, session: npt.NDArray[np.uint32], delay_ns: npt.NDArray[np.int64]) -> float:
        """p99 of the delay from the kernel to here, sessions apart that are slow on purpose. [s]"""
        counted = delay_ns[~np.isin(session, list(self.slow))] if self.slow else delay_ns
        return float(np.quantile(counted, 0.99)) / 1e9 if len(counted) else 0.0

    def count(self) -> dict[str, int]:
        """Deliveries so far."""
        return {"deliveries": len(self.log)}

    def facts(self) -> dict[str, Any]:
        """By which path deliveries came, once the rest of the log is on disk."""
        self.spool.append(self.log.take())
        compiled = Reactor.of_loop().compiled
        noted = compiled.noted if compiled else 0
        path = {
            "compiled": noted,
            "interpreted": len(self.log) - noted,
            "because": compiled.refused if compiled else self._interpreted_because,
        }
        return {"receive_path": path}


def _used() -> tuple[float, int]:
    """CPU time [s] and memory [B] of this process."""
    return time.process_time(), resident_bytes(os.getpid())


def tell(**event: object) -> None:
    """Send one event to the parent."""
    os.write(1, json.dumps(event).encode() + b"\n")


async def _commands() -> asyncio.Queue[dict[str, Any]]:
    """Commands from the parent as they come; when it closes the pipe, this process ends."""
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )

    async def read() -> None:
        while line := await reader.readline():
            queue.put_nowait(json.loads(line))
        os._exit(1)

    queue.reader = asyncio.ensure_future(read())  # type: ignore[attr-defined]
    return queue


def _context(ca_file: str) -> ssl.SSLContext:
    """One TLS context for all sessions of a Controller; making one costs 70 ms."""
    return ssl.create_default_context(cafile=ca_file)


def settle_in(spec: Spec) -> None:
    """Tie the process to its parent and its cores, and let it open files and wake on time."""
    processes.die_with_parent(spec.parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    if spec.cores:
        os.sched_setaffinity(0, spec.cores)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    logging.getLogger("slixmpp").setLevel(logging.CRITICAL)  # what matters comes as a LoadError


def main(path: str) -> int:
    """Run the share that the spec file describes; exit code 2 where it cannot be played."""
    spec = Spec.read(Path(path))
    Path(path).unlink()  # it holds passwords, and nobody else needs it
    settle_in(spec)
    if spec.role == "publish":
        from loadtest.publisher import PublishShare

        share: Share = PublishShare(spec)
    elif spec.role == "act":
        from loadtest import acts

        share = acts.stage(spec)
    elif spec.script and spec.script["receivers"]:
        from loadtest.receiving import ActingReceivers

        share = ActingReceivers(spec)
    else:
        share = ReceiveShare(spec)
    try:
        asyncio.run(share.run())
    except LoadError as problem:
        with contextlib.suppress(BrokenPipeError):
            tell(event="failed", problem=str(problem))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
