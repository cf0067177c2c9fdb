"""Copies of one publication in a row: their common way through link, network and readers.

A core that works alone writes the copies of a publication one after another, so their instants are
known together. What `delivery.deliver` does to one copy is done here to up to `BLOCK` of them, in
loops without calls that compilers turn into vector code; the sums are made in the same order, so
that it does not matter how the copies are cut into blocks. A *span* is a stretch of a Topic's
subscribers that belong to one population.
"""

from __future__ import annotations

import numpy as np

from results import histogram
from sim.delivery import bin_of, compiled, inlined, send_on, settle
from sim.state import Server

BLOCK = 512  # copies worked on together: their instants stay in the first-level cache
WRITTEN, RECEIVED = 0, BLOCK + 1  # places in `Server.scratch`; one more instant ends a block
DRAWN = 2 * BLOCK + 2
SCRATCH = 3 * BLOCK + 2


@inlined
def _cross_link(server: Server, slot: int, count: int) -> None:
    """The link carries `count` copies: instants of writing become instants of having left."""
    now, instants_s = server.ledger[0], server.scratch
    wire_bytes = server.publications[slot].wire_bytes
    wire_s = wire_bytes * server.setting[0].wire_s_per_byte
    link_s = now.link_free_s
    for i in range(count):
        link_s = max(instants_s[i], link_s) + wire_s
        instants_s[i] = link_s
    now.link_free_s = link_s
    interval = np.uint32(now.link_interval)
    if link_s < server.intervals[interval].end_s:
        server.intervals[interval].egress_bytes += count * wire_bytes
        return
    for i in range(count):
        while instants_s[i] >= server.intervals[interval].end_s:
            interval = np.uint32(interval + 1)
        server.intervals[interval].egress_bytes += wire_bytes
    now.link_interval = interval


@inlined
def _arrive(server: Server, place: int, first: int, count: int, population: int) -> None:
    """Copies reach subscribers `first` and following, and are read there. [s]"""
    delay_s, read_s = server.populations[population].delay_s, server.populations[population].read_s
    sent_s = server.scratch[place : place + count]
    received_s = server.scratch[RECEIVED : RECEIVED + count]
    if read_s == 0.0:
        for i in range(count):
            received_s[i] = sent_s[i] + delay_s
        return
    numbers = server.subscribers[first : first + count]
    if numbers[count - 1] - numbers[0] == count - 1:
        free_s = server.reader_free_s[numbers[0] : numbers[0] + count]
        for i in range(count):
            read_at_s = max(sent_s[i] + delay_s, free_s[i]) + read_s
            free_s[i] = received_s[i] = read_at_s
        return
    for i in range(count):
        read_at_s = max(sent_s[i] + delay_s, server.reader_free_s[numbers[i]]) + read_s
        server.reader_free_s[numbers[i]] = received_s[i] = read_at_s


@inlined
def _count_one_by_one(server: Server, slot: int, row: int, first: int, count: int) -> None:
    """Count copies of which some are late, or very fast, or whose deliveries are traced."""
    now, setting, publication = server.ledger[0], server.setting[0], server.publications[slot]
    for i in range(count):
        received_s = server.scratch[RECEIVED + i]
        if received_s > setting.horizon_s:
            server.histograms[row, histogram.UNDELIVERED] += 1
            publication.elsewhere += 1
            now.late += 1
            continue
        latency_s = received_s - publication.intended_s
        server.histograms[row, bin_of(latency_s)] += 1
        publication.untimely += latency_s > setting.deadline_s
        publication.latency_s += latency_s
        publication.first_s = min(publication.first_s, received_s)
        publication.last_s = max(publication.last_s, received_s)
        if server.trace.size > 0:
            entry = server.trace[now.traced]
            entry.row, entry.platform = publication.row, server.subscribers[first + i]
            entry.received_s = received_s
            now.traced += 1


@inlined
def _count_together(server: Server, slot: int, row: int, count: int) -> None:
    """Count copies that are all received in time for the run and slower than a nanosecond."""
    publication = server.publications[slot]
    intended_s, deadline_s = publication.intended_s, server.setting[0].deadline_s
    received_s = server.scratch[RECEIVED : RECEIVED + count]
    counts, untimely, sum_s = server.histograms[row], 0, publication.latency_s
    for i in range(count):
        latency_s = received_s[i] - intended_s
        sum_s += latency_s
        untimely += latency_s > deadline_s
        place = (np.float64(latency_s).view(np.int64) >> histogram.SHIFT) - histogram.OFFSET
        counts[np.uint32(place)] += 1
    publication.latency_s = sum_s
    publication.untimely += untimely


@inlined
def _count_received(server: Server, earliest_s: float, latest_s: float, count: int) -> None:
    """More deliveries in the intervals that hold their instants."""
    now = server.ledger[0]
    i, intervals, horizon_s = now.received_interval, server.intervals, server.setting[0].horizon_s
    while earliest_s >= intervals[i].end_s:
        i = np.uint32(i + 1)
    while earliest_s < intervals[i].start_s:
        i = np.uint32(i - 1)
    now.received_interval = i
    if latest_s < intervals[i].end_s and latest_s <= horizon_s:
        intervals[i].received += count
        return
    for place in range(RECEIVED, RECEIVED + count):
        received_s = server.scratch[place]
        if received_s > horizon_s:
            continue
        while received_s >= intervals[i].end_s:
            i = np.uint32(i + 1)
        while received_s < intervals[i].start_s:
            i = np.uint32(i - 1)
        intervals[i].received += 1


@inlined
def _deliver_span(
    server: Server, slot: int, place: int, first: int, count: int, population: int
) -> None:
    """Copies of one span, whose instants of leaving the link start at `place` of the scratch."""
    publication = server.publications[slot]
    _arrive(server, place, first, count, population)
    received_s = server.scratch[RECEIVED : RECEIVED + count]
    earliest_s, latest_s = np.inf, -np.inf
    for i in range(count):
        earliest_s, latest_s = min(earliest_s, received_s[i]), max(latest_s, received_s[i])
    row = np.uint32(publication.segment + server.pairs[publication.topic, population])
    fast = earliest_s - publication.intended_s < histogram.LOWEST_S
    slow = latest_s - publication.intended_s >= histogram.HIGHEST_S
    if fast or slow or latest_s > server.setting[0].horizon_s or server.trace.size > 0:
        _count_one_by_one(server, slot, row, first, count)
    else:
        _count_together(server, slot, row, count)
        publication.first_s = min(publication.first_s, earliest_s)
        publication.last_s = max(publication.last_s, latest_s)
    _count_received(server, earliest_s, latest_s, count)


@compiled
def deliver_block(server: Server, slot: int, copy: int, count: int) -> None:
    """Carry copies `copy` .. `copy + count - 1`, written at the instants in the scratch."""
    publication = server.publications[slot]
    _cross_link(server, slot, count)
    first, done = publication.start + copy, np.int64(0)
    while done < count:
        number = server.subscribers[first + done]
        end = server.span_ends[first + done]
        stretch = min(count - done, end - (first + done))
        if number < server.setting[0].residents:
            population = server.platforms[number].population
            _deliver_span(server, slot, done, first + done, stretch, population)
        else:
            for i in range(done, done + stretch):
                peer = server.subscribers[first + i]
                send_on(server, slot, peer, np.uint32(first + i), server.scratch[i])
        done += stretch
    publication.missing -= count
    if publication.missing == 0:
        settle(server, slot)
