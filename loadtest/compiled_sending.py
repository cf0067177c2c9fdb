"""Publications sent at their instants by compiled code, one call for many of them.

What `Pacer`, `PublishShare` and `TimedTransport.write` do together: it waits for the absolute
deadline of the next publication, writes all that are due, and reads what has come meanwhile. What a
session cannot take at once, and what is larger than usual, goes back to Python.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy.typing as npt

from loadtest.compiled_tables import (
    BLOCKED,
    DONE,
    LATER,
    NOBODY,
    OVER,
    RECORD_BYTES,
    SEALED,
    STUCK,
    WRITE,
    Tables,
    compiled,
    foreign,
    foreign_int,
    words,
)
from loadtest.compiled_turn import DONT_WAIT, MONOTONIC, now_ns, serve
from loadtest.pacer import TOGETHER  # so many are sealed before any of them is sent
from loadtest.publications import ANSWERED, BEGUN, UNSENT, WRITTEN

SEALED_BYTES: Final = 4 * RECORD_BYTES  # sent at once
# Answers are read so often at least: the kernel says when they came, but says it once for all that
# one session has unread. Less often is cheaper.
READ_EVERY_NS: Final = 500_000
# To read what has come takes time, and more where many sessions have something: so long before a
# deadline it is put off, unless it was put off for another `READ_EVERY_NS` already.
READ_BEFORE_NS: Final = 50_000
# While answers follow one another like this they are waited for here: the event loop would wake for
# each of them, which costs more than a publication.
ANSWERS_WITHIN_NS: Final = 5_000_000
NUMBER_BYTES: Final = 10  # of a publication's number in its payload

PUBLICATION: Final = words("due_ns", "login", "node", "payload_bytes")
NODE: Final = words(  # the pieces of its stanzas, between which numbers and padding stand
    *("opening", "opening_bytes", "middle", "middle_bytes", "begin", "begin_bytes"),
    *("inside", "inside_bytes", "end", "end_bytes"),
    "fill",  # what pads the payload's number on the left
    "least_bytes",  # of a payload
)
SENDING: Final = words(
    *("stanza", "sealed"),  # addresses
    "early_ns",
    "yield_ns",  # when others shall run
    "read_ns",  # when to read what has come
    *("settled", "moved_ns"),  # publications written and answers read, and when that was no less
    "given_up",  # answers that did not come in time: they may never
    *("dirty", "flushed"),  # sessions that have something to send, and those of them that sent it
    *("sealed_from", "sealed_to"),  # what the kernel did not take
    *("session", "compiled"),
)


class Sending(NamedTuple):
    """What publications are made of, beside the tables."""

    state: npt.NDArray[Any]  # SENDING, one
    publications: npt.NDArray[Any]  # PUBLICATION
    nodes: npt.NDArray[Any]  # NODE
    doors: npt.NDArray[Any]  # descriptors by login; NOBODY
    dirty: npt.NDArray[Any]  # numbers of sessions, TOGETHER
    stanza: npt.NDArray[Any]  # RECORD_BYTES


_SIGNALS_NOT: Final = 0x4000  # MSG_NOSIGNAL
_FILL: Final = ord("x")
_ZERO: Final = ord("0")
_ABSOLUTE: Final = 1


@compiled
def _digits(sending: Sending, place: int, number: int) -> int:
    """Write a number at a place of the stanza; where it ends."""
    size, left = 1, number
    while left >= 10:
        left //= 10
        size += 1
    for k in range(size):
        sending.stanza[place + size - 1 - k] = _ZERO + number % 10
        number //= 10
    return place + size


@compiled
def _piece(tables: Tables, sending: Sending, place: int, piece: int, size: int) -> int:
    """Write a piece at a place of the stanza; where it ends."""
    foreign(tables.addresses[0].memcpy, sending.state[0].stanza + place, piece, size, 0)
    return place + size


@compiled
def compose(tables: Tables, sending: Sending, place: int) -> int:
    """Write the stanza of a publication; its size, or 0 where it is larger than a record."""
    publication = sending.publications[place]
    node = sending.nodes[publication.node]
    row = tables.published[place]
    padding = max(publication.payload_bytes - node.least_bytes, 0)
    pieces = node.opening_bytes + node.middle_bytes + node.begin_bytes
    if pieces + node.inside_bytes + node.end_bytes + padding + 4 * NUMBER_BYTES > RECORD_BYTES:
        return 0
    at = _piece(tables, sending, 0, node.opening, node.opening_bytes)
    at = _digits(sending, at, row)
    at = _piece(tables, sending, at, node.middle, node.middle_bytes)
    at = _digits(sending, at, row)
    at = _piece(tables, sending, at, node.begin, node.begin_bytes)
    for k in range(NUMBER_BYTES):
        sending.stanza[at + NUMBER_BYTES - 1 - k] = _ZERO + row % 10 if row or not k else node.fill
        row //= 10
    at = _piece(tables, sending, at + NUMBER_BYTES, node.inside, node.inside_bytes)
    foreign(tables.addresses[0].memset, sending.state[0].stanza + at, _FILL, padding, 0)
    return _piece(tables, sending, at + padding, node.end, node.end_bytes)


@compiled
def _seal(tables: Tables, sending: Sending, place: int) -> bool:
    """Encrypt a publication for its session; false where Python has to write it."""
    state, publication = sending.state[0], sending.publications[place]
    number = sending.doors[publication.login]
    if number == NOBODY or number >= len(tables.session_of):
        return False
    if tables.session_of[number] == NOBODY:
        return False
    slot = tables.session_of[number]
    session = tables.sessions[slot]
    if session.sealed & STUCK:
        return False
    size = compose(tables, sending, place)
    if size == 0:
        return False
    written = foreign_int(tables.addresses[0].SSL_write, session.ssl, state.stanza, size, 0)
    if written != size:
        return False
    if not session.sealed & SEALED:
        session.sealed |= SEALED
        sending.dirty[state.dirty] = slot
        state.dirty += 1
    state.compiled += 1
    return True


@compiled
def _send(tables: Tables, sending: Sending, slot: int) -> bool:
    """Send all that a session has encrypted; false where the kernel does not take it."""
    addresses, state, session = tables.addresses[0], sending.state[0], tables.sessions[slot]
    session.sealed &= ~SEALED
    while session.number != NOBODY:
        size = foreign_int(addresses.BIO_read, session.outgoing, state.sealed, SEALED_BYTES, 0)
        if size < 1:
            return True
        flags = DONT_WAIT | _SIGNALS_NOT
        sent = max(foreign(addresses.send, session.number, state.sealed, size, flags), 0)
        if sent < size:
            session.sealed |= STUCK
            state.session, state.sealed_from, state.sealed_to = slot, sent, size
            return False
    return True


@compiled
def _write(tables: Tables, sending: Sending) -> int:
    """Write all that is due, each noted as sent when it is sealed; why Python goes on, or OVER."""
    state, progress = sending.state[0], tables.progress
    while True:
        while state.flushed < state.dirty:
            slot = sending.dirty[state.flushed]
            state.flushed += 1
            if not _send(tables, sending, slot):
                return BLOCKED
        state.flushed = state.dirty = 0
        if progress[WRITTEN] == progress[BEGUN]:
            return OVER
        last = min(progress[WRITTEN] + TOGETHER, progress[BEGUN])
        while progress[WRITTEN] < last:
            tables.sent_ns[progress[WRITTEN]] = now_ns(tables, MONOTONIC)
            progress[WRITTEN] += 1
            if not _seal(tables, sending, progress[WRITTEN] - 1):
                return WRITE


@compiled
def _begin(tables: Tables, sending: Sending, now: int) -> None:
    """Take all publications that are due."""
    progress, publications = tables.progress, sending.publications
    while progress[BEGUN] < len(publications) and publications[progress[BEGUN]].due_ns <= now:
        progress[BEGUN] += 1


@compiled
def _wait(tables: Tables, due_ns: int, now: int) -> int:
    """Wait until an instant; the instant after it, some microseconds later. [ns]

    A sleep ends a little late. To leave it early and spin for the rest would cost more than that
    is worth: how late each publication is sent is known.
    """
    time = tables.time[0]
    while now < due_ns:
        time.s, time.ns = due_ns // 1_000_000_000, due_ns % 1_000_000_000
        sleep = tables.addresses[0].clock_nanosleep
        foreign_int(sleep, MONOTONIC, _ABSOLUTE, tables.addresses[0].time, 0)
        now = now_ns(tables, MONOTONIC)
    return now


@compiled
def _reads(state: Any, due_ns: int, now: int) -> bool:
    """Whether to read now what has come, with a deadline ahead."""
    overdue_ns = now - state.read_ns
    return overdue_ns >= READ_EVERY_NS or (overdue_ns >= 0 and due_ns - now > READ_BEFORE_NS)


@compiled
def _awaits(tables: Tables, sending: Sending, now: int) -> bool:
    """Whether answers are on their way that will come soon, as others just have."""
    state, progress = sending.state[0], tables.progress
    settled = progress[WRITTEN] + progress[ANSWERED]
    if state.settled != settled:
        state.settled, state.moved_ns = settled, now
    on_their_way = progress[WRITTEN] - progress[UNSENT] - progress[ANSWERED]
    soon = now < state.moved_ns + ANSWERS_WITHIN_NS
    state.given_up = min(state.given_up, on_their_way) if soon else on_their_way
    return bool(on_their_way > state.given_up)


@compiled
def publish(tables: Tables, sending: Sending) -> int:
    """Send what is due and read what comes, until Python has something to do.

    The reasons are those of `compiled_turn.serve`, and LATER, WRITE, BLOCKED and DONE; it is called
    again then, and goes on where it was.
    """
    turn, state, progress = tables.turn[0], sending.state[0], tables.progress
    publications = sending.publications
    while True:
        why = _write(tables, sending)
        if why != OVER:
            return why
        more = progress[BEGUN] < len(publications)
        due_ns = publications[progress[BEGUN]].due_ns if more else state.yield_ns
        now = now_ns(tables, MONOTONIC)
        if turn.polled or not more or _reads(state, due_ns, now):
            turn.end_ns = min(due_ns - READ_BEFORE_NS, state.yield_ns)
            why = serve(tables)
            if why != OVER:
                return why
            turn.polled = 0
            now = now_ns(tables, MONOTONIC)
            state.read_ns = now + READ_EVERY_NS
        if not more:
            return DONE
        far = due_ns - now > state.early_ns
        if now > state.yield_ns or (far and not _awaits(tables, sending, now)):
            return LATER
        until_ns = min(due_ns, state.read_ns) if far else due_ns
        _begin(tables, sending, _wait(tables, until_ns, now))
