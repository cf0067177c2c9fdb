"""Items that only their receivers can read, on a real server: encrypted one by one, or for all.

A publisher has items for receivers who are online, and sends each in the procedure's manner:
published in the clear, a message for each receiver, one message to a relay that the server's limit
does not hold for, one message with a list of receivers (XEP-0033), or published under a key that
receivers share. Receivers decrypt all they get. Afterwards it is looked for what the server's
operator can read (`disclosure`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest import pubsub
from loadtest.caller import Account, Door, Listener
from loadtest.disclosure import Insider
from loadtest.localparts import one_of_each, subscribers
from loadtest.mailbox import Mailbox
from loadtest.manners import Sender
from loadtest.observation import cpu_s
from loadtest.problems import LoadError
from loadtest.provisioning import OWNER
from loadtest.sealing import Recipient, SharedKey, sealed_for
from loadtest.testbed import enter
from results import histogram, statistics
from results.statistics import Sample
from results.variants import Measured, thinned

if TYPE_CHECKING:
    from loadtest.dialogue import Dialogue
    from loadtest.grid import Grid
    from topologies.procedures import OneToOne
    from topologies.schema import Topology

FIRST: Final = 1_000_000  # number of an item that is not counted
ITEMS_READ: Final = 2  # sent once more while somebody reads along
HAD_WITHIN_S: Final = 20.0  # each of those
SLACK_S: Final = 0.5  # before the next item is due, an item that not all have is left alone
LEAD_S: Final = 0.4
REST_S: Final = 0.15  # after which the server has done all that an item makes it do
IDLE_S: Final = 0.25  # how long it is looked at what the server uses while nothing is sent
IDLE_LOOKS: Final = 8  # how often, of which the least counts: it may be at work still
LATE_S: Final = 0.02
PILOT_ROUNDS: Final = 8
PILOT_GAP_S: Final = 0.4  # items come one at a time, and find caches that have cooled


def require(procedure: OneToOne, topology: Topology) -> None:
    """Refuse what is not played, naming all of it.

    Raises
    ------
    LoadError
        With place, value, rule and repair.
    """
    problems = one_of_each(topology)
    if not procedure.evenly:
        problems.append("procedure.evenly: false: items are played evenly spaced; set it to true")
    client = topology.controllers[0].limits.client
    if procedure.limit != (client.rate if client else None):
        rule = "must be that of controllers[0].limits.client, which the server is deployed with"
        problems.append(f"procedure.limit: {procedure.limit}: {rule}")
    there = len(subscribers(topology))
    if there < procedure.receivers:
        rule = f"only {there} Platforms subscribe; raise platforms.count"
        problems.append(f"procedure.receivers: {procedure.receivers}: {rule}")
    if not any(each.publishes for each in topology.platforms):
        problems.append("platforms: nobody publishes; one Platform is the publisher")
    if problems:
        raise LoadError("\n".join(problems))


@dataclass(frozen=True)
class Costs:
    """What a pilot found, each as the play has it: CPU time of our encryption, and of the server.

    Attributes
    ----------
    encrypt_s, alone_s : float
        For one receiver of many in a row, and of one alone. [s]
    cipher_s : float
        For an item under a shared key. [s]
    relayed_s, publication_s : float
        The server's for a message, and for an item with its copies in the procedure's manner. [s]
    """

    encrypt_s: float
    alone_s: float
    cipher_s: float
    relayed_s: float
    publication_s: float


@dataclass
class Post:
    """What came of it.

    Attributes
    ----------
    due_ns, had_ns : dict
        By item, when it was due and when each receiver had it.
    used_s, publisher_s, receiver_s : list
        CPU time of the server and of encryption for each item, of each decryption. [s]
    uplink_bytes : list
        What the publisher sent for each item. [B]
    unread : int
        Items that a receiver could not decrypt, or that were not what was sent.
    exposed_share, seen_share : float
        Of the items that were sent while somebody read along: found in the clear, found at all.
    where : str
        Where they were found in the clear.
    """

    due_ns: dict[int, int] = field(default_factory=dict)
    had_ns: dict[int, list[int]] = field(default_factory=dict)
    used_s: list[float] = field(default_factory=list)
    publisher_s: list[float] = field(default_factory=list)
    receiver_s: list[float] = field(default_factory=list)
    uplink_bytes: list[int] = field(default_factory=list)
    unread: int = 0
    late_s: float = 0.0
    exposed_share: float = math.nan
    seen_share: float = math.nan
    where: str = ""


class Dispatch:
    """One publisher and its receivers.

    Parameters
    ----------
    grid : Grid
        Deployed with `Options(reader=True, unlimited=True)`, and `multicast` for lists.
    procedure : OneToOne
        How items are sent.
    topology : Topology
        Who sends to whom.
    door : Door
        Where they log in.
    """

    def __init__(self, grid: Grid, procedure: OneToOne, topology: Topology, door: Door) -> None:
        require(procedure, topology)
        self._grid, self._procedure, self._door = grid, procedure, door
        document = grid.document()
        self._pid = grid.server_pid(next(iter(document["controllers"])))
        self._broker = next(iter(document["brokers"].values()))
        self._topic = topology.topics[0].name
        self._passwords = grid.credentials()
        names = subscribers(topology)[: procedure.receivers]
        self._publisher = next(f"{each.name}-0" for each in topology.platforms if each.publishes)
        self._boxes = [Mailbox(each, self._had) for each in names]
        self._sender = Sender(
            self._boxes, door.domain, self._broker, self._topic, OWNER, procedure.key_items
        )
        self._texts: dict[int, bytes] = {}
        self._come = asyncio.Event()
        self._idle_share = 0.0  # of a core, which the server uses while nothing is sent
        self.found = Post()

    async def pilot(self) -> Costs:
        """What encryption costs us, and what messages and publications cost the server."""
        content, recipient, shared = self._content(), Recipient(), SharedKey()
        alone_s = await _alone_s(lambda: sealed_for(recipient.public, content, b"pilot"))
        cipher_s = await _alone_s(lambda: shared.sealed(content, b"pilot"))
        manner = self._procedure.manner
        async with contextlib.AsyncExitStack() as stack:
            owner = await self._enter(stack)  # the limit does not hold for it
            if manner == "addressed":
                await self._prime(owner)
            await self._look_at_rest()
            messages, sealing_s = await self._cost_s(owner, "messages")
            each = len(self._boxes)
            if manner not in ("sealed", "addressed"):
                manner = "publish"
            publication_s, _ = await self._cost_s(owner, manner)
            return Costs(sealing_s / each, alone_s, cipher_s, messages / each, publication_s)

    async def _cost_s(self, owner: Dialogue, manner: str) -> tuple[float, float]:
        """CPU time of the server, and ours of encryption, for an item in this manner. [s]"""
        for number in range(PILOT_ROUNDS + 1):
            if number == 1:  # the first one costs more
                await asyncio.sleep(REST_S)
                begun, sealing_s = self._clocks_s(), self._sender.sealing_s
            for text in self._sender.stanzas(manner, number, self._content()):
                owner.say(text)
            await asyncio.sleep(PILOT_GAP_S)
        await asyncio.sleep(REST_S)
        sealed_s = self._sender.sealing_s - sealing_s
        return self._worked_s(begun) / PILOT_ROUNDS, sealed_s / PILOT_ROUNDS

    async def _look_at_rest(self) -> None:
        """How much the server uses while nothing is sent: an ejabberd never rests for long."""
        shares = []
        for _ in range(IDLE_LOOKS):
            self._idle_share, begun = 0.0, self._clocks_s()
            await asyncio.sleep(IDLE_S)
            shares.append(self._worked_s(begun) / (time.monotonic() - begun[1]))
        self._idle_share = min(shares)

    def _clocks_s(self) -> tuple[float, float]:
        return cpu_s(self._pid), time.monotonic()

    def _worked_s(self, begun: tuple[float, float]) -> float:
        """CPU time of the server since then, beyond what it uses at rest. [s]"""
        used_s, now_s = self._clocks_s()
        return used_s - begun[0] - self._idle_share * (now_s - begun[1])

    async def play(self) -> None:
        """All items, each at its instant; then some more while somebody reads along."""
        async with contextlib.AsyncExitStack() as stack:
            owner = await self._enter(stack)
            if self._procedure.manner == "relay":
                await self._listen(stack, OWNER, lambda message, _: self._relay(owner, message))
            publisher = await self._session(stack, self._publisher)
            if self._procedure.manner == "addressed":
                await self._prime(publisher)
            await self._look_at_rest()
            begun_ns = time.monotonic_ns() + int(LEAD_S * 1e9)
            instants_s = self._procedure.even_s
            for number, at_s in enumerate(instants_s):
                await self._post(publisher, number, begun_ns + int(at_s * 1e9))
            end_ns = begun_ns + int(self._procedure.duration * 1e9)
            await asyncio.sleep((end_ns - time.monotonic_ns()) / 1e9)
            insider = Insider(self._grid)
            await insider.begin()
            extra = range(len(instants_s), len(instants_s) + ITEMS_READ)
            for number in extra:
                self._send(publisher, number)
                await self._all_have(number, HAD_WITHIN_S)
            await self._overlook(insider, extra, owner)

    async def _prime(self, publisher: Dialogue) -> None:
        """A first message with a list, which is not counted.

        Ejabberd asks the receivers' domain first whether it takes lists, and keeps the message for
        ten seconds until it gives up: once, if nothing is sent meanwhile.
        """
        self._send(publisher, FIRST)
        await self._all_have(FIRST, HAD_WITHIN_S)

    async def _enter(self, stack: contextlib.AsyncExitStack) -> Dialogue:
        """Receivers online and subscribed; the owner."""
        owner = await self._session(stack, OWNER)
        for box in self._boxes:
            await self._listen(stack, box.name, box.received)
            request = pubsub.set_subscription(self._topic, self._jid(box.name), "subscribed")
            reply = await owner.ask("set", self._broker, request)
            if not reply.ok:
                raise LoadError(f"{self._broker}: {reply.text[:200]}")
        return owner

    async def _listen(
        self, stack: contextlib.AsyncExitStack, name: str, take: Callable[[bytes, int], None]
    ) -> None:
        listener = Listener(self._door, Account(name, self._passwords[self._jid(name)]), take)
        stack.callback(listener.close)
        await listener.log_in()
        listener.listen()

    async def _session(self, stack: contextlib.AsyncExitStack, name: str) -> Dialogue:
        session = await enter(self._grid, name, self._passwords[self._jid(name)], "dispatch")
        stack.push_async_callback(session.leave)
        return session

    def _jid(self, name: str) -> str:
        return f"{name}@{self._door.domain}"

    def _content(self) -> bytes:
        """An item that no other is alike."""
        return secrets.token_hex(math.ceil(self._procedure.size / 2)).encode()

    async def _post(self, publisher: Dialogue, number: int, due_ns: int) -> None:
        """One item at its instant, and until all have it or the next one is almost due."""
        await asyncio.sleep((due_ns - time.monotonic_ns()) / 1e9)
        begun = self._clocks_s()
        self.found.due_ns[number] = due_ns
        self.found.late_s = max(self.found.late_s, (time.monotonic_ns() - due_ns) / 1e9)
        sealing_s = self._sender.sealing_s
        self.found.uplink_bytes.append(self._send(publisher, number))
        self.found.publisher_s.append(self._sender.sealing_s - sealing_s)
        next_ns = due_ns + int(1e9 / self._procedure.rate)
        if await self._all_have(number, (next_ns - time.monotonic_ns()) / 1e9 - SLACK_S):
            await asyncio.sleep(REST_S)
            self.found.used_s.append(self._worked_s(begun))

    def _send(self, publisher: Dialogue, number: int) -> int:
        """One item in the procedure's manner; what was sent. [B]"""
        content = self._texts[number] = self._content()
        sent_bytes = 0
        for text in self._sender.stanzas(self._procedure.manner, number, content):
            publisher.say(text)
            sent_bytes += len(text)
        return sent_bytes

    def _relay(self, owner: Dialogue, message: bytes) -> None:
        for text in self._sender.relayed(message):
            owner.say(text)

    def _had(self, number: int, content: bytes, received_ns: int, work_s: float) -> None:
        """A receiver has opened an item; the pilot's are not kept."""
        if number not in self._texts:
            return
        if content != self._texts[number]:
            self.found.unread += 1
            return
        self.found.receiver_s.append(work_s)
        self.found.had_ns.setdefault(number, []).append(received_ns)
        self._come.set()

    async def _all_have(self, number: int, within_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(self.found.had_ns.get(number, ())) < len(self._boxes):
                    self._come.clear()
                    await self._come.wait()
                return True
        return False

    async def _overlook(self, insider: Insider, numbers: Sequence[int], owner: Dialogue) -> None:
        """What of these items is found by whoever runs the server, in the clear or at all."""
        clear = {self._texts[number].decode(): number for number in numbers}
        seals = {self._sender.seals[each]: each for each in numbers if each in self._sender.seals}
        seals = seals or clear
        found = await insider.find({**clear, **seals}, owner, self._broker, self._topic)
        self.found.exposed_share = _share(found.anywhere, clear, numbers)
        self.found.seen_share = _share(found.passing, seals, numbers)
        places = {"stanzas": found.passing, "kept items": found.kept, "files": found.files}
        self.found.where = ", ".join(name for name, held in places.items() if held & clear.keys())


def _share(found: Iterable[str], known: dict[str, int], numbers: Sequence[int]) -> float:
    """Share of the items of which something known was found. [1]"""
    return len({known[text] for text in found if text in known}) / len(numbers)


async def _alone_s(work: Callable[[], object]) -> float:
    """Our CPU time of doing it once, with nothing alike just before. [s]"""
    work()  # what is loaded and allocated once
    took_s = []
    for _ in range(PILOT_ROUNDS):
        await asyncio.sleep(PILOT_GAP_S)
        begun_s = time.thread_time()
        work()
        took_s.append(time.thread_time() - begun_s)
    return float(np.mean(took_s))


def measured(post: Post, procedure: OneToOne, defence: str, deadline_s: float) -> Measured:
    """The figures, as the model has them; who never had an item counts as infinitely late."""
    n = procedure.receivers
    latency_s = np.full((len(post.due_ns), n), np.inf)
    for number, due_ns in post.due_ns.items():
        had_ns = np.sort(post.had_ns.get(number, []))[:n]
        latency_s[number, : len(had_ns)] = (had_ns - due_ns) / 1e9
    up_bytes = float(np.mean(post.uplink_bytes))
    item_bytes = procedure.size * (1.0 + procedure.expansion * (procedure.manner != "publish"))
    figures = {
        "goodput_per_s": float((latency_s <= deadline_s).sum()) / procedure.duration,
        "last_receiver_s": float(np.median(latency_s[:, -1])),
        "uplink_bytes": up_bytes,
        "publisher_cpu_s": float(np.mean(post.publisher_s)),
        "receiver_cpu_s": float(np.mean(post.receiver_s)) if post.receiver_s else math.nan,
        "server_cpu_s": float(np.mean(post.used_s)) if post.used_s else math.nan,
        "exposed_share": post.exposed_share,
        "amplification_bytes": n * item_bytes / up_bytes,
    }
    samples = {name: Sample(value, reason="one run") for name, value in figures.items()}
    samples["p99_s"] = statistics.quantile([histogram.count(latency_s)], 0.99)
    ordered = np.median(np.sort(latency_s, axis=1), axis=0)
    known = [float(each) if math.isfinite(each) else None for each in ordered]
    told = f"in {post.where}" if post.where else "nowhere"
    return Measured(
        defence, f"on a real server; whoever runs it found items {told}", samples,
        thinned([float(each) for each in range(1, n + 1)], known),
        doubts=tuple(_doubts(post)),
    )  # fmt: skip


def _doubts(post: Post) -> Iterator[str]:
    if post.late_s > LATE_S:
        yield f"an item was late by {post.late_s:.3g} s: the generator was the limit"
    if post.unread:
        yield f"{post.unread} items could not be decrypted"
    if post.seen_share < 1.0:
        yield "who reads along on the server did not see all items, not even encrypted"
