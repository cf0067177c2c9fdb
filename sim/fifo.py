"""`fifo`: first come, first served, by `cores` identical servers; the discipline of the textbooks.

A publication is one job on one core: its own cost, then its copies one after another, each on its
way as soon as it is done. Jobs start in order of arrival on the lowest idle core. At one instant
arrivals go before completions, and completions in the order of their cores' numbers. With one core
the first, mean and last copy are those of a batch in M^X/G/1.
"""

from __future__ import annotations

import numpy as np

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
from sim.draws import Purpose, exponential_at
from sim.state import Server

COPY = int(Purpose.COPY)


@inlined
def _copy_s(server: Server, slot: int, copy: int) -> float:
    """Service time of one copy; an exponential one is drawn by publication and place. [s]"""
    publication, setting = server.publications[slot], server.setting[0]
    if not setting.exponential:
        return publication.copy_s
    draw = exponential_at(setting.seed, COPY, setting.replication, publication.row, copy)
    return publication.copy_s * draw


@compiled
def _start(server: Server, number: int, time_s: float) -> None:
    """Core `number`, which is idle, begins with the next waiting publication."""
    now, core = server.ledger[0], server.cores[number]
    slot = np.uint32(now.started & (server.publications.size - 1))
    publication = server.publications[slot]
    now.started += 1
    now.idle_cores -= 1
    now.idle_s += time_s - core.idle_since_s
    core.slot, core.copy = slot, 0
    core.ready_s = time_s + publication.intake_s * publication.factor
    if publication.copies > 0:
        core.ready_s += _copy_s(server, slot, 0)
    core.idle_since_s = core.ready_s
    charge(server, time_s, core.ready_s)


@inlined
def _finish(server: Server, number: int, time_s: float) -> None:
    """A core's job is done: it takes the next one that waits."""
    now, core = server.ledger[0], server.cores[number]
    if server.publications[core.slot].copies == 0:
        settle(server, core.slot)
    reach(server, time_s)
    weigh(server, time_s)
    core.ready_s = np.inf
    now.idle_cores += 1
    if now.started < now.arrived:
        _start(server, number, time_s)


@inlined
def _work(server: Server, number: int, stop_s: float) -> None:
    """Complete copies of a core's job: the first in any case, the others before `stop_s`."""
    core = server.cores[number]
    slot, time_s = core.slot, core.ready_s
    publication = server.publications[slot]
    start = server.starts[publication.topic]
    while True:
        if core.copy < publication.copies:
            owe(server, time_s, -1)
            deliver(server, slot, server.subscribers[np.uint32(start + core.copy)], time_s)
            core.copy += 1
        if core.copy >= publication.copies:
            _finish(server, number, time_s)
            break
        core.ready_s = core.idle_since_s = time_s + _copy_s(server, slot, core.copy)
        charge(server, time_s, core.ready_s)
        time_s = core.ready_s
        if time_s >= stop_s:
            break


@compiled
def advance(server: Server, end_s: float) -> None:
    """Complete every copy that is due before `end_s`; all arrivals before `end_s` are known."""
    now, cores = server.ledger[0], server.cores
    while True:
        time_s, later_s, number = np.inf, np.inf, np.uint32(0)
        for i in range(cores.size):
            if cores[i].ready_s < time_s:
                time_s, later_s, number = cores[i].ready_s, time_s, np.uint32(i)
            else:
                later_s = min(later_s, cores[i].ready_s)
        arrival_s = next_arrival_s(server)
        if min(arrival_s, time_s) >= end_s:
            break
        if arrival_s <= time_s:
            admit(server)
            if now.idle_cores > 0:
                _start(server, lowest_idle(server), arrival_s)
        else:
            _work(server, number, min(arrival_s, later_s, end_s))
