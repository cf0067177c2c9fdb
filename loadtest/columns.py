"""The tables of a measured run: intervals, latency histograms, publications (`results.records`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loadtest.histograms import Floats, Histograms, LatencyKey
from loadtest.ledger import NEVER, Ledger
from loadtest.observation import Observation
from results.records import INTERVALS_MAX, Phase

if TYPE_CHECKING:
    from loadtest.engine import Played

Integers = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any]]

ROLES = ("legitimate", "adversary")
_WIDTHS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)

_UNSEEN = Observation(  # of a server elsewhere
    np.array([-np.inf, np.inf]),
    np.full(2, np.nan),
    np.full(2, np.nan),
    np.zeros(2, dtype=np.int64),
    np.empty((3, 0)),
    np.empty((2, 0)),
    ended=False,
)


def interval_edges(phases: Sequence[Phase]) -> Floats:
    """Edges of at most `INTERVALS_MAX` intervals: round widths, and every phase's own edges. [s]"""
    end_s = phases[-1].end_s
    room = INTERVALS_MAX - 2 * len(phases)
    width_s = next((w for w in _WIDTHS_S if w * room >= end_s), math.ceil(end_s / room))
    edges = [k * width_s for k in range(math.ceil(end_s / width_s))] + [end_s]
    marks = [edge for phase in phases for edge in (phase.start_s, phase.end_s)]
    # A sliver between a round edge and a phase's is merged into its neighbour.
    kept = [e for e in edges if all(abs(e - mark) > 0.2 * width_s for mark in marks)]
    return np.unique(np.array(kept + marks))


