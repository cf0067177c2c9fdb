"""Compiled code reads counting sessions as the interpreter does: the same rows, and the same rest.

Both read the same bytes, which come in the same pieces, over real TLS and real sockets.
"""

import asyncio
import contextlib
import fcntl
import random
import socket
import ssl
import termios
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from loadtest import compiled_reading, compiled_turn, openssl
from loadtest.authority import Authority
from loadtest.compiled_reading import CompiledReading
from loadtest.reactor import Reactor
from loadtest.receiver import CHECK_EVERY, DeliveryLog, Receiver, columns
from loadtest.share import ReceiveShare
from loadtest.shares import Node, Spec
from loadtest.transport import TimedTransport

EVENT = "<event xmlns='http://jabber.org/protocol/pubsub#event'>"


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """TLS contexts of a server called peer.test and of a client that trusts it."""
    authority, directory = Authority(), tmp_path_factory.mktemp("certificates")
    identity = authority.issue_server(["peer.test"])
    (directory / "chain.pem").write_bytes(identity.certificate_pem + identity.key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "chain.pem")
    client = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    return server, client


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


PLAIN = [
    notification,
    lambda n: notification(n, "warnings", body="<data>" + "x" * 700 + "</data>"),
    lambda n: notification(n * 131 % 1000, "quotes").replace(b"'", b'"'),
]
ODD = [
    replay,
    lambda n: notification(n, tag="other"),
    lambda n: notification("9" * 10),
    lambda n: notification("12a"),
    lambda n: notification(""),
    lambda n: notification(n, body="<data/></item><item id='run-77'>"),
    lambda n: notification(n).replace(b"<data/>", b"<items/>"),
    lambda n: notification(n, "forged").replace(b"run-", b"run-1' x='"),
    lambda n: b"<iq type='get' id='p'><ping/></iq>",
    lambda n: b"<presence/>",
    lambda n: b" \n",
    lambda n: b"<message><body>run-1</body></message>",
    lambda n: b"<message type='headline'/>",
]


def records(draws, first):
    """Clear text of some records: stanzas, alone, several together, or cut in two."""
    stanzas = []
    for number in range(first, first + draws.randint(1, 6)):
        kinds = PLAIN if draws.random() < 0.75 else ODD
        stanzas.append(draws.choice(kinds)(number))
    joined, made = b"".join(stanzas), []
    if draws.random() < 0.6:
        return stanzas
    while joined:
        size = draws.randint(1, max(1, len(joined)))
        made.append(joined[:size])
        joined = joined[size:]
    return made


def altered(sealed):
    """Sealed bytes with the last one changed."""
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


ENDS = {
    "farewell": lambda peer: peer.send(peer.farewell()),
    "eof": lambda peer: peer.socket.close(),
    "stream error": lambda peer: peer.send(
        peer.sealed(b"<stream:error><reset/></stream:error></stream:stream>")
    ),
    "no XML": lambda peer: peer.send(peer.sealed(notification(1), b"what?")),
    "forged": lambda peer: peer.send(peer.sealed(notification(2)) + bytes(40)),
    "altered": lambda peer: peer.send(altered(peer.sealed(notification(2)))),
    "stop": lambda peer: peer.send(peer.sealed(b"<stop/>", notification(3))),
}


