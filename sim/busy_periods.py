"""A server whose backlog is watched, and which can be put back to where it was.

A busy period begins with a publication that finds no copy owed. The kernel stops at each arrival
that begins one, or with which a given number of copies is owed. Arrivals are Poisson, so that what
comes after such an instant is independent of what came before: it is taken from one long plan,
stretch after stretch, moved to that instant. After the server was put back, service times that are
not drawn yet are fresh, too. A server that works in turns has looked for arrivals up to a later
instant than that of the one which stops it: what is drawn anew would come twice, so it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.controller import Controller
from sim.intake import Census
from sim.network import Uplink
from sim.phases import timetable
from sim.server import put_back
from sim.state import PUBLICATION, WAITED_FOR, Records
from sim.stations import Graph
from sim.study import Study
from topologies.plan import Plan
from topologies.profiles import Profile
from topologies.schema import Topology

LIVE = (
    "ledger", "publications", "platforms", "processes", "reader_free_s", "nodes", "cores", "ring",
    "batch", "ranks",
)  # fmt: skip
AT_ONCE, AT_ONCE_MAX = 16, 128  # publications that the kernel knows of: most stretches are short
NEVER = 2**62
PLANS_MAX = 2**12  # of one part
BRANCHES_BITS = 22
UNSEEN = 2**40  # rows: no publication is kept for a record


@dataclass(frozen=True)
class Moment:
    """All that a server goes on from, as octets of its live arrays, at an instant. [s]"""

    octets: Mapping[str, npt.NDArray[np.uint8]]
    time_s: float


class WatchedServer(Controller):
    """The only Controller of a grid, whose Platforms do nothing but publish, as Poisson processes.

    Parameters
    ----------
    topology : Topology
        The grid; its run is so long that one plan has many publications.
    profiles : mapping of str to Profile
        Of its Controller.
    seed : int
        Key of all draws.
    part : int
        Servers with different parts are independent.
    """

    def __init__(
        self, topology: Topology, profiles: Mapping[str, Profile], seed: int, part: int
    ) -> None:
        table, graph = timetable(topology), Graph(topology, profiles)
        self._profiles, self._seed, self._part = profiles, seed, part
        study = Study(topology, table, seed, part * PLANS_MAX, UNSEEN, UNSEEN)
        super().__init__(study, graph, graph.stations[0], Census(table, graph))
        self._server = replace(self._server, publications=np.zeros(2 * AT_ONCE, PUBLICATION))
        self._branch = part << BRANCHES_BITS
        self._plans, self._place, self.time_s = 0, 0, 0.0
        expected = Plan(topology, seed, part * PLANS_MAX).rows
        self._usable = int(expected - 12.0 * expected**0.5)  # every plan has so many
        self._pool: Records = np.zeros(0, PUBLICATION)

    def _following(self, count: int) -> Records:
        """The next publications, so many, as they come after the present instant."""
        if self._place + count >= len(self._pool):
            self._pool, self._place = self._stretch(), 0
        self._place += 1
        first = self._place
        piece = self._pool[first : first + count].copy()
        moved_s = self.time_s - self._pool["arrival_s"][first - 1]
        piece["arrival_s"] += moved_s
        piece["intended_s"] += moved_s
        self._place += len(piece) - 1
        return piece

    def _stretch(self) -> Records:
        """Publications of a further plan in order of arrival, as the kernel knows them."""
        self._plans += 1
        assert self._plans < PLANS_MAX, "one part has as many plans"
        replication = self._part * PLANS_MAX + self._plans
        self._study = replace(self._study, replication=replication)
        plan = Plan(self._study.topology, self._seed, replication)
        pieces = [each for each, _ in Uplink(plan, self._profiles).windows(np.inf)]
        arrivals = pieces[0]
        for piece in pieces[1:]:
            arrivals = arrivals.followed_by(piece)
        arrivals = arrivals[: self._usable]
        records = self._entered(self._jobs(arrivals, self._census.kind(arrivals)))
        records["interval"] = 0
        return records

    def go_on(self, copies: int) -> int:
        """Work until so many copies are owed or another busy period begins; which of both it is."""
        self._server.setting["watched"] = copies
        if self._server.ledger["owed"][0] >= copies:
            return WAITED_FOR
        count = AT_ONCE
        while True:
            piece = self._following(count)
            count = min(2 * count, AT_ONCE_MAX)
            self._append(piece)
            just_after_s = np.nextafter(piece["arrival_s"][-1], np.inf)
            self._discipline.advance(self._server, float(just_after_s))
            now, ring = self._server.ledger[0], self._server.publications
            self.time_s = float(piece["arrival_s"][-1])  # the last one that the server knows of
            if now["halted"]:
                self.time_s = float(ring["arrival_s"][(int(now["arrived"]) - 1) % len(ring)])
                why = int(now["halted"])
                now["halted"] = 0
                _, unseen = put_back(self._server, -np.inf)
                self._place = max(self._place - len(unseen), 0)
                return why

    def take_peak(self) -> int:
        """Most copies that were owed at once since this was asked last."""
        backlogs = self._server.intervals["backlog"]
        most = int(backlogs.max())
        backlogs[:] = 0
        return most

    def moment_bytes(self, fan_out: int) -> int:
        """Size of a moment, if all publications that it knows of have so many copies. [B]"""
        arrays = [getattr(self._server, name) for name in LIVE]
        nodes = len(self._server.nodes) and AT_ONCE_MAX * fan_out * self._server.nodes.itemsize
        return int(sum(each.nbytes for each in arrays) + nodes)

    def moment(self) -> Moment:
        """Where it is."""
        live = {name: _octets(getattr(self._server, name)).copy() for name in LIVE}
        return Moment(live, self.time_s)

    def put_back(self, moment: Moment) -> None:
        """Let it go on from there, on draws of its own.

        In place: a server of new arrays takes longer than most trials. Only those that have another
        length than they had then are made anew.
        """
        others: dict[str, Any] = {}
        for name, then in moment.octets.items():
            now = getattr(self._server, name)
            if now.nbytes == then.nbytes:
                _octets(now)[...] = then
            else:
                others[name] = then.copy().view(now.dtype).reshape(-1, *now.shape[1:])
        if others:
            self._server = replace(self._server, **others)
        cores = self._server.cores
        cores["drawn_first"] = cores["drawn_end"] = 0
        self._branch += 1
        self._server.setting["replication"] = self._branch
        self.time_s = moment.time_s


def _octets(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """An array as it lies in memory: copied in one go, where records are copied field by field."""
    return array.reshape(-1).view(np.uint8)
