"""One station, a Controller with its Broker: its state, what it is fed, what it has counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sim import draws
from sim.backlogs import POLICIES
from sim.crashes import abandon, crash, cuts
from sim.disciplines import discipline
from sim.draws import Purpose
from sim.failovers import Detours, Whereabouts
from sim.freezes import freeze
from sim.hang_ups import hang_up
from sim.inbound import Inbound
from sim.intake import Census, Intake
from sim.jobs import Inbox, Jobs, feeds
from sim.kept_items import kept_bytes
from sim.latency_tables import latencies
from sim.messages import Messages, nothing
from sim.network import Arrivals
from sim.offline import Store
from sim.outflow import abandon_queues
from sim.platforms import residents, resting_bytes
from sim.priorities import ranks
from sim.results_of_requests import Results
from sim.resumptions import Keeper
from sim.routes import FAN_OUT, routes
from sim.server import WHOLE, empty_server, put, put_back, with_room, with_rows
from sim.slowdowns import COSTS, slow_down
from sim.stages import stages
from sim.state import PUBLICATION, Floats, Integers, Records, Server
from sim.stations import Graph, Line, Station
from sim.study import Study, Tally
from sim.subscriptions import Subscriptions
from sim.waterfalls import waterfall

FEED_ROWS = 2048  # publications handed to a kernel at a time: a ring of them stays in the cache
FEED_COPIES = 2**17  # about as many copies: there is room in mailboxes for all that is known


class Controller:
    """A simulated server that is fed jobs in order of arrival.

    Parameters
    ----------
    study : Study
        The replication.
    graph : Graph
        The stations of the grid.
    station : Station
        Which one it is.
    census : Census
        Of all publications.
    """

    def __init__(self, study: Study, graph: Graph, station: Station, census: Census) -> None:
        self.station, self._study, self._census = station, study, census
        self._home = residents(graph, station.number, study.seed)
        self._routes = routes(graph, station.number, self._home, study.seed)
        known = len(graph.topology.topics) if graph.answers else None
        self._intake = Intake(study.timetable, census.roles, study.row_stride, known)
        self._inbound = Inbound(station.node, station.profile, self._home)
        self.limited = self._inbound.limited  # publications may wait at its door
        self._detours = Detours(graph, station.number, self._home, self._routes, study.seed)
        self._keeper = self._keeping(census.segments * census.roles)
        self._inbox = Inbox(len(self._routes.inward) + 2)  # lines, Platforms, what was kept
        self._fan_out = np.array([*graph.topology.fan_out().values(), *[1] * len(graph.answers)])
        self._results = Results(graph, study.rows, census, self._routes.published)
        self.subscriptions = Subscriptions(graph, station.number, study.seed)
        self._discipline = discipline(station.profile)
        self._ranks = ranks(graph, station.number)
        self._server = empty_server(
            study, station, self._discipline, self._home, self._routes,
            census.segments * census.roles * self._keeper.layers, int(self._ranks.max()) + 1,
        )  # fmt: skip
        self._kinds = max(len(self._home.pair_names), 1)  # a kind's stride among histograms
        self._dropped = self._dropped_copies = self._crashed = 0
        self._down_until_s, self._pace = -np.inf, 1.0
        self._allocated, self._messages = float(self._server.ledger["allocated"][0]), nothing()
        self._reached = self._passing = 0  # copies fed for Platforms here, for other stations

    def _keeping(self, kinds: int) -> Keeper | Store:
        """What keeps copies for Platforms that are away."""
        if self.station.node.offline is not None:
            return Store(self._home, self._study.topology, kinds)
        return Keeper(self._home, self.station.node.resumption)

    def publish(self, reaching: Arrivals, kind: Integers, until_s: float) -> None:
        """Publications of its own Platforms reach it: all that do before `until_s`, in order."""
        arrivals, refused = self._inbound.passed(reaching, until_s)
        kind = kind if arrivals is reaching else self._census.kind(arrivals)
        if len(refused):
            self._census.refuse(refused.topic, refused.publisher)
            self._turn_away(refused, refused=True)
        self._intake.enter(arrivals, kind, self._fan_out[arrivals.topic])
        self._inbox.put(len(self._routes.inward), self._jobs(arrivals, kind))

    def _jobs(self, arrivals: Arrivals, kind: Integers) -> Jobs:
        """What Platforms here send as jobs, with what follows at once."""
        jobs = Jobs(
            row=arrivals.row,
            arrival_s=arrivals.arrival_s,
            intended_s=arrivals.intended_s,
            payload_bytes=arrivals.payload_bytes,
            topic=arrivals.topic,
            kind=kind,
            socket=self._home.number(arrivals.publisher),
            target=np.full(len(arrivals), FAN_OUT, np.uint32),
        )
        jobs, reached_s = self._results.addressed(jobs, arrivals)
        self._note(jobs.row, reached_s)
        return jobs

    def _note(self, row: Integers, reached_s: Floats) -> None:
        """Make room for what becomes of these; of those that are followed note when they came."""
        if self._results.any:
            self._server = with_rows(self._server, row.max(initial=0) + 1)
        if stride := self._study.stage_stride:
            chosen = row % stride == 0
            self._server.journeys["reached_s"][row[chosen] // stride] = reached_s[chosen]

    def drop(self, arrivals: Arrivals) -> None:
        """Account for publications that its Platforms could not send."""
        self._dropped += len(arrivals)
        self._dropped_copies += int(self._fan_out[arrivals.topic].sum())
        self._turn_away(arrivals, refused=False, sent=False)

    def _turn_away(self, arrivals: Arrivals, *, refused: bool, sent: bool = True) -> None:
        """Book publications that the server never handles."""
        copies, kind = self._fan_out[arrivals.topic], self._census.kind(arrivals)
        self._intake.turn_away(arrivals, kind, copies, refused=refused, sent=sent)

    def turn(self, where: Whereabouts, platforms: Integers) -> None:
        """Platforms have moved to where they are now: copies go there from now on."""
        self._detours.turn(where, platforms)

    def greet(self, messages: Messages) -> None:
        """Messages of Platforms that log in reach it, later than those that it knows of."""
        self._messages = messages

    def answers(self, end_s: float) -> Records:
        """Messages that the server has answered before `end_s` and that were not told yet.

        A step of `loop-turns` that began before a window's end may end after it.
        """
        now, log = self._server.ledger[0], self._server.completions
        if not now["completed"]:
            return log[:0]
        logged = log[: now["completed"]].copy()
        told = int(np.searchsorted(logged["done_s"], end_s, side="left"))
        now["completed"] = len(logged) - told
        log[: now["completed"]] = logged[told:]
        released = self._keeper.released(self._server, logged[:told], self._kinds)
        if released is not None:
            self._inbox.add(len(self._routes.inward) + 1, released)
        return logged[:told]

    @property
    def presence_s(self) -> float:
        """When the next presence comes upon which what is stored goes out. [s]"""
        return self._keeper.next_s

    def present(self, now_s: float) -> None:
        """Send what is stored to those whose presence comes now."""
        if (due := self._keeper.due(self._server, now_s, self._kinds)) is not None:
            self._inbox.add(len(self._routes.inward) + 1, due)

    def cut_off(
        self, platforms: Integers, stamps: Integers, asleep: npt.NDArray[np.bool_], now_s: float
    ) -> None:
        """Sessions of these Platforms of the topology are no more, or `asleep`."""
        hang_up(self._server, numbers := self._home.number(platforms), stamps, now_s)
        self._keeper.cut_off(self._server, numbers, asleep, now_s)

    def socket(self, line: Line) -> int:
        """Session on which a line comes in."""
        return self._home.count + len(self._routes.outward) + self._routes.inward.index(line)

    def receive(self, line: Line, jobs: Jobs) -> None:
        """Jobs are on their way to it by a line."""
        jobs = self._results.answered(jobs)
        self._inbox.put(self._routes.inward.index(line), jobs)
        self._note(jobs.row, jobs.arrival_s)

    def carry(self, end_s: float) -> None:
        """Work until `end_s`; all that arrives before is known."""
        due = self._inbox.take(end_s)
        if end_s <= self._down_until_s:  # what comes now finds nobody
            due = None
        if len(self._messages) and self._messages.arrival_s[0] < end_s:
            self._carry_mixed(due, end_s)
            return
        if due is None:
            self._advance(end_s)
            return
        for first, following in feeds(self._fan_out[due.topic], FEED_ROWS, FEED_COPIES):
            self._append(self._entered(due[first:following]))
            until_s = due.arrival_s[following] if following < len(due) else end_s
            self._advance(float(until_s))

    @property
    def server(self) -> Server:
        """All that its kernel knows, until it works again."""
        return self._server

    @property
    def pending(self) -> bool:
        """Whether anything that is known will yet come to it."""
        next_s = min(self._inbox.next_s(), self.subscriptions.next_s)
        return next_s < np.inf or len(self._inbound.unread()) > 0

    def numbers(self, platforms: Integers) -> Integers:
        """Numbers that Platforms of the topology have here."""
        return self._home.number(platforms)

    def idle_until_s(self, now_s: float) -> float:
        """No copy leaves before this instant, given that it has worked until `now_s`. [s]"""
        now = self._server.ledger[0]
        busy = now["owed"] or now["arrived"] < now["fed"]
        return now_s if busy else min(self._inbox.next_s(), self.subscriptions.next_s)

    def sent(self) -> Iterator[tuple[Line, Records, int]]:
        """What left for others since last asked: line, records (till it works), kinds' stride."""
        now = self._server.ledger[0]
        if not now["dispatched"]:
            return
        outbox = self._server.outbox[: now["dispatched"]]
        now["dispatched"] = 0
        self._passing -= len(outbox)
        peer = outbox["peer"] - self._home.count
        for number in np.unique(peer).tolist():
            yield self._routes.outward[number], outbox[peer == number], self._kinds

    @property
    def outcomes(self) -> Records:
        """What has become of the kept publications, as far as its own Platforms are concerned."""
        return self._server.outcomes[: -(-self._study.rows // self._study.row_stride)]

    def crash(self, instant_s: float, until_s: float) -> None:
        """It loses all it has, and takes nothing in until then."""
        self._turn_away(self._inbound.forget(), refused=False)
        self._down_until_s = until_s
        self._keeper.crash(self._server)
        self.subscriptions.forget()
        self._inbox.forget(len(self._routes.inward) + 1)
        self._crashed += crash(self._server, instant_s, until_s, self._allocated)

    def freeze(self, instant_s: float, pause_s: float, until_s: float) -> None:
        """It stands still until then."""
        self._inbox.close(until_s)
        self.subscriptions.close(until_s)
        freeze(self._server, instant_s, pause_s)

    def slow_down(self, factor: float) -> None:
        """Whatever it begins from now on takes this many times as long as before."""
        self._pace *= factor
        slow_down(self._server, factor)

    def close(self, outcomes: Records) -> Tally:
        """Hand over what was counted; `outcomes` are those of all stations together."""
        self._turn_away(self._inbound.unread(), refused=False)
        if len(self._server.queues):
            abandon_queues(self._server)
        now, cores = self._server.ledger[0], self._server.cores
        unwritten = abandon(self._server, self._study.horizon_s) if now["owed"] else 0
        instants = (now["received_s"], now["owed_since_s"], cores["idle_since_s"].max())
        drained_s = float(max(self._study.timetable.duration_s, *instants))
        number, given_up = self.station.number, self._server.discarded
        expected = self._census.expected(self._home, number)
        total, rejected = int(expected.sum()), self._census.rejected(self._home, number)
        came = self._reached + self._passing - unwritten - self._crashed
        return Tally(
            controller=self.station.name,
            cores=len(cores),
            intervals=self._intervals(drained_s),
            offered=self._intake.offered,
            legitimate=self._intake.legitimate,
            accepted=self._intake.accepted,
            refused=self._intake.refused,
            histograms=latencies(self._server.histograms, self._home, self._census.roles, expected),
            publications=self._intake.table(outcomes),
            expected=total,
            delivered=int(now["delivered"]),
            rejected=rejected,
            discarded={cause: n for cause, n in zip(POLICIES, given_up.tolist(), strict=True) if n},
            lost=int(now["late"]) + int(now["missed"]) + total - rejected - came,
            missed=int(now["missed"]) - self._keeper.resent,
            dropped=self._dropped,
            dropped_copies=self._dropped_copies,
            drained_s=drained_s,
            idle_s=float(now["idle_s"] + (drained_s - cores["idle_since_s"]).sum()),
            owed_area_s=float(now["owed_area_s"]),
            sojourn_s=float(now["sojourn_s"]),
            trace=self._server.trace[: now["traced"]],
            cuts=cuts(self._server),
            stages=stages(self._server, self._home, self._kinds, self._census.roles),
            offline=self._keeper.figures(self._server),
            waterfall=waterfall(self._server, self._study.topology, self._home, self._kinds),
        )

    def _carry_mixed(self, due: Jobs | None, end_s: float) -> None:
        """Take in jobs and messages; at one instant messages go first."""
        ripe = int(np.searchsorted(self._messages.arrival_s, end_s, side="left"))
        messages, envelope = self._messages[:ripe], self.station.profile.envelope
        mixed = messages.records(self._home.number(messages.platform), envelope.notification)
        mixed["rank"] = self._ranks[-1]
        self.subscriptions.mark(mixed, messages.platform)
        self._messages = self._messages[ripe:]
        if due is not None:
            mixed = np.concatenate([mixed, self._entered(due)])
            order = np.argsort(mixed["arrival_s"], kind="stable")
            mixed = mixed.view(WHOLE)[order].view(PUBLICATION)
        for first in range(0, len(mixed), FEED_ROWS):
            piece, following = mixed[first : first + FEED_ROWS], first + FEED_ROWS
            self._append(piece, steps=ripe)
            until_s = mixed["arrival_s"][following] if following < len(mixed) else end_s
            self._advance(float(until_s))

    def _advance(self, until_s: float) -> None:
        """Work until then; who subscribes meanwhile gets the last items at once."""
        self._remind(until_s)
        self._discipline.advance(self._server, until_s)
        while self.subscriptions.halted(self._server):
            self._remind(until_s)
            self._discipline.advance(self._server, until_s)

    def _remind(self, until_s: float) -> None:
        """Take in, among all that has not arrived, what those ask for who subscribe till then."""
        while (arrivals := self.subscriptions.made(self._server, self._home, until_s)) is not None:
            kind = self._census.kind(arrivals)
            self._census.count(kind, arrivals.topic, arrivals.publisher)
            sooner, later = put_back(self._server, arrivals.arrival_s[0])
            self._append(sooner, steps=len(sooner), paced=True)
            self._append(self._entered(self._jobs(arrivals, kind)))
            self._append(later, steps=len(later), paced=True)

    def _entered(self, jobs: Jobs) -> Records:
        """Book jobs; what the kernels are to know of them."""
        if self._detours.turned:
            self._server = self._detours.booked(self._server, jobs, self._census)
        start, copies, here = self._routes.entries(self._home, jobs)
        self._reached += int(here.sum())
        self._passing += int((copies - here).sum())
        return self._records(jobs, start, copies)

    def _append(self, records: Records, steps: int = 0, *, paced: bool = False) -> None:
        """Put records, with at most so many steps of logins, at the end of the ring."""
        copies = int(records["copies"].sum())
        if self._pace != 1.0 and not paced:
            for cost in COSTS:
                records[cost] *= self._pace
        self._server = with_room(self._server, len(records), copies, steps)
        now = self._server.ledger[0]
        if len(self._server.nodes):
            before = np.cumsum(records["copies"]) - records["copies"]
            records["node"] = (now["node"] + before) & (len(self._server.nodes) - 1)
        put(self._server, records)
        now["node"] += copies

    def _records(self, jobs: Jobs, start: Integers, copies: Integers) -> Records:
        """Jobs as the kernels know them."""
        payload_bytes = jobs.payload_bytes
        records = np.zeros(len(jobs), PUBLICATION)
        records["row"], records["topic"], records["start"] = jobs.row, jobs.topic, start
        records["arrival_s"], records["intended_s"] = jobs.arrival_s, jobs.intended_s
        records["wire_bytes"] = payload_bytes + self.station.profile.envelope.notification
        records["platform"], records["segment"] = jobs.socket, jobs.kind * self._kinds
        records["interval"] = self._study.timetable.intervals(jobs.intended_s)
        records["legitimate"] = jobs.kind % self._census.roles == 0
        records["missing"] = records["unwritten"] = records["copies"] = copies
        records["first_s"], records["last_s"] = np.inf, -np.inf
        key = (self._study.seed, Purpose.SERVICE, self._study.replication)
        records["factor"] = draws.lognormals(*key, jobs.row, self._discipline.settings["cv"])
        records["answered"], records["rank"] = True, self._ranks[jobs.topic]
        for name, column in self._discipline.per_publication(payload_bytes, copies).items():
            records[name] = column
        passed_on = ~self._routes.published[jobs.topic] | (jobs.target != FAN_OUT)
        passed_on &= ~self._results.cost(records)
        if passed_on.any():
            receive_s, per_byte = self.station.profile.receive_s()
            records["intake_s"][passed_on] = receive_s + per_byte * payload_bytes[passed_on]
            records["factor"][passed_on], records["answered"][passed_on] = 1.0, False
            self._keeper.resend(records, jobs)
        self._keeper.mark(records)
        if self._server.setting["read_bytes"][0] > 0.0:
            self._results.count(records, jobs, self.station.profile.publication_bytes)
        return records

    def _intervals(self, drained_s: float) -> Records:
        """The intervals with their end, and with all the memory of the server."""
        intervals, topology = self._server.intervals, self._study.topology
        intervals["end_s"][-1] = drained_s
        intervals["memory_bytes"] += resting_bytes(
            topology, self.station, self._routes.subscriptions
        ) + kept_bytes(topology, self._routes.owned, self.station.profile.server)
        return intervals
