"""The ready list of an event loop (`loop_turns`): who is ready, in what order, who has to wait."""

from __future__ import annotations

import numpy as np

from sim.delivery import compiled, inlined, weigh
from sim.flushes import FLAGS, READABLE, WRITABLE
from sim.pauses import WAITING, next_resumed_s, resume
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
    """Take the sockets whose pause is over, the one that was over first first."""
    now, most = server.ledger[0], server.setting[0].events_max
    now.timers_s, taken = now.time_s, 0
    while taken < most and next_resumed_s(server) <= now.time_s:
        number = np.uint32(resume(server))
        link(server, number)
        taken += 1
        server.batch[np.uint32(most - taken)] = (number << FLAGS) + READABLE
    for i in range(taken):
        server.batch[np.uint32(i)] = server.batch[np.uint32(most - taken + i)]
    now.events = taken
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
    weigh(server, now.time_s)
