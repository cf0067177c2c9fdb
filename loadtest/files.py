"""The small HTTPS server of a Publisher: what its items refer to is had from here (direct flow).

It answers GET and nothing else, on a loopback address, with a certificate of the grid's authority
for that address. All that it sends, TLS's own records among it, leaves by one uplink. It serves so
many connections at a time; whoever else comes waits in the kernel's queue, in order of arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from loadtest import rails
from loadtest.uplink import Lane, Uplink

ADDRESS: Final = "127.0.0.1"  # what the certificate names
REQUEST_WITHIN_S: Final = 10.0  # or else somebody who never asks keeps others out
REQUEST_BYTES: Final = 8_192
EVERYBODY: Final = 100_000
_READ_BYTES: Final = 16_384
_BACKLOG: Final = 4_096
_FIRST_LINE: Final = re.compile(rb"(GET) /([\w.-]{1,200}) HTTP/1\.1\r\n")
_HEAD: Final = (
    "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {size}\r\n"
    "Connection: close\r\n\r\n"
)


class FileServer:
    """Files of one Publisher, as long as the block runs.

    Parameters
    ----------
    identity : Path
        Its key and certificate.
    uplink : Uplink
        By which its answers leave; somebody else runs it.
    connections : int
        How many it serves at a time.

    Attributes
    ----------
    files : dict
        What can be had, by name.
    port : int
        Where it listens.
    answered, failed : int
        Files that were had in whole; connections that ended otherwise.
    at_once_max : int
        Most connections that it has served at a time.
    """

    def __init__(self, identity: Path, uplink: Uplink, connections: int = EVERYBODY) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(identity)
        self._uplink = uplink
        self._room = asyncio.Semaphore(connections)
        self._serving = set[asyncio.Task[None]]()
        self.files: dict[str, bytes] = {}
        self.answered = self.failed = self.at_once_max = self.port = 0

    async def __aenter__(self) -> Self:
        listener = socket.create_server((rails.check_address(ADDRESS), 0), backlog=_BACKLOG)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._accepting = asyncio.ensure_future(self._accept(listener))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = [self._accepting, *self._serving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                await self._room.acquire()
                connection, _ = await loop.sock_accept(listener)
                serving = asyncio.ensure_future(self._serve(connection))
                self._serving.add(serving)
                self.at_once_max = max(self.at_once_max, len(self._serving))
                serving.add_done_callback(self._left)

    def _left(self, serving: asyncio.Task[None]) -> None:
        self._serving.discard(serving)
        self._room.release()

    async def _serve(self, connection: socket.socket) -> None:
        """One connection: a request, its answer, the end."""
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        visit = Visit(connection, self._context, self._uplink)
        with connection:
            try:
                async with asyncio.timeout(REQUEST_WITHIN_S):
                    await visit.secure()
                    status, body = self._answer(await visit.request())
                await visit.say(_HEAD.format(status=status, size=len(body)).encode() + body)
            except (OSError, TimeoutError, ValueError):  # ssl.SSLError is an OSError
                self.failed += 1
            else:
                self.answered += status.startswith("200")
                self.failed += not status.startswith("200")

    def _answer(self, request: bytes) -> tuple[str, bytes]:
        """Status and body."""
        line = _FIRST_LINE.match(request)
        if line is None:
            return "400 Bad Request", b""
        body = self.files.get(line[2].decode())
        return ("404 Not Found", b"") if body is None else ("200 OK", body)


class Visit:
    """TLS on one connection of a client, whose answers take turns on the uplink."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, uplink: Uplink) -> None:
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._lane: Lane = uplink.lane(self._send)

    def _send(self, piece: bytes) -> int:
        try:
            return self._connection.send(piece)
        except BlockingIOError:
            return 0

    async def _read(self) -> None:
        """Take what the client sends."""
        data = await asyncio.get_running_loop().sock_recv(self._connection, _READ_BYTES)
        if not data:
            raise ConnectionResetError("the client has closed the connection")
        self._incoming.write(data)

    async def secure(self) -> None:
        """The handshake."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._lane.put(self._outgoing.read())
                await self._read()
            else:
                self._lane.put(self._outgoing.read())  # tickets of TLS 1.3
                return

    async def request(self) -> bytes:
        """The head of the request.

        Raises
        ------
        ValueError
            It is too long.
        """
        head = b""
        while b"\r\n\r\n" not in head:
            if len(head) > REQUEST_BYTES:
                raise ValueError("request: its head is too long")
            try:
                head += self._tls.read(REQUEST_BYTES)
            except ssl.SSLWantReadError:
                await self._read()
        return head

    async def say(self, answer: bytes) -> None:
        """The answer, and that nothing follows; returns when all has left."""
        self._tls.write(answer)
        with contextlib.suppress(ssl.SSLError):  # the client has not said so yet
            self._tls.unwrap()
        self._lane.put(self._outgoing.read())
        await self._lane.sent()
