"""Items that make all their subscribers fetch, on a real grid: direct flow, measured.

A Publisher puts an item's payload on its own HTTPS server (`files`) and publishes a reference to
it; subscribers wait as the Topic's `fetch.spread` says and fetch it (`references`). All that leaves
the Publisher goes by one uplink. Where the flow is by the Broker, the payload is in the item and
leaves by the same uplink once. A subscriber holds an item when its kernel has the last byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest import files, pubsub
from loadtest.caller import Account, Door, Listener
from loadtest.files import FileServer
from loadtest.herd import ended
from loadtest.localparts import one_of_each, subscribers
from loadtest.payload import payload
from loadtest.problems import LoadError, RailsError
from loadtest.provisioning import OWNER
from loadtest.reactor import Reactor
from loadtest.references import FETCH_WITHIN_S, Fetch, Reference
from loadtest.testbed import enter
from loadtest.uplink import Uplink, kept_up
from results import histogram, pulls
from results.variants import Measured
from topologies.draws import generator
from topologies.plan import Plan

if TYPE_CHECKING:
    from loadtest.dialogue import Dialogue
    from loadtest.grid import Grid
    from topologies.schema import Topology

LATE_S: Final = 0.02  # a publication that is sent later than this casts doubt
BUSY: Final = 0.8  # share of our core from which on fetches wait for us and not for the uplink
BEHIND: Final = 0.03  # of its rate that an uplink may miss while it is busy
LEAD_S: Final = 0.2  # from when all are ready until the plan begins
_NUMBER: Final = re.compile(rb"id=['\"]pull-(\d+)['\"]")


def deployed(topology: Topology) -> Topology:
    """The topology as servers are deployed for it: what a payload takes otherwise is played."""
    plain = tuple(
        topic.model_copy(update={"flow": "broker", "fetch": type(topic.fetch)()})
        for topic in topology.topics
    )
    people = tuple(
        each.model_copy(update={"network": each.network.model_copy(update={"uplink": None})})
        for each in topology.platforms
    )
    return topology.model_copy(update={"topics": plain, "platforms": people})


def require(topology: Topology) -> None:
    """Refuse what is not played, naming all of it.

    Raises
    ------
    LoadError
        With place, value, rule and repair.
    """
    problems = one_of_each(topology)
    senders = [each for each in topology.platforms if each.publishes]
    readers = [each for each in topology.platforms if each.subscribes]
    if sum(each.count for each in senders) != 1:
        problems.append("platforms: one Publisher is played; set its count to 1, leave others out")
    for each in readers:
        if each.subscriber_count(topology.topics[0].name) != each.count:
            problems.append(f"platforms[{each.name}].subscribes: all of it subscribe; say `all`")
    if any(each.network.downlink is not None or each.network.delay for each in readers):
        problems.append("platforms.network: loopback has neither delay nor downlink; leave it out")
    if problems:
        raise LoadError("\n".join(problems))


@dataclass
class Hoard:
    """What came of it.

    Attributes
    ----------
    due_ns : dict
        By item, when it was due.
    held_ns : dict
        By item and subscriber, when it held the payload.
    refused : list
        Why fetches failed.
    late_s : float
        Most that a publication was sent late. [s]
    busy, kept_up : float
        Share of our core that was used; of its rate that the uplink carried while it was busy. [1]
    publisher_bytes, item_bytes, broker_bytes : int
        Of the Publisher in all, and in items; of the Broker to subscribers. [B]
    at_once_max : int
        Most connections that the Publisher served at a time.
    """

    due_ns: dict[int, int] = field(default_factory=dict)
    held_ns: dict[tuple[int, str], int] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    late_s: float = 0.0
    busy: float = 0.0
    kept_up: float = math.nan
    publisher_bytes: int = 0
    item_bytes: int = 0
    broker_bytes: int = 0
    at_once_max: int = 0


class Pull:
    """One Publisher and its subscribers at one Broker.

    Parameters
    ----------
    grid : Grid
        Deployed for `deployed(topology)`, with `files` for its Publisher.
    topology : Topology
        What is played of it: its plan, its Topic's flow and fetch, its Publisher's uplink.
    door : Door
        Where Platforms log in.
    seed : int
        Of the plan and of all waits.
    """

    def __init__(self, grid: Grid, topology: Topology, door: Door, seed: int) -> None:
        require(topology)
        self._grid, self._topology, self._door, self._seed = grid, topology, door, seed
        self._topic = topology.topics[0]
        self._broker = next(iter(grid.document()["brokers"].values()))
        self._passwords = grid.credentials()
        self._context = ssl.create_default_context(cafile=str(grid.ca_file))
        self._fetching: set[asyncio.Task[None]] = set()
        self._all_there = asyncio.Event()
        self.subscribers = subscribers(topology)
        publisher = next(each for each in topology.platforms if each.publishes)
        self._publisher, self._rate = f"{publisher.name}-0", publisher.network.uplink
        self.found = Hoard()

    async def play(self) -> None:
        """The whole plan, and until all hold all of it or none fetches any more."""
        uplink = Uplink(self._rate)
        carrying = asyncio.ensure_future(uplink.run())
        try:
            async with contextlib.AsyncExitStack() as stack:
                most = self._topic.fetch.connections or files.EVERYBODY
                identity = self._grid.files_identity
                server = await stack.enter_async_context(FileServer(identity, uplink, most))
                publisher = await self._enter(stack)
                before = Reactor.of_loop().read_bytes
                begun_s, used_s = time.monotonic(), time.process_time()
                await self._publish(publisher, server, uplink)
                await self._drain()
                self.found.busy = (time.process_time() - used_s) / (time.monotonic() - begun_s)
                self.found.at_once_max = server.at_once_max
                self.found.kept_up = kept_up(uplink)
                self.found.publisher_bytes = uplink.sent_bytes
                fetched_bytes = uplink.sent_bytes - self.found.item_bytes
                read_bytes = Reactor.of_loop().read_bytes - before
                self.found.broker_bytes = read_bytes - fetched_bytes
        finally:
            await ended([carrying, *self._fetching])

    async def _enter(self, stack: contextlib.AsyncExitStack) -> Dialogue:
        """Everybody online, subscribers subscribed; the Publisher."""
        owner = await self._session(stack, OWNER)
        for each in self.subscribers:
            account = Account(each, self._password(each))
            puller = Listener(self._door, account, functools.partial(self._notified, each))
            stack.callback(puller.close)
            await puller.log_in()
            puller.listen()
            jid = f"{each}@{self._door.domain}"
            request = pubsub.set_subscription(self._topic.name, jid, "subscribed")
            reply = await owner.ask("set", self._broker, request)
            if not reply.ok:
                raise LoadError(f"{self._broker}: {reply.text[:200]}")
        return await self._session(stack, self._publisher)

    async def _session(self, stack: contextlib.AsyncExitStack, who: str) -> Dialogue:
        session = await enter(self._grid, who, self._password(who), "pull")
        stack.push_async_callback(session.leave)
        return session

    def _password(self, localpart: str) -> str:
        return self._passwords[f"{localpart}@{self._door.domain}"]

    async def _publish(self, publisher: Dialogue, server: FileServer, uplink: Uplink) -> None:
        """Every publication at its instant, by the uplink that fetches share."""
        rows = Plan(self._topology, self._seed).columns()
        begun_ns = time.monotonic_ns() + int(LEAD_S * 1e9)

        def send(piece: bytes) -> int:
            publisher.say(piece.decode())
            self.found.item_bytes += len(piece)
            return len(piece)

        lane = uplink.lane(send)
        for number, (intended_s, size_bytes) in enumerate(
            zip(rows.intended_s.tolist(), rows.payload_bytes.tolist(), strict=True)
        ):
            content = payload(self._topic.payload.kind, size_bytes, number)
            item = self._item(server, number, content)
            request = pubsub.publish(self._topic.name, f"pull-{number}", item)
            due_ns = begun_ns + int(intended_s * 1e9)
            await asyncio.sleep((due_ns - time.monotonic_ns()) / 1e9)
            self.found.due_ns[number] = due_ns
            self.found.late_s = max(self.found.late_s, (time.monotonic_ns() - due_ns) / 1e9)
            lane.put(f"<iq type='set' id='p{number}' to='{self._broker}'>{request}</iq>".encode())
            publisher.forget()
        left_s = self._topology.workload.duration - (time.monotonic_ns() - begun_ns) / 1e9
        await asyncio.sleep(left_s)

    def _item(self, server: FileServer, number: int, content: bytes) -> str:
        """What is published: the payload, or a reference to where it is from now on."""
        if self._topic.flow == "broker":
            return content.decode()
        name = f"pull-{number}"
        server.files[name] = content
        reference = Reference.to(files.ADDRESS, server.port, name, content)
        return reference.xml(int(self._topic.fetch.reference))

    def _notified(self, who: str, message: bytes, received_ns: int) -> None:
        """A subscriber has a message; what is not of the Topic has no number."""
        found = _NUMBER.search(message)
        if found is None:
            return
        number = int(found[1])
        if self._topic.flow == "broker":
            self._held(who, number, received_ns)
            return
        task = asyncio.ensure_future(self._fetch(who, number, message))
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)

    async def _fetch(self, who: str, number: int, message: bytes) -> None:
        """Wait as the Topic says, then fetch what the item refers to."""
        share = generator(self._seed, "fetch", who, number).random()
        await asyncio.sleep(self._topic.fetch.spread * share)
        try:
            held_ns = await Fetch(Reference.heard(message)).run(self._context)
        except (LoadError, RailsError) as problem:
            self.found.refused.append(str(problem))
        else:
            self._held(who, number, held_ns)

    def _held(self, who: str, number: int, held_ns: int) -> None:
        self.found.held_ns[number, who] = held_ns
        if len(self.found.held_ns) + len(self.found.refused) == self._expected:
            self._all_there.set()

    @property
    def _expected(self) -> int:
        return len(self.found.due_ns) * len(self.subscribers)

    async def _drain(self) -> None:
        """Until nothing is under way any more; what is left then is lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FETCH_WITHIN_S):
                while len(self.found.held_ns) + len(self.found.refused) < self._expected:
                    self._all_there.clear()
                    await self._all_there.wait()


