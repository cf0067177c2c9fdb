"""One bout of publishing, with nobody subscribed: ours, Tsung or C, and what a publication costs.

Ours keeps deadlines, matches the result of every publication and keeps the books meanwhile; the C
program keeps the same deadlines and counts results; Tsung sends and does not look at them. None
waits for results.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from loadtest import floor, shares, tsung
from loadtest.bout import NODE, PAYLOAD_BYTES, Cost, Instants, Ring, connection_bytes, online
from loadtest.generator import Generator
from loadtest.observation import cpu_s
from loadtest.problems import LoadError
from loadtest.spool import NEVER, Spool

LOGIN_BYTES: Final = 4_000  # more than a client sends until it is online
ANSWERED_WITHIN_S: Final = 5.0
_LONGEST_S: Final = 120.0


@dataclass(frozen=True)
class Pace:
    """How publications follow one another.

    Parameters
    ----------
    name : str
        What to call it.
    sessions : int
        How many publish, in turn.
    rate_per_s : float
        Of all of them. [1/s]
    together : bool
        Whether one of each session is due at the same instant, so that they are written as fast as
        can be; otherwise each has an instant of its own.
    """

    name: str
    sessions: int
    rate_per_s: float
    together: bool

    def due_s(self, duration_s: float) -> Instants:
        """When publications are due. [s]"""
        count = round(self.rate_per_s * duration_s) // self.sessions * self.sessions
        number = np.arange(count) // self.sessions * self.sessions if self.together else None
        return (np.arange(count) if number is None else number) / self.rate_per_s

    @property
    def think_s(self) -> float:
        """How long a session of Tsung's is to wait between two; 0 where it shall not. [s]"""
        return 0.0 if self.together or self.sessions == 1 else self.sessions / self.rate_per_s


@dataclass(frozen=True)
class PublishCost(Cost):
    """What a publisher paid.

    Attributes
    ----------
    lateness_s : float or None
        p99 of sent minus intended; None where nothing was intended. [s]
    """

    lateness_s: float | None = None


def own(
    ring: Ring, pace: Pace, duration_s: float, receivers: shares.Receivers = "counting"
) -> PublishCost:
    """Publish with our publisher; what it and the server pay.

    Raises
    ------
    LoadError
        Not all publications were sent and answered.
    """
    due_s = pace.due_s(duration_s)
    with tempfile.TemporaryDirectory(prefix="gridlab-bout-") as place:
        spec = ring.specs(Path(place), due_s, receivers, pace.sessions)[1]
        spec = replace(spec, cores=(ring.core,), logins=spec.logins[: pace.sessions])
        with Generator(Path(place), [spec]) as publisher:
            costs = online(publisher)
            pid, server = publisher.pid(0), ring.grid.server_pid("alpha")
            before_s, before = time.monotonic(), (cpu_s(pid), cpu_s(server))
            start_ns = time.monotonic_ns() + 250_000_000
            publisher.tell(start_ns=start_ns)
            for _ in publisher.wait_for("played", float(due_s[-1]) + 60.0):
                pass
            _until_answered(publisher)
            used, took_s = (cpu_s(pid) - before[0]), time.monotonic() - before_s
            served_s = cpu_s(server) - before[1]
            publisher.tell(finish=True)
            for _ in publisher.wait_for("done", 30.0):
                pass
        _, sent_ns, answered_ns, _ = Spool(spec.result).read_publications()
    count = len(due_s)
    if (missing := np.count_nonzero((sent_ns == NEVER) | (answered_ns == NEVER))) > 0:
        raise LoadError(f"{missing} of {count} publications were not answered")
    late_s = np.quantile((sent_ns - start_ns) / 1e9 - due_s, 0.99)
    return PublishCost(
        count, used / count, served_s / count, used / took_s, **costs, lateness_s=float(late_s)
    )


def _until_answered(publisher: Generator) -> None:
    deadline_s = time.monotonic() + ANSWERED_WITHIN_S
    while time.monotonic() < deadline_s:
        time.sleep(0.1)
        publisher.tell(count=True)
        for event in publisher.events(1.0):
            if event["event"] == "count" and not event["unanswered"]:
                return


def of_c(ring: Ring, pace: Pace, duration_s: float, program: Path) -> PublishCost:
    """Publish with as many sessions of the C program.

    Raises
    ------
    LoadError
        Not all publications were answered.
    """
    due_s = pace.due_s(duration_s)
    count, together = len(due_s), pace.sessions if pace.together else 1
    accounts = dict(list(ring.accounts("sensor").items())[: pace.sessions])
    work = (count, pace.rate_per_s, together)
    with floor.running(program, ring.served, accounts, NODE, (ring.core,), work) as child:
        server = ring.grid.server_pid("alpha")
        before_s, before = time.monotonic(), (cpu_s(child.pid), cpu_s(server))
        answered, late_ns = child.publish(time.monotonic_ns() + 250_000_000)
        used, took_s = cpu_s(child.pid) - before[0], time.monotonic() - before_s
        served_s = cpu_s(server) - before[1]
    if answered != count:
        raise LoadError(f"{count - answered} of {count} publications of C were not answered")
    return PublishCost(
        count, used / count, served_s / count, used / took_s, lateness_s=late_ns / 1e9
    )


def of_tsung(ring: Ring, pace: Pace, duration_s: float) -> PublishCost:
    """Publish with as many sessions of Tsung, which never look at the answers."""
    each = round(pace.rate_per_s * duration_s) // pace.sessions
    served = ring.served
    accounts = dict(list(ring.accounts("sensor").items())[: pace.sessions])
    work = tsung.publishing(
        f"broker.{served['domain']}", NODE, each, PAYLOAD_BYTES, pace.sessions, pace.think_s
    )
    used: list[tuple[float, float, int]] = []  # time, CPU time, bytes sent so far
    least_bytes = pace.sessions * each * PAYLOAD_BYTES
    deadline_s = time.monotonic() + _LONGEST_S
    with (
        tempfile.TemporaryDirectory(prefix="gridlab-bout-") as place,
        tsung.running(Path(place), served, accounts, work, (ring.core,)) as pid,
    ):
        while len(used) < 5 or used[-5][2] < max(used[-1][2], least_bytes):
            if time.monotonic() > deadline_s:
                raise LoadError("tsung did not publish in time")
            sent = sum(connection_bytes(served, pid, "sent"))
            used.append((time.monotonic(), cpu_s(pid), sent))
            time.sleep(0.1)
    begun = max(k for k, each in enumerate(used) if each[2] < LOGIN_BYTES * pace.sessions)
    ended = next(k for k, each in enumerate(used) if each[2] == used[-1][2])
    # It is looked at now and then only: bytes tell which part of all publications fell in between.
    logins = statistics.mode(row[2] for row in used[: begun + 1] if row[2])
    share = (used[ended][2] - used[begun][2]) / (used[ended][2] - logins)
    count = pace.sessions * each * share
    spent_s, took_s = used[ended][1] - used[begun][1], used[ended][0] - used[begun][0]
    return PublishCost(round(count), spent_s / count, 0.0, spent_s / took_s)
