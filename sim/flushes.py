"""Writes of an event loop in a row: sockets that are ready for one item each.

Most sockets that `loop-turns` polls want one item written and nothing else. `flush` does for them
what the loop does for any socket, sum by sum in the same order, with its clock and counters in
registers. It stops before the first event that is anything else (a read, several items, a step of
the garbage collector, a copy that is followed, a peer, the end of an interval): the loop does that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim import journeys
from sim.delivery import bin_of, compiled, inlined, payload_bytes, settle
from sim.state import NOBODY, Server

READABLE, WRITABLE, FLAGS = 1, 2, 2


@inlined
def allowance(server: Server) -> float:
    """Allocation at which the collector has something to do next, in deliveries of 400 B."""
    now, setting = server.ledger[0], server.setting[0]
    if setting.collection_s == 0.0:
        return np.inf
    if now.collecting_s > 0.0:
        return setting.collection_step_every
    return setting.collection_every


@inlined
def _is_single(server: Server, event: int) -> bool:
    """Whether an event is the write of one item, and of nothing else, to a Platform."""
    number = np.uint32(event >> FLAGS)
    if event & READABLE or number >= server.setting[0].residents:
        return False
    platform = server.platforms[number]
    if platform.results > 0 or platform.mail_head == NOBODY:
        return False
    node = server.nodes[platform.mail_head]
    return node.next == NOBODY and not journeys.followed(server, node.publication)


@inlined
def _trace(server: Server, row: int, number: Any, received_s: float) -> None:
    now = server.ledger[0]
    entry = server.trace[now.traced]
    entry.row, entry.platform, entry.received_s = row, number, received_s
    now.traced += 1


@inlined
def _interval_of(server: Server, place: Any, time_s: float) -> Any:
    """The interval that holds an instant, looked for from `place` on."""
    while time_s >= server.intervals[place].end_s:
        place = np.uint32(place + 1)
    while time_s < server.intervals[place].start_s:
        place = np.uint32(place - 1)
    return place


@inlined
def _leave(server: Server, slot: int, copies: int) -> None:
    """Copies of a publication have left the server."""
    publication = server.publications[slot]
    server.ledger[0].held -= copies
    publication.missing -= copies
    publication.unwritten -= copies
    if copies > 0 and publication.missing == 0:
        settle(server, slot)


@inlined
def _take_run(server: Server, event: int, end_s: float) -> int:  # noqa: PLR0915 (it is one loop)
    """Take the batch's last events while they are copies of one publication to one population.

    `event` is the last one; how many were taken.
    """
    now, setting, intervals = server.ledger[0], server.setting[0], server.intervals
    population = server.platforms[np.uint32(event >> FLAGS)].population
    slot = server.nodes[server.platforms[np.uint32(event >> FLAGS)].mail_head].publication
    publication, people = server.publications[slot], server.populations[population]
    write_s, delay_s, read_s = setting.write_s + publication.write_s, people.delay_s, people.read_s
    wire_bytes, size_bytes = publication.wire_bytes, payload_bytes(server, publication)
    wire_s, intended_s = wire_bytes * setting.wire_s_per_byte, publication.intended_s
    arrival_s, deadline_s, horizon_s = publication.arrival_s, setting.deadline_s, setting.horizon_s
    row = np.uint32(publication.segment + server.pairs[publication.topic, population])
    counts, untimely, latencies_s = server.histograms[row], 0, publication.latency_s
    first_s, last_s, residents = publication.first_s, publication.last_s, setting.residents
    allocation, most, allocated = setting.allocation_write, allowance(server), now.allocated
    time_s, link_s, events, taken = now.time_s, now.link_free_s, now.events, 0
    owed, since_s = now.owed, now.owed_since_s
    area_s, sojourn_s = now.owed_area_s, now.sojourn_s
    held_bytes, tracing = now.held_bytes, server.trace.size > 0
    egress, coming = np.uint32(now.link_interval), np.uint32(now.received_interval)
    stop_s, link_stop_s = intervals[np.uint32(now.interval)].end_s, intervals[egress].end_s
    egress_bytes = intervals[egress].egress_bytes
    while taken < events and time_s < end_s:
        event = server.batch[np.uint32(events - 1 - taken)]
        number = np.uint32(event >> FLAGS)
        if event & READABLE or number >= residents:
            break
        platform = server.platforms[number]
        place = platform.mail_head
        if platform.results > 0 or platform.population != population or place == NOBODY:
            break
        node = server.nodes[place]
        written_s, grown = time_s + write_s, allocated + allocation
        left_s = max(written_s, link_s) + wire_s
        received_s = left_s + delay_s
        if read_s > 0.0:
            received_s = max(received_s, server.reader_free_s[number]) + read_s
        if node.publication != slot or node.next != NOBODY or grown >= most:
            break
        if written_s >= stop_s or left_s >= link_stop_s or received_s > horizon_s:
            break
        if read_s > 0.0:
            server.reader_free_s[number] = received_s
        area_s += owed * (written_s - since_s)
        sojourn_s += written_s - arrival_s
        time_s = since_s = written_s
        link_s, allocated, owed, taken = left_s, grown, owed - 1, taken + 1
        held_bytes -= size_bytes
        platform.mail_head = NOBODY
        egress_bytes += wire_bytes
        coming = _interval_of(server, coming, received_s)
        intervals[coming].received += 1
        latency_s = received_s - intended_s
        counts[bin_of(latency_s)] += 1
        untimely += latency_s > deadline_s
        latencies_s += latency_s
        first_s, last_s = min(first_s, received_s), max(last_s, received_s)
        if tracing:
            _trace(server, publication.row, number, received_s)
    now.time_s, now.link_free_s, now.allocated = time_s, link_s, allocated
    now.events = events - taken
    now.owed, now.owed_since_s, now.owed_area_s, now.sojourn_s = owed, since_s, area_s, sojourn_s
    now.held_bytes, now.received_interval = held_bytes, coming
    intervals[egress].egress_bytes = egress_bytes
    publication.untimely += untimely
    publication.latency_s, publication.first_s, publication.last_s = latencies_s, first_s, last_s
    _leave(server, slot, taken)
    return taken


@compiled
def flush(server: Server, end_s: float) -> None:
    """Take the events of the batch that start before `end_s`, up to the first unusual one."""
    now = server.ledger[0]
    while now.events > 0 and now.time_s < end_s:
        event = server.batch[np.uint32(now.events - 1)]
        if not _is_single(server, event) or _take_run(server, event, end_s) == 0:
            break
