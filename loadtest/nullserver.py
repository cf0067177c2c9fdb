"""A server that does nothing but deliver: what the load engine costs is measured against it.

Real servers spend more CPU on a delivery than a good generator does, so they are full before it
is. This one answers by script (`loadtest.nullstream`), copies what is published to all subscribers
of the Topic, and writes each copy as a TLS record of its own, some eight microseconds apart.
Run as `python -m loadtest.nullserver SPEC`; it prints `ready`, and ends with its parent.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

from loadtest import processes
from loadtest.nullstream import Stream, elements

_READ_BYTES = 65_536
_STREAM_OPENS, _HEADERS = b"<stream:stream", (b"<?", b"</")
_TAIL = b"</items></event></message>"


class Connection:
    """One client: its socket, its stream, what it has not taken yet."""

    __slots__ = ("_poll", "heads", "left", "socket", "stream", "unsent")

    def __init__(self, connection: socket.socket, domain: bytes, poll: select.epoll) -> None:
        self.socket = connection
        self._poll = poll
        self.stream = Stream(domain, self.send)
        self.left = b""
        self.unsent = bytearray()
        self.heads: dict[bytes, bytes] = {}  # by Topic, its notifications up to the item

    def send(self, data: bytes) -> None:
        """Send bytes; what the kernel does not take yet waits here."""
        if not self.unsent:
            try:
                size = self.socket.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError):
                size = 0
            except OSError:
                self.stream.ended = True
                return
            if size == len(data):
                return
            data = data[size:]
            self._poll.modify(self.socket, select.EPOLLIN | select.EPOLLOUT)
        self.unsent += data

    def flush(self) -> None:
        """Go on sending, now that the kernel takes more."""
        with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
            del self.unsent[: self.socket.send(self.unsent)]
        if not self.unsent:
            self._poll.modify(self.socket, select.EPOLLIN)

    def read(self) -> bytes:
        """What is there; None where the client has closed."""
        parts = [self.socket.recv(_READ_BYTES)]
        if isinstance(self.socket, ssl.SSLSocket):
            while self.socket.pending():
                parts.append(self.socket.recv(_READ_BYTES))
        return b"".join(parts)


class NullServer:
    """The server: sockets that listen, their connections, and the Topics' subscribers.

    Parameters
    ----------
    domain : str
        What it calls itself; its Topics are at `broker.DOMAIN`.
    context : ssl.SSLContext
        With its certificate.
    """

    def __init__(self, domain: str, context: ssl.SSLContext) -> None:
        self._domain = domain.encode()
        self._context = context
        self._poll = select.epoll()
        self._listening: dict[int, tuple[socket.socket, bool]] = {}
        self._connections: dict[int, Connection] = {}
        self._shaking: set[int] = set()
        self._subscribers: dict[bytes, set[bytes]] = {}
        self._audience: dict[bytes, list[Connection]] = {}  # by Topic; made anew after a change
        self.delivered = 0

    def listen(self, address: str, port: int, direct: bool) -> None:
        """Accept clients on a port, with direct TLS or STARTTLS."""
        listener = socket.create_server((address, port), backlog=4_096)
        listener.setblocking(False)
        self._listening[listener.fileno()] = (listener, direct)
        self._poll.register(listener, select.EPOLLIN)

    def run(self) -> None:
        """Serve for ever."""
        while True:
            self.turn(-1)

    def turn(self, wait_s: float) -> None:
        """Wait for something to do, `wait_s` [s] at most, and do it."""
        for number, events in self._poll.poll(wait_s):
            if number in self._listening:
                self._accept(*self._listening[number])
                continue
            connection = self._connections[number]
            try:
                if number in self._shaking:
                    self._shake_hands(number, connection)
                    continue
                if events & select.EPOLLOUT:
                    connection.flush()
                if events & ~select.EPOLLOUT:
                    self._take(connection)
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            except OSError:
                connection.stream.ended = True
            if connection.stream.ended:
                self._drop(number)

    def _accept(self, listener: socket.socket, direct: bool) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted, _ = listener.accept()
                accepted.setblocking(False)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection = Connection(accepted, self._domain, self._poll)
                self._connections[accepted.fileno()] = connection
                self._poll.register(accepted, select.EPOLLIN)
                if direct:
                    self._secure(connection)

    def _secure(self, connection: Connection) -> None:
        number = connection.socket.fileno()
        connection.socket = self._context.wrap_socket(
            connection.socket, server_side=True, do_handshake_on_connect=False
        )
        connection.stream.secured = True
        self._shaking.add(number)

    def _shake_hands(self, number: int, connection: Connection) -> None:
        assert isinstance(connection.socket, ssl.SSLSocket)
        connection.socket.do_handshake()
        self._shaking.discard(number)
        if connection.socket.pending():
            self._take(connection)

    def _take(self, connection: Connection) -> None:
        data = connection.read()
        if not data:
            connection.stream.ended = True
            return
        if connection.left:
            data = connection.left + data
        done = 0
        for element, end in elements(data):
            done = end
            self._obey(connection, element)
        connection.left = data[done:]

    def _obey(self, connection: Connection, element: bytes) -> None:
        stream = connection.stream
        if element.startswith(b"<iq"):
            what, node, value = stream.answer(element)
            if what == b"publish":
                self._deliver(node, value)
            elif what == b"subscribe":
                self._subscribers.setdefault(node, set()).add(value)
                self._audience.clear()
        elif element.startswith(_STREAM_OPENS):
            stream.open()
        elif element.startswith((b"<auth", b"<response")):
            stream.authenticate(element)
        elif element.startswith(b"<presence"):
            stream.present = b"unavailable" not in element
            self._audience.clear()
        elif element.startswith(b"<starttls"):
            stream._say(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            self._secure(connection)
        elif element.startswith(b"</stream"):
            connection.send(b"</stream:stream>")
            stream.ended = True

    def _deliver(self, node: bytes, item: bytes) -> None:
        audience = self._audience.get(node)
        if audience is None:
            audience = self._audience[node] = self._present_at(node)
        rest = item + _TAIL
        for connection in audience:
            connection.send(connection.heads[node] + rest)
        self.delivered += len(audience)

    def _present_at(self, node: bytes) -> list[Connection]:
        subscribers = self._subscribers.get(node, set())
        found = []
        for connection in self._connections.values():
            stream = connection.stream
            if stream.present and stream.account in subscribers:
                found.append(connection)
                connection.heads[node] = (
                    b"<message from='broker.%s' to='%s' type='headline'>"
                    b"<event xmlns='http://jabber.org/protocol/pubsub#event'>"
                    b"<items node='%s'>" % (self._domain, stream.account, node)
                )
        return found

    def _drop(self, number: int) -> None:
        connection = self._connections.pop(number)
        self._shaking.discard(number)
        self._audience.clear()
        with contextlib.suppress(OSError):
            self._poll.unregister(number)
        connection.socket.close()


def main(path: str) -> None:
    """Serve what the spec file describes."""
    spec: dict[str, Any] = json.loads(Path(path).read_text())
    processes.die_with_parent(spec["parent_pid"])
    if spec["cores"]:
        os.sched_setaffinity(0, spec["cores"])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(spec["chain_file"])
    context.num_tickets = 0  # nobody resumes here
    server = NullServer(spec["domain"], context)
    server.listen(spec["address"], spec["port"], direct=False)
    server.listen(spec["address"], spec["direct_tls_port"], direct=True)
    gc.disable()  # it makes no cycles, and a collection over 15,000 clients takes a while
    os.write(1, b"ready\n")
    server.run()


if __name__ == "__main__":
    main(sys.argv[1])
