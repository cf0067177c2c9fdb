"""Counting sessions of one event loop whose bytes are read by compiled code (`compiled_turn`)."""

from __future__ import annotations

import platform
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from loadtest import compiled_tables, compiled_turn, openssl
from loadtest.compiled_tables import (
    ELSEWHERE,
    LEFT_BYTES,
    LEFT_MAX,
    NOBODY,
    READY_MAX,
    TAKEN,
    Tables,
)
from loadtest.publications import WORDS, Publications
from loadtest.receiver import CHECK_EVERY, HEAD, ITEM, TAIL, DeliveryLog, Receiver

EVENTS_MAX: Final = 4_096  # beginnings of notifications that are known by heart
SEARCHED_MAX: Final = 64  # of those, how many are tried where a session has another than its last
_GROWN: Final = 1_024
_COMPARED: Final = {
    name: np.frombuffer(text, np.uint8)
    for name, text in (("head", HEAD), ("tail", TAIL), ("item", ITEM))
}
_SOUGHT: Final = {
    name: np.frombuffer(text, np.uint8)
    for name, text in (("iq_open", b"<iq"), ("iq_close", b"</iq>"), ("mark", b"<!"))
}


def _word(name: str) -> int:
    """Where a turn has one of its words."""
    return list(compiled_tables.TURN.names or ()).index(name)


_PATIENCE_MS, _END_NS, _POLLED = _word("patience_ms"), _word("end_ns"), _word("polled")
_POSITION, _COUNT, _ROWS = _word("position"), _word("count"), _word("rows")
_CLEAR_FROM, _CLEAR_TO, _CLEAR_BYTES = _word("clear_from"), _word("clear_to"), _word("clear_bytes")
_PUBLICATION = _word("publication")
_READ_BYTES, _EVENTS = _word("read_bytes"), _word("events")


