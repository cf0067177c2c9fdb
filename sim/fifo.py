"""`fifo`: first come, first served, by `cores` identical servers; the discipline of the textbooks.

A publication is one job on one core: its own cost, then its copies one after another, each on its
way as soon as it is done. Jobs start in order of arrival on the lowest idle core. At one instant
arrivals go before completions, and completions in the order of their cores' numbers. With one core
the first, mean and last copy are those of a batch in M^X/G/1. Where Topics have priorities, a core
takes the first of those that wait with the highest (`ranks.py`).
"""

from __future__ import annotations

import numpy as np

from sim import journeys
from sim.completions import begin_job, complete_job
from sim.delivery import (
    admit,
    charge,
    compiled,
    deliver,
    inlined,
    lowest_idle,
    next_arrival_s,
    owe,
    reach,
    settle,
    weigh,
)
from sim.draws import Purpose, exponential_at, fill_exponentials
from sim.progressions import align, deliver_evenly, written_s
from sim.ranks import next_waiting, stand_in_line
from sim.spans import BLOCK, DRAWN, LEFT, WRITTEN, book, deliver_block
from sim.state import Server

COPY = int(Purpose.COPY)


@inlined
def _done_s(server: Server, number: int, copy: int, time_s: float) -> float:
    """When core `number`, free at `time_s`, is done with a copy of its publication. [s]

    An exponential service time is drawn by publication and place.
    """
    publication, setting = server.publications[server.cores[number].slot], server.setting[0]
    if not setting.exponential:
        return written_s(server, number, copy)
    draw = exponential_at(setting.seed, COPY, setting.replication, publication.row, copy)
    return time_s + publication.copy_s * draw


@inlined
def _draw(server: Server, copy: int) -> None:
    """Have the draws of the first core's copies from `copy` on at hand."""
    core, setting = server.cores[0], server.setting[0]
    publication = server.publications[core.slot]
    core.drawn_first = copy // BLOCK * BLOCK
    core.drawn_end = min(core.drawn_first + BLOCK, publication.copies)
    fill_exponentials(
        setting.seed, COPY, setting.replication, publication.row,
        core.drawn_first, core.drawn_end - core.drawn_first, server.scratch[DRAWN:],
    )  # fmt: skip


@compiled
def _start(server: Server, number: int, time_s: float) -> None:
    """Core `number`, which is idle, begins with the next waiting publication."""
    now, core = server.ledger[0], server.cores[number]
    slot = next_waiting(server)
    publication = server.publications[slot]
    now.started += 1
    now.idle_cores -= 1
    now.idle_s += time_s - core.idle_since_s
    core.slot, core.copy, core.drawn_end = slot, 0, 0
    if publication.job:
        begin_job(server, slot, time_s)
    core.ready_s = time_s + publication.intake_s * publication.factor
    if journeys.followed(server, slot):
        journeys.begin(server, slot, time_s)
        journeys.read(server, slot, core.ready_s)
    if publication.copies > 0:
        core.even_s, core.even_copy = core.ready_s + publication.copy_s, 0
        core.ready_s = _done_s(server, number, core.copy, core.ready_s)
    core.idle_since_s = core.ready_s
    charge(server, time_s, core.ready_s)


@compiled
def _finish(server: Server, number: int, time_s: float) -> None:
    """A core's job is done: it takes the next one that waits."""
    now, core = server.ledger[0], server.cores[number]
    if server.publications[core.slot].job:
        complete_job(server, core.slot, time_s)
    elif server.publications[core.slot].copies == 0:
        settle(server, core.slot)
    reach(server, time_s)
    weigh(server, time_s)
    core.ready_s = np.inf
    now.idle_cores += 1
    if now.started < now.arrived:
        _start(server, number, time_s)


@compiled
def _work(server: Server, number: int, stop_s: float) -> None:
    """Complete copies of a core's job: the first in any case, the others before `stop_s`."""
    core = server.cores[number]
    slot, time_s = core.slot, core.ready_s
    publication = server.publications[slot]
    start = publication.start
    align(server, number)
    while True:
        if core.copy < publication.copies:
            owe(server, time_s, -1)
            entry = np.uint32(start + core.copy)
            deliver(server, slot, server.subscribers[entry], entry, time_s)
            core.copy += 1
        if core.copy >= publication.copies:
            _finish(server, number, time_s)
            break
        core.ready_s = core.idle_since_s = _done_s(server, number, core.copy, time_s)
        charge(server, time_s, core.ready_s)
        time_s = core.ready_s
        if time_s >= stop_s:
            break