@dataclass
class Tables:
    """Columns from what a run left and its ledger.

    Parameters
    ----------
    played : Played
        The run.
    ledger : Ledger
        Its account.
    phases : sequence of Phase
        Stretches of the run, one after another from 0 to its end.
    replication : int
        Number of the replication that was played.
    """

    played: Played
    ledger: Ledger
    phases: Sequence[Phase]
    replication: int

    @cached_property
    def _n(self) -> int:
        return len(self.played.rows)

    @cached_property
    def intended_s(self) -> Floats:
        """By publication. [s]"""
        return self.played.rows.intended_s

    def since_start(self, instant_ns: Integers) -> Floats:
        """Instants on the monotonic clock as seconds of the run; nan for NEVER. [s]"""
        seconds = (instant_ns - self.played.start_ns) / 1e9
        return np.where(instant_ns == NEVER, np.nan, seconds)

    @cached_property
    def publication(self) -> Integers:
        """By delivery: its publication."""
        return self.played.harvest.received.publication[self.ledger.first].astype(np.int64)

    @cached_property
    def received_s(self) -> Floats:
        """By delivery: the kernel's receipt. [s]"""
        return self.since_start(self.played.harvest.received.received_ns[self.ledger.first])

    @cached_property
    def latency_s(self) -> Floats:
        """By delivery: received minus intended. [s]"""
        return self.received_s - self.intended_s[self.publication]

    @cached_property
    def transit_s(self) -> Floats:
        """By delivery: received minus sent. [s]"""
        return self.received_s - self.since_start(self.played.harvest.sent_ns)[self.publication]

    @cached_property
    def lateness_s(self) -> Floats:
        """By publication that was sent: sent minus intended. [s]"""
        late_s = self.since_start(self.played.harvest.sent_ns) - self.intended_s
        return late_s[~np.isnan(late_s)]

    @cached_property
    def _stretch_of(self) -> Integers:
        """By publication: the stretch in which it was intended."""
        starts = np.array([phase.start_s for phase in self.phases])
        return np.searchsorted(starts, self.intended_s, side="right") - 1

    @cached_property
    def names(self) -> list[str]:
        """Names of the phases, each once; one that was cut has several stretches."""
        return list(dict.fromkeys(phase.name for phase in self.phases))

    @cached_property
    def phase_of(self) -> Integers:
        """By publication: the place among `names` of the phase in which it was intended."""
        places = np.array([self.names.index(phase.name) for phase in self.phases])
        return places[self._stretch_of]

    @cached_property
    def measured(self) -> npt.NDArray[np.bool_]:
        """By publication: whether its phase counts."""
        return np.array([phase.measured for phase in self.phases])[self._stretch_of]

    @cached_property
    def _populations(self) -> list[str]:
        return [each.name for each in self.played.topology.platforms]

    def _population_of(self, platforms: npt.NDArray[np.uint32]) -> Integers:
        starts = np.array(list(self.played.topology.platform_offsets().values()))
        return np.searchsorted(starts, platforms, side="right") - 1

    @cached_property
    def role_of(self) -> Integers:
        """By publication: 0 where a legitimate Platform published it, else 1."""
        roles = np.array([ROLES.index(each.role) for each in self.played.topology.platforms])
        return roles[self._population_of(self.played.rows.publisher)]

    def latency(self) -> Histograms:
        """Histograms by phase, Topic, receiving population and role, and by part of the way."""
        topology = self.played.topology
        shape = (len(self.names), len(topology.topics), len(self._populations), len(ROLES))
        of_publication = (self.phase_of, self.played.rows.topic.astype(np.int64), self.role_of)
        population = self._population_of(self.played.harvest.received.session[self.ledger.first])
        code = _code(shape, [each[self.publication] for each in of_publication], population)
        expected = self._expected_by_code(shape, of_publication)
        order = np.argsort(code, kind="stable")
        code, latency_s = code[order], self.latency_s[order]
        parts: dict[LatencyKey, tuple[Floats, int]] = {}
        for each in np.flatnonzero(expected):
            low, high = np.searchsorted(code, [each, each + 1])
            phase, topic, place, role = (int(k) for k in np.unravel_index(each, shape))
            key = (self.names[phase], topology.topics[topic].name, self._populations[place])
            missing = int(expected[each]) - int(high - low)
            parts[self.replication, *key, ROLES[role], "total"] = (latency_s[low:high], missing)
        return Histograms(parts | self._stages())

    def _expected_by_code(
        self, shape: tuple[int, ...], of_publication: Sequence[Integers]
    ) -> Integers:
        expected = np.zeros(math.prod(shape), dtype=np.int64)
        topic = of_publication[1]
        for number, platforms in enumerate(self.played.cast.subscribers):
            here = topic == number
            populations, sizes = np.unique(self._population_of(platforms), return_counts=True)
            for population, size in zip(populations, sizes, strict=True):
                of_topic = [each[here] for each in of_publication]
                place = np.full(int(here.sum()), population)
                codes = _code(shape, of_topic, place)
                expected += size * np.bincount(codes, minlength=len(expected))
        return expected

    def _stages(self) -> dict[LatencyKey, tuple[Floats, int]]:
        """Parts of the way, over the whole run and all Topics and populations."""
        delay_s = self.played.harvest.delay_ns[self.ledger.first] / 1e9
        transit_s = self.transit_s[~np.isnan(self.transit_s)]
        parts = {"lateness": self.lateness_s, "transit": transit_s, "reading": delay_s}
        found = {name: (seconds, 0) for name, seconds in parts.items()}
        actions = self.played.harvest.actions
        for kind in actions.kinds:
            found[kind] = (actions.latency_s(kind), sum(actions.failed(kind).values()))
        return {
            (self.replication, "", "", "", "legitimate", name): part for name, part in found.items()
        }

    def publications(self) -> Columns:
        """One row for each publication."""
        rows, harvest = self.played.rows, self.played.harvest
        first_s, last_s = np.full(self._n, np.inf), np.full(self._n, -np.inf)
        np.minimum.at(first_s, self.publication, self.received_s)
        np.maximum.at(last_s, self.publication, self.received_s)
        never = self.ledger.delivered_of == 0
        return {
            "replication": np.full(self._n, self.replication),
            "publication": np.arange(self._n),
            "publisher": rows.publisher,
            "topic": rows.topic,
            "payload_bytes": rows.payload_bytes,
            "intended_s": self.intended_s,
            "sent_s": self.since_start(harvest.sent_ns),
            "accepted_s": np.where(harvest.refused, np.nan, self.since_start(harvest.answered_ns)),
            "first_s": np.where(never, np.nan, first_s),
            "last_s": np.where(never, np.nan, last_s),
            "expected": self.ledger.expected_of,
            "delivered": self.ledger.delivered_of,
        }

    def intervals(self) -> Columns:
        """Counts and costs by interval and Controller."""
        edges = interval_edges(self.phases)
        middle = 0.5 * (edges[1:] + edges[:-1])
        starts = np.array([phase.start_s for phase in self.phases])
        names = np.array([phase.name for phase in self.phases])
        pieces = []
        for controller in self.played.topology.controllers:
            piece = {
                "replication": np.full(len(middle), self.replication),
                "interval": np.arange(len(middle)),
                "phase": names[np.searchsorted(starts, middle, side="right") - 1],
                "controller": np.full(len(middle), controller.name),
                "start_s": edges[:-1],
                "end_s": edges[1:],
            }
            piece |= self._publications_in(edges, controller.name)
            piece |= self._copies_in(edges, controller.name)
            piece |= self._server_in(edges, controller.name)
            pieces.append(piece)
        pieces += [self._component_in(edges, pieces[0], each) for each in components(self.played)]
        return {name: np.concatenate([each[name] for each in pieces]) for name in pieces[0]}

    def _component_in(self, edges: Floats, like: Columns, name: str) -> Columns:
        """What a Broker used that is a process of its own; its work is in its Controller's rows."""
        piece = {column: np.zeros_like(values) for column, values in like.items()}
        piece |= {
            key: like[key] for key in ("replication", "interval", "phase", "start_s", "end_s")
        }
        piece["controller"] = np.full(len(piece["start_s"]), name)
        used = self._server_in(edges, name)
        return piece | {key: used[key] for key in ("busy_s", "memory_bytes_max")}

    def _publications_in(self, edges: Floats, controller: str) -> Columns:
        harvest = self.played.harvest
        here = self._published_at(controller)
        answered_s = self.since_start(harvest.answered_ns)

        def counted(instants_s: Floats, chosen: npt.NDArray[np.bool_]) -> Integers:
            return np.histogram(instants_s[chosen & here], edges)[0]

        everything = np.ones(self._n, dtype=np.bool_)
        return {
            "offered": counted(self.intended_s, everything),
            "offered_legitimate": counted(self.intended_s, self.role_of == 0),
            "accepted": counted(answered_s, ~harvest.refused & ~np.isnan(answered_s)),
            "rejected": counted(answered_s, harvest.refused),
        }

    def _copies_in(self, edges: Floats, controller: str) -> Columns:
        topology = self.played.topology
        homes = np.array([each.controller == controller for each in topology.platforms])
        session = self.played.harvest.received.session[self.ledger.first]
        here = homes[self._population_of(session)]
        honest = here & (self.role_of[self.publication] == 0)
        intended_s = self.intended_s[self.publication]
        timely = honest & (self.latency_s <= topology.slo.deadline)
        return {
            "delivered": np.histogram(self.received_s[here], edges)[0],
            "timely": np.histogram(intended_s[timely], edges)[0],
            "latency_sum_s": np.histogram(
                intended_s[honest], edges, weights=self.latency_s[honest]
            )[0],
            "latency_count": np.histogram(intended_s[honest], edges)[0],
            "backlog_copies_max": self._backlog(edges, controller, here),
        }

    def _backlog(self, edges: Floats, controller: str, here: npt.NDArray[np.bool_]) -> Integers:
        """Most copies at one time that were sent for and had not come, by interval."""
        harvest = self.played.harvest
        sent = self._published_at(controller) & (harvest.sent_ns != NEVER) & ~harvest.refused
        came = here & sent[self.publication]
        instants = np.concatenate([self.since_start(harvest.sent_ns)[sent], self.received_s[came]])
        change = np.concatenate([self.ledger.delivered_of[sent], np.full(int(came.sum()), -1)])
        order = np.argsort(instants, kind="stable")
        instants, waiting = instants[order], np.cumsum(change[order])
        place = np.searchsorted(instants, edges)
        before = np.concatenate([[0], waiting])[place[:-1]]
        peaks = [
            int(waiting[low:high].max(initial=start))
            for low, high, start in zip(place[:-1], place[1:], before, strict=True)
        ]
        return np.array(peaks, dtype=np.int64)

    def _server_in(self, edges: Floats, controller: str) -> Columns:
        seen = self.played.observations.get(controller, _UNSEEN)
        time_s = seen.time_s - self.played.start_ns / 1e9
        memory = [
            float(seen.rss_bytes[(time_s >= low) & (time_s < high)].max(initial=0))
            for low, high in itertools.pairwise(edges)
        ]
        read_s, read_bytes = self._bytes_read()
        share = self._share_of_copies(controller)
        return {
            "busy_s": np.diff(np.interp(edges, time_s, seen.cpu_s)),
            "memory_bytes_max": np.array(memory),
            "egress_bytes": np.diff(np.interp(edges, read_s, read_bytes)) * share,
        }

    def _bytes_read(self) -> tuple[Floats, Floats]:
        """Bytes that the receiving processes have read from their sockets, over time."""
        by_second: dict[int, float] = {}
        for window in self.played.harvest.windows:
            if "read_bytes" in window:
                end_s = int(window["second"]) + 1
                by_second[end_s] = by_second.get(end_s, 0.0) + window["read_bytes"]
        ends = sorted(by_second)
        total = np.cumsum([0.0] + [by_second[end] for end in ends])
        return np.array([0, *ends], dtype=np.float64), total

    def _share_of_copies(self, controller: str) -> float:
        here = int(self._published_at(controller) @ self.ledger.delivered_of)
        return here / max(1, int(self.ledger.delivered_of.sum()))

    def _published_at(self, controller: str) -> npt.NDArray[np.bool_]:
        """By publication: whether its Topic's Broker is this Controller's."""
        topology = self.played.topology
        home = {each.name: each.controller for each in topology.brokers}
        at = np.array([home[topic.broker] == controller for topic in topology.topics])
        return at[self.played.rows.topic]


def components(played: Played) -> list[str]:
    """Addresses of the Brokers that were watched as processes of their own."""
    controllers = {each.name for each in played.topology.controllers}
    return [name for name in played.observations if name not in controllers]


def _code(
    shape: tuple[int, ...], of_publication: Sequence[Integers], population: Integers
) -> Integers:
    phase, topic, role = of_publication
    return np.asarray(np.ravel_multi_index((phase, topic, population, role), shape))