def measured(pull: Pull, topology: Topology, defence: str) -> Measured:
    """The figures, as the model has them."""
    found, deadline_s = pull.found, topology.slo.deadline
    latency_s = np.array(
        [
            [(found.held_ns.get((number, who), math.inf) - due_ns) / 1e9
             for who in pull.subscribers]
            for number, due_ns in found.due_ns.items()
        ]
    )  # fmt: skip
    items = max(len(found.due_ns), 1)
    herds = pulls.Herds(
        histogram.count(latency_s),
        latency_s.max(axis=1).tolist(),
        int((latency_s <= deadline_s).sum()),
        found.publisher_bytes / items,
        found.broker_bytes / items,
    )
    return Measured(
        defence,
        "on a real server",
        pulls.figures([herds], topology.workload.duration),
        pulls.curve([herds]),
        doubts=tuple(_doubts(found)),
    )


def _doubts(found: Hoard) -> Iterator[str]:
    """Why the figures may be the machine's and not the uplink's or the server's."""
    if found.late_s > LATE_S:
        yield f"a publication was late by {found.late_s:.3g} s: the generator was the limit"
    if found.busy > BUSY:
        yield f"our core was {100 * found.busy:.0f} % busy: fetches waited for us"
    if found.kept_up < 1.0 - BEHIND:
        yield f"the uplink carried {100 * found.kept_up:.0f} % of its rate while it was busy"
