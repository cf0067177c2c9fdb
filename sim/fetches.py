"""Direct flow: each subscriber fetches from the Publisher what an item refers to.

A subscriber has the item at `r`, waits `w` of at most `spread` (drawn by subscriber and
publication), and needs k round trips, the last of which is the answer: with one way d of both
delays its request is there at r + w + (2k - 1) d. The Publisher's uplink is shared evenly by the
fetches under way, of which there are at most `connections`; others wait in order of arrival. The
last byte is there d after it has left, and that is the delivery. A fetch takes no part of any
Controller, so all of them follow from when the items were received.
With a herd of N at once, the last is there when N sizes have left: N size / uplink.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from results import histogram
from sim.intake import ROLES
from sim.network import delays
from sim.platforms import residents
from sim.sharing import shared, shares_of_waits
from sim.state import Floats, Integers, Records
from sim.stations import Graph
from sim.study import HistogramKey, Sparse, Study, Tally
from topologies.plan import Block, Plan
from topologies.schema import Topology

EVERYBODY = 2**40  # as many connections as anybody asks for


def direct(topology: Topology) -> npt.NDArray[np.bool_]:
    """Topics with direct flow."""
    return np.array([topic.flow == "direct" for topic in topology.topics])


@dataclass(frozen=True)
class Fetched:
    """Fetches: which, by whom, on which station, and when item and payload were there. [s]"""

    station: Integers
    row: Integers
    platform: Integers
    received_s: Floats
    done_s: Floats


def completed(study: Study, plan: Plan, graph: Graph, tallies: Sequence[Tally]) -> list[Tally]:
    """What each station has counted, with deliveries of direct flow at the end of their fetches."""
    chosen = direct(study.topology)
    if not chosen.any():
        return list(tallies)
    rows = plan.columns()
    books = _Books(study, rows, chosen, _fetched(study, rows, graph, tallies, chosen))
    return [books.of(number, tally) for number, tally in enumerate(tallies)]


def _fetched(
    study: Study, rows: Block, graph: Graph, tallies: Sequence[Tally],
    chosen: npt.NDArray[np.bool_],
) -> Fetched:  # fmt: skip
    """All fetches of a replication."""
    pieces = []
    for number, tally in enumerate(tallies):
        row = tally.trace["row"].astype(np.int64)
        own = row < study.rows
        own[own] = chosen[rows.topic[row[own]]]
        home = residents(graph, number, study.seed)
        platform = home.platforms(tally.trace["platform"][own].astype(np.int64))
        pieces.append((np.full(len(platform), number), row[own], platform,
                       tally.trace["received_s"][own]))  # fmt: skip
    station, row, platform, received_s = (
        np.concatenate(column) for column in zip(*pieces, strict=True)
    )
    topology = study.topology
    first, delay_s = delays(topology)
    publisher = rows.publisher[row].astype(np.int64)
    population = [np.searchsorted(first, who, side="right") - 1 for who in (platform, publisher)]
    way_s = delay_s[population[0]] + delay_s[population[1]]
    how = [topic.fetch for topic in topology.topics]
    topic = rows.topic[row]
    share = np.empty(len(row))
    shares_of_waits(study.seed, study.replication, platform, row, share)
    wait_s = np.array([each.spread for each in how])[topic] * share
    trips = np.array([each.round_trips for each in how])[topic]
    asked_s = received_s + wait_s + (2 * trips - 1) * way_s
    uplink = np.array([each.network.uplink or np.inf for each in topology.platforms])
    size_bytes = rows.payload_bytes[row] + np.array([each.overhead for each in how])[topic]
    work_s = size_bytes / uplink[population[1]]
    at_once, left_s = connections(topology)[population[1]], np.empty(len(row))
    order = np.lexsort((platform, row, asked_s, publisher))
    for herd in (
        np.split(order, np.flatnonzero(np.diff(publisher[order])) + 1) if len(order) else ()
    ):
        done = np.empty(len(herd))
        shared(asked_s[herd], work_s[herd], int(at_once[herd[0]]), done)
        left_s[herd] = done
    return Fetched(station, row, platform, received_s, left_s + way_s)


def connections(topology: Topology) -> Integers:
    """Fetches that a Publisher of each population serves at a time: the least of its Topics."""
    bound = {t.name: t.fetch.connections for t in topology.topics if t.flow == "direct"}
    found = [[bound[name] or EVERYBODY for name in p.publishes if name in bound]
             for p in topology.platforms]  # fmt: skip
    return np.array([min(each, default=EVERYBODY) for each in found])


class _Books:
    """Tallies whose deliveries of direct flow are at the end of their fetches.

    Parameters
    ----------
    study, rows
        The replication and its publications.
    chosen : ndarray of bool
        Topics with direct flow.
    fetched : Fetched
        All fetches.
    """

    def __init__(
        self, study: Study, rows: Block, chosen: npt.NDArray[np.bool_], fetched: Fetched
    ) -> None:
        self._study, self._chosen, self._fetched = study, chosen, fetched
        topology = study.topology
        first, _ = delays(topology)
        intended_s, table = rows.intended_s[fetched.row], study.timetable
        self._late = fetched.done_s >= study.horizon_s
        self._intended, self._segment = table.intervals(intended_s), table.segments(intended_s)
        self._topic = rows.topic[fetched.row]
        self._population = np.searchsorted(first, fetched.platform, side="right") - 1
        publisher = np.searchsorted(first, rows.publisher[fetched.row], side="right") - 1
        adversaries = np.array([each.role == "adversary" for each in topology.platforms])
        self._role = adversaries[publisher].astype(np.int64)
        self._latency_s = fetched.done_s - intended_s
        self._before_s = fetched.received_s - intended_s

    def of(self, number: int, tally: Tally) -> Tally:
        """A station's tally."""
        own = self._fetched.station == number
        kept = own & ~self._late
        done_s = self._fetched.done_s[kept]
        drained_s = max(tally.drained_s, float(done_s.max(initial=0.0)))
        late = int((own & self._late).sum())
        return replace(
            tally,
            intervals=self._intervals(tally, own, kept, drained_s),
            histograms=self._histograms(tally, kept),
            publications=self._publications(tally),
            delivered=tally.delivered - late,
            lost=tally.lost + late,
            drained_s=drained_s,
            idle_s=tally.idle_s + tally.cores * (drained_s - tally.drained_s),
            trace=self._trace(tally, own),
            stages={}, waterfall={},
        )  # fmt: skip

    def _intervals(
        self, tally: Tally, own: npt.NDArray[np.bool_], kept: npt.NDArray[np.bool_],
        drained_s: float,
    ) -> Records:  # fmt: skip
        """Receipts and latencies of items taken out, those of payloads put in."""
        rows = tally.intervals.copy()
        rows["end_s"][-1] = drained_s
        table, deadline_s = self._study.timetable, self._study.topology.slo.deadline
        for those, instant_s, latency_s, sign in (
            (own, self._fetched.received_s, self._before_s, -1),
            (kept, self._fetched.done_s, self._latency_s, 1),
        ):
            np.add.at(rows["received"], table.intervals(instant_s[those]), sign)
            legitimate = those & (self._role == 0)
            when, latency = self._intended[legitimate], latency_s[legitimate]
            np.add.at(rows["latencies"], when, sign)
            np.add.at(rows["latency_s"], when, sign * latency)
            np.add.at(rows["timely"], when, sign * (latency <= deadline_s))
        return rows

    def _histograms(self, tally: Tally, kept: npt.NDArray[np.bool_]) -> dict[HistogramKey, Sparse]:
        names = [topic.name for topic in self._study.topology.topics]
        people = [each.name for each in self._study.topology.platforms]
        mine = {name for name, is_direct in zip(names, self._chosen, strict=True) if is_direct}
        found = dict(tally.histograms)
        for key in [key for key in found if key[1] in mine and key[3] in ROLES]:
            segment, topic, population, role = key
            those = (
                kept & (self._segment == segment) & (self._topic == names.index(topic))
                & (self._population == people.index(population))
                & (self._role == ROLES.index(role))
            )  # fmt: skip
            counts = histogram.count(self._latency_s[those])
            counts[histogram.UNDELIVERED] += int(found[key][1].sum()) - int(counts.sum())
            found[key] = histogram.sparse(counts)
        return found

    def _publications(self, tally: Tally) -> dict[str, npt.NDArray[np.generic]]:
        """Rows whose first and last delivery are those of payloads, of all stations."""
        rows = {name: column.copy() for name, column in tally.publications.items()}
        mine = np.flatnonzero(self._chosen[rows["topic"].astype(np.int64)])
        kept = ~self._late
        row, done_s = self._fetched.row[kept], self._fetched.done_s[kept]
        order = np.lexsort((done_s, row))
        row, done_s = row[order], done_s[order]
        wanted = rows["publication"][mine]
        begin, end = (np.searchsorted(row, wanted, side=side) for side in ("left", "right"))
        any_there = end > begin
        for name, place in (("first_s", begin), ("last_s", end - 1)):
            rows[name][mine] = np.nan
            rows[name][mine[any_there]] = done_s[place[any_there]]
        rows["delivered"][mine] = end - begin
        return rows

    def _trace(self, tally: Tally, own: npt.NDArray[np.bool_]) -> Records:
        """Every delivery, those of direct flow as their fetches end."""
        trace, row = tally.trace.copy(), tally.trace["row"].astype(np.int64)
        mine = row < self._study.rows
        mine[mine] = np.isin(row[mine], self._fetched.row[own])
        trace["received_s"][mine] = self._fetched.done_s[own]
        kept = np.ones(len(trace), np.bool_)
        kept[mine] = ~self._late[own]
        return trace[kept]
