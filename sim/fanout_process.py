"""`fanout-process` (ejabberd): a FIFO run queue of processes, served by `cores` schedulers.

Each publishing Platform has a process that routes its publications, and each subscriber's session
has one that writes its mailbox. A process runs in slices. A publisher's slice is worth
`slice_recipients` copies: first what is left of the publication's set-up (counted in copies too),
then copies routed in subscriber order, on to the next publication if there is room. A session's
slice takes the whole mailbox as it is when the slice starts; a write costs less if the session was
written a moment ago (cache warmth). Rules at one instant:

* what a slice sends, and whom it wakes, is seen when the slice ends: woken sessions enter the run
  queue in routing order, then the process itself if it has more to do;
* arrivals go before slice ends, slice ends in the order of their cores' numbers;
* when a slice ends, its core and all idle ones, lowest number first, take from the queue's head;
* an arrival wakes the lowest idle core, which looks at the queue `wake` later;
* a slice lasts longer if its core rested before it (`rests`).

Source: the profile's structure is that of the twin prototype (one scheduler, measured); several
schedulers on one queue are an assumption.
"""

from __future__ import annotations

import numpy as np

from sim import journeys
from sim.completions import begin_job, complete_job
from sim.delivery import (
    Index,
    absent,
    admit,
    bin_of,
    charge,
    compiled,
    deliver,
    inlined,
    lowest_idle,
    next_arrival_s,
    owe,
    post,
    reach,
    settle,
    take,
    weigh,
)
from sim.memory import hold
from sim.rests import cold_s, rest_s
from sim.spans import BLOCK, WRITTEN, book, deliver_run
from sim.state import NOBODY, UNTOUCHED, Server

ABSENT, QUEUED, RUNNING = 0, 1, 2
ROUNDING = 1e-9  # of a copy's worth of work: less than that is nothing
WAKING = np.uint32(NOBODY - 1)


@inlined
def _enqueue(server: Server, process: int) -> None:
    """Put a process at the run queue's tail: Platform number, plus their count for publishers."""
    now, platforms = server.ledger[0], server.platforms
    if process < platforms.size:
        platforms[process].session_state = QUEUED
    else:
        server.processes[np.uint32(process - platforms.size)].publisher_state = QUEUED
    place = (now.queue_first + now.queue_length) & (server.ring.size - 1)
    server.ring[np.uint32(place)] = process
    now.queue_length += 1


@inlined
def _warmth(server: Server, age_s: float) -> float:
    """Cost of a write to a session of this age, relative to a cold one."""
    return server.warmth[bin_of(age_s)]


@inlined
def _session_slice_s(server: Server, number: int, session: int, time_s: float) -> float:
    """Core `number` takes the session's mailbox; how long its writes last. [s]"""
    platform = server.platforms[session]
    place = platform.mail_head
    server.cores[number].chain = place
    platform.mail_head = NOBODY
    unwarmed_s = 0.0
    while place != NOBODY:
        node = server.nodes[place]
        unwarmed_s += server.publications[node.publication].write_s
        place = node.next
    return unwarmed_s * _warmth(server, time_s - server.processes[session].written_s)


@inlined
def _begin(server: Server, slot: int, time_s: float, begun_s: float) -> None:
    """A publisher's process turns to what it was sent, in a slice that started at `time_s`."""
    server.publications[slot].begun = 1
    if server.publications[slot].job:
        begin_job(server, slot, time_s)
    if journeys.followed(server, slot):
        journeys.begin(server, slot, begun_s)
        journeys.read(server, slot, begun_s)


