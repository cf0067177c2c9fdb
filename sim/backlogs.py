"""Outbound queues of sessions: what a server keeps for Platforms that do not keep up.

A session has a window: so many bytes may be on their way or unread at the Platform, the socket
buffers of both sides. A copy that is written while the window is full, or others wait, joins the
session's queue in the server's memory; the queue's policy says what happens when it is full. Bytes
leave the window when the Platform has read the copy and the news of it is back, one delay later;
the head of the queue then goes to the egress link, if it fits. A session that has taken nothing for
`send_timeout` is cut. At one instant windows open before copies are written.

Here are the chains and the calendar (a binary heap of the sessions by the instant of what happens
to them next); `outflow` moves the copies.
"""

from __future__ import annotations

from typing import Any

from sim.compiling import compiled, inlined
from sim.memory import hold
from sim.state import NOBODY, Server

ABSENT = -1  # not on the calendar
GROW, DISCONNECT, DROP_OLDEST, DROP_NEWEST, COALESCE = range(5)
POLICIES = ("grow", "disconnect", "drop-oldest", "drop-newest", "coalesce")


@inlined
def _swap(server: Server, one: int, other: int) -> None:
    calendar, queues = server.calendar, server.queues
    calendar[one], calendar[other] = calendar[other], calendar[one]
    queues[calendar[one]].place, queues[calendar[other]].place = one, other


@compiled
def _settle_place(server: Server, place: int) -> None:
    """Move a session up or down the heap to where it belongs."""
    calendar, queues, length = server.calendar, server.queues, server.ledger[0].stalled
    while place > 0:
        above = (place - 1) // 2
        if queues[calendar[above]].due_s <= queues[calendar[place]].due_s:
            break
        _swap(server, place, above)
        place = above
    while True:
        least = place
        for below in (2 * place + 1, 2 * place + 2):
            if below < length and queues[calendar[below]].due_s < queues[calendar[least]].due_s:
                least = below
        if least == place:
            break
        _swap(server, place, least)
        place = least


@compiled
def plan(server: Server, number: int) -> None:
    """Note when something happens to a session next, if copies wait: window or timeout."""
    now, queue, setting = server.ledger[0], server.queues[number], server.setting[0]
    if queue.waiting == 0:
        if queue.place != ABSENT:
            now.stalled -= 1
            place = queue.place
            queue.place = ABSENT
            if place < now.stalled:
                moved = server.calendar[now.stalled]
                server.calendar[place], server.queues[moved].place = moved, place
                _settle_place(server, place)
        return
    opens_s = _opens_s(server, number)
    cut_s = queue.stuck_s + setting.send_timeout_s
    queue.cuts = cut_s < opens_s
    queue.due_s = cut_s if queue.cuts else opens_s
    if queue.place == ABSENT:
        queue.place = now.stalled
        server.calendar[now.stalled] = number
        now.stalled += 1
    _settle_place(server, queue.place)


@inlined
def fits(server: Server, number: int, size_bytes: float) -> bool:
    """Whether the window has room; one copy always goes."""
    queue = server.queues[number]
    room = queue.flight_bytes + size_bytes <= server.setting[0].window_bytes
    return room or queue.flight_head == NOBODY


@inlined
def _opens_s(server: Server, number: int) -> float:
    """Instant at which the window has room for the head of the queue: an acknowledgement's. [s]"""
    queue, setting = server.queues[number], server.setting[0]
    place, left_bytes = queue.flight_head, queue.flight_bytes
    size_bytes = server.waits[queue.wait_head].size_bytes
    while True:
        flight = server.waits[place]
        left_bytes -= flight.size_bytes
        place = flight.next
        if place == NOBODY or left_bytes + size_bytes <= setting.window_bytes:
            return flight.acknowledged_s


@inlined
def land(server: Server, number: int, time_s: float) -> None:
    """What the Platform is known to have read by now leaves the window."""
    queue = server.queues[number]
    while queue.flight_head != NOBODY:
        place = queue.flight_head
        flight = server.waits[place]
        if flight.acknowledged_s > time_s:
            break
        queue.flight_bytes -= flight.size_bytes
        queue.flight_head = flight.next
        _free(server, place)
    if queue.flight_head == NOBODY:
        queue.flight_bytes = 0.0


@inlined
def fly(server: Server, number: int, size_bytes: float, acknowledged_s: float) -> None:
    """A copy takes its room in the window until that instant."""
    queue, place = server.queues[number], _take(server)
    server.waits[place].size_bytes = size_bytes
    server.waits[place].acknowledged_s = acknowledged_s
    if queue.flight_head == NOBODY:
        queue.flight_head = place
    else:
        server.waits[queue.flight_tail].next = place
    queue.flight_tail = place
    queue.flight_bytes += size_bytes


@inlined
def join(server: Server, number: int, slot: int, size_bytes: float) -> None:
    """A copy joins the end of the queue."""
    queue, place = server.queues[number], _take(server)
    node = server.waits[place]
    node.publication, node.size_bytes = slot, size_bytes
    if queue.waiting == 0:
        queue.wait_head = place
    else:
        server.waits[queue.wait_tail].next = place
    queue.wait_tail = place
    queue.waiting += 1
    queue.waiting_bytes += size_bytes
    hold(server, slot, 1)


@inlined
def leave(server: Server, number: int) -> int:
    """The head of the queue leaves it; its publication's slot."""
    now, queue = server.ledger[0], server.queues[number]
    place = queue.wait_head
    node = server.waits[place]
    slot, now.written_s = node.publication, node.acknowledged_s
    queue.wait_head = node.next
    queue.waiting -= 1
    queue.waiting_bytes -= node.size_bytes
    if queue.waiting == 0:
        queue.waiting_bytes = 0.0
    hold(server, slot, -1)
    _free(server, place)
    return slot


@compiled
def stale(server: Server, number: int, topic: int) -> Any:
    """The place of a copy of the Topic that waits; NOBODY if there is none."""
    place = server.queues[number].wait_head
    for _ in range(server.queues[number].waiting):
        if server.publications[server.waits[place].publication].topic == topic:
            return place
        place = server.waits[place].next
    return NOBODY


@inlined
def full(server: Server, number: int, size_bytes: float) -> bool:
    """Whether a copy of this size is too much for the queue."""
    queue, setting = server.queues[number], server.setting[0]
    many = queue.waiting + 1 > setting.queue_stanzas
    return many or queue.waiting_bytes + size_bytes > setting.queue_bytes


@inlined
def _take(server: Server) -> Any:
    """A free node."""
    now = server.ledger[0]
    place = now.free_wait
    node = server.waits[place]
    now.free_wait = node.next
    now.waits += 1
    node.next = NOBODY
    return place


@inlined
def _free(server: Server, place: int) -> None:
    now = server.ledger[0]
    server.waits[place].next = now.free_wait
    now.free_wait = place
    now.waits -= 1
