"""The ready list of an event loop (`loop_turns`): who is ready, in what order, who has to wait."""

from __future__ import annotations

from typing import Final

import numpy as np

from sim.delivery import compiled, inlined, weigh
from sim.flushes import FLAGS, READABLE, WRITABLE
from sim.state import NOBODY, Server

ASIDE: Final = 1  # state of a publisher


@inlined
def link(server: Server, number: int) -> None:
    """Put a socket at the ready list's tail, unless it is on the list."""
    now, platform = server.ledger[0], server.platforms[number]
    if platform.session_state == 0:
        platform.session_state = 1
        place = (now.queue_first + now.queue_length) & (server.ring.size - 1)
        server.ring[np.uint32(place)] = number
        now.queue_length += 1


@inlined
def set_aside(server: Server, number: int) -> None:
    """Leave a socket with more than one read alone until nobody else is ready."""
    now, process = server.ledger[0], server.processes[number]
    process.publisher_state, process.copy = ASIDE, 0
    if now.aside_first == 0:
        now.aside_first = number + 1
    else:
        server.processes[np.uint32(now.aside_last - 1)].copy = number + 1
    now.aside_last = number + 1


@compiled
def resume(server: Server) -> None:
    """Take the sockets that were set aside, the first one first."""
    now, most = server.ledger[0], server.setting[0].events_max
    events, last = 0, now.aside_first
    while last != 0 and events < most:
        last = server.processes[np.uint32(last - 1)].copy
        events += 1
    now.events = events
    while events > 0:
        number = np.uint32(now.aside_first - 1)
        process = server.processes[number]
        now.aside_first = process.copy
        process.publisher_state = process.copy = 0
        link(server, number)
        events -= 1
        server.batch[np.uint32(events)] = (number << FLAGS) + READABLE
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
        if platform.input_head != NOBODY and server.processes[number].publisher_state != ASIDE:
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