@inlined
def _publisher_slice_s(
    server: Server, number: int, publisher: int, time_s: float, slice_s: float
) -> float:
    """Core `number` notes how far the publisher's process gets.

    How long that lasts, with `slice_s` that go before it. [s]
    """
    core, setting, process = server.cores[number], server.setting[0], server.processes[publisher]
    slot, copy, setup_s = server.platforms[publisher].input_head, process.copy, process.setup_s
    room, finished = float(setting.slice_recipients), 0
    while slot != NOBODY and room >= 1.0:
        publication = server.publications[slot]
        if setup_s == UNTOUCHED:
            _begin(server, slot, time_s, time_s + slice_s)
            setup_s = publication.intake_s
        if setup_s > 0.0:
            done_s = setup_s
            if setting.route_s > 0.0:
                done_s = min(setup_s, room * setting.route_s)
                room -= done_s / setting.route_s
            setup_s -= done_s
            slice_s += done_s * publication.factor
            if journeys.followed(server, slot):
                journeys.read(server, slot, time_s + slice_s)
            if setup_s > ROUNDING * setting.route_s:
                break
            setup_s, room = 0.0, np.floor(room + ROUNDING)
            if room < 1.0:
                break
        routed = min(int(room), publication.copies - copy)
        slice_s += routed * publication.copy_s * publication.factor
        copy += routed
        room -= routed
        if copy == publication.copies:
            if not publication.job:
                slice_s += setting.finish_s * publication.factor * publication.answered
            finished += 1
            slot, copy, setup_s = publication.next, 0, UNTOUCHED
    core.finished, core.copy, core.setup_s = finished, copy, setup_s
    return slice_s


@inlined
def _dispatch(server: Server, number: int, time_s: float) -> None:
    """Core `number`, which is idle, takes the process at the run queue's head."""
    now, core, platforms = server.ledger[0], server.cores[number], server.platforms
    process = server.ring[np.uint32(now.queue_first & (server.ring.size - 1))]
    now.queue_first += 1
    now.queue_length -= 1
    core.task = process
    slice_s = cold_s(server, rest_s(server, core.idle_since_s, time_s))
    if process < platforms.size:
        platforms[process].session_state = RUNNING
        slice_s += _session_slice_s(server, number, process, time_s)
    else:
        publisher = np.uint32(process - platforms.size)
        server.processes[publisher].publisher_state = RUNNING
        slice_s = _publisher_slice_s(server, number, publisher, time_s, slice_s)
    now.idle_s += time_s - core.idle_since_s
    core.ready_s = core.idle_since_s = time_s + slice_s
    charge(server, time_s, core.ready_s)


@inlined
def _end_session_slice(server: Server, number: int, session: int, time_s: float) -> None:
    """All that the session's slice took leaves; it queues up again or rests."""
    platform = server.platforms[session]
    place, copies = server.cores[number].chain, 0
    while place != NOBODY:
        slot, entry, place = take(server, place)
        hold(server, slot, -1)
        copies += 1
        deliver(server, slot, session, entry, time_s)
    owe(server, time_s, -copies)
    server.processes[session].written_s = time_s
    platform.session_state = ABSENT
    if platform.mail_head != NOBODY:
        _enqueue(server, session)


@inlined
def _route(server: Server, slot: int, first: int, last: int, time_s: float) -> None:
    """Copies first .. last - 1 of a publication reach their mailboxes."""
    start, posted = server.publications[slot].start, 0
    for copy in range(first, last):
        session = server.subscribers[np.uint32(start + copy)]
        if absent(server, slot, session, time_s):
            continue
        post(server, slot, session, copy)
        posted += 1
        if server.platforms[session].session_state == ABSENT:
            _enqueue(server, session)
    hold(server, slot, posted)


@inlined
def _end_publisher_slice(server: Server, number: int, publisher: int, time_s: float) -> None:
    """The copies that a publisher's slice routed reach their mailboxes; it queues up or rests."""
    core, platform = server.cores[number], server.platforms[publisher]
    process = server.processes[publisher]
    for _ in range(core.finished):
        slot = platform.input_head
        publication = server.publications[slot]
        _route(server, slot, process.copy, publication.copies, time_s)
        process.copy, platform.input_head = 0, publication.next
        if publication.job:
            complete_job(server, slot, time_s)
        elif publication.copies == 0:
            settle(server, slot)
    process.setup_s = core.setup_s
    process.publisher_state = ABSENT
    if platform.input_head != NOBODY:
        _route(server, platform.input_head, process.copy, core.copy, time_s)
        process.copy = core.copy
        _enqueue(server, np.uint32(server.platforms.size + publisher))
    reach(server, time_s)
    weigh(server, time_s)


