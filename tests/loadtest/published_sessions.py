"""A publishing share over real TLS, with peers that answer what they are told to, for tests."""

import asyncio
import re
import socket
from dataclasses import dataclass, field

import numpy as np
from counted_sessions import Peer

from loadtest import publisher
from loadtest.client import Timeline
from loadtest.publisher import PublishShare
from loadtest.reactor import Reactor
from loadtest.shares import Login, Node, Spec
from loadtest.transport import TimedTransport

NODES = (
    Node("incidents", "broker.peer.test", "iodef"),
    Node("readings", "broker.peer.test", "json"),
    Node("blobs", "other.peer.test", "opaque"),
)
ROW = re.compile(rb"<iq type='set' id='p(\d+)'.*?</iq>|<iq type='error'.*?</iq>", re.S)


@dataclass
class LoggedIn:
    """What a publishing session is made of: a session that is online."""

    number: int
    transport: TimedTransport | None = None
    lost: str | None = None
    timeline: Timeline = field(default_factory=Timeline)

    def bytes_received(self, data, received_ns, delay_ns):
        raise AssertionError("a receiver takes them")

    def connection_lost(self, exception):
        raise AssertionError("it is another stream's by now")

    def unread(self):
        return b""

    def dismantle(self):
        pass


class Plan:
    """Rows of a plan of which some are another process's."""

    def __init__(self, intended_s, publisher, topic, payload_bytes):
        self.columns = {
            "intended_s": np.asarray(intended_s, dtype=np.float64),
            "publisher": np.asarray(publisher, dtype=np.uint32),
            "topic": np.asarray(topic, dtype=np.uint16),
            "payload_bytes": np.asarray(payload_bytes, dtype=np.uint32),
        }

    def share(self, directory, platforms):
        """The share of these Platforms."""
        np.savez(directory / "plan.npz", **self.columns)
        logins = tuple(Login(each, f"sensor-{each}@peer.test", "", "alpha") for each in platforms)
        return PublishShare(
            Spec(
                role="publish",
                number=1,
                tag="run",
                parent_pid=1,
                doors={},
                logins=logins,
                topics_of=((),) * len(logins),
                nodes=NODES,
                prunes=(),
                logins_per_s=1.0,
                concurrent_logins=1,
                cores=(),
                receivers="counting",
                plan_file=str(directory / "plan.npz"),
                result=str(directory / "share-1"),
            )
        )


class Stage:
    """A share that is online, and its peers, which answer each request as `answer` says."""

    def __init__(self, contexts, share, answer=None):
        self._contexts, self.share, self._answer = contexts, share, answer
        self.peers, self._reading = {}, []
        self.heard = {login.platform: b"" for login in share.spec.logins}
        self._listener = socket.create_server(("127.0.0.1", 0))

    async def enter(self, buffer_bytes=None):
        """Bring all sessions online; with small buffers the kernel is soon full."""
        self.share.prepare()
        if buffer_bytes:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        for login in self.share.spec.logins:
            near = socket.socket()
            if buffer_bytes:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            near.connect(self._listener.getsockname())
            far, _ = self._listener.accept()
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                each.setblocking(False)
            session = LoggedIn(login.platform)
            session.transport = TimedTransport(near, session)
            peer = self.peers[login.platform] = Peer(self._contexts[0], far)
            await asyncio.gather(
                session.transport.secure(self._contexts[1], "peer.test"), peer.shake_hands()
            )
            self.share.sessions.append(self.share.online(session))

    def listen(self, *platforms):
        """Let these peers read, and answer, from now on."""
        for platform in platforms or self.peers:
            self._reading.append(asyncio.ensure_future(self._read(platform)))

    async def _read(self, platform):
        peer, done = self.peers[platform], 0
        while True:
            heard = peer.heard()
            self.heard[platform] += heard
            for request in ROW.finditer(self.heard[platform], done):
                done = request.end()
                if self._answer and request[1]:
                    self._answer(peer, int(request[1]))
            await asyncio.sleep(0.0005 if not heard else 0)

    async def play(self, within_s=20):
        """Publish the plan, from now on."""
        self.share.start_ns = asyncio.get_running_loop().time() * 1e9
        self.share.start_ns = int(self.share.start_ns) + 20_000_000
        async with asyncio.timeout(within_s):
            await self.share.play()

    async def settle(self, unanswered=0):
        """Let answers come until no more are on their way than that."""
        async with asyncio.timeout(20):
            while self.share.count()["unanswered"] > unanswered:
                await asyncio.sleep(0.001)
        for _ in range(20):
            await asyncio.sleep(0.001)

    async def outcome(self):
        """All that can be seen from outside but instants."""
        await self.share.wind_up()
        share, ours = self.share, self.share._publications
        window = share.window()
        facts = share.facts()
        path = facts.pop("publish_path")
        assert path["compiled"] + path["interpreted"] == (ours.sent_ns >= 0).sum()
        return {
            "published": {
                platform: b"".join(each[0] for each in ROW.finditer(data) if each[1])
                for platform, data in self.heard.items()
            },
            "refusals": sum(data.count(b"<iq type='error'") for data in self.heard.values()),
            "sent": (ours.sent_ns >= 0).tolist(),
            "answered": (ours.answered_ns >= 0).tolist(),
            "refused": ours.refused.tolist(),
            "window": {name: window[name] for name in ("sent", "refused", "limited")},
            "answers": sum(window["answer"][1]),
            "counts": share.count(),
            "log": (share.log.others, share.log.foreign, len(share.log)),
            "facts": facts,
            "lost": [each.lost for each in share.sessions],
        }

    async def close(self):
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        for each in self.share.sessions:
            each.leave()
        for peer in self.peers.values():
            peer.socket.close()
        self._listener.close()


def both(contexts, directory, plan, platforms, story, monkeypatch, answer=None):
    """What `story(stage)` leaves: sent by the interpreter, and by compiled code."""
    found = []
    monkeypatch.setattr(publisher, "tell", lambda **_: None)
    for compiled in (False, True):
        monkeypatch.setattr(publisher, "COMPILED_FROM", 1 if compiled else 10**9)
        place = directory / ("compiled" if compiled else "interpreted")
        place.mkdir()

        async def play(place=place, compiled=compiled):
            stage = Stage(contexts, plan.share(place, platforms), answer)
            try:
                await story(stage)
                path = stage.share.facts()["publish_path"]
                if compiled:
                    assert path["because"] is None
                    assert Reactor.of_loop().compiled.refused is None
                    assert path["compiled"] > 0
                else:
                    assert path["compiled"] == 0
                return await stage.outcome() | {"path": path}
            finally:
                await stage.close()

        found.append(asyncio.run(play()))
    return found
