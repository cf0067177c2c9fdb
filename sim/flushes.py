"""Writes of an event loop in a row: sockets that are ready for one item each.

Most sockets that `loop-turns` polls want one item written and nothing else. `flush` does for them
what the loop does for any socket, sum by sum in the same order, but in blocks (`spans.py`). It
stops before the first event that is anything else (a read, several items, a step of the garbage
collector, a copy that is followed, a peer, the end of an interval): the loop does that.
"""

from __future__ import annotations

import numpy as np

from sim import journeys
from sim.delivery import compiled, inlined
from sim.spans import BLOCK, WRITTEN, book, deliver_run
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
def _take_run(server: Server, event: int, end_s: float) -> int:
    """Take the batch's last events while they are copies of one publication to one population.

    `event` is the last one; how many were taken.
    """
    now, setting, scratch = server.ledger[0], server.setting[0], server.scratch
    population = server.platforms[np.uint32(event >> FLAGS)].population
    slot = server.nodes[server.platforms[np.uint32(event >> FLAGS)].mail_head].publication
    write_s = setting.write_s + server.publications[slot].write_s
    allocation, most, allocated = setting.allocation_write, allowance(server), now.allocated
    time_s, events, taken, residents = now.time_s, now.events, 0, setting.residents
    stop_s = server.intervals[np.uint32(now.interval)].end_s
    while taken < min(events, BLOCK) and time_s < end_s:
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
        if node.publication != slot or node.next != NOBODY or grown >= most or written_s >= stop_s:
            break
        platform.mail_head = NOBODY
        server.numbers[np.uint32(taken)] = number
        scratch[np.uint32(WRITTEN + taken)] = time_s = written_s
        allocated, taken = grown, taken + 1
    if taken > 0:
        now.time_s, now.allocated, now.events = time_s, allocated, events - taken
        book(server, slot, taken, 0.0, 0.0)
        deliver_run(server, slot, taken, population)
    return taken


@compiled
def flush(server: Server, end_s: float) -> None:
    """Take the events of the batch that start before `end_s`, up to the first unusual one."""
    now = server.ledger[0]
    while now.events > 0 and now.time_s < end_s:
        event = server.batch[np.uint32(now.events - 1)]
        if not _is_single(server, event) or _take_run(server, event, end_s) == 0:
            break
