"""Sessions that are resumed (XEP-0198): who may, and what a server keeps for them meanwhile.

A Platform whose connection breaks (`kind: disconnect`, or its Controller dies) tries, once it has
proved who it is, to resume its session before it binds a new one. A server whose session was cut
off keeps the copies that it would have written to it, `queue` of them at most, until `window` has
passed; then, after more copies, or after a crash, it answers no, and the Platform goes on with a
full login. What was kept goes out in order when the Platform's first message after the resumption
is there, a round trip after it. That is a simplification: servers send it at once, before anything
new, and here the copies of that round trip come first. Only writing it costs anything then. Copies
that were on their way as the connection broke arrive, which is an assumption too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim.jobs import Jobs
from sim.logins import steps
from sim.platforms import Residents
from sim.routes import EVERYBODY
from sim.state import (
    ASLEEP,
    GONE,
    PLATFORM_MASK,
    RESUMED,
    ROUND_TRIP,
    Integers,
    Records,
    Server,
)
from sim.stations import Graph
from topologies.schema import Resumption

Mask = npt.NDArray[np.bool_]


class Tickets:
    """Which Platforms will try to resume a session, and what comes after each step of a login.

    Parameters
    ----------
    graph : Graph
        The stations.
    """

    def __init__(self, graph: Graph) -> None:
        stations = {each.node.name: each for each in graph.stations}
        people = graph.topology.platforms
        self._may = np.array([stations[each.controller].node.resumption is not None
                              and each.login is not None for each in people])  # fmt: skip
        self.any = bool(self._may.any())
        self._bind, self._resume = np.full((2, len(people)), -1)
        for number, each in enumerate(people):
            if self._may[number] and each.login is not None:
                ladder = steps(each, each.login, stations[each.controller].profile)
                names = [step.name for step in ladder]
                self._bind[number], self._resume[number] = names.index("bind"), len(names)
        self._held = np.zeros(graph.topology.platform_count if self.any else 0, np.bool_)

    def resumes(self, population: npt.NDArray[np.uint16], step: Integers) -> Mask:
        """Which messages ask to resume a session."""
        return np.asarray(step == self._resume[population])

    def break_off(
        self, platform: Integers, population: npt.NDArray[np.uint16], known: Mask
    ) -> None:
        """Connections break; those `known` knew that they were online."""
        if self.any:
            self._held[platform] |= known & self._may[population]

    def forget(self, platform: Integers) -> None:
        """Platforms have another session now, or know nothing any more."""
        if self.any:
            self._held[platform] = False

    def holding(self, platform: Integers) -> Mask:
        """Who will try."""
        return np.asarray(self._held[platform]) if self.any else np.zeros(len(platform), np.bool_)

    def following(
        self, platform: Integers, population: npt.NDArray[np.uint16], step: Integers
    ) -> Integers:
        """The step after each step that was answered and not the last; a no is remembered."""
        following = step + 1
        if not self.any:
            return following
        refused = self.resumes(population, step)
        self._held[platform[refused]] = False
        following[refused] = self._bind[population[refused]]
        asks = ~refused & (following == self._bind[population]) & self._held[platform]
        following[asks] = self._resume[population[asks]]
        return following


class Keeper:
    """What one server keeps for Platforms that may resume their sessions.

    It has the same methods as `sim.offline.Store`, which keeps things otherwise.

    Parameters
    ----------
    home : Residents
        Its Platforms.
    resumption : Resumption, optional
        For how long; nothing is kept without it.
    """

    layers, next_s = 1, np.inf

    def __init__(self, home: Residents, resumption: Resumption | None) -> None:
        self._home, self._resumption = home, resumption
        self._kept: dict[int, list[Records]] = {}
        self._delay_s = np.array([each.network.delay for each in home.populations])
        self.resent = 0

    def cut_off(self, server: Server, numbers: Integers, asleep: Mask, now_s: float) -> None:
        """These Platforms of a server are gone; sessions of those `asleep` wait for them."""
        offline, processes = server.platforms["offline"], server.processes
        if self._resumption is None:
            offline[numbers] = GONE
        else:
            before = offline[numbers]
            anew = numbers[asleep & (before == 0)]
            away = numbers[~asleep | (before == GONE)]
            offline[anew], offline[away] = ASLEEP, GONE
            processes["resumable_s"][away] = -np.inf
            processes["resumable_s"][anew] = now_s + self._resumption.window
            processes["kept"][anew] = 0
            for number in np.union1d(anew, away).tolist() if self._kept else ():
                self._kept.pop(number, None)
        server.ledger["offline"] = np.count_nonzero(offline)

    def crash(self, server: Server) -> None:
        """The server loses all that it keeps."""
        self._kept = {}

    def due(self, server: Server, now_s: float, kinds: int) -> None:
        """Nothing goes out but what completions release."""

    def mark(self, records: Records) -> None:
        """All that comes is kept alike."""

    def figures(self, server: Server) -> dict[str, float]:
        """Nothing is counted."""
        return {}

    def released(self, server: Server, completions: Records, kinds: int) -> Jobs | None:
        """What goes out again because of these completions; `kinds` is a kind's stride."""
        if self._resumption is None:
            return None
        self._keep(server)
        back = completions[completions["flags"] & RESUMED != 0]
        platforms = back["job"] & PLATFORM_MASK
        delays_s = self._delay_s[self._home.population(platforms)]
        sends_s = back["done_s"] + ROUND_TRIP * delays_s
        found: list[tuple[Records, float, int, int]] = []
        for number, platform, send_s in zip(
            self._home.number(platforms).tolist(), platforms.tolist(), sends_s.tolist(),
            strict=True,
        ):  # fmt: skip
            found += [(own, send_s, number, platform) for own in self._kept.pop(number, ())]
        if not found:
            return None
        copies, lengths = (
            np.concatenate([own for own, *_ in found]),
            [len(own) for own, *_ in found],
        )
        return Jobs(
            row=copies["row"].copy(),
            arrival_s=np.repeat([send_s for _, send_s, *_ in found], lengths),
            intended_s=copies["intended_s"].copy(),
            payload_bytes=copies["payload_bytes"].copy(),
            topic=copies["topic"].copy(),
            kind=copies["segment"].astype(np.int64) // kinds,
            socket=np.repeat([number for *_, number, _ in found], lengths),
            target=np.repeat([each for *_, each in found], lengths).astype(np.uint32),
        )

    def _keep(self, server: Server) -> None:
        """Take the server's log of copies that it keeps, in order."""
        now = server.ledger[0]
        log = server.kept[: now["kept"]]
        now["kept"] = 0
        log = log[np.argsort(log["peer"], kind="stable")]
        numbers, first = np.unique(log["peer"], return_index=True)
        for number, own in zip(numbers.tolist(), np.split(log, first[1:]), strict=False):
            self._kept.setdefault(number, []).append(own)

    def resend(self, records: Records, jobs: Jobs) -> None:
        """Those of the jobs that were kept cost no more than to be written."""
        if self._resumption is None:
            return
        again = (jobs.target < EVERYBODY) & (jobs.socket < self._home.count)
        records["intake_s"][again] = records["factor"][again] = 0.0
        self.resent += int(again.sum())
