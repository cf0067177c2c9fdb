"""A server that does nothing but deliver: what the load engine costs is measured against it.

Real servers spend more CPU on a delivery than a good generator does, so they are full before it
is. This one answers by script (`loadtest.nullstream`), copies what is published to all subscribers
of the Topic, and writes each copy as a TLS record of its own, as close together as it can.
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
    """One client: its socket, its TLS, its stream, what it has not taken yet."""

    __slots__ = (
        "_incoming",
        "_outgoing",
        "_poll",
        "heads",
        "left",
        "socket",
        "stream",
        "tls",
        "unsent",
    )

    def __init__(self, connection: socket.socket, domain: bytes, poll: select.epoll) -> None:
        self.socket = connection
        self._poll = poll
        self.tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.stream = Stream(domain, self.say)
        self.left = b""
        self.unsent = bytearray()
        self.heads: dict[bytes, bytes] = {}  # by Topic, its notifications up to the item

    def say(self, data: bytes) -> None:
        """Send bytes of the stream."""
        self.send(self.sealed(data))

    def sealed(self, data: bytes) -> bytes:
        """Bytes of the stream as they travel."""
        if self.tls is None:
            return data
        self.tls.write(data)
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        """Send sealed bytes; what the kernel does not take yet waits here."""
        if not self.unsent:
            try:
                size = self.socket.send(data)
            except BlockingIOError:
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
        with contextlib.suppress(BlockingIOError):
            del self.unsent[: self.socket.send(self.unsent)]
        if not self.unsent:
            self._poll.modify(self.socket, select.EPOLLIN)

    def secure(self, context: ssl.SSLContext) -> None:
        """Expect a TLS handshake from here on."""
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.stream.secured = True

    def read(self) -> bytes | None:
        """What has come of the stream; None where the client has closed."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            return None
        if self.tls is None:
            return data
        self._incoming.write(data)
        parts = []
        try:
            if self.tls.version() is None:
                self.tls.do_handshake()
            while self._incoming.pending:
                parts.append(self.tls.read(_READ_BYTES))
                if not parts[-1]:
                    return None
        except ssl.SSLWantReadError:
            pass
        if self._outgoing.pending:
            self.send(self._outgoing.read())
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
                if events & select.EPOLLOUT:
                    connection.flush()
                if events & ~select.EPOLLOUT:
                    self._take(connection)
            except BlockingIOError:
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
                    connection.secure(self._context)

    def _take(self, connection: Connection) -> None:
        data = connection.read()
        if data is None:
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
            connection.say(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            connection.secure(self._context)
        elif element.startswith(b"</stream"):
            connection.say(b"</stream:stream>")
            stream.ended = True

    def _deliver(self, node: bytes, item: bytes) -> None:
        audience = self._audience.get(node)
        if audience is None:
            audience = self._audience[node] = self._present_at(node)
        rest = item + _TAIL
        # First all are sealed, then all are sent: as close together as can be.
        sealed = [each.sealed(each.heads[node] + rest) for each in audience]
        for connection, data in zip(audience, sealed, strict=True):
            connection.send(data)
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
