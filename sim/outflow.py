"""From a session to its Platform: queues, windows, a link of its own, bursts of reading.

What happens to a copy that is written to a session with a queue: it leaves at once while the
session's window has room, else the queue's policy decides. `offer` takes a copy in; `release`,
called before it, sends what waits as windows open; `backlogs` has the chains and the calendar
behind them. A bursty reader reads for `on`, then rests for `off`, over and over, each Platform with
a phase of its own; an item that it has not finished goes on in its next burst.
"""

from __future__ import annotations

import numpy as np
from numba import float64, int64, void

from sim import backlogs, delivery
from sim.compiling import apart, compiled, inlined
from sim.memory import hold
from sim.state import NOBODY, Server


@apart(float64, float64, int64, float64)
def take_down(server: Server, size_bytes: float, number: int, time_s: float) -> float:
    """A copy comes down the Platform's own link; a bursty reader takes it in. [s]"""
    queue = server.queues[number]
    population = server.populations[server.platforms[number].population]
    if population.down_s_per_byte > 0.0:
        time_s = max(time_s, queue.down_free_s) + size_bytes * population.down_s_per_byte
        queue.down_free_s = time_s
    server.ledger[0].down_s = time_s
    if population.on_s == 0.0:
        return time_s
    cycle_s, work_s = population.on_s + population.off_s, population.burst_read_s
    time_s = max(time_s, queue.reader_free_s)
    since_s = (time_s + queue.phase_s) % cycle_s
    if since_s >= population.on_s:
        time_s, since_s = time_s + cycle_s - since_s, 0.0
    while since_s + work_s > population.on_s:
        work_s -= population.on_s - since_s
        time_s, since_s = time_s + cycle_s - since_s, 0.0
    queue.reader_free_s = time_s + work_s
    return queue.reader_free_s


@apart(void, int64, int64, float64)
def offer(server: Server, slot: int, number: int, time_s: float) -> None:
    """A copy is written to a session: it goes on its way, joins the session's queue, or is lost."""
    setting, queue = server.setting[0], server.queues[number]
    publication = server.publications[slot]
    size_bytes, policy = publication.wire_bytes, setting.policy
    if queue.cut:
        _discard(server, slot, backlogs.DISCONNECT)
        return
    backlogs.land(server, number, time_s)
    if queue.waiting == 0 and backlogs.fits(server, number, size_bytes):
        _send(server, slot, number, time_s)
        return
    if policy == backlogs.COALESCE:
        place = backlogs.stale(server, number, publication.topic)
        if place != NOBODY:
            _replace(server, slot, number, place)
            return
    if backlogs.full(server, number, size_bytes):
        _make_room(server, number, size_bytes, time_s)
        if queue.cut or backlogs.full(server, number, size_bytes):
            _discard(server, slot, policy)
            backlogs.plan(server, number)
            return
    if queue.waiting == 0:
        queue.stuck_s = time_s
    backlogs.join(server, number, slot, size_bytes)
    server.waits[queue.wait_tail].acknowledged_s = time_s
    backlogs.plan(server, number)
    delivery.reach(server, time_s)
    delivery.weigh(server, time_s)


@inlined
def _make_room(server: Server, number: int, size_bytes: float, time_s: float) -> None:
    """A session's queue is full: its policy acts."""
    policy = server.setting[0].policy
    if policy == backlogs.DISCONNECT:
        _cut(server, number, time_s)
    if policy in (backlogs.DROP_OLDEST, backlogs.COALESCE):
        while server.queues[number].waiting > 0 and backlogs.full(server, number, size_bytes):
            _discard(server, backlogs.leave(server, number), backlogs.DROP_OLDEST)


@apart(void, float64)
def release(server: Server, until_s: float) -> None:
    """Send what waits in sessions' queues as their windows open, and cut those that are stuck."""
    now = server.ledger[0]
    while now.stalled > 0 and server.queues[server.calendar[0]].due_s <= until_s:
        number = server.calendar[0]
        queue = server.queues[number]
        time_s = queue.due_s
        if queue.cuts:
            _cut(server, number, time_s)
            continue
        backlogs.land(server, number, time_s)
        while queue.waiting > 0:
            if not backlogs.fits(server, number, server.waits[queue.wait_head].size_bytes):
                break
            _send(server, backlogs.leave(server, number), number, time_s)
        queue.stuck_s = time_s
        backlogs.plan(server, number)


@inlined
def _send(server: Server, slot: int, number: int, time_s: float) -> None:
    """A copy leaves for its Platform and takes its room in the window."""
    size_bytes = server.publications[slot].wire_bytes
    delay_s = server.populations[server.platforms[number].population].delay_s
    received_s = delivery.receive(server, slot, number, time_s)
    if server.setting[0].window_bytes < np.inf:
        backlogs.fly(server, number, size_bytes, received_s + delay_s)


@inlined
def _replace(server: Server, slot: int, number: int, place: int) -> None:
    """A newer copy takes the place of one that waits."""
    node = server.waits[place]
    old, size_bytes = node.publication, server.publications[slot].wire_bytes
    server.queues[number].waiting_bytes += size_bytes - node.size_bytes
    hold(server, old, -1)
    hold(server, slot, 1)
    node.publication, node.size_bytes = slot, size_bytes
    node.acknowledged_s = server.ledger[0].written_s
    _discard(server, old, backlogs.COALESCE)
    backlogs.plan(server, number)


@compiled
def _cut(server: Server, number: int, time_s: float) -> None:
    """A session ends: what waits for it is lost, and the conductor may see it in the log."""
    now, queue = server.ledger[0], server.queues[number]
    while queue.waiting > 0:
        _discard(server, backlogs.leave(server, number), backlogs.DISCONNECT)
    backlogs.plan(server, number)
    queue.cut = 1
    entry = server.cuts[now.cuts]
    entry.time_s, entry.platform = time_s, number
    now.cuts += 1


@inlined
def _discard(server: Server, slot: int, cause: int) -> None:
    """Nobody receives a copy: the policy of a full queue gave it up."""
    server.discarded[cause] += 1
    server.publications[slot].elsewhere += 1
    delivery.account_for(server, slot)


@compiled
def abandon_queues(server: Server) -> None:
    """Give up, at the horizon, what still waits in sessions' queues."""
    release(server, server.setting[0].horizon_s)
    for number in range(server.queues.size):
        while server.queues[number].waiting > 0:
            slot = backlogs.leave(server, number)
            server.publications[slot].elsewhere += 1
            server.ledger[0].late += 1
            delivery.account_for(server, slot)