class Transport(Protocol):
    """Where compiled code leaves what it does not take."""

    def rest(self, size: int, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Take what is not one plain notification; `data` was decrypted already."""

    def again(self, size: int, received_ns: int, delay_ns: int) -> None:
        """Decrypt what is there."""

    def send_rest(self, data: bytes) -> None:
        """Send encrypted bytes, and then what else is encrypted already."""

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A session that only counts: what it is made of, held as long as compiled code may use it."""

    transport: Transport
    receiver: Receiver
    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO


class CompiledReading:
    """The sessions of a reactor, as compiled code sees them.

    Parameters
    ----------
    poll : int
        Descriptor of the reactor's epoll.
    handlers : mapping
        Who serves a descriptor that is not read here.
    log : DeliveryLog
        Where deliveries are noted.
    tag : str
        The run's tag.
    publications : Publications, optional
        Those whose answers are noted.

    Attributes
    ----------
    noted : int
        How many deliveries it noted.
    sessions : int
        How many sessions it was given.
    refused : str or None
        Why it did not take others.
    keeps_buffers : bool
        Whether sessions added from now on keep their TLS buffers, as those that send often should.

    Raises
    ------
    openssl.ForeignError
        It cannot work here.
    """

    def __init__(
        self,
        poll: int,
        handlers: Mapping[int, Callable[[int], None]],
        log: DeliveryLog,
        tag: str,
        publications: Publications | None = None,
    ) -> None:
        openssl.require_known()
        self._handlers = handlers
        self._log = log
        self._tag = tag
        self._counted: list[Counted | None] = []  # by number of a session here
        self._free: list[int] = []
        self._known: dict[bytes, int] = {}  # numbers of events
        self.noted = self.sessions = 0
        self.refused: str | None = None
        self.keeps_buffers = False
        self._encrypted = memoryview(bytearray(READY_MAX * compiled_tables.SLOT_BYTES))
        self._tables = _tables(poll, self._encrypted, publications)
        # As plain words: to Python a field of a record costs ten times as much.
        self._turn = self._tables.turn.view(np.int64).data
        compiled_turn.serve(self._tables)  # which compiles it, or loads it

    @property
    def tables(self) -> Tables:
        """What compiled code works on; others once there are more sessions."""
        return self._tables

    @property
    def read_bytes(self) -> int:
        """What has been read, encrypted. [B]"""
        return self._turn[_READ_BYTES]

    def add(self, number: int, counted: Counted) -> bool:
        """Read a descriptor from now on; False where Python has to."""
        receiver = counted.receiver
        try:
            if receiver.log is not self._log or receiver.tag != self._tag:
                raise openssl.ForeignError("its deliveries are noted elsewhere")
            openssl.require(counted.tls, counted.incoming, counted.outgoing)
            if self.keeps_buffers:
                openssl.keep_buffers(counted.tls)
        except openssl.ForeignError as error:
            self.refused = str(error)
            return False
        place = self._free.pop() if self._free else len(self._counted)
        if place == len(self._counted):
            self._counted.append(None)
        self._grow(number, place)
        self._counted[place] = counted
        session = self._tables.sessions[place]
        session["ssl"] = openssl.ssl_of(counted.tls)
        session["incoming"] = openssl.bio_of(counted.incoming)
        session["outgoing"] = openssl.bio_of(counted.outgoing)
        session["key"] = receiver.key
        session["event"] = session["sealed"] = session["left"] = 0
        session["number"] = number
        self._learn(place, receiver)
        self._tables.session_of[number] = place
        self.hold(number)
        self.sessions += 1
        return True

    def _grow(self, number: int, place: int) -> None:
        tables = self._tables
        if number >= len(tables.session_of):
            more = np.full(number + _GROWN - len(tables.session_of), NOBODY, np.int32)
            tables = tables._replace(session_of=np.concatenate([tables.session_of, more]))
        if place >= len(tables.sessions):
            more = np.zeros(_GROWN, compiled_tables.SESSION)
            tables = tables._replace(sessions=np.concatenate([tables.sessions, more]))
        self._tables = tables

    def release(self, number: int) -> None:
        """Read a descriptor no longer; what was read of it is taken first."""
        tables, turn = self._tables, self._turn
        place = self._place_of(number)
        if place == NOBODY:
            return
        counted, self._counted[place] = self._counted[place], None
        assert counted is not None
        self._give_back(place, counted.receiver)
        tables.session_of[number] = tables.sessions[place]["number"] = NOBODY
        self._free.append(place)
        for at in range(turn[_POSITION], turn[_COUNT]):
            entry = tables.entries[at]
            if entry["session"] == place:
                entry["session"] = TAKEN
                start, size = at * compiled_tables.SLOT_BYTES, int(entry["size"])
                turn[_READ_BYTES] += size
                counted.incoming.write(self._encrypted[start : start + size])
                counted.transport.again(size, int(entry["received_ns"]), int(entry["delay_ns"]))

    def serve(self, patience_s: float, lasting_s: float) -> None:
        """Serve what is ready until nothing is for a while, or the time is up.

        Parameters
        ----------
        patience_s : float
            How long to wait for more. [s]
        lasting_s : float
            After that no more is waited for. [s]
        """
        turn = self._turn
        turn[_PATIENCE_MS] = int(patience_s * 1e3)
        turn[_END_NS] = time.monotonic_ns() + int(lasting_s * 1e9)
        self.begin()
        while (why := compiled_turn.serve(self._tables)) != compiled_tables.OVER:
            self.hand_over(why)
        self.note()

    def begin(self) -> None:
        """Begin a turn: look at least once what is ready."""
        self._turn[_POLLED] = 0

    def note(self) -> None:
        """Note the deliveries that compiled code has read."""
        if rows := self._turn[_ROWS]:
            self._log.extend(self._tables.rows[:rows])
            self.noted += rows
            self._turn[_ROWS] = 0

    def hand_over(self, why: int) -> None:
        """Let Python do what compiled code leaves to it."""
        self.note()
        if why != compiled_tables.FULL:
            self._hand_over(why, self._tables.entries[self._turn[_POSITION] - 1])

    def _hand_over(self, why: int, entry: np.void) -> None:
        if why == compiled_tables.HANDLER:
            self._let_handle(int(entry["number"]), int(entry["happened"]))
            return
        place = int(entry["session"])
        counted = self._counted[place]
        assert counted is not None
        received = [int(entry[name]) for name in ("size", "received_ns", "delay_ns")]
        if why == compiled_tables.FAILED:
            self._give_back(place, counted.receiver)
            counted.transport.again(*received)
        else:
            turn, clear = self._turn, self._tables.clear
            begin = turn[_CLEAR_FROM]
            if why == compiled_tables.CHECK:
                begin = turn[_CLEAR_TO]
                stanza = clear[turn[_CLEAR_FROM] : begin].tobytes()
                counted.receiver.check(stanza, turn[_PUBLICATION])
            data = clear[begin : turn[_CLEAR_BYTES]].tobytes()
            if data or counted.incoming.pending:
                counted.transport.rest(received[0], data, received[1], received[2])
        if self._counted[place] is counted:
            self._learn(place, counted.receiver)

    def _left_of(self, place: int) -> memoryview:
        """Where the beginning of a stanza is kept for a session."""
        return self._tables.left.data[place * LEFT_BYTES : (place + 1) * LEFT_BYTES]

    def _give_back(self, place: int, receiver: Receiver) -> None:
        """Give a session's beginning of a stanza to the receiver, which is to read the rest."""
        session = self._tables.sessions[place]
        if (size := int(session["left"])) > 0:
            receiver.left = self._left_of(place)[:size].tobytes()
            session["left"] = 0

    def _let_handle(self, number: int, happened: int) -> None:
        """Let a descriptor's handler serve it, which may read it, close it, or add others."""
        if (place := self._place_of(number)) != NOBODY and (counted := self._counted[place]):
            self._give_back(place, counted.receiver)
        # One that was served before it may have closed it.
        if handler := self._handlers.get(number):
            handler(happened)
        if (place := self._place_of(number)) != NOBODY and (counted := self._counted[place]):
            self._learn(place, counted.receiver)

    def _place_of(self, number: int) -> int:
        """The session that a descriptor is read for; NOBODY."""
        known = 0 <= number < len(self._tables.session_of)
        return int(self._tables.session_of[number]) if known else NOBODY

    def send_rest(self, place: int, data: bytes) -> None:
        """Send what the kernel did not take of a session, and hold it if it still does not."""
        if (counted := self._counted[place]) is not None:
            counted.transport.send_rest(data)
            self.hold(int(self._tables.sessions[place]["number"]))

    def hold(self, number: int) -> None:
        """Let compiled code send to a descriptor only where Python has nothing waiting for it."""
        place = self._place_of(number)
        if place == NOBODY or (counted := self._counted[place]) is None:
            return
        session = self._tables.sessions[place]
        if counted.transport.get_write_buffer_size():
            session["sealed"] |= compiled_tables.STUCK
        else:
            session["sealed"] &= ~compiled_tables.STUCK

    def _learn(self, place: int, receiver: Receiver) -> None:
        """Learn the newest event of a session, and keep the beginning of a message for it."""
        event, session, left = receiver.event, self._tables.sessions[place], receiver.left
        if left:
            session["left"] = ELSEWHERE
            if place < LEFT_MAX and len(left) <= LEFT_BYTES and left[: len(HEAD)] == HEAD:
                self._left_of(place)[: len(left)] = left
                session["left"], receiver.left = len(left), b""
        elif session["left"] == ELSEWHERE:
            session["left"] = 0
        number = self._known.get(event)
        if number is None and receiver.quote and len(self._known) < EVENTS_MAX:
            number = len(self._known)
            known = self._tables.events[number]
            known["address"] = np.frombuffer(event, np.uint8).ctypes.data
            known["size"], known["quote"] = len(event), receiver.quote
            self._known[event] = number  # which keeps it where it is
            self._turn[_EVENTS] = min(len(self._known), SEARCHED_MAX)
        if number is not None:
            session["event"] = number


def _tables(poll: int, encrypted: memoryview, publications: Publications | None) -> Tables:
    none, told = np.empty(0, np.int64), publications
    words = 3 if platform.machine() == "x86_64" else 4  # where struct epoll_event is packed
    tables = Tables(
        addresses=np.zeros(1, compiled_tables.ADDRESSES),
        turn=np.zeros(1, compiled_tables.TURN),
        message=np.zeros(1, compiled_tables.MESSAGE),
        time=np.zeros(1, compiled_tables.TIME),
        ready=np.zeros(READY_MAX * words, np.uint32),
        entries=np.zeros(READY_MAX, compiled_tables.ENTRY),
        clear=np.zeros(LEFT_BYTES + compiled_tables.RECORD_BYTES, np.uint8),
        left=np.zeros(LEFT_MAX * LEFT_BYTES, np.uint8),  # no memory until it is written to
        session_of=np.full(_GROWN, NOBODY, np.int32),
        sessions=np.zeros(_GROWN, compiled_tables.SESSION),
        events=np.zeros(EVENTS_MAX, compiled_tables.EVENT),
        rows=np.zeros((compiled_tables.ROWS_MAX, 3), np.int64),
        progress=told.progress if told else np.zeros(WORDS, np.int64),
        published=told.rows if told else none,
        sent_ns=told.sent_ns if told else none,
        answered_ns=told.answered_ns if told else none,
        answers=told.answers if told else none,
    )
    addresses, message, turn = tables.addresses[0], tables.message[0], tables.turn[0]
    for name in compiled_tables.FUNCTIONS:
        addresses[name] = openssl.address(name)
    for name in ("ready", "clear", "left", "message", "time"):
        addresses[name] = getattr(tables, name).ctypes.data
    addresses["encrypted"] = np.frombuffer(encrypted, np.uint8).ctypes.data
    for name, text in _COMPARED.items():
        addresses[name], turn[f"{name}_bytes"] = text.ctypes.data, len(text)
    for name, text in _SOUGHT.items():
        addresses[name] = text.ctypes.data
    turn["ready_most"] = READY_MAX if publications is None else compiled_tables.READY_MOST
    turn["poll"], turn["ready_words"], turn["check_every"] = poll, words, CHECK_EVERY
    fields = compiled_tables.MESSAGE.fields
    assert fields is not None
    message["parts"] = tables.message.ctypes.data + fields["part"][1]
    message["control"] = tables.message.ctypes.data + fields["stamp_bytes"][1]
    message["part_count"], message["part_bytes"] = 1, compiled_tables.SLOT_BYTES
    return tables
