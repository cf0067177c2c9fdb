"""What all disciplines share: arrivals, mailboxes, counters, and the way of a written copy.

A copy that the server has written crosses the Controller's egress link (one FIFO for all its
Platforms), a constant delay, and the Platform's own FIFO reader; `deliver` carries it there and
counts it. All functions are compiled and allocate nothing.

Where sessions have queues, or Platforms links or bursts of their own (`Server.queues` is not
empty), `outflow` carries copies as far as their windows allow.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from results import histogram
from sim import compiling, journeys, outflow
from sim.memory import payload_bytes
from sim.state import AWAITED, BEGUN_ANEW, NOBODY, SETTLED, WAITED_FOR, Server

compiled, inlined = compiling.compiled, compiling.inlined
Index = np.uint32  # indices are unsigned: compiled code need not look for negative ones


@inlined
def publication_of(server: Server, number: int) -> Any:
    """The publication with this arrival number."""
    return server.publications[np.uint32(number & (server.publications.size - 1))]


@inlined
def listening(server: Server) -> Any:
    """Number of the socket at which new connections queue up: the last."""
    return np.uint32(server.platforms.size - 1)


@inlined
def next_arrival_s(server: Server) -> float:
    """Instant at which the next known publication reaches the server; infinite without one. [s]"""
    now = server.ledger[0]
    if now.arrived == now.fed:
        return np.inf
    return publication_of(server, now.arrived).arrival_s


@inlined
def reach(server: Server, time_s: float) -> None:
    """Move the interval counters on to `time_s`; levels carry over into each interval entered."""
    now = server.ledger[0]
    while time_s >= server.intervals[now.interval].end_s:
        if server.queues.size > 0:
            outflow.release(server, server.intervals[now.interval].end_s)
        now.interval += 1
        interval = server.intervals[now.interval]
        interval.backlog = now.owed
        interval.memory_bytes = now.held * server.setting[0].copy_bytes + now.held_bytes


@inlined
def admit(server: Server) -> Index:
    """The next publication reaches the server, which from now on owes its copies; its slot.

    Copies are owed from the arrival's instant. `loop-turns` may admit an arrival only at its next
    step: the peak of the backlog is then noted in the interval that the server has come to, which
    may be later than that of the arrival.
    """
    now = server.ledger[0]
    slot = np.uint32(now.arrived & (server.publications.size - 1))
    publication = server.publications[slot]
    owe(server, publication.arrival_s, publication.copies)
    now.arrived += 1
    publication.next = NOBODY
    interval = server.intervals[now.interval]
    interval.backlog = max(interval.backlog, now.owed)
    if server.setting[0].watched > 0:
        now.halted |= WAITED_FOR * (now.owed >= server.setting[0].watched)
        now.halted |= BEGUN_ANEW * (now.owed == publication.copies)
    return slot


@inlined
def owe(server: Server, time_s: float, copies: int) -> None:
    """The number of copies that the server owes grows by `copies` at `time_s`."""
    now = server.ledger[0]
    reach(server, time_s)
    now.owed_area_s += now.owed * (time_s - now.owed_since_s)
    now.owed_since_s = time_s
    now.owed += copies


@inlined
def weigh(server: Server, time_s: float) -> None:
    """Note the memory of copies held and of bytes that wait for the link."""
    now, setting = server.ledger[0], server.setting[0]
    waiting = max(0.0, now.link_free_s - time_s) * setting.wire_bytes_per_s
    level = now.held * setting.copy_bytes + now.held_bytes + waiting
    interval = server.intervals[now.interval]
    interval.memory_bytes = max(interval.memory_bytes, level)


@inlined
def charge(server: Server, start_s: float, stop_s: float) -> None:
    """Count core time from `start_s`, which never falls from call to call, to `stop_s`."""
    now, intervals = server.ledger[0], server.intervals
    while start_s >= intervals[now.busy_interval].end_s:
        now.busy_interval += 1
    i = now.busy_interval
    while stop_s > intervals[i].end_s:
        intervals[i].busy_s += intervals[i].end_s - start_s
        start_s = intervals[i].end_s
        i = np.uint32(i + 1)
    intervals[i].busy_s += stop_s - start_s


@compiled
def settle(server: Server, slot: int) -> None:
    """All copies of a publication are accounted for: book its totals, free the ring behind it."""
    now, publication = server.ledger[0], server.publications[slot]
    delivered = publication.copies - publication.missing - publication.elsewhere
    now.delivered += delivered
    now.received_s = max(now.received_s, publication.last_s)
    if publication.legitimate:
        interval = server.intervals[publication.interval]
        interval.timely += delivered - publication.untimely
        interval.latency_s += publication.latency_s
        interval.latencies += delivered
    stride = server.setting[0].row_stride
    if publication.row % stride == 0:
        outcome = server.outcomes[publication.row // stride]
        outcome.delivered += delivered
        outcome.first_s = min(outcome.first_s, publication.first_s)
        outcome.last_s = max(outcome.last_s, publication.last_s)
    publication.missing = SETTLED
    while now.oldest < now.arrived and publication_of(server, now.oldest).missing == SETTLED:
        now.oldest += 1


@inlined
def _leave(server: Server, publication: Any, written_s: float) -> float:
    """Instant at which a copy written at `written_s` has left by the egress link. [s]"""
    now = server.ledger[0]
    link_s = max(written_s, now.link_free_s)
    link_s += publication.wire_bytes * server.setting[0].wire_s_per_byte
    now.link_free_s = link_s
    while link_s >= server.intervals[now.link_interval].end_s:
        now.link_interval += 1
    server.intervals[now.link_interval].egress_bytes += publication.wire_bytes
    return link_s


@inlined
def _transmit(server: Server, publication: Any, number: int, written_s: float) -> float:
    """Instant at which Platform `number` has read a copy written at `written_s`. [s]"""
    link_s = _leave(server, publication, written_s)
    population = server.populations[server.platforms[number].population]
    received_s = link_s + population.delay_s
    if server.queues.size > 0:
        received_s = outflow.take_down(server, publication.wire_bytes, number, received_s)
    elif server.journeys.size > 0:
        server.ledger[0].down_s = received_s
    if server.journeys.size > 0:
        server.ledger[0].left_s = link_s
    if population.read_s > 0.0:
        received_s = max(received_s, server.reader_free_s[number]) + population.read_s
        server.reader_free_s[number] = received_s
    return received_s


@inlined
def bin_of(latency_s: float) -> Index:
    """Bin of `results.histogram` for a finite latency."""
    if latency_s < histogram.LOWEST_S:
        return np.uint32(histogram.NEGATIVE if latency_s < 0.0 else histogram.ZERO)
    if latency_s >= histogram.HIGHEST_S:
        return np.uint32(histogram.ABOVE)
    return np.uint32((np.float64(latency_s).view(np.int64) >> histogram.SHIFT) - histogram.OFFSET)


@inlined
def _count_received(server: Server, received_s: float) -> None:
    """One more delivery in the interval that holds `received_s`."""
    now, i = server.ledger[0], server.ledger[0].received_interval
    while received_s >= server.intervals[i].end_s:
        i = np.uint32(i + 1)
    while received_s < server.intervals[i].start_s:
        i = np.uint32(i - 1)
    now.received_interval = i
    server.intervals[i].received += 1


@inlined
def deliver(server: Server, slot: int, number: int, entry: int, written_s: float) -> None:
    """Carry one copy, written to session `number` at `written_s`, to its Platform or its peer."""
    publication = server.publications[slot]
    server.ledger[0].sojourn_s += written_s - publication.arrival_s
    if server.queues.size > 0:
        outflow.release(server, written_s)
    server.ledger[0].written_s = written_s
    if number >= server.setting[0].residents:
        send_on(server, slot, number, entry, _leave(server, publication, written_s))
        account_for(server, slot)
    elif server.queues.size > 0:
        outflow.offer(server, slot, number, written_s)
    else:
        receive(server, slot, number, written_s)


@inlined
def account_for(server: Server, slot: int) -> None:
    """One more copy of a job is accounted for."""
    publication = server.publications[slot]
    publication.missing -= 1
    if publication.missing == 0:
        settle(server, slot)


@compiled
def send_on(server: Server, slot: int, number: int, entry: int, left_s: float) -> None:
    """Note a copy that goes on to another station and has left by the egress link."""
    now, publication = server.ledger[0], server.publications[slot]
    dispatch = server.outbox[now.dispatched]
    dispatch.left_s, dispatch.intended_s = left_s, publication.intended_s
    dispatch.row, dispatch.topic = publication.row, publication.topic
    dispatch.payload_bytes = payload_bytes(server, publication)
    dispatch.segment = publication.segment
    dispatch.peer, dispatch.target = number, server.targets[np.uint32(entry)]
    now.dispatched += 1
    publication.elsewhere += 1


@compiled
def _away(server: Server, slot: int, number: int, time_s: float) -> bool:
    """Whether Platform `number`, which was offline, has no session for a copy at `time_s`.

    A session without presence takes all but what is stored until that comes.
    """
    if server.platforms[number].offline != AWAITED:
        return True
    awaited = time_s < server.processes[number].resumable_s
    return awaited and server.publications[slot].storable != 0


@inlined
def receive(server: Server, slot: int, number: int, written_s: float) -> float:
    """Carry one copy to Platform `number` and count it; when that has read it. [s]"""
    now, setting = server.ledger[0], server.setting[0]
    publication, platform = server.publications[slot], server.platforms[number]
    if platform.offline and _away(server, slot, number, written_s):
        keep(server, slot, number, written_s)
        publication.elsewhere += 1
        now.missed += 1
        account_for(server, slot)
        return written_s
    received_s = _transmit(server, publication, number, written_s)
    row = np.uint32(publication.segment + server.pairs[publication.topic, platform.population])
    if received_s > setting.horizon_s:
        server.histograms[row, histogram.UNDELIVERED] += 1
        publication.elsewhere += 1
        now.late += 1
    else:
        latency_s = received_s - publication.intended_s
        server.histograms[row, bin_of(latency_s)] += 1
        if latency_s > setting.deadline_s:
            publication.untimely += 1
        publication.latency_s += latency_s
        publication.first_s = min(publication.first_s, received_s)
        publication.last_s = max(publication.last_s, received_s)
        _count_received(server, received_s)
        if server.trace.size > 0:
            entry = server.trace[now.traced]
            entry.row, entry.platform, entry.received_s = publication.row, number, received_s
            now.traced += 1
    if journeys.followed(server, slot) and received_s <= setting.horizon_s:
        now.sent_s = written_s
        journeys.follow(server, slot, number, row, received_s)
    account_for(server, slot)
    return received_s


@compiled
def keep(server: Server, slot: int, number: int, time_s: float) -> None:
    """A copy is for a session that may be resumed, or to be stored: note it, if that is possible.

    Too many make that a session is not resumed, or bounce.
    """
    if server.kept.size == 0:
        return
    process, now, publication = (
        server.processes[number], server.ledger[0], server.publications[slot],
    )  # fmt: skip
    if server.setting[0].stores:
        if not publication.storable:
            return
        if process.kept >= server.setting[0].kept_most:
            now.bounced += 1
            return
        now.stored += 1
    elif time_s > process.resumable_s:
        return
    process.kept += 1
    if process.kept > server.setting[0].kept_most:
        return
    entry = server.kept[now.kept]
    entry.left_s, entry.intended_s = time_s, publication.intended_s
    entry.row, entry.topic = publication.row, publication.topic
    entry.payload_bytes = payload_bytes(server, publication)
    entry.segment, entry.peer = publication.segment, number
    now.kept += 1


@compiled
def _miss(server: Server, slot: int, number: int, time_s: float) -> None:
    """A copy is for a Platform without a session: nobody receives it."""
    keep(server, slot, number, time_s)
    now, publication = server.ledger[0], server.publications[slot]
    owe(server, time_s, -1)
    now.sojourn_s += time_s - publication.arrival_s
    now.missed += 1
    publication.elsewhere += 1
    publication.missing -= 1
    publication.unwritten -= 1
    if publication.missing == 0:
        settle(server, slot)


@inlined
def absent(server: Server, slot: int, number: int, time_s: float) -> bool:
    """Whether Platform `number` has no session; its copy is then accounted for."""
    if not server.platforms[number].offline or not _away(server, slot, number, time_s):
        return False
    _miss(server, slot, number, time_s)
    return True


@inlined
def post(server: Server, slot: int, number: int, copy: int) -> None:
    """Put a copy into the mailbox of session `number`."""
    platform, nodes = server.platforms[number], server.nodes
    place = np.uint32((server.publications[slot].node + copy) & (nodes.size - 1))
    node = nodes[place]
    node.publication, node.next = slot, NOBODY
    if platform.mail_head == NOBODY:
        platform.mail_head = place
    else:
        server.nodes[platform.mail_tail].next = place
    platform.mail_tail = place


@inlined
def take(server: Server, place: int) -> Any:
    """A copy leaves its mailbox: its job's slot, its entry, and the next node of its chain."""
    node = server.nodes[place]
    slot, publication = node.publication, server.publications[node.publication]
    publication.unwritten -= 1
    copy = (np.int64(place) - np.int64(publication.node)) & (server.nodes.size - 1)
    return slot, np.uint32(publication.start + copy), node.next


@inlined
def lowest_idle(server: Server) -> Index:
    """Number of the first core without work; there must be one."""
    number = np.uint32(0)
    while server.cores[number].ready_s < np.inf:
        number = np.uint32(number + 1)
    return number
