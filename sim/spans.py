"""Copies of one publication in a row: their common way through link, network and readers.

A core that works alone writes the copies of a publication one after another, so their instants are
known together. What `delivery.deliver` does to one copy is done here to up to `BLOCK` of them, in
loops without calls that compilers turn into vector code; the sums are made in the same order, so
that it does not matter how the copies are cut into blocks. A *span* is a stretch of a Topic's
subscribers that belong to one population.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from results import histogram
from sim.delivery import bin_of, compiled, inlined, send_on, settle
from sim.memory import own_bytes, share
from sim.state import Server

BLOCK = 512  # copies worked on together: their instants stay in the first-level cache
# Places in `Server.scratch`: instants of having left the link, of being received, of being written
# (later whose bins), and draws; one more draw ends a block.
LEFT, RECEIVED, WRITTEN, DRAWN = 0, BLOCK, 2 * BLOCK, 3 * BLOCK
SCRATCH = 4 * BLOCK + 1
ROW = 8  # bins looked at together


@inlined
def book(server: Server, slot: int, count: int, before_s: float, busy_s: float) -> float:
    """So many copies of a publication are written at the instants in the scratch: the sums.

    The last of them is `busy_s` with the time from `before_s` to the last instant. [s]
    """
    now, scratch = server.ledger[0], server.scratch
    arrival_s, owed = server.publications[slot].arrival_s, np.float64(now.owed)
    since_s, area_s, sojourn_s = now.owed_since_s, now.owed_area_s, now.sojourn_s
    for i in range(WRITTEN, WRITTEN + count):
        time_s = scratch[i]
        area_s += owed * (time_s - since_s)
        sojourn_s += time_s - arrival_s
        busy_s += time_s - before_s
        before_s = since_s = time_s
        owed -= 1.0
    now.owed_since_s, now.owed_area_s, now.sojourn_s = since_s, area_s, sojourn_s
    now.owed -= count
    return busy_s


@inlined
def _cross_link(server: Server, slot: int, count: int) -> None:
    """The link carries what was written at the instants in the scratch."""
    now, scratch = server.ledger[0], server.scratch
    wire_s = server.publications[slot].wire_bytes * server.setting[0].wire_s_per_byte
    link_s = now.link_free_s
    for i in range(count):
        link_s = max(scratch[WRITTEN + i], link_s) + wire_s
        scratch[LEFT + i] = link_s
    now.link_free_s = link_s


@inlined
def _count_egress(server: Server, slot: int, count: int) -> None:
    """Copies that have left by the link, in the intervals that hold those instants."""
    now, instants_s = server.ledger[0], server.scratch
    wire_bytes = server.publications[slot].wire_bytes
    interval = np.uint32(now.link_interval)
    if instants_s[LEFT + count - 1] < server.intervals[interval].end_s:
        server.intervals[interval].egress_bytes += count * wire_bytes
        return
    for i in range(LEFT, LEFT + count):
        while instants_s[i] >= server.intervals[interval].end_s:
            interval = np.uint32(interval + 1)
        server.intervals[interval].egress_bytes += wire_bytes
    now.link_interval = interval


@inlined
def _arrive(server: Server, place: int, numbers: Any, ascending: bool, population: int) -> None:
    """Copies that left at the instants from `place` on reach these Platforms, and are read there.

    With `ascending` numbers the first and the last tell whether there are gaps.
    """
    delay_s, read_s = server.populations[population].delay_s, server.populations[population].read_s
    count = numbers.size
    sent_s = server.scratch[place : place + count]
    received_s = server.scratch[RECEIVED : RECEIVED + count]
    if read_s == 0.0:
        for i in range(count):
            received_s[i] = sent_s[i] + delay_s
        return
    if ascending and numbers[count - 1] - numbers[0] == count - 1:
        free_s = server.reader_free_s[numbers[0] : numbers[0] + count]
        for i in range(count):
            read_at_s = max(sent_s[i] + delay_s, free_s[i]) + read_s
            free_s[i] = received_s[i] = read_at_s
        return
    for i in range(count):
        read_at_s = max(sent_s[i] + delay_s, server.reader_free_s[numbers[i]]) + read_s
        server.reader_free_s[numbers[i]] = received_s[i] = read_at_s


@inlined
def _count_one_by_one(server: Server, slot: int, row: int, numbers: Any) -> None:
    """Count copies of which some are late, or very fast, or whose deliveries are traced."""
    now, setting, publication = server.ledger[0], server.setting[0], server.publications[slot]
    for i in range(numbers.size):
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
            entry.row, entry.platform = publication.row, numbers[i]
            entry.received_s = received_s
            now.traced += 1


@inlined
def _count_bins(counts: Any, places: Any) -> None:
    """One more in each of these bins.

    Copies in a row mostly fall into one bin, and adding to the same place again and again waits for
    memory each time: those of a whole row are added together.
    """
    count = places.size
    for i in range(0, count - ROW + 1, ROW):
        place, others = places[i], np.uint64(0)
        for k in range(1, ROW):
            others |= places[i + k] ^ place
        if others == 0:
            counts[place] += ROW
        else:
            for k in range(ROW):
                counts[places[i + k]] += 1
    for i in range(count - count % ROW, count):
        counts[places[i]] += 1


@inlined
def _count_together(server: Server, slot: int, row: int, count: int, late: bool) -> None:
    """Count copies that are all received in time for the run and slower than a nanosecond.

    Whether some may be too `late` for the deadline.
    """
    publication = server.publications[slot]
    intended_s, deadline_s = publication.intended_s, server.setting[0].deadline_s
    received_s = server.scratch[RECEIVED : RECEIVED + count]
    places = server.scratch[WRITTEN : WRITTEN + count].view(np.uint64)
    sum_s = publication.latency_s
    for i in range(count):
        sum_s += received_s[i] - intended_s
    publication.latency_s = sum_s
    for i in range(count):
        bits = np.float64(received_s[i] - intended_s).view(np.uint64)
        places[i] = (bits >> np.uint64(histogram.SHIFT)) - np.uint64(histogram.OFFSET)
    _count_bins(server.histograms[row], places)
    if late:
        untimely = 0
        for i in range(count):
            untimely += received_s[i] - intended_s > deadline_s
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
def _extremes(instants_s: Any) -> tuple[float, float]:
    """The earliest and the latest of these instants, none of which is before the run.

    Compared as whole numbers, which compilers turn into vector code: floats have the same order.
    """
    bits = instants_s.view(np.int64)
    earliest = latest = bits[0]
    for i in range(bits.size):
        earliest, latest = min(earliest, bits[i]), max(latest, bits[i])
    return np.int64(earliest).view(np.float64), np.int64(latest).view(np.float64)


@inlined
def _receive(
    server: Server, slot: int, place: int, numbers: Any, ascending: bool, population: int
) -> None:  # fmt: skip
    """Copies of one publication to Platforms of one population, from `place` of a block on."""
    publication, count = server.publications[slot], numbers.size
    _arrive(server, LEFT + place, numbers, ascending, population)
    received_s = server.scratch[RECEIVED : RECEIVED + count]
    earliest_s, latest_s = _extremes(received_s)
    row = np.uint32(publication.segment + server.pairs[publication.topic, population])
    fast = earliest_s - publication.intended_s < histogram.LOWEST_S
    slow = latest_s - publication.intended_s >= histogram.HIGHEST_S
    if fast or slow or latest_s > server.setting[0].horizon_s or server.trace.size > 0:
        _count_one_by_one(server, slot, row, numbers)
    else:
        late = latest_s - publication.intended_s > server.setting[0].deadline_s
        _count_together(server, slot, row, count, late)
        publication.first_s = min(publication.first_s, earliest_s)
        publication.last_s = max(publication.last_s, latest_s)
    _count_received(server, earliest_s, latest_s, count)


@compiled
def deliver_block(server: Server, slot: int, copy: int, count: int) -> None:
    """Carry copies `copy` .. `copy + count - 1`, which left at the instants in the scratch."""
    publication = server.publications[slot]
    _count_egress(server, slot, count)
    first, done = publication.start + copy, np.int64(0)
    while done < count:
        number = server.subscribers[first + done]
        end = server.span_ends[first + done]
        stretch = min(count - done, end - (first + done))
        if number < server.setting[0].residents:
            population = server.platforms[number].population
            numbers = server.subscribers[first + done : first + done + stretch]
            _receive(server, slot, done, numbers, True, population)
        else:
            for i in range(done, done + stretch):
                peer = server.subscribers[first + i]
                send_on(server, slot, peer, np.uint32(first + i), server.scratch[LEFT + i])
        done += stretch
    publication.missing -= count
    if publication.missing == 0:
        settle(server, slot)


@compiled
def deliver_run(server: Server, slot: int, count: int, population: int) -> None:
    """Carry copies of one publication, written at the instants in the scratch to `numbers`.

    Those are so many Platforms of one population; the copies were in their mailboxes.
    """
    now, publication = server.ledger[0], server.publications[slot]
    held_bytes, size_bytes = now.held_bytes, own_bytes(server, publication)
    for _ in range(count):
        held_bytes -= size_bytes
    now.held_bytes = held_bytes
    now.held -= count
    share(server, slot, -count)
    _cross_link(server, slot, count)
    _count_egress(server, slot, count)
    _receive(server, slot, np.int64(0), server.numbers[:count], False, population)
    publication.unwritten -= count
    publication.missing -= count
    if publication.missing == 0:
        settle(server, slot)