@pytest.mark.parametrize(
    ("seed", "room", "version"), [(0, 64, "1.3"), (1, 64, "1.2"), (2, 2, "1.3"), (3, 1, "1.3")]
)
def test_both_ways_note_the_same(contexts, seed, room, version, monkeypatch):
    """Also where tables have to grow, and where not all Topics are known by heart."""
    newest = ssl.TLSVersion.TLSv1_3 if version == "1.3" else ssl.TLSVersion.TLSv1_2
    monkeypatch.setattr(contexts[0], "maximum_version", newest)
    monkeypatch.setattr(compiled_reading, "_GROWN", room)
    monkeypatch.setattr(compiled_reading, "EVENTS_MAX", room)

    async def story(scene):
        draws = random.Random(seed)
        for number in range(12):
            await scene.enter(b"<presence" if number == 5 else b"")
        scene.sessions[5].peer.send(scene.sessions[5].peer.sealed(b"/>"))
        ends = dict(zip(draws.sample(range(12), len(ENDS)), ENDS.values(), strict=True))
        for turn in range(30):
            for number, session in enumerate(scene.sessions):
                if turn == 20 and number in ends:
                    ends[number](session.peer)
                if (turn >= 20 and number in ends) or draws.random() < 0.3:
                    continue
                data = session.peer.sealed(*records(draws, 10 * turn))
                cut = draws.choice([0, 0, draws.randint(0, len(data))])
                session.peer.send(data[:cut])
                if cut and draws.random() < 0.5:
                    await asyncio.sleep(0.001)
                session.peer.send(data[cut:])
            await scene.settle()

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert sum(map(len, compiled["rows"])) > 500
    assert sum(bool(each) for each in compiled["lost"]) == len(ENDS) - 1


def test_every_so_many_th_is_parsed_in_full_and_mismatches_are_seen(contexts):
    """A payload that closes its item too early passes for a plain one until it is parsed."""
    lie = notification(2 * CHECK_EVERY, body="<data></item></items></event></message>")

    async def story(scene):
        session = await scene.enter()
        for number in range(3 * CHECK_EVERY):
            session.peer.send(session.peer.sealed(notification(number)))
            if number % 32 == 31:
                await scene.settle()
        session.peer.send(session.peer.sealed(notification(1), lie, notification(CHECK_EVERY)))

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert compiled["counts"][2:] == (5, 1)
    assert len(compiled["rows"][0]) == 3 * CHECK_EVERY + 3


def test_session_that_pauses_misses_nothing_and_is_read_in_the_same_way_afterwards(contexts):
    async def story(scene):
        for _ in range(6):
            await scene.enter()
        for turn in range(10):
            if turn in (2, 5):
                scene.sessions[1].transport.pause_reading()
            if turn in (4, 8):
                scene.sessions[1].transport.resume_reading()
            for session in scene.sessions:
                session.peer.send(session.peer.sealed(notification(turn + 1)))
            await scene.settle()

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert compiled["rows"] == [[(turn + 1, False) for turn in range(10)]] * 6


def test_what_was_read_of_a_session_is_taken_before_another_one_makes_it_pause(contexts):
    """All are read before any is taken: one whose connection is let go meanwhile has its bytes."""

    async def story(scene):
        sessions = [await scene.enter() for _ in range(5)]

        def pause(stanza, received_ns):
            for each in sessions:
                each.transport.pause_reading()

        for session in sessions:
            session.transport._counting._other = pause
            session.peer.send(session.peer.sealed(notification(1)))
        await scene.settle()
        for session in sessions:
            session.peer.send(session.peer.sealed(b"<presence/>", notification(2)))
        await scene.settle()
        for session in sessions:
            session.transport.resume_reading()

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert compiled["rows"] == [[(1, False), (2, False)]] * 5


def test_several_in_one_record_are_noted_by_compiled_code(contexts):
    """As busy servers send them; after the one that is parsed in full the interpreter goes on."""
    noted = []

    async def story(scene):
        session = await scene.enter()
        session.peer.send(session.peer.sealed(notification(1)))
        await scene.settle()
        for first in (10, 240, 300):
            several = b"".join(map(notification, range(first, first + 30)))
            session.peer.send(session.peer.sealed(several))
            await scene.settle()
        session.peer.send(session.peer.sealed(notification(2) + replay(3) + notification(4)))
        await scene.settle()
        noted.append(scene.compiled and scene.compiled.noted)

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert len(compiled["rows"][0]) == 94
    assert noted == [None, 30 + 17 + 30 + 1]


def test_many_come_and_go_and_find_room(contexts):
    """More rows than are kept at once, numbers of sessions given anew."""

    async def story(scene):
        for turn in range(3):
            first = await scene.enter()
            await scene.enter()
            data = b"".join(first.peer.sealed(notification(n)) for n in range(1_600))
            for start in range(0, len(data), 65_536):
                first.peer.send(data[start : start + 65_536])
                await scene.settle()
            if turn < 2:
                first.transport.close()
            await asyncio.sleep(0)

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert [len(each) for each in compiled["rows"]] == [1_600, 0] * 3


