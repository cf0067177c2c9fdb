"""The shortest receive path once more, compiled: one call serves all counting sessions.

What `Reactor._turn`, `TimedTransport.count` and `Receiver.note` do together, by the same system
calls and the same functions of OpenSSL, with no interpreter between them. It takes what is a plain
notification like one before and nothing else: all else goes back to Python at once, with what has
been decrypted of it, so that a session's stanzas stay in the order in which they came.

Where publications of the same process are known, results that answer them are noted as well.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from loadtest.compiled_answers import note_answer
from loadtest.compiled_tables import (
    CHECK,
    FAILED,
    FULL,
    HANDLER,
    LEFT_BYTES,
    LEFT_MAX,
    NOBODY,
    ODD,
    OVER,
    READY_MAX,
    RECORD_BYTES,
    ROWS_MAX,
    SLOT_BYTES,
    Tables,
    compiled,
    foreign,
    foreign_int,
)

READABLE: Final = 1
_REALTIME: Final = 0
MONOTONIC: Final = 1
DONT_WAIT: Final = 0x40
_STAMP_BYTES: Final = 32
_STAMP: Final = 1 | 35 << 32  # SOL_SOCKET and SO_TIMESTAMPNS
_WANT_READ: Final = 2
_OPENING, _OPENED, _SLASH, _ZERO = ord("<"), ord(">"), ord("/"), ord("0")
_CLOSE_BYTES: Final = 10  # of "</message>", which the tail ends with


@compiled
def now_ns(tables: Tables, clock: int) -> int:
    """The instant on a clock. [ns]"""
    foreign(tables.addresses[0].clock_gettime, clock, tables.addresses[0].time, 0, 0)
    time = tables.time[0]
    return time.s * 1_000_000_000 + time.ns


@compiled
def _receive(tables: Tables, place: int) -> bool:
    """Read the descriptor of an entry, into the slot at its place; whether it gave anything."""
    addresses, message, entry = tables.addresses[0], tables.message[0], tables.entries[place]
    message.name_bytes = 0
    message.control_bytes = _STAMP_BYTES
    message.flags = 0
    message.part = addresses.encrypted + place * SLOT_BYTES
    size = foreign(addresses.recvmsg, entry.number, addresses.message, DONT_WAIT, 0)
    if size < 1:
        return False
    received_ns = now_ns(tables, MONOTONIC)
    delay_ns = 0
    if message.control_bytes >= _STAMP_BYTES and message.stamp_kind == _STAMP:
        # The stamp is on the wall clock; only a difference is taken, right here.
        stamp_ns = message.stamp_s * 1_000_000_000 + message.stamp_ns
        delay_ns = max(now_ns(tables, _REALTIME) - stamp_ns, 0)
    entry.size = size
    entry.received_ns = received_ns - delay_ns
    entry.delay_ns = delay_ns
    return True


@compiled
def differ(tables: Tables, first: int, second: int, size: int) -> bool:
    """Whether the bytes at two addresses differ."""
    return foreign_int(tables.addresses[0].memcmp, first, second, size, 0) != 0


@compiled
def _event_at(tables: Tables, place: int, size: int, likely: int) -> int:
    """Which event the clear text has at `place`, the likely one being tried first; or -1."""
    at = tables.addresses[0].clear + place
    for number in range(-1, tables.turn[0].events):
        tried = likely if number < 0 else number
        event = tables.events[tried]
        if 0 < event.size < size - place and not differ(tables, at, event.address, event.size):
            return tried
    return -1


@compiled
def _digits_at(tables: Tables, place: int, size: int, quote: int) -> int:
    """How many digits the clear text has from `place` to the quote: 1 to 9, or 0."""
    count = 0
    while place + count < size and tables.clear[place + count] != quote:
        if not _ZERO <= tables.clear[place + count] < _ZERO + 10 or count == 9:
            return 0
        count += 1
    return count if place + count < size else 0


@compiled
def _plain(tables: Tables, size: int) -> bool:
    """Whether the clear text begins and ends as a plain notification does."""
    addresses, turn = tables.addresses[0], tables.turn[0]
    if size < turn.head_bytes + turn.tail_bytes:
        return False
    tail = addresses.clear + size - turn.tail_bytes
    return not (
        differ(tables, addresses.clear, addresses.head, turn.head_bytes)
        or differ(tables, tail, addresses.tail, turn.tail_bytes)
    )


@compiled
def publication_of(tables: Tables, size: int, session: int) -> int:
    """The publication of a plain notification, or -1 for anything else.

    The rule is that of `Receiver.note`, only that the event may be of any notification before.
    """
    addresses, state = tables.addresses[0], tables.sessions[session]
    if state.left or not _plain(tables, size):
        return -1
    # There is one: the tail has several.
    opened = foreign(addresses.memchr, addresses.clear, _OPENED, size, 0)
    return _numbered(tables, opened - addresses.clear + 1, size, session)


@compiled
def _numbered(tables: Tables, place: int, end: int, session: int) -> int:
    """The publication of the event at `place`, if there is no other item until `end`; or -1."""
    addresses, state = tables.addresses[0], tables.sessions[session]
    number = _event_at(tables, place, end, state.event)
    if number < 0:
        return -1
    state.event = number
    event = tables.events[number]
    place += event.size
    digits = _digits_at(tables, place, end, event.quote)
    rest = addresses.clear + place
    item_bytes = tables.turn[0].item_bytes
    if not digits or foreign(addresses.memmem, rest, end - place, addresses.item, item_bytes):
        return -1
    publication = 0
    for k in range(digits):
        publication = 10 * publication + tables.clear[place + k] - _ZERO
    return publication


@compiled
def next_publication(tables: Tables, session: int) -> int:
    """The publication of the plain notification at `clear_from`, one of several; or -1.

    The rule is that of `Receiver.feed`; `clear_to` is where it ends.
    """
    addresses, turn = tables.addresses[0], tables.turn[0]
    begin, size = addresses.clear + turn.clear_from, turn.clear_bytes - turn.clear_from
    if size < turn.head_bytes or differ(tables, begin, addresses.head, turn.head_bytes):
        return -1
    close = addresses.tail + turn.tail_bytes - _CLOSE_BYTES
    closed = foreign(addresses.memmem, begin, size, close, _CLOSE_BYTES)
    if closed == 0 or closed + _CLOSE_BYTES - turn.tail_bytes < begin:
        return -1
    end = closed + _CLOSE_BYTES
    if differ(tables, end - turn.tail_bytes, addresses.tail, turn.tail_bytes):
        return -1
    opened = foreign(addresses.memchr, begin, _OPENED, size, 0)
    if foreign(addresses.memchr, begin + 1, _OPENING, size - 1, 0) != opened + 1:
        return -1
    turn.clear_to = end - addresses.clear
    return _numbered(tables, opened - addresses.clear + 1, turn.clear_to, session)


@compiled
def _note(tables: Tables, entry: Any, session: int, publication: int) -> bool:
    """Note a delivery; whether its stanza is to be parsed in full as well."""
    turn, key = tables.turn[0], tables.sessions[session].key
    row = tables.rows[turn.rows]
    row[0], row[1], row[2] = publication << 32 | key, entry.received_ns, entry.delay_ns
    turn.rows += 1
    turn.publication = publication
    return (publication + key) % turn.check_every == 0


@compiled
def _note_all(tables: Tables, entry: Any, session: int) -> int:
    """Note the plain notifications of one record; why what follows them is for Python, or OVER."""
    turn = tables.turn[0]
    turn.clear_from, turn.clear_to = 0, turn.clear_bytes
    publication = -1
    if turn.rows < ROWS_MAX:
        publication = publication_of(tables, turn.clear_bytes, session)
    if publication >= 0:
        return CHECK if _note(tables, entry, session, publication) else OVER
    while not tables.sessions[session].left and turn.clear_from < turn.clear_bytes:
        if turn.rows == ROWS_MAX:
            return ODD
        if note_answer(tables, entry.received_ns):
            turn.clear_from = turn.clear_to
            continue
        publication = next_publication(tables, session)
        if publication < 0:
            return ODD
        if _note(tables, entry, session, publication):
            return CHECK
        turn.clear_from = turn.clear_to
    return OVER if turn.clear_from == turn.clear_bytes else ODD


@compiled
def _decrypt(tables: Tables, session: int) -> int:
    """Decrypt a record behind what is left of the one before; its size, or below 1."""
    addresses, turn, state = tables.addresses[0], tables.turn[0], tables.sessions[session]
    left = max(state.left, 0)
    if left:
        kept = addresses.left + session * LEFT_BYTES
        foreign(addresses.memcpy, addresses.clear, kept, left, 0)
    clear = addresses.clear + left
    size = foreign_int(addresses.SSL_read, state.ssl, clear, RECORD_BYTES, 0)
    turn.clear_bytes = 0
    if size > 0:
        turn.clear_bytes = left + size
        state.left -= left
    return size


@compiled
def _is_open(tables: Tables, place: int, end: int) -> bool:
    """Whether what the clear text has from a place on is the beginning of one message."""
    addresses, turn, size = tables.addresses[0], tables.turn[0], end - place
    begin = addresses.clear + place
    if differ(tables, begin, addresses.head, min(size, turn.head_bytes)):
        return False
    close = addresses.tail + turn.tail_bytes - _CLOSE_BYTES
    if foreign(addresses.memmem, begin, size, close, _CLOSE_BYTES - 1):
        return False
    opened = foreign(addresses.memchr, begin, _OPENED, size, 0)
    if opened == 0:
        return True
    inside = opened - addresses.clear + 1
    follows = inside == end or tables.clear[inside] == _OPENING
    return follows and tables.clear[inside - 2] != _SLASH


@compiled
def _keep(tables: Tables, session: int) -> bool:
    """Keep what a record leaves, if that is the beginning of a message; else it is for Python.

    Servers cut what they have for a session into records of one size, not between stanzas.
    """
    addresses, turn, state = tables.addresses[0], tables.turn[0], tables.sessions[session]
    begin, size = addresses.clear + turn.clear_from, turn.clear_bytes - turn.clear_from
    if state.left or size > LEFT_BYTES or session >= LEFT_MAX:
        return False
    if not _is_open(tables, turn.clear_from, turn.clear_bytes):
        return False
    foreign(addresses.memcpy, addresses.left + session * LEFT_BYTES, begin, size, 0)
    state.left = size
    return True


@compiled
def _take(tables: Tables, place: int) -> int:
    """Decrypt and note what an entry has; why it is for Python, or OVER."""
    addresses, entry = tables.addresses[0], tables.entries[place]
    session = tables.sessions[entry.session]
    encrypted = addresses.encrypted + place * SLOT_BYTES
    foreign(addresses.BIO_write, session.incoming, encrypted, entry.size, 0)
    while True:
        size = _decrypt(tables, entry.session)
        if size < 1:
            error = foreign_int(addresses.SSL_get_error, session.ssl, size, 0, 0)
            unsent = foreign(addresses.BIO_ctrl_pending, session.outgoing, 0, 0, 0)
            return OVER if error == _WANT_READ and unsent == 0 else FAILED
        why = _note_all(tables, entry, entry.session)
        if why != OVER and not (why == ODD and _keep(tables, entry.session)):
            return why
        if foreign(addresses.BIO_ctrl_pending, session.incoming, 0, 0, 0) == 0:
            return OVER


@compiled
def _read(tables: Tables, wait_ms: int) -> Any:
    """Wait for descriptors and read all that are ready; how many there are, or below 1."""
    addresses, turn = tables.addresses[0], tables.turn[0]
    count = foreign_int(addresses.epoll_wait, turn.poll, addresses.ready, turn.ready_most, wait_ms)
    words = turn.ready_words
    for place in range(count):
        entry = tables.entries[place]
        entry.happened = np.int64(tables.ready[place * words])
        number = np.int64(tables.ready[(place + 1) * words - 2])
        entry.number = number
        session = np.int64(NOBODY)
        if number < len(tables.session_of) and entry.happened == READABLE:
            session = np.int64(tables.session_of[number])
        if session >= 0 and not _receive(tables, place):
            session = np.int64(NOBODY)
        entry.session = session
    return count


@compiled
def serve(tables: Tables) -> int:
    """Serve what is ready until nothing is, or the time is up, or Python has something to do.

    The entry that Python has something to do for is the one before `turn.position`. It is called
    again then, with `turn.polled` still set, and goes on behind that entry.
    """
    turn = tables.turn[0]
    while True:
        while turn.position < turn.count:
            place = turn.position
            turn.position += 1
            entry = tables.entries[place]
            if entry.session == NOBODY:
                return HANDLER
            if entry.session >= 0:
                turn.read_bytes += entry.size
                why = _take(tables, place)
                if why != OVER:
                    return why
            if turn.rows > ROWS_MAX - READY_MAX:
                return FULL
        looked = turn.polled and turn.count < turn.again_from
        if looked or (turn.polled and now_ns(tables, MONOTONIC) > turn.end_ns):
            return OVER
        wait_ms = turn.patience_ms if turn.polled else 0
        turn.polled = 1
        turn.position = 0
        turn.count = max(_read(tables, wait_ms), 0)
        if turn.count == 0:
            return OVER
