"""Sockets of one process watched apart from asyncio, which they join as one descriptor.

asyncio spends several microseconds on each readable socket: a handle, a context, a turn of its
loop. Here all sockets are in one epoll of their own; its descriptor is all that the event loop
sees, and a turn of the loop serves all sockets that are ready, and those that become so meanwhile.

Sockets that are `read_for` somebody are read first, all that are ready, and what they gave is taken
afterwards: each of both stays in the processor's caches while it is done many times over.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from loadtest.openssl import ForeignError

if TYPE_CHECKING:
    from loadtest.compiled_reading import CompiledReading
    from loadtest.publications import Publications
    from loadtest.receiver import DeliveryLog

TURN_S = 5e-3  # after that the event loop has its turn
MANY = 4  # from so many ready sockets on it pays to read first and take later
_EVENTS_MAX = 64
_READABLE = select.EPOLLIN
_monotonic_ns, _wall_ns = time.monotonic_ns, time.time_ns

ANCILLARY_BYTES = socket.CMSG_SPACE(16)  # a struct timespec
_SLOT_BYTES = 8_256  # no power of two: neighbours shall not compete for the same cache lines
_SLOTS = [[memoryview(bytearray(_SLOT_BYTES))] for _ in range(_EVENTS_MAX)]
_OWN_SLOT = [memoryview(bytearray(_SLOT_BYTES))]  # of a socket that is read and taken at once

Receive = Callable[..., tuple[int, list[Any], int, Any]]
"""What `socket.recvmsg_into` is."""

Take = Callable[[memoryview, list[Any], int, int], None]
"""Takes what a socket gave: the bytes, ancillary data, and both clocks right after. [ns]"""

_reactors: dict[asyncio.AbstractEventLoop, Reactor] = {}


class Reactor:
    """The epoll of one event loop; use `of_loop`.

    Attributes
    ----------
    patience_s : float
        How long a turn waits for the next socket before it gives the event loop back: while a
        fan-out arrives, that saves most turns. It delays all else by as much, so only processes
        that do nothing but receive are patient. [s]
    read_bytes : int
        What all sockets have read, encrypted. [B]
    compiled : CompiledReading or None
        Reads counting sessions instead of `read_for`, once `compile` was called.
    """

    __slots__ = ("_handlers", "_loop", "_poll", "_readers", "compiled", "patience_s", "read_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._readers: dict[int, tuple[Receive, Take]] = {}
        self.patience_s = 0.0
        self.read_bytes = 0
        self.compiled: CompiledReading | None = None
        loop.add_reader(self._poll.fileno(), self._turn)

    @classmethod
    def of_loop(cls) -> Reactor:
        """The reactor of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in _reactors:
            for ended in [each for each in _reactors if each.is_closed()]:
                _reactors.pop(ended)._poll.close()
            _reactors[loop] = cls(loop)
        return _reactors[loop]

    def compile(
        self, log: DeliveryLog, tag: str, publications: Publications | None = None
    ) -> str | None:
        """Let compiled code read counting sessions from now on; it takes a while to load.

        Parameters
        ----------
        log, tag
            Where deliveries are noted, and of which run.
        publications : Publications, optional
            Those whose answers it notes as well.

        Returns
        -------
        str or None
            Why it cannot work here.
        """
        try:
            from loadtest.compiled_reading import CompiledReading

            self.compiled = CompiledReading(
                self._poll.fileno(), self._handlers, log, tag, publications
            )
        except ForeignError as error:
            return str(error)
        except Exception as error:  # of the compiler: all that it does is save time
            return f"{type(error).__name__}: {error}"
        return None

    def watch(self, number: int, handler: Callable[[int], None]) -> None:
        """Call `handler(events)` whenever the descriptor is readable."""
        self._handlers[number] = handler
        self._poll.register(number, select.EPOLLIN)

    def read_for(self, number: int, receive: Receive, take: Take) -> None:
        """Read a watched descriptor from now on; errors and all but bytes stay its handler's."""
        self._readers[number] = receive, take

        def served(
            events: int,
            usual: Callable[[int], None] = self._handlers[number],
            reactor: Reactor = self,
            receive: Receive = receive,
            take: Take = take,
        ) -> None:
            if events != _READABLE:
                usual(events)
                return
            try:
                size, ancillary, _, _ = receive(_OWN_SLOT, ANCILLARY_BYTES)
            except OSError:
                usual(events)
                return
            reactor.read_bytes += size
            take(_OWN_SLOT[0][:size], ancillary, _monotonic_ns(), _wall_ns())

        self._handlers[number] = served

    def want_write(self, number: int, wanted: bool) -> None:
        """Also tell when the descriptor is writable, or no longer."""
        self._poll.modify(number, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def forget(self, number: int) -> None:
        """No longer watch a descriptor; call it before closing it."""
        self._readers.pop(number, None)
        if self.compiled is not None:
            self.compiled.release(number)
        if self._handlers.pop(number, None) is not None:
            self._poll.unregister(number)

    def _turn(self) -> None:
        if self.compiled is None:
            self._interpreted_turn()
        else:
            before_bytes = self.compiled.read_bytes
            try:
                self.compiled.serve(self.patience_s, TURN_S)
            finally:
                self.read_bytes += self.compiled.read_bytes - before_bytes

    def _interpreted_turn(self) -> None:
        poll, handlers, readers = self._poll.poll, self._handlers, self._readers
        end_s = time.monotonic() + TURN_S
        ready = poll(0, _EVENTS_MAX)
        while ready:
            read: list[tuple[Take, memoryview, list[Any], int, int]] = []
            many = len(ready) >= MANY
            for number, events in ready:
                if many and number in readers and events == _READABLE:
                    receive, take = readers[number]
                    slot = _SLOTS[len(read)]
                    try:
                        size, ancillary, _, _ = receive(slot, ANCILLARY_BYTES)
                    except OSError:  # which its handler then sees as well
                        pass
                    else:
                        data = slot[0][:size]
                        read.append((take, data, ancillary, _monotonic_ns(), _wall_ns()))
                        continue
                if number in handlers:  # one served before it may have closed it
                    handlers[number](events)
            for take, data, ancillary, now_ns, wall_ns in read:
                self.read_bytes += len(data)
                take(data, ancillary, now_ns, wall_ns)
            if time.monotonic() > end_s:
                return
            ready = poll(self.patience_s, _EVENTS_MAX)