def test_session_of_another_log_or_run_is_left_to_the_interpreter(contexts):
    async def story():
        scene = Scene(contexts, True)
        await scene.enter()
        scene.log = DeliveryLog()
        session = await scene.enter()
        session.peer.send(session.peer.sealed(notification(7)))
        await scene.settle()
        told = scene.compiled.sessions, scene.compiled.refused, scene.outcome()["rows"]
        scene.close()
        return told

    sessions, refused, rows = asyncio.run(story())
    assert (sessions, refused) == (1, "its deliveries are noted elsewhere")
    assert rows == [[], [(7, False)]]


def test_receipt_is_the_kernel_s_where_the_reader_was_busy(contexts):
    async def story():
        scene = Scene(contexts, True)
        session = await scene.enter()
        session.peer.send(session.peer.sealed(notification(1)))  # which the interpreter takes
        await scene.settle()
        sealed = session.peer.sealed(notification(2))
        before_ns = time.monotonic_ns()
        session.peer.send(sealed)
        sent_ns = time.monotonic_ns()
        while time.monotonic_ns() < sent_ns + 80_000_000:
            pass  # the bytes are in the kernel, and nobody reads them
        await scene.settle()
        noted, (_, _, received_ns, delay_ns, _) = scene.compiled.noted, columns(scene.log.take())
        scene.close()
        return noted, before_ns, received_ns[1], sent_ns, delay_ns[1]

    noted, before_ns, received_ns, sent_ns, delay_ns = asyncio.run(story())
    assert noted == 1
    assert before_ns - 1_000_000 <= received_ns <= sent_ns + 1_000_000
    assert delay_ns > 60_000_000


def test_error_of_a_handler_loses_nothing(contexts):
    """It goes to the event loop; what was read of others is taken in the next turn."""

    async def story():
        scene, errors = Scene(contexts, True), []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: errors.append(told))
        sessions = [await scene.enter() for _ in range(4)]
        for session in sessions:
            session.peer.send(session.peer.sealed(notification(1)))
        await scene.settle()

        def fail(stanza, received_ns):
            raise RuntimeError("a mistake")

        sessions[0].transport._counting._other = fail
        for session in sessions:
            session.peer.send(session.peer.sealed(*[b"<presence/>"] * (session is sessions[0])))
            session.peer.send(session.peer.sealed(notification(2)))
        await scene.settle()
        sessions[1].peer.send(sessions[1].peer.sealed(notification(3)))
        await scene.settle()
        told = len(errors), scene.outcome()["rows"]
        scene.close()
        return told

    errors, rows = asyncio.run(story())
    assert errors == 1
    assert rows[1:] == [[(1, False), (2, False), (3, False)], *[[(1, False), (2, False)]] * 2]


def test_kernels_work_where_nothing_can_be_kept_on_disk(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled_turn.numba, "njit", njit)
    assert compiled_turn.compiled(abs)(-1) == 1


class Elsewhere:
    """Like an object of `ssl`, with something else where its members are expected."""

    __slots__ = ("first", "second")

    def __init__(self, *members):
        self.first, self.second = members


@pytest.mark.parametrize("where", ["small", "unreadable", "foreign"])
def test_objects_that_are_not_as_expected_are_refused_without_a_crash(contexts, where, monkeypatch):
    async def story():
        scene = Scene(contexts, True)
        real = openssl.ssl_of
        fake = {
            "small": lambda tls: openssl._member(object(), 1),
            "unreadable": lambda tls: 0x10,
            "foreign": lambda tls: id(Elsewhere(1, 2)),
        }[where]
        monkeypatch.setattr(openssl, "ssl_of", fake)
        session = await scene.enter()
        monkeypatch.setattr(openssl, "ssl_of", real)
        session.peer.send(session.peer.sealed(notification(7)))
        await scene.settle()
        told = scene.compiled.sessions, scene.compiled.refused, scene.outcome()["rows"]
        scene.close()
        return told

    sessions, refused, rows = asyncio.run(story())
    assert sessions == 0
    assert refused
    assert rows == [[(7, False)]]


