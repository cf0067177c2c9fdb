"""What a server stores for Platforms that are offline (XEP-0160), and sends when they are back.

A notification of kind `normal` for a Platform without a session is stored, at the cost of the copy
that it would have been, unless `messages` of them are there already: then it bounces. A Platform
sends its presence as soon as it knows that it is online, and until that is there, a round trip
after the login, such notifications are stored still (they are addressed to the account, and no
session of it takes them). With the presence all that was stored is sent, in order, each at the cost
of writing it. Both servers store on disk (Prosody's archive of `mod_offline`, ejabberd's table of
`disc_only_copies`), so that nothing is held in memory meanwhile and a crash loses nothing of it;
what a crash finds sent but not written is lost. Windows of traffic end at each presence, so that
all is known that came before it.
"""

from __future__ import annotations

import heapq

import numpy as np

from results import histogram
from sim.jobs import Jobs
from sim.platforms import Residents
from sim.state import AWAITED, FINAL, GONE, PLATFORM_MASK, Floats, Integers, Records, Server
from topologies.schema import Topology


class Store:
    """What one server stores.

    Parameters
    ----------
    home : Residents
        Its Platforms.
    topology : Topology
        Whose Topics say what is stored.
    kinds : int
        Segments times roles; copies that come late are counted apart, as further kinds.
    """

    layers = 2

    def __init__(self, home: Residents, topology: Topology, kinds: int) -> None:
        self._home, self._kinds = home, kinds
        normal = [each.notification == "normal" for each in topology.topics]
        self._normal = np.array(normal, np.bool_)
        self._stored: dict[int, list[Records]] = {}
        self._presences: list[tuple[float, int]] = []
        self._awaited: dict[int, float] = {}
        self._levels: list[tuple[Floats, Floats]] = []  # instants, bytes that come or go
        self.resent = 0

    @property
    def next_s(self) -> float:
        """When the next presence comes. [s]"""
        while self._presences and self._awaited.get(self._presences[0][1]) != self._presences[0][0]:
            heapq.heappop(self._presences)
        return self._presences[0][0] if self._presences else np.inf

    def cut_off(self, server: Server, numbers: Integers, asleep: object, now_s: float) -> None:
        """These Platforms have no session."""
        self._take(server)
        server.platforms["offline"][numbers] = GONE
        for number in numbers.tolist():
            self._awaited.pop(number, None)
            own = self._stored.get(number, ())
            server.processes["kept"][number] = sum(map(len, own))
        server.ledger["offline"] = np.count_nonzero(server.platforms["offline"])

    def crash(self, server: Server) -> None:
        """The server loses its sessions, not what is stored on disk."""
        self._take(server)

    def released(self, server: Server, completions: Records, kinds: int) -> Jobs | None:
        """Who has logged in by these completions will send a presence."""
        final = completions[completions["flags"] & FINAL != 0]
        numbers = np.unique(self._home.number(final["job"] & PLATFORM_MASK))
        new = numbers[server.platforms["offline"][numbers] == AWAITED]
        for number, presence_s in zip(
            new.tolist(), server.processes["resumable_s"][new].tolist(), strict=True
        ):
            if number not in self._awaited:
                self._awaited[number] = presence_s
                heapq.heappush(self._presences, (presence_s, number))
        self._take(server)
        return None

    def due(self, server: Server, now_s: float, kinds: int) -> Jobs | None:
        """What goes out with the presences that come now; `kinds` is a kind's stride."""
        self._take(server)
        found = []
        while self.next_s <= now_s:
            presence_s, number = heapq.heappop(self._presences)
            del self._awaited[number]
            server.platforms["offline"][number] = 0
            server.ledger["offline"] -= 1
            server.processes["kept"][number] = 0
            for own in self._stored.pop(number, ()):
                sent = own.copy()
                sent["left_s"] = presence_s
                found.append(sent)
        if not found:
            return None
        copies = np.concatenate(found)
        self._levels.append((copies["left_s"].copy(), -copies["payload_bytes"]))
        kind = copies["segment"].astype(np.int64) // kinds % self._kinds
        numbers = copies["peer"].astype(np.int64)
        return Jobs(
            row=copies["row"].copy(),
            arrival_s=copies["left_s"].copy(),
            intended_s=copies["intended_s"].copy(),
            payload_bytes=copies["payload_bytes"].copy(),
            topic=copies["topic"].copy(),
            kind=kind + self._kinds,
            socket=numbers,
            target=self._home.platforms(numbers).astype(np.uint32),
        )

    def _take(self, server: Server) -> None:
        """Take the server's log of copies that it stores, in order."""
        now = server.ledger[0]
        if not now["kept"]:
            return
        log = server.kept[: now["kept"]].copy()
        now["kept"] = 0
        self._levels.append((log["left_s"], log["payload_bytes"]))
        log = log[np.argsort(log["peer"], kind="stable")]
        numbers, first = np.unique(log["peer"], return_index=True)
        for number, own in zip(numbers.tolist(), np.split(log, first[1:]), strict=True):
            self._stored.setdefault(number, []).append(own)

    def resend(self, records: Records, jobs: Jobs) -> None:
        """Those of the jobs that were stored cost no more than to be written."""
        again = jobs.kind >= self._kinds
        records["intake_s"][again] = records["factor"][again] = 0.0
        self.resent += int(again.sum())

    def mark(self, records: Records) -> None:
        """Tell which of the jobs are stored for who is offline."""
        known = records["topic"] < len(self._normal)
        records["storable"][known] = self._normal[records["topic"][known]]

    def figures(self, server: Server) -> dict[str, float]:
        """What was stored and bounced, came late, waits still; bytes of payload at most. [B]"""
        self._take(server)
        now = server.ledger[0]
        late = server.histograms[len(server.histograms) // 2 :]
        delayed = int(late.sum() - late[:, histogram.UNDELIVERED].sum())
        return {
            "stored": int(now["stored"]),
            "bounced": int(now["bounced"]),
            "delayed": delayed,
            "waiting": sum(len(own) for each in self._stored.values() for own in each),
            "bytes_max": highest(self._levels),
        }


def highest(changes: list[tuple[Floats, Floats]]) -> float:
    """Highest level that changes lead to; at one instant what comes is there before what goes."""
    if not changes:
        return 0.0
    instants_s, steps = (np.concatenate(column) for column in zip(*changes, strict=True))
    return float(steps[np.lexsort((-steps, instants_s))].cumsum().max(initial=0.0))
