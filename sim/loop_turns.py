"""`loop-turns` (Prosody): one event loop that reads and builds first and writes afterwards.

The loop polls for ready sockets as Linux `epoll` does, level-triggered: it takes up to `events_max`
from the head of the ready list, drops those that are no longer ready, and puts the others back at
the tail. It handles them *last first*:

* a readable socket: of what is there when the read starts `read_bytes` are read at most; the
  publications that end with it are handled one after another; each copy is built and added to its
  session's pending items, and a session not on the ready list joins it at that instant. Where more
  is there, or where a limit on what a client sends has it so, the connection is paused, and not
  read until nobody else is ready (`pauses`);
* a writable socket: one write flushes all that is pending for it.

An arriving publication puts its publisher's socket on the ready list at that instant, wherever the
loop is. With `accepts` new connections queue up at the listening socket, one like any other: a turn
takes so many of them, and reads the first message of each: of a herd as many log in at a time as
the loop keeps pace with.
Garbage is collected in cycles that start after so much allocation and are spent in steps, again by
allocation. An idle loop starts `wake` after an arrival, with caches that went cold meanwhile
(`rests`), and uses one core (the twin prototype).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim import journeys
from sim.completions import begin_job, complete_job
from sim.delivery import (
    absent,
    admit,
    charge,
    compiled,
    deliver,
    inlined,
    listening,
    next_arrival_s,
    owe,
    post,
    reach,
    settle,
    take,
    weigh,
)
from sim.draws import Purpose, normal_at
from sim.flushes import FLAGS, READABLE, WRITABLE, allowance, flush
from sim.memory import hold, own_bytes, payload_bytes, share
from sim.pauses import MIN_WAIT_S, WAITING, is_over, is_paused, measure, next_resumed_s, pause, wait
from sim.ready_list import link, poll, run_timers
from sim.rests import wake, warm_up
from sim.state import FIRST, NOBODY, Server

POLL, EVENT, READ, BUILD = 0, 1, 2, 3
REFERENCE_PAYLOAD_BYTES = 400.0  # the delivery in which allocation is counted
COLLECTION = int(Purpose.COLLECTION)


@compiled
def admit_until(server: Server, time_s: float) -> None:
    """Publications that have arrived by `time_s` wait in their sockets."""
    while next_arrival_s(server) <= time_s:
        slot = admit(server)
        number = np.uint32(server.publications[slot].platform)
        if server.publications[slot].job & FIRST and server.setting[0].accepts > 0:
            number = listening(server)
        platform = server.platforms[number]
        if platform.input_head == NOBODY:
            platform.input_head = slot
        else:
            server.publications[server.processes[number].input_tail].next = slot
        process = server.processes[number]
        process.input_tail = slot
        if process.publisher_state == WAITING:
            continue
        if is_paused(server, number):
            wait(server, number)
        else:
            link(server, number)


@compiled
def _start_cycle(server: Server) -> None:
    """A garbage-collection cycle begins; its length is drawn by its number."""
    now, setting = server.ledger[0], server.setting[0]
    normal = normal_at(
        setting.seed, COLLECTION, setting.replication, setting.controller, now.cycles
    )
    now.cycles += 1
    now.allocated = 0.0
    now.collecting_s = setting.collection_s * max(0.0, 1.0 + setting.collection_cv * normal)


@inlined
def _collect(server: Server, allocation: float) -> float:
    """Time that the collector takes for this much allocation. [s]"""
    now, setting = server.ledger[0], server.setting[0]
    if setting.collection_s == 0.0:
        return 0.0
    now.allocated += allocation
    spent_s = 0.0
    if now.collecting_s > 0.0:
        while now.allocated >= setting.collection_step_every and now.collecting_s > 0.0:
            now.allocated -= setting.collection_step_every
            step_s = min(setting.collection_step_s, now.collecting_s)
            now.collecting_s -= step_s
            spent_s += step_s
        if now.collecting_s == 0.0:
            now.allocated = 0.0
    elif now.allocated >= setting.collection_every:
        _start_cycle(server)
        spent_s = min(setting.collection_step_s, now.collecting_s)
        now.collecting_s -= spent_s
    return spent_s


@inlined
def _allocation(server: Server, publication: Any) -> float:
    """What building one copy allocates, in deliveries of 400 B."""
    beyond = max(payload_bytes(server, publication) - REFERENCE_PAYLOAD_BYTES, 0.0)
    return 1.0 + server.setting[0].allocation_per_byte * beyond


@compiled
def _begin_publication(server: Server, number: int) -> None:
    """Read and parse the next publication and build its first copy."""
    now, slot = server.ledger[0], server.platforms[number].input_head
    publication = server.publications[slot]
    publication.begun = 1
    if publication.job:
        begin_job(server, slot, now.time_s)
    if journeys.followed(server, slot):
        journeys.begin(server, slot, now.time_s)
    now.time_s += publication.intake_s * publication.factor
    now.time_s += _collect(server, server.setting[0].allocation_publish)
    if journeys.followed(server, slot):
        journeys.read(server, slot, now.time_s)
    now.copy = 0
    if publication.copies > 0:
        now.time_s += publication.copy_s * publication.factor
        now.time_s += _collect(server, _allocation(server, publication))


@inlined
def _hand_out(server: Server, slot: int, copy: int, time_s: float, stop_s: float) -> Any:
    """Post copies from `copy` on, while no arrival and no collector comes in between.

    The next copy, the instant at which it is built but for the collector's work, and whether it
    has any.
    """
    now, publication = server.ledger[0], server.publications[slot]
    copies, copy_s = publication.copies, publication.copy_s * publication.factor
    allocation, most = _allocation(server, publication), allowance(server)
    size_bytes, start = own_bytes(server, publication), publication.start
    mask = server.ring.size - 1
    allocated, held_bytes = now.allocated, now.held_bytes
    first_node, nodes_mask = publication.node, server.nodes.size - 1
    tail, first, collects = now.queue_first + now.queue_length, copy, False
    if most == np.inf:
        allocation = 0.0
    while time_s < stop_s:
        session = server.subscribers[np.uint32(start + copy)]
        place = np.uint32((first_node + copy) & nodes_mask)
        platform, node = server.platforms[session], server.nodes[place]
        node.publication, node.next = slot, NOBODY
        if platform.mail_head == NOBODY:
            platform.mail_head = place
        else:
            server.nodes[platform.mail_tail].next = place
        platform.mail_tail = place
        if platform.session_state == 0:
            platform.session_state = 1
            server.ring[np.uint32(tail & mask)] = session
            tail += 1
        held_bytes += size_bytes
        copy += 1
        if copy == copies:
            break
        time_s += copy_s
        if allocated + allocation >= most:
            collects = True
            break
        allocated += allocation
    now.allocated, now.held_bytes = allocated, held_bytes
    now.queue_length = tail - now.queue_first
    now.held += copy - first
    share(server, slot, copy - first)
    return copy, time_s, collects


@inlined
def _hand_out_one(server: Server, slot: int, copy: int, time_s: float) -> Any:
    """Post one copy, if its Platform is there; the same answer."""
    publication = server.publications[slot]
    session = server.subscribers[np.uint32(publication.start + copy)]
    if not absent(server, slot, session, time_s):
        post(server, slot, session, copy)
        link(server, session)
        hold(server, slot, 1)
    if copy + 1 == publication.copies:
        return copy + 1, time_s, False
    return copy + 1, time_s + publication.copy_s * publication.factor, True


@inlined
def _accept(server: Server, number: int, time_s: float, end_s: float) -> bool:
    """Who is accepted is ready from then on; false where it is not known who was ready before."""
    if time_s >= end_s:
        return False
    admit_until(server, time_s)
    link(server, number)
    return True


@compiled
def _build(server: Server, number: int, end_s: float) -> bool:
    """Hand out copies, each at the instant it is built; whether all were before `end_s`."""
    now, platform = server.ledger[0], server.platforms[number]
    slot = platform.input_head
    publication = server.publications[slot]
    time_s, copy = now.time_s, now.copy
    stop_s = min(next_arrival_s(server), end_s)
    while copy < publication.copies:
        if time_s >= stop_s:
            if time_s >= end_s:
                break
            admit_until(server, time_s)
            stop_s = min(next_arrival_s(server), end_s)
        if now.offline == 0:
            copy, time_s, collects = _hand_out(server, slot, copy, time_s, stop_s)
        else:
            copy, time_s, collects = _hand_out_one(server, slot, copy, time_s)
        if collects:
            time_s += _collect(server, _allocation(server, publication))
    now.time_s, now.copy = time_s, copy
    if copy < publication.copies:
        return False
    owner = np.uint32(publication.platform)
    if owner != number and not _accept(server, owner, time_s, end_s):
        return False
    platform.input_head = publication.next
    server.platforms[owner].results += publication.answered
    if publication.job:
        process = server.processes[owner]
        publication.next, process.answers = process.answers, slot
    elif publication.copies == 0:
        settle(server, slot)
    return True


@compiled
def _write(server: Server, number: int) -> None:
    """One write flushes what is pending for a socket: results, then items in order."""
    now, setting, platform = server.ledger[0], server.setting[0], server.platforms[number]
    if platform.results > 0:
        now.time_s += setting.result_s
        platform.results = 0
        process = server.processes[number]
        while process.answers != NOBODY:
            slot = process.answers
            process.answers = server.publications[slot].next
            complete_job(server, slot, now.time_s)
    place, copies, bytes_s = platform.mail_head, 0, 0.0
    if place == NOBODY:
        return
    while place != NOBODY:
        node = server.nodes[place]
        bytes_s += server.publications[node.publication].write_s
        copies += 1
        place = node.next
    now.time_s += setting.write_s + setting.coalesced_s * (copies - 1) + bytes_s
    now.time_s += _collect(server, setting.allocation_write)
    owe(server, now.time_s, -copies)
    place = platform.mail_head
    platform.mail_head = NOBODY
    while place != NOBODY:
        slot, entry, place = take(server, place)
        hold(server, slot, -1)
        deliver(server, slot, number, entry, now.time_s)


@compiled
def _account(server: Server) -> None:
    """Count the time worked since it was last counted."""
    now = server.ledger[0]
    charge(server, now.busy_since_s, now.time_s)
    now.busy_since_s = server.cores[0].idle_since_s = now.time_s


@compiled
def _rest(server: Server, end_s: float) -> bool:
    """Sleep until somebody is ready or timers run; false if neither is known before `end_s`."""
    now, arrival_s = server.ledger[0], next_arrival_s(server)
    _account(server)
    now.timers_s = max(now.timers_s, now.time_s)
    if not now.ran:
        now.run_s = now.time_s
    run_s = next_resumed_s(server) + (now.time_s - now.run_s)
    run_s = max(run_s, now.time_s + MIN_WAIT_S, now.frozen_s)
    if min(arrival_s, run_s) >= end_s:
        return False
    if run_s < arrival_s:
        now.idle_s += run_s - now.time_s
        now.time_s = now.busy_since_s = run_s
        now.ran = 0
        return True
    now.timers_s = arrival_s
    admit_until(server, arrival_s)
    if now.queue_length > 0:
        wake(server, arrival_s)
    return True


@compiled
def rouse(server: Server, number: int, time_s: float) -> None:
    """A socket gets ready as the server has worked until then: a loop that rests wakes."""
    if server.ledger[0].time_s < time_s:
        wake(server, time_s)
    link(server, number)


@inlined
def _handle(server: Server) -> None:
    """Take the last event of the batch; without one, poll again."""
    now = server.ledger[0]
    if now.events == 0:
        now.stage = POLL
        return
    now.events -= 1
    now.event = server.batch[np.uint32(now.events)]
    number = np.uint32(now.event >> FLAGS)
    if now.event & READABLE:
        admit_until(server, now.time_s)
        measure(server, number)
        now.stage = READ
    else:
        _write(server, number)


@inlined
def _go_on_reading(server: Server, number: int, end_s: float) -> None:
    """The next step of a read: begin a publication, build its copies, or be done with it."""
    now = server.ledger[0]
    if now.stage == BUILD:
        if _build(server, number, end_s):
            reach(server, now.time_s)
            weigh(server, now.time_s)
            now.stage = READ
    elif now.reads > 0:
        now.reads -= 1
        _begin_publication(server, number)
        now.stage = BUILD
    else:
        pause(server, number, now.time_s)
        if now.event & WRITABLE:
            _write(server, number)
        now.stage = EVENT


@compiled
def advance(server: Server, end_s: float) -> None:
    """Take every step that starts before `end_s`; all arrivals before `end_s` are known.

    It stops earlier if it is halted.
    """
    now = server.ledger[0]
    while now.time_s < end_s and not now.halted:
        if now.stage == POLL:
            admit_until(server, now.time_s)
            if is_over(server):
                reach(server, now.time_s)
                run_timers(server)
                now.stage = EVENT
            elif now.queue_length > 0:
                reach(server, now.time_s)
                poll(server)
                warm_up(server)
                now.stage = EVENT
            elif not now.ran and next_resumed_s(server) <= now.time_s:
                now.run_s = now.timers_s = now.time_s
                now.run_pauses, now.ran = now.pauses, 1
            elif not _rest(server, end_s):
                break
        elif now.stage == EVENT:
            if server.queues.size == 0 and now.offline == 0:
                flush(server, end_s)
            if now.time_s < end_s:
                _handle(server)
        else:
            _go_on_reading(server, np.uint32(now.event >> FLAGS), end_s)
    _account(server)
