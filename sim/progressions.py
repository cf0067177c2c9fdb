"""Copies of one publication at even instants: counted by arithmetic, not one by one.

Where all copies take the only core equally long, the link is free again before the next one and
nobody has a reader, the instants of a span's copies are an arithmetic progression, and so are their
latencies. How many of them come before an instant, or lie within a bin of a histogram, is a
division and a step or two. The instants are to the bit those of copies that are worked one by one
(`spans.py`), and are added up in the same order: nothing tells which way was taken.
"""

from __future__ import annotations

import numpy as np

from results import histogram
from sim.delivery import charge, compiled, inlined, settle
from sim.state import Server

CLEAR = 0.99  # the link needs at most this share of the time between two copies ...
SHORTEST_S = 1e-7  # ... which is so long that no rounding of an instant matters beside it


@inlined
def written_s(server: Server, number: int, copy: int) -> float:
    """When core `number` is done with copy `copy` of its publication, each of equal cost. [s]"""
    core = server.cores[number]
    return core.even_s + (copy - core.even_copy) * server.publications[core.slot].copy_s


@inlined
def align(server: Server, number: int) -> None:
    """Count even instants of a core from its present copy on, if something has moved that."""
    core = server.cores[number]
    if core.ready_s != written_s(server, number, core.copy):
        core.even_s, core.even_copy = core.ready_s, core.copy


@inlined
def _instant_s(server: Server, copy: int, wire_s: float, delay_s: float, zero_s: float) -> float:
    """When a copy has been written, crossed a free link, and travelled, since `zero_s`. [s]"""
    return ((written_s(server, np.uint32(0), copy) + wire_s) + delay_s) - zero_s


@inlined
def _earlier(
    server: Server, copy: int, count: int, wire_s: float, delay_s: float, zero_s: float,
    bound_s: float,
) -> int:  # fmt: skip
    """How many of `count` copies from `copy` on have an instant before `bound_s`."""
    copy_s = server.publications[server.cores[0].slot].copy_s
    steps = (bound_s - _instant_s(server, copy, wire_s, delay_s, zero_s)) / copy_s
    found = np.int64(min(max(steps, 0.0), np.float64(count)))
    while found > 0 and _instant_s(server, copy + found - 1, wire_s, delay_s, zero_s) >= bound_s:
        found -= 1
    while found < count and _instant_s(server, copy + found, wire_s, delay_s, zero_s) < bound_s:
        found += 1
    return int(found)


@inlined
def _count_latencies(
    server: Server, row: int, copy: int, count: int, way_s: tuple[float, float]
) -> None:
    """Count the latencies of `count` copies from `copy` on, and those that are late."""
    wire_s, delay_s = way_s
    publication, counts = server.publications[server.cores[0].slot], server.histograms[row]
    intended_s, deadline_s = publication.intended_s, server.setting[0].deadline_s
    done = np.int64(0)
    while done < count:
        latency_s = _instant_s(server, copy + done, wire_s, delay_s, intended_s)
        place = np.float64(latency_s).view(np.int64) >> histogram.SHIFT
        edge_s = np.int64((place + 1) << histogram.SHIFT).view(np.float64)
        inside = _earlier(server, copy + done, count - done, wire_s, delay_s, intended_s, edge_s)
        counts[np.uint32(place - histogram.OFFSET)] += inside
        done += inside
    timely = _earlier(server, copy, count, wire_s, delay_s, intended_s, deadline_s)
    while timely < count and (
        _instant_s(server, copy + timely, wire_s, delay_s, intended_s) <= deadline_s
    ):
        timely += 1
    publication.untimely += count - timely


@inlined
def _count_in_intervals(server: Server, copy: int, count: int, way_s: tuple[float, float]) -> None:
    """Count what crosses the link, and what is received, in the intervals where that happens."""
    wire_s, delay_s = way_s
    now, intervals = server.ledger[0], server.intervals
    wire_bytes = server.publications[server.cores[0].slot].wire_bytes
    i, done = np.uint32(now.link_interval), np.int64(0)
    while True:
        here = _earlier(server, copy + done, count - done, wire_s, 0.0, 0.0, intervals[i].end_s)
        intervals[i].egress_bytes += here * wire_bytes
        done += here
        if done == count:
            break
        i = np.uint32(i + 1)
    now.link_interval = i
    i, done = np.uint32(now.received_interval), np.int64(0)
    earliest_s = _instant_s(server, copy, wire_s, delay_s, 0.0)
    while earliest_s < intervals[i].start_s:
        i = np.uint32(i - 1)
    while True:
        here = _earlier(server, copy + done, count - done, wire_s, delay_s, 0.0, intervals[i].end_s)
        intervals[i].received += here
        done += here
        if done == count:
            break
        i = np.uint32(i + 1)
    now.received_interval = i


