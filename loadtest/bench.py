"""What the load engine costs, beside other programs that do the same, on the same servers.

One run, one machine, ratios: the CPU time of a delivery, a login and a publication, and the memory
of a session. The regime is the paced one, in which a test lives: publications at a steady rate, one
delivery a read, a wake-up each. Ours keep their ledger and statistics meanwhile; Tsung and the C
program do not. Contenders take turns, several rounds of them, since a machine's speed wanders: a
figure is the median of its rounds, and what they spread over stands beside it. What nothing is
judged by, ours without compiled code and stock slixmpp, has one round.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np

from loadtest import (
    bench_claims,
    bout,
    deployment,
    floor,
    nullgrid,
    publishing_bout,
    shares,
    spinner,
    tsung,
)
from loadtest.bout import Cost, Ring
from loadtest.observation import cpu_s
from loadtest.problems import LoadError
from loadtest.promises import Promise
from loadtest.publishing_bout import Pace, PublishCost

Progress = Callable[[float, str], None]
Paid = TypeVar("Paid", bound=Cost)
Server = Literal["null", "prosody", "ejabberd"]

DELIVERIES_PER_S: dict[str, float] = {"null": 20_000.0, "prosody": 4_000.0, "ejabberd": 4_000.0}
STOCK_PER_S = 5_000.0  # slixmpp's own handlers manage no more than twice that
PACES = (
    Pace("one session", 1, 8_192.0, together=False),
    Pace("together", 256, 8_192.0, together=True),
    Pace("apart", 256, 8_192.0, together=False),
)
PUBLISHERS = ("counting", "interpreted", "floor", "tsung")
ONCE = ("interpreted", "stock")  # nothing is judged by them
DURATION_S = 3.0  # of a bout
IDLE_S = 1.0
PROFILES = {"null": "prosody-0.12", "prosody": "prosody-0.12", "ejabberd": "ejabberd-23"}


@dataclass(frozen=True)
class Arm:
    """One comparison to make."""

    server: Server
    sessions: int
    contender: str

    def __str__(self) -> str:
        return f"{self.contender}, {self.sessions} sessions on {self.server}"


@dataclass
class Bench:
    """All that is compared in one run.

    Parameters
    ----------
    quick : bool
        Only the null server, only 200 sessions.
    servers : tuple of str
        Real ones beside the null server.
    rounds : int
        Of those that something is judged by.
    """

    quick: bool = False
    servers: tuple[Server, ...] = ("prosody",)
    rounds: int = 3
    costs: dict[Arm, list[Cost]] = field(default_factory=dict)
    published: dict[tuple[str, str], list[PublishCost]] = field(default_factory=dict)  # pace, whose
    missing: dict[str, str] = field(default_factory=dict)  # contender: why it was left out
    _program: Path | None = None  # C's

    def arms(self) -> list[Arm]:
        """What is to be compared, those on one server one after another."""
        sizes = (200,) if self.quick else (200, 1_000)
        arms = [
            Arm("null", size, name)
            for size in sizes
            for name in ("counting", "interpreted", "floor", "tsung", "full", "stock")
            if size == 200 or name in ("counting", "floor", "tsung")
        ]
        for server in () if self.quick else self.servers:
            arms += [Arm(server, 200, name) for name in ("counting", "tsung", "stock")]
        return arms

    def run(self, progress: Progress) -> None:
        """Let all of them have their bouts."""
        if not tsung.available():
            self.missing["tsung"] = "it is not installed (Debian's package tsung)"
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise LoadError("a bench needs two processors: one for the server, one for contenders")
        arms = self.arms()
        places = list(dict.fromkeys((arm.server, arm.sessions) for arm in arms))
        bouts = sum(self._turns(arm.contender) for arm in arms)
        total = bouts + len(PACES) * sum(map(self._turns, PUBLISHERS))
        done = 0

        def begin(what: str) -> None:
            nonlocal done
            progress(done / total, what)
            done += 1

        with (
            spinner.awake(),
            tempfile.TemporaryDirectory(prefix="gridlab-floor-") as place,
        ):
            self._program = floor.build(Path(place))
            if self._program is None:
                self.missing["floor"] = "it cannot be built (gcc and OpenSSL's headers)"
            for server, sessions in places:
                with self._ring(server, sessions, cores) as ring:
                    here = [arm for arm in arms if (arm.server, arm.sessions) == (server, sessions)]
                    for turn in range(self.rounds):
                        for arm in here:
                            if turn < self._turns(arm.contender):
                                begin(str(arm))
                                self._bout(ring, arm)
            self._publish(cores, begin)

    def _turns(self, contender: str) -> int:
        return 1 if contender in ONCE else self.rounds

    @contextmanager
    def _ring(self, server: Server, sessions: int, cores: list[int]) -> Iterator[Ring]:
        topology = bout.topology(sessions, profile=PROFILES[server])
        with ExitStack() as stack:
            grid = stack.enter_context(
                nullgrid.ephemeral(topology, cores=cores[:1])
                if server == "null"
                else deployment.ephemeral(topology, cores=cores[:1])
            )
            yield Ring(grid, topology, cores[1], cores[0])

    def _bout(self, ring: Ring, arm: Arm) -> None:
        if arm.contender in self.missing:
            return
        per_s = DELIVERIES_PER_S[arm.server]
        if arm.contender == "stock":
            per_s = min(per_s, STOCK_PER_S)
        rate_per_s = per_s / arm.sessions
        due_s = np.arange(1, round(rate_per_s * DURATION_S) + 1) / rate_per_s
        with ExitStack() as stack:
            if arm.contender == "tsung":
                receivers: bout.Receivers = stack.enter_context(bout.of_tsung(ring))
            elif arm.contender == "floor":
                assert self._program is not None
                accounts = ring.accounts("tool")
                receivers = stack.enter_context(
                    floor.running(self._program, ring.served, accounts, bout.NODE, (ring.core,))
                )
            else:
                kind = cast(shares.Receivers, arm.contender)
                receivers = stack.enter_context(bout.own(ring, kind, due_s))
            logged_in_s = cpu_s(receivers.pid)
            cost = bout.measure(ring, receivers, due_s, IDLE_S)
            if isinstance(receivers, floor.Floor):
                cost = replace(cost, login_cpu_s=logged_in_s / arm.sessions)
            if isinstance(receivers, bout.Own):
                costs = receivers.costs
                cost = replace(
                    cost,
                    login_cpu_s=costs.get("login_cpu_s"),
                    session_rss_bytes=costs.get("session_rss_bytes"),
                )
        self._book(arm, cost)

    def _book(self, arm: Arm, cost: Cost) -> None:
        self.costs.setdefault(arm, []).append(cost)

    def _publish(self, cores: list[int], begin: Callable[[str], None]) -> None:
        """Publications one to a write, with nobody subscribed."""
        topology = bout.topology(1, max(pace.sessions for pace in PACES))
        with nullgrid.ephemeral(topology, cores=cores[:1]) as grid:
            ring = Ring(grid, topology, cores[1], cores[1])
            for turn, pace in itertools.product(range(self.rounds), PACES):
                for name in PUBLISHERS:
                    if turn < self._turns(name):
                        begin(f"publishing, {pace.name}, {name}")
                        self._publish_once(ring, pace, name)

    def _publish_once(self, ring: Ring, pace: Pace, name: str) -> None:
        once = f"publishing, {pace.name}, {name}"
        if name in self.missing or once in self.missing:
            return  # what there is of a contender is of the first rounds: they are paired by place
        try:
            if name == "tsung":
                cost = publishing_bout.of_tsung(ring, pace, DURATION_S)
            elif name == "floor":
                assert self._program is not None
                cost = publishing_bout.of_c(ring, pace, DURATION_S, self._program)
            else:
                kind = cast(shares.Receivers, name)
                cost = publishing_bout.own(ring, pace, DURATION_S, kind)
        except LoadError as error:  # what was measured is kept
            self.missing[once] = str(error)
            return
        self.published.setdefault((pace.name, name), []).append(cost)

    def _cost(self, sessions: int, contender: str, server: Server = "null") -> Cost | None:
        """The round in the middle, by CPU time; of an even number, the dearer of both."""
        return _middle(self.costs.get(Arm(server, sessions, contender), []))

    def _publishing(self, pace: Pace, name: str) -> PublishCost | None:
        return _middle(self.published.get((pace.name, name), []))

    def document(self) -> dict[str, Any]:
        """What `gridlab bench load --json` prints."""
        ours, full = self._cost(200, "counting"), self._cost(200, "full")
        assert ours is not None
        publisher = self._publishing(PACES[0], "counting")
        return {
            "delivery": {
                "cpu_us": ours.cpu_s * 1e6,
                "tsung_over_ours": _over(self._cost(200, "tsung"), ours),
                "ours_over_c": _over(ours, self._cost(200, "floor")),
                "interpreted_over_ours": _over(self._cost(200, "interpreted"), ours),
                "stock_over_ours": _over(self._cost(200, "stock"), ours),
                "at": [self._row(arm) for arm in self.costs],
            },
            "login": {
                "cpu_ms": full.login_cpu_s * 1e3 if full and full.login_cpu_s else None,
                "mechanism": "SCRAM-SHA-256, the salted password cached",
                "ours_over_c": _login_over(full, self._cost(200, "floor")),
            },
            "publish": {
                "cpu_us": publisher.cpu_s * 1e6 if publisher else None,
                "tsung_over_ours": _over(self._publishing(PACES[0], "tsung"), publisher),
                "ours_over_c": _over(publisher, self._publishing(PACES[0], "floor")),
                "at": [self._published_row(pace, name) for pace, name in self._publishers()],
            },
            "session": {
                "full_rss_bytes": _bytes(full),
                "counting_rss_bytes": _bytes(ours),
            },
            "missing": self.missing,
            "claims": self._claims(),
        }

    def _claims(self) -> dict[str, Promise]:
        null = {arm: rounds for arm, rounds in self.costs.items() if arm.server == "null"}
        return bench_claims.claims(
            {(arm.sessions, arm.contender): rounds for arm, rounds in null.items()},
            {name: r for (pace, name), r in self.published.items() if pace == PACES[0].name},
        )

    def _publishers(self) -> list[tuple[Pace, str]]:
        pairs = [(pace, name) for pace in PACES for name in PUBLISHERS]
        return [(pace, name) for pace, name in pairs if (pace.name, name) in self.published]

    def _published_row(self, pace: Pace, name: str) -> dict[str, Any]:
        cost = self._publishing(pace, name)
        assert cost is not None
        each_us = [round_.cpu_s * 1e6 for round_ in self.published[pace.name, name]]
        return {
            "pace": pace.name,
            "sessions": pace.sessions,
            "contender": name,
            "cpu_us": cost.cpu_s * 1e6,
            "least_us": min(each_us),
            "most_us": max(each_us),
            "rounds": len(each_us),
            "over_ours": _over(cost, self._publishing(pace, "counting")),
            "busy": cost.busy,
            "lateness_ms": None if cost.lateness_s is None else cost.lateness_s * 1e3,
        }

    def _row(self, arm: Arm) -> dict[str, Any]:
        cost = self._cost(arm.sessions, arm.contender, arm.server)
        assert cost is not None
        each_us = [round_.cpu_s * 1e6 for round_ in self.costs[arm]]
        return {
            "server": arm.server,
            "sessions": arm.sessions,
            "contender": arm.contender,
            "cpu_us": cost.cpu_s * 1e6,
            "least_us": min(each_us),
            "most_us": max(each_us),
            "rounds": len(each_us),
            "server_cpu_us": cost.server_cpu_s * 1e6,
            "over_ours": _over(cost, self._cost(arm.sessions, "counting", arm.server)),
            "busy": cost.busy,
            "deliveries": cost.count,
            "login_cpu_ms": cost.login_cpu_s * 1e3 if cost.login_cpu_s else None,
            "session_rss_bytes": _bytes(cost),
        }


def _middle(rounds: Sequence[Paid]) -> Paid | None:
    """The round in the middle, by CPU time; of an even number, the dearer of both."""
    ranked = sorted(rounds, key=lambda cost: cost.cpu_s)
    return ranked[len(ranked) // 2] if ranked else None


def _over(upper: Cost | None, lower: Cost | None) -> float | None:
    return upper.cpu_s / lower.cpu_s if upper and lower else None


def _login_over(upper: Cost | None, lower: Cost | None) -> float | None:
    if upper is None or lower is None or not upper.login_cpu_s or not lower.login_cpu_s:
        return None
    return upper.login_cpu_s / lower.login_cpu_s


def _bytes(cost: Cost | None) -> int | None:
    return round(cost.session_rss_bytes) if cost and cost.session_rss_bytes else None
