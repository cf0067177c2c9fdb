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
def _count(server: Server, publication: Any, population: int, received_s: float) -> None:
    """One more copy of a publication is received, within the run."""
    row = np.uint32(publication.segment + server.pairs[publication.topic, population])
    latency_s = received_s - publication.intended_s
    server.histograms[row, bin_of(latency_s)] += 1
    publication.untimely += latency_s > server.setting[0].deadline_s
    publication.latency_s += latency_s
    publication.first_s = min(publication.first_s, received_s)
    publication.last_s = max(publication.last_s, received_s)


@inlined
def _interval_of(server: Server, place: Any, time_s: float) -> Any:
    """The interval that holds an instant, looked for from `place` on."""
    while time_s >= server.intervals[place].end_s:
        place = np.uint32(place + 1)
    while time_s < server.intervals[place].start_s:
        place = np.uint32(place - 1)
    return place


@inlined
def _trace(server: Server, publication: Any, number: Any, received_s: float) -> None:
    now = server.ledger[0]
    entry = server.trace[now.traced]
    entry.row, entry.platform, entry.received_s = publication.row, number, received_s
    now.traced += 1


@compiled
def flush(server: Server, end_s: float) -> None:
    """Take the events of the batch that start before `end_s`, up to the first unusual one."""
    now, setting, intervals = server.ledger[0], server.setting[0], server.intervals
    allocation, most = setting.allocation_write, allowance(server)
    time_s, events, link_s, allocated = now.time_s, now.events, now.link_free_s, now.allocated
    owed, since_s, area_s, sojourn_s = (
        now.owed, now.owed_since_s, now.owed_area_s, now.sojourn_s,
    )  # fmt: skip
    held_bytes, free = now.held_bytes, now.free_node
    egress, coming = np.uint32(now.link_interval), np.uint32(now.received_interval)
    stop_s, link_stop_s = intervals[np.uint32(now.interval)].end_s, intervals[egress].end_s
    horizon_s, first_event = setting.horizon_s, events
    while events > 0 and time_s < end_s:
        event = server.batch[np.uint32(events - 1)]
        if not _is_single(server, event):
            break
        number = np.uint32(event >> FLAGS)
        platform = server.platforms[number]
        place = platform.mail_head
        node, population = server.nodes[place], server.populations[platform.population]
        slot = node.publication
        publication = server.publications[slot]
        wire_bytes, grown = publication.wire_bytes, allocated + allocation
        written_s = time_s + (setting.write_s + publication.write_s)
        left_s = max(written_s, link_s) + wire_bytes * setting.wire_s_per_byte
        received_s = left_s + population.delay_s
        if population.read_s > 0.0:
            received_s = max(received_s, server.reader_free_s[number]) + population.read_s
        if grown >= most or written_s >= stop_s or left_s >= link_stop_s or received_s > horizon_s:
            break
        coming = _interval_of(server, coming, received_s)
        time_s, link_s, events, allocated = written_s, left_s, events - 1, grown
        if population.read_s > 0.0:
            server.reader_free_s[number] = received_s
        area_s += owed * (written_s - since_s)
        since_s, owed = written_s, owed - 1
        sojourn_s += written_s - publication.arrival_s
        held_bytes -= payload_bytes(server, publication)
        platform.mail_head = NOBODY
        node.next, free = free, place
        intervals[egress].egress_bytes += wire_bytes
        intervals[coming].received += 1
        _count(server, publication, platform.population, received_s)
        if server.trace.size > 0:
            _trace(server, publication, number, received_s)
        publication.missing -= 1
        if publication.missing == 0:
            settle(server, slot)
    now.time_s, now.events, now.link_free_s, now.allocated = time_s, events, link_s, allocated
    now.owed, now.owed_since_s, now.owed_area_s, now.sojourn_s = owed, since_s, area_s, sojourn_s
    now.held_bytes, now.free_node = held_bytes, free
    now.held -= first_event - events
    now.received_interval = coming