@inlined
def _add_up(server: Server, count: int, way_s: tuple[float, float]) -> None:
    """The only core writes `count` copies: the sums over them, in the order of single copies."""
    wire_s, delay_s = way_s
    core, now = server.cores[0], server.ledger[0]
    publication, interval = server.publications[core.slot], server.intervals[now.interval]
    arrival_s, intended_s = publication.arrival_s, publication.intended_s
    even_s, copy_s, place = core.even_s, publication.copy_s, core.copy - core.even_copy
    time_s, since_s, owed = core.ready_s, now.owed_since_s, np.float64(now.owed)
    area_s, sojourn_s, latency_s = now.owed_area_s, now.sojourn_s, publication.latency_s
    busy_s = interval.busy_s
    for i in range(place + 1, place + count):
        area_s += owed * (time_s - since_s)
        sojourn_s += time_s - arrival_s
        latency_s += ((time_s + wire_s) + delay_s) - intended_s
        next_s = even_s + i * copy_s
        busy_s += next_s - time_s
        since_s, time_s, owed = time_s, next_s, owed - 1.0
    interval.busy_s = busy_s
    now.owed_area_s = area_s + owed * (time_s - since_s)
    now.sojourn_s = sojourn_s + (time_s - arrival_s)
    publication.latency_s = latency_s + (((time_s + wire_s) + delay_s) - intended_s)
    now.owed_since_s, now.owed = time_s, now.owed - count
    now.link_free_s = time_s + wire_s
    core.copy += count
    core.ready_s = time_s
    if core.copy < publication.copies:
        core.ready_s = written_s(server, np.uint32(0), core.copy)
        charge(server, time_s, core.ready_s)


@compiled
def deliver_evenly(server: Server, before_s: float) -> bool:
    """Let the only core write and deliver copies of a span that are due before `before_s`.

    False where that is not to be had by arithmetic: nothing is done then. The next copy is due
    before that, and that is not past the end of the present interval.
    """
    core, now, setting = server.cores[0], server.ledger[0], server.setting[0]
    publication, copy = server.publications[core.slot], core.copy
    copy_s, entry = publication.copy_s, np.uint32(publication.start + core.copy)
    number, wire_s = server.subscribers[entry], publication.wire_bytes * setting.wire_s_per_byte
    if setting.exponential or server.trace.size > 0 or number >= setting.residents:
        return False
    place = server.platforms[number].population
    population, intended_s = server.populations[place], publication.intended_s
    jammed = now.link_free_s > core.ready_s or wire_s > CLEAR * copy_s or copy_s < SHORTEST_S
    if jammed or population.read_s > 0.0:
        return False
    most = min(publication.copies - copy, np.int64(server.span_ends[entry]) - entry)
    count = _earlier(server, copy, most, 0.0, 0.0, 0.0, before_s)
    way_s = (wire_s, population.delay_s)
    earliest_s = _instant_s(server, copy, wire_s, population.delay_s, 0.0)
    latest_s = _instant_s(server, copy + count - 1, wire_s, population.delay_s, 0.0)
    fast = earliest_s - intended_s < histogram.LOWEST_S
    slow = latest_s - intended_s >= histogram.HIGHEST_S
    if fast or slow or latest_s > setting.horizon_s:
        return False
    row = np.uint32(publication.segment + server.pairs[publication.topic, place])
    _count_latencies(server, row, copy, count, way_s)
    _count_in_intervals(server, copy, count, way_s)
    publication.first_s = min(publication.first_s, earliest_s)
    publication.last_s = max(publication.last_s, latest_s)
    _add_up(server, count, way_s)
    publication.missing -= count
    if publication.missing == 0:
        settle(server, core.slot)
    return True
