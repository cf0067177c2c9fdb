"""A fault proxy in front of a Controller: it passes TCP connections on, or disturbs them.

It delays, throttles, holds, cuts and corrupts them, and limits how many a source address may open.

    async with Proxy({("127.0.0.5", 5222): ("127.64.1.2", 5222)}) as proxy:
        proxy.disturb(Disturbance(delay_s=0.2))
        proxy.disturb(Disturbance(held="to-client"), "127.0.0.7")     # this client's alone
        proxy.cut()

It lives in user space and touches nothing of the system's network: its faults vanish with it. It
dials from the client's own address, so that the server behind it sees who comes (any address of
127.0.0.0/8 may be used as a source).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from loadtest import rails
from loadtest.ciphertext import Ciphertext
from loadtest.disturbance import CALM, Disturbance
from loadtest.gate import Gate
from loadtest.problems import RailsError

Place = tuple[str, int]

_READ_BYTES: Final = 65_536
_DELAYED_READS: Final = 64  # on their way in one direction of one connection, at most
_STEP_S: Final = 0.05
_ABRUPTLY: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time: the other side is sent a RST

_Line = asyncio.Queue[tuple[float, bytes]]


@dataclass
class Counts:
    """What a proxy has seen since it began.

    Attributes
    ----------
    accepted, refused, cut, failed : int
        Connections: passed on; closed at once, by its limit or a disturbance; ended by `cut`;
        without a server behind. [1]
    bytes_to_server, bytes_to_client : int
        Passed on. [B]
    records : int
        TLS application records, both directions. [1]
    damaged : int
        Octets changed. [1]
    """

    accepted: int = 0
    refused: int = 0
    cut: int = 0
    failed: int = 0
    bytes_to_server: int = 0
    bytes_to_client: int = 0
    records: int = 0
    damaged: int = 0


class Proxy:
    """Passes connections on from each place that it listens on to the one behind it.

    Parameters
    ----------
    routes : mapping
        Address and port to listen on, to address and port of the server.
    gate : Gate, optional
        The limit of one source address; by default there is none.

    Attributes
    ----------
    counts : Counts
        What it has seen.
    """

    def __init__(self, routes: Mapping[Place, Place], gate: Gate | None = None) -> None:
        self.counts = Counts()
        self._routes = dict(routes)
        self._gate = gate
        self._general = CALM
        self._of_address: dict[str, Disturbance] = {}
        self._changed = asyncio.Event()
        self._links: dict[asyncio.Task[None], Link] = {}
        self._listening: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            for place, server in self._routes.items():
                listener = _listen(place)
                accepting = self._accept(listener, server)
                self._listening.append(asyncio.get_running_loop().create_task(accepting))
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop listening and cut what passes through."""
        tasks = [*self._listening, *self._links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many pass through it now."""
        return len(self._links)

    def disturb(self, disturbance: Disturbance, address: str | None = None) -> None:
        """Treat all connections this way from now on, or those from one source address.

        What an address is given of its own counts instead of what all are given; `CALM` ends both.
        """
        if address is None:
            self._general = disturbance
            if disturbance == CALM:
                self._of_address.clear()
        else:
            self._of_address[rails.check_address(address)] = disturbance
        self._changed.set()
        self._changed = asyncio.Event()

    def disturbance_of(self, address: str) -> Disturbance:
        """How connections from this source address are treated now."""
        return self._of_address.get(address, self._general)

    def cut(self, address: str | None = None) -> int:
        """Reset all connections, or those from one source address; how many there were."""
        victims = [task for task, link in self._links.items() if address in (None, link.address)]
        for task in victims:
            task.cancel()
        self.counts.cut += len(victims)
        return len(victims)

    async def until_changed(self) -> None:
        """Wait until somebody disturbs it otherwise."""
        await self._changed.wait()

    async def _accept(self, listener: socket.socket, server: Place) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    client, peer = await loop.sock_accept(listener)
                except OSError:  # no descriptor left, or the client has gone
                    await asyncio.sleep(_STEP_S)
                    continue
                address = peer[0]
                barred = self._gate is not None and not self._gate.admits(address)
                if barred or self.disturbance_of(address).refused:
                    self.counts.refused += 1
                    client.close()
                    continue
                self.counts.accepted += 1
                link = Link(self, client, address, server)
                task = loop.create_task(link.run())
                self._links[task] = link
                task.add_done_callback(self._links.pop)


class Link:
    """One connection that passes through: two sockets and what goes each way."""

    def __init__(self, proxy: Proxy, client: socket.socket, address: str, server: Place) -> None:
        self.address = address
        self._proxy = proxy
        self._client = client
        self._server_place = server

    async def run(self) -> None:
        """Pass on both ways until both are through, one side fails, or this is cancelled."""
        self._client.setblocking(False)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server: socket.socket | None = None
        graceful = False
        try:
            server = await rails.dial_async(*self._server_place, source=self.address)
            async with asyncio.TaskGroup() as group:
                self._carry(group, "to-server", self._client, server)
                self._carry(group, "to-client", server, self._client)
            graceful = True
        except* (OSError, RailsError):
            self._proxy.counts.failed += server is None
        finally:
            for each in filter(None, (self._client, server)):
                if not graceful:
                    with contextlib.suppress(OSError):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPTLY)
                each.close()

    def _carry(
        self, group: asyncio.TaskGroup, direction: str, source: socket.socket, sink: socket.socket
    ) -> None:
        line: _Line = asyncio.Queue(_DELAYED_READS)
        group.create_task(self._read(source, line))
        group.create_task(self._deliver(direction, line, sink))

    async def _read(self, source: socket.socket, line: _Line) -> None:
        """Put what comes, and at last the end, into the line; wait where that is full."""
        loop = asyncio.get_running_loop()
        data = b"-"
        while data:
            rest = data = await loop.sock_recv(source, _READ_BYTES)
            while rate := self._treatment.rate_bytes_per_s:
                share = int(max(1, min(_READ_BYTES, rate * _STEP_S)))  # little, so that it flows
                piece, rest = rest[:share], rest[share:]
                await asyncio.sleep(len(piece) / rate)
                if not rest:
                    rest = piece
                    break
                await line.put((loop.time(), piece))
            await line.put((loop.time(), rest))

    async def _deliver(self, direction: str, line: _Line, sink: socket.socket) -> None:
        """Send each piece on when it is due, damaged where that is asked for."""
        loop = asyncio.get_running_loop()
        records = Ciphertext()
        while True:
            read_s, data = await line.get()
            await self._until_due(direction, read_s)
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            before = records.records, records.damaged
            passed = records.passed(data, self._treatment.corrupt_every_bytes)
            await loop.sock_sendall(sink, passed)
            self._count(direction, len(data), records, before)

    async def _until_due(self, direction: str, read_s: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            treatment = self._treatment
            if treatment.holds(direction):
                await self._proxy.until_changed()
                continue
            left_s = read_s + treatment.delay_s - loop.time()
            if left_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._proxy.until_changed()

    def _count(
        self, direction: str, size: int, records: Ciphertext, before: tuple[int, int]
    ) -> None:
        counts = self._proxy.counts
        if direction == "to-server":
            counts.bytes_to_server += size
        else:
            counts.bytes_to_client += size
        counts.records += records.records - before[0]
        counts.damaged += records.damaged - before[1]

    @property
    def _treatment(self) -> Disturbance:
        return self._proxy.disturbance_of(self.address)


def _listen(place: Place) -> socket.socket:
    address, port = rails.check_address(place[0]), place[1]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=1024)
    listener.setblocking(False)
    os.set_inheritable(listener.fileno(), False)
    return listener