@compiled
def _arrive(server: Server, time_s: float) -> None:
    """The next publication comes in: its publisher's process queues up, an idle core wakes."""
    slot = admit(server)
    publisher = server.publications[slot].platform
    platform, process = server.platforms[publisher], server.processes[publisher]
    if platform.input_head == NOBODY:
        platform.input_head = slot
    else:
        server.publications[process.input_tail].next = slot
    process.input_tail = slot
    if process.publisher_state == ABSENT:
        _enqueue(server, np.uint32(server.platforms.size + publisher))
        now = server.ledger[0]
        if now.idle_cores > 0:
            now.idle_cores -= 1
            core = server.cores[lowest_idle(server)]
            core.task, core.ready_s = WAKING, time_s + server.setting[0].wake_s


@inlined
def _first_to_end(server: Server) -> tuple[float, Index]:
    """When the first slice ends, and on which core."""
    cores, time_s, number = server.cores, np.inf, np.uint32(0)
    for i in range(cores.size):
        if cores[i].ready_s < time_s:
            time_s, number = cores[i].ready_s, np.uint32(i)
    return time_s, number


@compiled
def _end_slices(server: Server, time_s: float, number: Index, stop_s: float) -> int:
    """End sessions' slices before `stop_s` and begin others; how many.

    It goes on while those that end have taken a copy each, of one publication to one population:
    these copies are carried on together. All cores are at work when it begins; the first slice to
    end is that of core `number`, at `time_s`.
    """
    now, cores, platforms = server.ledger[0], server.cores, server.platforms
    population = platforms[cores[number].task].population
    slot = server.nodes[cores[number].chain].publication
    if journeys.followed(server, slot):
        return 0
    stop_s, count = min(stop_s, server.intervals[np.uint32(now.interval)].end_s), 0
    while count < BLOCK and time_s < stop_s:
        task = cores[number].task
        if task >= server.setting[0].residents:
            break
        platform, node = platforms[task], server.nodes[cores[number].chain]
        if node.publication != slot or node.next != NOBODY or platform.population != population:
            break
        if platform.mail_head != NOBODY or platform.offline:
            break
        server.numbers[np.uint32(count)] = task
        server.scratch[np.uint32(WRITTEN + count)] = time_s
        server.processes[task].written_s = time_s
        platform.session_state = ABSENT
        count += 1
        if now.queue_length > 0:
            _dispatch(server, number, time_s)
        else:
            cores[number].ready_s = np.inf
            now.idle_cores += 1
        time_s, number = _first_to_end(server)
    if count > 0:
        book(server, slot, count, 0.0, 0.0)
        deliver_run(server, slot, count, population)
    return count


@compiled
def advance(server: Server, end_s: float) -> None:
    """Work until every event before `end_s` is done; all arrivals before `end_s` are known.

    It stops earlier if it is halted.
    """
    now, cores, platforms = server.ledger[0], server.cores, server.platforms
    arrival_s = next_arrival_s(server)
    while True:
        time_s, number = _first_to_end(server)
        if min(arrival_s, time_s) >= end_s or now.halted:
            break
        if arrival_s <= time_s:
            _arrive(server, arrival_s)
            arrival_s = next_arrival_s(server)
            continue
        task = cores[number].task
        if (
            task < platforms.size
            and now.idle_cores == 0
            and server.queues.size == 0
            and _end_slices(server, time_s, number, min(arrival_s, end_s)) > 0
        ):
            continue
        if WAKING > task >= platforms.size:
            _end_publisher_slice(server, number, np.uint32(task - platforms.size), time_s)
        elif task != WAKING:
            _end_session_slice(server, number, task, time_s)
        cores[number].ready_s = np.inf
        now.idle_cores += 1
        while now.queue_length > 0 and now.idle_cores > 0:
            if now.idle_cores > 1 or cores[number].ready_s < np.inf:
                number = lowest_idle(server)
            now.idle_cores -= 1
            _dispatch(server, number, time_s)