def test_unknown_python_keeps_to_the_interpreter(monkeypatch):
    monkeypatch.setattr(openssl, "KNOWN", ())
    with pytest.raises(openssl.ForeignError, match="is not known"):
        CompiledReading(0, {}, DeliveryLog(), "run")


def test_ssl_built_into_python_keeps_to_the_interpreter(tmp_path, monkeypatch):
    openssl.library.cache_clear()
    monkeypatch.delattr("_ssl.__file__")
    assert "no library of its own" in Plan(tmp_path, 10_000).path()["because"]


def test_failing_compiler_keeps_to_the_interpreter(tmp_path, monkeypatch):
    def fail(tables):
        raise TypeError("not compiled")

    monkeypatch.setattr(compiled_turn, "serve", fail)
    assert Plan(tmp_path, 10_000).path()["because"] == "TypeError: not compiled"


def test_memory_that_cannot_be_looked_at_is_refused(monkeypatch):
    def fail(*_, **__):
        raise PermissionError("not yours")

    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(openssl.ForeignError, match="not yours"):
        openssl._readable(0, 8)


def test_more_topics_than_are_searched_are_noted_by_their_sessions(contexts, monkeypatch):
    monkeypatch.setattr("loadtest.compiled_reading.SEARCHED_MAX", 2)

    async def story():
        scene = Scene(contexts, True)
        sessions = [await scene.enter() for _ in range(5)]
        for number in range(3):
            for place, session in enumerate(sessions):
                text = notification(number).replace(b"incidents", b"topic-%d" % place)
                session.peer.send(session.peer.sealed(text))
            await scene.settle()
        told = scene.compiled.noted, scene.outcome()["rows"]
        scene.close()
        return told

    noted, rows = asyncio.run(story())
    assert rows == [[(0, False), (1, False), (2, False)]] * 5
    assert noted == 5 * 2  # all but the first of each, which the interpreter takes


def test_missing_function_keeps_to_the_interpreter(monkeypatch):
    monkeypatch.setattr("loadtest.compiled_turn.FUNCTIONS", ("no_such_function",))
    with pytest.raises(openssl.ForeignError, match="no_such_function is not found"):
        CompiledReading(0, {}, DeliveryLog(), "run")


class Plan:
    """A share that receives one Topic's publications with two sessions."""

    def __init__(self, directory, publications, receivers="counting"):
        np.savez(
            directory / "plan.npz",
            intended_s=np.arange(publications) / 100.0,
            topic=np.arange(publications) % 2,
        )
        nodes = tuple(Node(name, "broker.peer.test", "opaque") for name in ("incidents", "other"))
        self._spec = Spec(
            role="receive",
            number=0,
            tag="run",
            parent_pid=1,
            doors={},
            logins=(),
            topics_of=((0,), (0,)),
            nodes=nodes,
            prunes=(),
            logins_per_s=1.0,
            concurrent_logins=1,
            cores=(),
            receivers=receivers,
            plan_file=str(directory / "plan.npz"),
            result=str(directory / "share-0"),
        )

    def path(self):
        """What the record will say of its receive path."""

        async def prepared():
            share = ReceiveShare(self._spec)
            share.prepare()
            return share.facts()["receive_path"]

        return asyncio.run(prepared())


@pytest.mark.parametrize(
    ("publications", "receivers", "because"),
    [
        (10_000, "counting", None),
        (9_998, "counting", "fewer than 10,000 deliveries are expected"),
        (10_000, "interpreted", "receivers: interpreted"),
        (10_000, "full", "receivers: full"),
    ],
)
def test_compiled_code_is_loaded_where_it_pays(tmp_path, publications, receivers, because):
    path = Plan(tmp_path, publications, receivers).path()
    assert path == {"compiled": 0, "interpreted": 0, "because": because}


def test_reason_why_it_cannot_work_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("loadtest.compiled_turn.FUNCTIONS", ("no_such_function",))
    assert "no_such_function is not found" in Plan(tmp_path, 10_000).path()["because"]
