"""Sessions that count over real TLS and real sockets, read by compiled code or not, for tests."""

import asyncio
import contextlib
import fcntl
import socket
import ssl
import termios
from dataclasses import dataclass, field

import pytest

from loadtest.reactor import Reactor
from loadtest.receiver import DeliveryLog, Receiver, columns
from loadtest.transport import TimedTransport

EVENT = "<event xmlns='http://jabber.org/protocol/pubsub#event'>"


def notification(publication, node="incidents", tag="run", body="<data/>", delay=""):
    """What a server sends to a subscriber."""
    return (
        f"<message from='broker.peer.test' to='tool@peer.test'>{EVENT}<items node='{node}'>"
        f"<item id='{tag}-{publication}'>{body}</item></items></event>{delay}</message>"
    ).encode()


def replay(publication):
    return notification(publication, delay="<delay xmlns='urn:xmpp:delay' stamp='2026-01-01'/>")


class Peer:
    """The server's end of one connection, that says what it is told, in the pieces it is told."""

    def __init__(self, context, connection):
        self.socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.sent_bytes = 0

    async def shake_hands(self):
        loop = asyncio.get_running_loop()
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._say()
                self._incoming.write(await loop.sock_recv(self.socket, 65_536))
            else:
                return await self._say()

    async def _say(self):
        data = self._outgoing.read()
        self.sent_bytes += len(data)
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def sealed(self, *records):
        for each in records:
            self.tls.write(each)
        return self._outgoing.read()

    def farewell(self):
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self._outgoing.read()

    def send(self, data):
        if self.socket.fileno() >= 0 and data:
            self.socket.sendall(data)
            self.sent_bytes += len(data)

    def heard(self):
        """What the session has said, decrypted."""
        heard = b""
        with contextlib.suppress(OSError):  # of which ssl.SSLError is one
            self._incoming.write(self.socket.recv(65_536))
            while more := self.tls.read(65_536):
                heard += more
        return heard


@dataclass
class Session:
    """A counting session without slixmpp, which keeps what is not counted."""

    transport: TimedTransport
    peer: Peer
    others: list = field(default_factory=list)
    lost: list = field(default_factory=list)

    def bytes_received(self, data, received_ns, delay_ns):
        raise AssertionError("a receiver takes them")

    def connection_lost(self, exception):
        self.lost.append(str(exception))

    def other(self, stanza, received_ns):
        self.others.append(stanza)
        if stanza.startswith(b"<iq"):
            self.transport.write(b"<iq type='error'/>")
        if stanza.startswith(b"<stop"):
            self.transport.close()


class Scene:
    """Some sessions with one log, read by compiled code or by the interpreter."""

    def __init__(self, contexts, compiled):
        self._contexts = contexts
        self.log = DeliveryLog()
        self.sessions = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._reactor = Reactor.of_loop()
        if compiled:
            self._reactor.compile(self.log, "run")

    @property
    def compiled(self):
        return self._reactor.compiled

    async def enter(self, left=b""):
        near = socket.create_connection(self._listener.getsockname())
        far, _ = self._listener.accept()
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        near.setblocking(False)
        far.setblocking(False)
        session = Session.__new__(Session)
        transport = TimedTransport(near, session)
        session.__init__(transport, Peer(self._contexts[0], far))
        await asyncio.gather(
            transport.secure(self._contexts[1], "peer.test"), session.peer.shake_hands()
        )
        await asyncio.sleep(0)
        number = len(self.sessions)
        transport.count(Receiver(number, "run", self.log, session.other, left))
        self.sessions.append(session)
        return session

    async def settle(self):
        """Let the loop run until all that was sent has been taken, or is nobody's any more."""
        async with asyncio.timeout(20):
            while not all(map(self._settled, self.sessions)):
                await asyncio.sleep(0.0002)
        for _ in range(3):
            await asyncio.sleep(0)

    def _settled(self, session):
        transport, peer = session.transport, session.peer
        if transport.is_closing():
            return True
        connection = transport.get_extra_info("socket")
        if connection.fileno() not in self._reactor._handlers:  # it pauses
            return True
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
        if peer.socket.fileno() < 0 or int.from_bytes(info[128:136], "little") < peer.sent_bytes:
            return False
        return fcntl.ioctl(connection, termios.FIONREAD, bytes(4)) == bytes(4)

    def outcome(self):
        """All that can be seen from outside but instants."""
        rows = self.log.take()
        publication, number, received_ns, delay_ns, replayed = columns(rows)
        assert (received_ns > 0).all()
        assert (delay_ns >= 0).all()
        noted = list(zip(publication.tolist(), replayed.tolist(), number.tolist(), strict=True))
        log = self.log
        return {
            "rows": [[row[:2] for row in noted if row[2] == k] for k in range(len(self.sessions))],
            "counts": (log.foreign, log.others, log.checked, log.mismatches),
            "others": [list(each.others) for each in self.sessions],
            "heard": [each.peer.heard() for each in self.sessions],
            "lost": [list(each.lost) for each in self.sessions],
        }

    def close(self):
        self._listener.close()
        for each in self.sessions:
            each.transport.close()
            each.peer.socket.close()


def both(contexts, story):
    """What `story(scene)` leaves: read by the interpreter, and by compiled code."""
    found = []
    for compiled in (False, True):

        async def play(compiled=compiled):
            scene = Scene(contexts, compiled)
            try:
                await story(scene)
                await scene.settle()
                if compiled:
                    assert scene.compiled.refused is None
                    assert scene.compiled.sessions >= len(scene.sessions)
                    assert scene.compiled.noted > 0
                return scene.outcome()
            finally:
                scene.close()
                await asyncio.sleep(0)

        found.append(asyncio.run(play()))
    return found