@inlined
def _instants(server: Server, most: int) -> float:
    """When the first core's next `most` copies are written, and have crossed the link.

    Both go to the scratch, at `WRITTEN` and at `LEFT`. Then comes the next copy, at the instant
    that is returned (without meaning if there is none). What is not taken of it is done again.
    """
    core, now, scratch = server.cores[0], server.ledger[0], server.scratch
    publication = server.publications[core.slot]
    wire_s = publication.wire_bytes * server.setting[0].wire_s_per_byte
    time_s, link_s, copy_s = core.ready_s, now.link_free_s, publication.copy_s
    if server.setting[0].exponential:
        draws = scratch[DRAWN + core.copy + 1 - core.drawn_first :]
        for i in range(most):
            scratch[WRITTEN + i] = time_s
            link_s = max(time_s, link_s) + wire_s
            scratch[LEFT + i] = link_s
            time_s += copy_s * draws[i]
        return float(time_s)
    even_s, place = core.even_s, core.copy - core.even_copy
    for i in range(most):
        scratch[WRITTEN + i] = time_s
        link_s = max(time_s, link_s) + wire_s
        scratch[LEFT + i] = link_s
        time_s = even_s + (place + i + 1) * copy_s
    return float(time_s)


@compiled
def _write(server: Server, before_s: float) -> int:
    """Let the first core write its next copies, up to `BLOCK` of them and all before `before_s`.

    The instants go to the scratch; how many there are. The core is then at work on the next copy,
    which is due before `before_s` as the first one is. That is not past the end of the present
    interval.
    """
    core, now, scratch = server.cores[0], server.ledger[0], server.scratch
    publication = server.publications[core.slot]
    most = min(BLOCK, publication.copies - core.copy)
    if server.setting[0].exponential and most > 1:
        if core.copy + 1 >= core.drawn_end:
            _draw(server, core.copy + 1)
        if core.drawn_end < publication.copies:
            most = min(most, core.drawn_end - 1 - core.copy)
    likely = (before_s - core.ready_s) / publication.copy_s * 1.25 + 16.0
    most = np.int64(min(likely, np.float64(most)))
    next_s, count = _instants(server, most), most
    while scratch[WRITTEN + count - 1] >= before_s:
        count -= 1
        next_s = scratch[WRITTEN + count]
    busy_s = server.intervals[now.interval].busy_s
    busy_s = book(server, core.slot, count, scratch[WRITTEN], busy_s)
    server.intervals[now.interval].busy_s = busy_s
    now.link_free_s = scratch[LEFT + count - 1]
    core.copy += count
    core.ready_s = scratch[WRITTEN + count - 1]
    if core.copy < publication.copies:
        core.ready_s = next_s
        charge(server, scratch[WRITTEN + count - 1], next_s)
    return int(count)


@compiled
def _work_alone(server: Server, stop_s: float) -> None:
    """Complete the copies of the only core's job that are due before `stop_s`."""
    core, now = server.cores[0], server.ledger[0]
    copies = server.publications[core.slot].copies
    align(server, np.uint32(0))
    while core.ready_s < stop_s:
        reach(server, core.ready_s)
        if core.copy < copies:
            before_s = min(stop_s, server.intervals[now.interval].end_s)
            if not deliver_evenly(server, before_s):
                copy = core.copy
                deliver_block(server, core.slot, copy, _write(server, before_s))
        core.idle_since_s = core.ready_s
        if core.copy >= copies:
            _finish(server, np.uint32(0), core.ready_s)
            break


@compiled
def advance(server: Server, end_s: float) -> None:
    """Complete every copy that is due before `end_s`; all arrivals before `end_s` are known.

    It stops earlier if it is halted.
    """
    now, cores = server.ledger[0], server.cores
    while True:
        time_s, later_s, number = np.inf, np.inf, np.uint32(0)
        for i in range(cores.size):
            if cores[i].ready_s < time_s:
                time_s, later_s, number = cores[i].ready_s, time_s, np.uint32(i)
            else:
                later_s = min(later_s, cores[i].ready_s)
        arrival_s = next_arrival_s(server)
        if min(arrival_s, time_s) >= end_s or now.halted:
            break
        if arrival_s <= time_s:
            stand_in_line(server, admit(server))
            if now.idle_cores > 0:
                _start(server, lowest_idle(server), arrival_s)
        elif (
            cores.size > 1
            or now.offline > 0
            or server.queues.size > 0
            or journeys.followed(server, cores[0].slot)
        ):
            _work(server, number, min(arrival_s, later_s, end_s))
        else:
            _work_alone(server, min(arrival_s, end_s))
