"""Sockets of one process watched apart from asyncio, which they join as one descriptor.

asyncio spends several microseconds on each readable socket: a handle, a context, a turn of its
loop. Here all sockets are in one epoll of their own; its descriptor is all that the event loop
sees, and a turn of the loop serves all sockets that are ready, and those that become so meanwhile.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import Callable

TURN_S = 5e-3  # after that the event loop has its turn
_EVENTS_MAX = 64
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
    """

    __slots__ = ("_handlers", "_loop", "_poll", "patience_s", "read_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self.patience_s = 0.0
        self.read_bytes = 0
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

    def watch(self, number: int, handler: Callable[[int], None]) -> None:
        """Call `handler(events)` whenever the descriptor is readable."""
        self._handlers[number] = handler
        self._poll.register(number, select.EPOLLIN)

    def replace(self, number: int, handler: Callable[[int], None]) -> None:
        """Call another handler from now on."""
        self._handlers[number] = handler

    def want_write(self, number: int, wanted: bool) -> None:
        """Also tell when the descriptor is writable, or no longer."""
        self._poll.modify(number, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def forget(self, number: int) -> None:
        """No longer watch a descriptor; call it before closing it."""
        if self._handlers.pop(number, None) is not None:
            self._poll.unregister(number)

    def _turn(self) -> None:
        poll, handlers = self._poll.poll, self._handlers
        end_s = time.monotonic() + TURN_S
        ready = poll(0, _EVENTS_MAX)
        while ready:
            for number, events in ready:
                if number in handlers:  # one served before it may have closed it
                    handlers[number](events)
            if time.monotonic() > end_s:
                return
            ready = poll(self.patience_s, _EVENTS_MAX)
