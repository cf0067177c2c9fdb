"""One Controller with its Broker: its state, what it is fed, and what it has counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from results import histogram
from sim import draws
from sim.delivery import settle
from sim.disciplines import discipline
from sim.draws import Purpose
from sim.inbound import Inbound
from sim.intake import ROLES, Intake
from sim.network import Arrivals
from sim.platforms import residents, session_count
from sim.server import empty_server, with_room
from sim.state import PUBLICATION, Integers, Records
from sim.study import HistogramKey, Sparse, Study, Tally
from topologies.profiles import Profile

WHOLE = np.dtype((np.void, PUBLICATION.itemsize))
FEED_ROWS = 2048  # publications handed to a kernel at a time: a ring of them stays in the cache


class Controller:
    """A simulated server that is fed publications in order of arrival.

    Parameters
    ----------
    study : Study
        The replication.
    name : str
        The Controller.
    profile : Profile
        Its cost profile.
    """

    def __init__(self, study: Study, name: str, profile: Profile) -> None:
        topology = study.topology
        node = next(each for each in topology.controllers if each.name == name)
        self.name, self._study, self._profile = name, study, profile
        self._home = residents(topology, name, study.seed)
        adversaries = np.array([each.role == "adversary" for each in topology.platforms])
        self._intake = Intake(study.timetable, self._home, adversaries, study.row_stride)
        self._inbound = Inbound(node, profile, self._home)
        self._rejected = 0  # copies of publications that limits refused
        self._discipline = discipline(profile)
        self._server = empty_server(
            study, node, profile, self._discipline, self._home, self._intake
        )

    def carry(self, arrivals: Arrivals, end_s: float) -> None:
        """Take in the arrivals before `end_s` that are its own, and work until `end_s`."""
        own, refused = self._inbound.passed(arrivals[self._home.topics[arrivals.topic]], end_s)
        self._rejected += self._turn_away(refused, refused=True)
        for first in range(0, max(len(own), 1), FEED_ROWS):
            piece, following = own[first : first + FEED_ROWS], first + FEED_ROWS
            self._feed(piece)
            until_s = own.arrival_s[following] if following < len(own) else end_s
            self._discipline.advance(self._server, float(until_s))

    def close(self) -> Tally:
        """Drain what is left, up to the horizon, and hand over what was counted."""
        self._discipline.advance(self._server, self._study.horizon_s)
        unread = self._turn_away(self._inbound.unread(), refused=False)
        now, cores = self._server.ledger[0], self._server.cores
        undelivered = self._abandon() if now["owed"] else 0
        instants = (now["received_s"], now["owed_since_s"], cores["idle_since_s"].max())
        drained_s = float(max(self._study.timetable.duration_s, *instants))
        expected = self._intake.expected()
        return Tally(
            controller=self.name,
            cores=len(cores),
            intervals=self._intervals(drained_s),
            offered=self._intake.offered,
            legitimate=self._intake.legitimate,
            accepted=self._intake.accepted,
            refused=self._intake.refused,
            histograms=self._histograms(expected),
            publications=self._publications(),
            expected=int(expected.sum()),
            delivered=int(now["delivered"]),
            rejected=self._rejected,
            lost=int(now["late"]) + undelivered + unread,
            drained_s=drained_s,
            idle_s=float(now["idle_s"] + (drained_s - cores["idle_since_s"]).sum()),
            owed_area_s=float(now["owed_area_s"]),
            sojourn_s=float(now["sojourn_s"]),
            trace=self._server.trace[: now["traced"]],
        )

    def _turn_away(self, arrivals: Arrivals, *, refused: bool) -> int:
        """Book publications that the server never handles; how many copies that costs."""
        copies = np.diff(self._home.starts)[arrivals.topic]
        self._intake.turn_away(arrivals, self._intake.kind(arrivals), copies, refused=refused)
        return int(copies.sum())

    def _feed(self, arrivals: Arrivals) -> None:
        """Append publications to the ring of those in flight."""
        copies = np.diff(self._home.starts)[arrivals.topic]
        kind = self._intake.kind(arrivals)
        self._intake.enter(arrivals, kind, copies)
        self._server = with_room(self._server, len(arrivals), int(copies.sum()))
        now, records = self._server.ledger[0], self._records(arrivals, kind, copies)
        ring = self._server.publications.view(WHOLE)  # NumPy copies records field by field
        first = int(now["fed"]) % len(ring)
        before_wrap = len(ring) - first
        ring[first : first + len(records)] = records.view(WHOLE)[:before_wrap]
        ring[: max(len(records) - before_wrap, 0)] = records.view(WHOLE)[before_wrap:]
        now["fed"] += len(records)

    def _records(self, arrivals: Arrivals, kind: Integers, copies: Integers) -> Records:
        """Publications as the kernels know them."""
        payload_bytes = arrivals.payload_bytes
        records = np.zeros(len(arrivals), PUBLICATION)
        records["row"], records["topic"] = arrivals.row, arrivals.topic
        records["arrival_s"], records["intended_s"] = arrivals.arrival_s, arrivals.intended_s
        records["wire_bytes"] = payload_bytes + self._profile.envelope.notification
        records["platform"] = self._home.number(arrivals.publisher)
        records["segment"] = kind * len(self._home.pair_names)
        records["interval"] = self._study.timetable.intervals(arrivals.intended_s)
        records["legitimate"] = kind % self._intake.roles == 0
        records["missing"] = records["copies"] = copies
        records["first_s"] = np.inf
        key = (self._study.seed, Purpose.SERVICE, self._study.replication)
        cv = self._discipline.settings["cv"]
        records["factor"] = draws.lognormals(*key, arrivals.row, cv)
        for name, column in self._discipline.per_publication(payload_bytes, copies).items():
            records[name] = column
        return records

    def _abandon(self) -> int:
        """Give up, at the horizon, the copies that are not written yet; how many there are."""
        now, ring = self._server.ledger[0], self._server.publications
        horizon_s = self._study.horizon_s
        slots = np.arange(now["oldest"], now["arrived"]) % len(ring)
        open_slots = slots[ring["missing"][slots] > 0]
        missing = ring["missing"][open_slots]
        now["sojourn_s"] += ((horizon_s - ring["arrival_s"][open_slots]) * missing).sum()
        now["owed_area_s"] += now["owed"] * (horizon_s - now["owed_since_s"])
        now["owed_since_s"] = horizon_s
        for slot in open_slots:
            settle(self._server, slot)
        return int(missing.sum())

    def _intervals(self, drained_s: float) -> Records:
        """The intervals with their end, and with all the memory of the server."""
        intervals, memory = self._server.intervals, self._profile.memory
        intervals["end_s"][-1] = drained_s
        intervals["memory_bytes"] += (
            memory.base
            + memory.session * session_count(self._study.topology, self.name)
            + memory.subscription * len(self._home.subscribers)
        )
        return intervals

    def _histograms(self, expected: Integers) -> dict[HistogramKey, Sparse]:
        """What was delivered and, to make up what was expected, undelivered."""
        counts, names = self._server.histograms, self._home.pair_names
        found: dict[HistogramKey, Sparse] = {}
        for (kind, pair), copies in np.ndenumerate(expected):
            if copies == 0:
                continue
            row = counts[kind * len(names) + pair].astype(np.int64)
            row[histogram.UNDELIVERED] += copies - row.sum()
            segment, role = divmod(int(kind), self._intake.roles)
            found[segment, *names[pair], ROLES[role]] = histogram.sparse(row)
        return found

    def _publications(self) -> dict[str, npt.NDArray[Any]]:
        """The kept rows of the publications table."""
        rows = self._intake.rows()
        outcomes = self._server.outcomes[rows["publication"] // self._study.row_stride]
        return rows | {name: outcomes[name] for name in ("first_s", "last_s", "delivered")}
