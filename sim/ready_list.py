"""The ready list of an event loop (`loop_turns`): who is ready, in what order, who has to wait."""

from __future__ import annotations

import numpy as np

from sim.delivery import compiled, inlined, weigh
from sim.flushes import FLAGS, READABLE, WRITABLE
from sim.pauses import WAITING, is_over, resume
from sim.state import NOBODY, Server


@inlined
def link(server: Server, number: int) -> None:
    """Put a socket at the ready list's tail, unless it is on the list."""
    now, platform = server.ledger[0], server.platforms[number]
    if platform.session_state == 0:
        platform.session_state = 1
        place = (now.queue_first + now.queue_length) & (server.ring.size - 1)
        server.ring[np.uint32(place)] = number
        now.queue_length += 1


@compiled
def run_timers(server: Server) -> None:
    """End pauses that are over, up to one after which there is the rest of a read."""
    now = server.ledger[0]
    now.events = 0
    while now.events == 0 and is_over(server):
        number = np.uint32(resume(server))
        link(server, number)
        if server.processes[number].begun_bytes > 0.0:
            server.batch[0] = (number << FLAGS) + READABLE
            now.events = 1
    weigh(server, now.time_s)


@compiled
def poll(server: Server) -> None:
    """Take the next ready sockets and what each is ready for."""
    now, mask = server.ledger[0], server.ring.size - 1
    head, events, most = now.queue_first, 0, server.setting[0].events_max
    end = tail = head + now.queue_length
    while head < end and events < most:
        number = server.ring[np.uint32(head & mask)]
        head += 1
        platform = server.platforms[number]
        flags = 0
        if platform.input_head != NOBODY and server.processes[number].publisher_state != WAITING:
            flags = READABLE
        flags += WRITABLE * (platform.results > 0 or platform.mail_head != NOBODY)
        if flags:
            server.batch[np.uint32(events)] = (number << FLAGS) + flags
            server.ring[np.uint32(tail & mask)] = number
            events, tail = events + 1, tail + 1
        else:
            platform.session_state = 0
    now.events, now.queue_first, now.queue_length = events, head, tail - head
    now.ran *= events == 0
    weigh(server, now.time_s)
