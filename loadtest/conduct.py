"""The course of a run: log in, start together, play, drain; and when to stop.

Here the generator's processes are listened to and told what to do next; `loadtest.engine` decides
what is played, and makes a record of what comes back.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loadtest import counters, rails, shares
from loadtest.generator import Generator
from loadtest.harvest import Ended
from loadtest.interrupts import Interrupts
from loadtest.observation import Observation, Observer
from loadtest.problems import DeploymentError, LoadError
from loadtest.script import Script

if TYPE_CHECKING:
    from loadtest.engine import Settings
    from loadtest.grid import Grid
    from topologies.plan import Block
    from topologies.schema import Topology

CONCURRENT_LOGINS = 16
START_LEAD_S = 0.25
LATE_S = 10.0  # a pacer that is behind by this much at the end is stopped
STOPPED_DRAIN_S = 1.0
BY_HAND = "stopped by hand"  # why a run ended early, where it was Ctrl-C
QUIET_S = 2.0
QUIET_UNANSWERED_S = 10.0
_POLL_S = 0.1

Progress = Callable[[Mapping[str, Any]], None]
Start = Callable[[], int]


def soon_ns() -> int:
    """An instant that every process hears of before it has come. [ns]"""
    return time.monotonic_ns() + int(START_LEAD_S * 1e9)


class Conduct:
    """One run from the first login to the last delivery."""

    def __init__(
        self,
        topology: Topology,
        grid: Grid,
        rows: Block,
        cast: shares.Cast,
        settings: Settings,
        directory: Path,
        progress: Progress | None,
        script: Script | None = None,
    ) -> None:
        self._topology, self._grid, self._rows, self._cast = topology, grid, rows, cast
        self._settings, self._directory, self._script = settings, directory, script
        self._progress = progress or (lambda news: None)
        self.created = datetime.now(UTC)
        self.start_ns = 0
        self.played_s = 0.0
        self.stopped: str | None = None
        self._interrupts = Interrupts()
        self.observations: dict[str, Observation] = {}
        self.counters: dict[str, dict[str, dict[str, float]]] = {}
        self.ended: dict[int, Ended] = {}
        self.own: dict[int, dict[str, Any]] = {}  # by worker: what it says of its part
        self._online: dict[int, int] = {}
        self._windows = directory / "windows.jsonl"  # not in memory: an hour has thousands
        self._counts: dict[int, dict[str, int]] = {}
        self._publishing: set[int] = set()
        self._checked_s = 0.0

    @property
    def windows(self) -> dict[int, list[dict[str, Any]]]:
        """What each process told of each second, while the run's directory is there."""
        told: dict[int, list[dict[str, Any]]] = {}
        if self._windows.exists():
            with self._windows.open(encoding="utf-8") as stream:
                for line in stream:
                    window = json.loads(line)
                    told.setdefault(window["place"], []).append(window)
        return told

    def specs(self, parents: tuple[int, ...] = ()) -> list[shares.Spec]:
        """What each process of these parents is to do; writes the plan where they find it."""
        plan_file = self._directory / "plan.npz"
        with plan_file.open("xb") as stream:
            np.savez(
                stream,
                intended_s=self._rows.intended_s,
                publisher=self._rows.publisher,
                topic=self._rows.topic,
                payload_bytes=self._rows.payload_bytes,
            )
        return shares.specs(
            self._topology,
            self._cast,
            self._grid.document(),
            self._grid.credentials(),
            shares.Terms(
                tag=f"r{secrets.token_hex(4)}",
                logins_per_s=self._settings.logins_per_s,
                concurrent_logins=CONCURRENT_LOGINS,
                cores=self._settings.cores,
                tls=self._settings.tls,
                receivers=self._settings.receivers,
                directory=str(self._directory),
                plan_file=str(plan_file),
                parents=parents,
                script=self._script,
            ),
        )

    def _counted(self) -> dict[str, dict[str, float]]:
        """What each server counts of itself, where it tells; before and after, never meanwhile."""
        counted: dict[str, dict[str, float]] = {}
        document = self._grid.document()
        for name in document["controllers"] if document.get("counters") else ():
            with contextlib.suppress(DeploymentError):  # it has ended, which is told elsewhere
                counted[name] = self._grid.counters(name)
        return counted

    def run(self, generator: Generator, duration_s: float, start: Start = soon_ns) -> None:
        """Log in, play, drain, hand over."""
        self._log_in(generator)
        self._publishing = {
            place
            for place, spec in enumerate(generator.specs)
            if spec.role != "receive" or (spec.script and spec.script["receivers"])
        }
        before = self._counted()
        with contextlib.ExitStack() as stack:
            watched = {
                controller: served["pids"] or served["pid"]
                for controller, served in self._grid.document()["controllers"].items()
                if served["pid"] is not None  # a server elsewhere is not seen from here
            } | self._grid.components()
            observers = {
                name: stack.enter_context(Observer(pids)) for name, pids in watched.items()
            }
            self.start_ns = start()
            generator.tell(start_ns=self.start_ns)
            self._play_to_the_end(generator, duration_s)
            self.observations = {name: each.stop() for name, each in observers.items()}
        self.counters = counters.of_run(before, self._counted())
        if self.played_s <= 0.0:
            raise LoadError(f"nothing was played: {self.stopped}")
        with self._interrupts.counted():
            self.take_over(generator)

    def take_over(self, generator: Generator) -> None:
        """Let every process write what it holds, and pass on what it tells meanwhile.

        That is the rest, and the window of a second that closed while the drain was ending.
        """
        generator.tell(finish=True)
        windows: list[dict[str, Any]] = []
        for event in generator.wait_for("done", 30.0 + len(self._rows) / 50_000):
            match event["event"]:
                case "ended":
                    self._bury(generator, event)
                case "window":
                    windows.append(event)
                    self._keep(event)
                case "rest":
                    windows.append(event)
                case "done" if "own" in event:
                    self.own[event["place"]] = event["own"]
        self._report(windows, [])

    def _play_to_the_end(self, generator: Generator, duration_s: float) -> None:
        """Play and drain; Ctrl-C ends the one and shortens the other."""
        self.played_s = duration_s
        with self._interrupts.counted():
            self._play(generator, duration_s)
            if self.stopped:
                elapsed_s = (time.monotonic_ns() - self.start_ns) / 1e9
                self.played_s = min(duration_s, elapsed_s)
            generator.tell(halt=True)
            self._drain(generator, STOPPED_DRAIN_S if self.stopped else self._settings.drain_s)
            if self._interrupts.count:  # also one that nobody has looked at yet
                self.stopped = self.stopped or BY_HAND

    def _log_in(self, generator: Generator) -> None:
        limit_s = 60.0 + 3.0 * self._cast.sessions / self._settings.logins_per_s
        ready: set[int] = set()
        deadline_s = time.monotonic() + limit_s
        while len(ready) < len(generator.specs):
            for event in self._listen(generator):
                if event["event"] == "ready":
                    ready.add(event["place"])
            if self.stopped:
                raise LoadError(f"nothing was played: {self.stopped}")
            if time.monotonic() > deadline_s:
                online = sum(self._online.values())
                raise LoadError(
                    f"only {online} of {self._cast.sessions} sessions are online after "
                    f"{limit_s:.0f} s; let them log in faster, or look at the server's log"
                )

    def _play(self, generator: Generator, duration_s: float) -> None:
        """Until every publishing process has sent its rows, or is hopelessly late."""
        deadline_s = self.start_ns / 1e9 + duration_s + LATE_S
        while self._publishing and not self.stopped and time.monotonic() < deadline_s:
            for _ in self._listen(generator):
                pass
        # The rest of the time, if the last publication is due before the end.
        while not self.stopped and time.monotonic() < self.start_ns / 1e9 + duration_s:
            for _ in self._listen(generator):
                pass

    def _drain(self, generator: Generator, limit_s: float) -> None:
        """Until everything came, or nothing has come for a while."""
        fan_out = np.array([len(platforms) for platforms in self._cast.subscribers])
        intended = int(np.searchsorted(self._rows.intended_s, self.played_s))
        expected = int(fan_out[self._rows.topic[:intended]].sum())
        begun_s = moved_s = time.monotonic()
        delivered, interrupts = -1, self._interrupts.count
        while time.monotonic() < begun_s + limit_s and self._interrupts.count == interrupts:
            generator.tell(count=True)
            asked_s = time.monotonic()
            while time.monotonic() < asked_s + _POLL_S:
                for _ in self._listen(generator, asked_s + _POLL_S - time.monotonic()):
                    pass
            totals = self._totals()
            if totals["deliveries"] != delivered:
                delivered, moved_s = totals["deliveries"], time.monotonic()
            unanswered = totals["unanswered"]
            quiet_s = QUIET_UNANSWERED_S if unanswered else QUIET_S
            complete = delivered >= expected and not unanswered
            if complete or time.monotonic() > moved_s + quiet_s:
                break

    def _totals(self) -> dict[str, int]:
        counts = self._counts.values()
        return {
            name: sum(each.get(name, 0) for each in counts) for name in ("deliveries", "unanswered")
        }

    def _listen(self, generator: Generator, wait_s: float = _POLL_S) -> Iterator[dict[str, Any]]:
        """Take in what the processes tell, pass it on, and see whether the run is to stop."""
        windows: list[dict[str, Any]] = []
        logins: list[Any] = []
        for event in generator.events(wait_s):
            match event["event"]:
                case "online":
                    self._online[event["place"]] = event["count"]
                    logins.append({"login": event["login"], "query": event["query"]})
                case "count":
                    self._counts[event["place"]] = event
                case "window":
                    windows.append(event)
                    self._keep(event)
                case "ended":
                    self._bury(generator, event)
                case "played":
                    self._publishing.discard(event["place"])
            yield event
        self._report(windows, logins)
        if self._interrupts.count:
            self.stopped = self.stopped or BY_HAND
        now_s = time.monotonic()
        if now_s > self._checked_s + 2 * _POLL_S:
            self._checked_s = now_s
            self.stopped = self.stopped or self._reason_to_stop()

    def _keep(self, window: Mapping[str, Any]) -> None:
        """Of a window, what counts to the end: its histograms are for those who look on."""
        with self._windows.open("a", encoding="utf-8") as stream:
            kept = {name: each for name, each in window.items() if not isinstance(each, list)}
            stream.write(json.dumps(kept) + "\n")

    def _bury(self, generator: Generator, event: Mapping[str, Any]) -> None:
        """A process has ended in the middle of the run, and its sessions with it."""
        place, spec = event["place"], generator.specs[event["place"]]
        self._publishing.discard(place)
        self._counts.get(place, {}).pop("unanswered", None)
        self.ended[place] = Ended(
            role=spec.role,
            worker=spec.worker,
            after_s=max(0.0, (time.monotonic_ns() - self.start_ns) / 1e9),
            platforms=tuple(login.platform for login in spec.logins),
            why=event["why"],
        )

    def _reason_to_stop(self) -> str | None:
        if stop := rails.stop_file(self._grid.directory):
            return f"{stop} asked for it"
        try:
            self._grid.check()
        except ValueError as problem:
            return str(problem)
        return None

    def _report(self, windows: list[dict[str, Any]], logins: list[Any]) -> None:
        elapsed_s = (time.monotonic_ns() - self.start_ns) / 1e9 if self.start_ns else 0.0
        self._progress(
            {
                "state": self._state(),
                "elapsed_s": max(0.0, elapsed_s),
                "duration_s": self._topology.workload.duration,
                "online": sum(self._online.values()),
                "sessions": self._cast.sessions,
                "windows": windows,
                "logins": logins,
            }
        )

    def _state(self) -> str:
        if not self.start_ns:
            return "logging in"
        return "playing" if self._publishing else "draining"
