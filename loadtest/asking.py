"""Platforms that ask for all items of a Topic, over and over, on a real grid.

Beside them somebody publishes on another Topic, to receivers whose connections the kernel stamps.
The pilot finds what a publication, an answer and an item in an answer cost the server here; from
that the whole is predicted. It lets the same crowd ask as often as in the play, beside the same
publications, with fewer items: what is asked for back to back, or of a server whose core sleeps in
between, has other caches and another collector's debt. Askers take an answer in whole and read
nothing of it but its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest import pubsub
from loadtest.caller import STEPS, Account, Caller, Door, Listener
from loadtest.herd import together
from loadtest.notice import settled_s
from loadtest.observation import Observer
from loadtest.payload import payload
from loadtest.problems import LoadError
from loadtest.testbed import enter
from results import histogram, pacing, statistics
from results.statistics import Sample
from results.variants import Measured, thinned
from topologies.draws import generator

if TYPE_CHECKING:
    from loadtest.dialogue import Dialogue
    from loadtest.grid import Grid
    from topologies.procedures import LargeAnswers

OWNER: Final = "admin"
ANSWER_S: Final = 60.0
PILOT_ITEMS: Final = (20, 100)  # that Topics keep: Prosody fetches all that one keeps anyway
PILOT_TURNS: Final = 4  # stretches of each kind, there and back: the machine's speed drifts
PILOT_STRETCH_S: Final = 4.0  # each; less where the play is short
PILOT_RATE_PER_S: Final = 4.0  # of publications, at least
SAMPLE_S: Final = 0.05
LATE_S: Final = 0.02  # a publication that is sent later than this casts doubt
DRIFT: Final = 0.25  # of the cost of an answer since the pilot, from which on times do not compare
_NUMBER: Final = re.compile(rb"live-(\d+)")


class Asker(Caller):
    """A session that takes answers in without looking at more than how they end."""

    def __init__(self, door: Door, account: Account) -> None:
        super().__init__(door, account)
        self._answer: asyncio.Future[int] | None = None
        self._size = 0

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Who has asked for items awaits one stanza, and nothing else comes meanwhile."""
        if self._answer is None:
            super().bytes_received(data, received_ns, delay_ns)
            return
        self._size += len(data)
        if data.endswith(b"</iq>"):
            answer, self._answer = self._answer, None
            if not answer.done():
                answer.set_result(self._size)

    def connection_lost(self, exception: BaseException | None) -> None:
        """Whoever awaits an answer learns that none will come."""
        super().connection_lost(exception)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(LoadError("the server closed the connection"))

    async def ask(self, broker: str, request: str) -> int:
        """The size of the answer to a request for items. [B]"""
        self._answer = asyncio.get_running_loop().create_future()
        self._size = 0
        self.say(f"<iq type='get' id='k' to='{broker}'>{request}</iq>")
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer
        except TimeoutError:
            raise LoadError(f"{broker}: no answer within {ANSWER_S:g} s") from None


@dataclass
class Inquiry:
    """What came of it.

    Attributes
    ----------
    intended_ns : dict
        When each publication was due.
    come_ns : dict
        When its copies came.
    syncs_s : list
        How long it took to have all items, each time. [s]
    answers_bytes : list
        Sizes of the answers. [B]
    asked : int
        Requests, answered or on their way at the end: the server has paid for them. [1]
    pace_per_s : float, optional
        What the server's core did meanwhile, in rounds of an idle loop. [1/s]
    paces : list
        The same over time: [seconds since the beginning, 1/s].
    """

    intended_ns: dict[int, int] = field(default_factory=dict)
    come_ns: dict[int, list[int]] = field(default_factory=dict)
    syncs_s: list[float] = field(default_factory=list)
    answers_bytes: list[int] = field(default_factory=list)
    asked: int = 0
    used_s: float = 0.0
    memory_bytes: list[float] = field(default_factory=list)
    late_s: float = 0.0
    pace_per_s: float | None = None
    paces: list[list[float]] = field(default_factory=list)

    def copy_came(self, message: bytes, received_ns: int) -> None:
        """A receiver has a message; what is not of the Topic has no number."""
        if found := _NUMBER.search(message):
            self.come_ns.setdefault(int(found[1]), []).append(received_ns)


@dataclass(frozen=True)
class Costs:
    """What a pilot found: CPU time of a publication with its copies, an answer, an item in it.

    `pace_per_s` is the pace of the server's core at which it took that. [1/s]
    """

    publication_s: float
    answer_s: float
    item_s: float
    pace_per_s: float | None


def stretch(procedure: LargeAnswers) -> LargeAnswers:
    """What the pilot plays of it at a time: a few seconds.

    Nobody thinks for more than half of them, and somebody always publishes.
    """
    duration_s = min(PILOT_STRETCH_S, procedure.duration / (PILOT_TURNS * 3))
    changes = {
        "duration": duration_s,
        "think": min(procedure.think, duration_s / 2.0),
        "rate": max(procedure.rate, PILOT_RATE_PER_S),
    }
    return procedure.model_copy(update=changes)


class Hall:
    """Askers, receivers and a publisher at one Broker.

    Parameters
    ----------
    grid : Grid
        Deployed for as many accounts as there are askers and receivers.
    procedure : LargeAnswers
        How many ask for how much, and how often.
    door : Door
        Where they log in.
    accounts : sequence of Account
        Askers first, then receivers.
    seed : int
        Of when they ask first, and of the publications.
    """

    def __init__(
        self,
        grid: Grid,
        procedure: LargeAnswers,
        door: Door,
        accounts: Sequence[Account],
        seed: int,
    ) -> None:
        problems = []
        if procedure.page is not None:
            problems.append("page: pages of items are not played; Prosody has none")
        if procedure.per_minute is not None:
            problems.append("per_minute: no server limits requests")
        if len(accounts) < procedure.askers + procedure.receivers:
            problems.append("receivers: there are fewer accounts; raise platforms.count")
        if problems:
            raise LoadError("\n".join(f"procedure.{each}" for each in problems))
        document = grid.document()
        controller, place = next(iter(document["controllers"].items()))
        self._grid, self._procedure, self._seed = grid, procedure, seed
        self._pid, self._domain = grid.server_pid(controller), place["domain"]
        self._broker = next(iter(document["brokers"].values()))
        self.found = Inquiry()
        self._askers = [(door, each) for each in accounts[: procedure.askers]]
        rest = accounts[procedure.askers :][: procedure.receivers]
        self._receivers = [(door, each) for each in rest]
        self._sent, self._live = 0, f"heard-{secrets.token_hex(4)}"

    async def pilot(self) -> Costs:
        """What things cost the server at the play's own pace, in stretches of three kinds."""
        kinds: tuple[int, ...] = (0, *PILOT_ITEMS)  # items that are asked for; 0: nobody asks
        used_s, asked, published = (dict.fromkeys(kinds, 0.0) for _ in range(3))
        async with contextlib.AsyncExitStack() as stack:
            owner, askers = await self._enter(stack)
            topics = {count: await self._furnish(owner, count) for count in PILOT_ITEMS}
            for count in kinds:  # a server's first cost more
                await self._stretch(owner, askers, topics.get(count))
            with Observer(self._pid, SAMPLE_S) as observer:
                for turn in range(PILOT_TURNS):
                    for count in kinds if turn % 2 else kinds[::-1]:
                        found = await self._stretch(owner, askers, topics.get(count))
                        for total, more in zip((used_s, asked, published), found, strict=True):
                            total[count] += more
                pace_per_s = observer.stop().pace_per_s(0.0)
        publication_s = used_s[0] / max(published[0], 1.0)
        few, many = (
            (used_s[count] - published[count] * publication_s) / max(asked[count], 1.0)
            for count in PILOT_ITEMS
        )
        item_s = max(many - few, 0.0) / (PILOT_ITEMS[1] - PILOT_ITEMS[0])
        answer_s = max(few - PILOT_ITEMS[0] * item_s, 0.0)
        return Costs(publication_s, answer_s, item_s, pace_per_s)

    async def _stretch(
        self, owner: Dialogue, askers: Sequence[Asker], topic: str | None
    ) -> tuple[float, float, float]:
        """CPU time of some seconds of the play [s], its requests and its publications."""
        due = stretch(self._procedure)
        asked, sent, begun_s = self.found.asked, self._sent, await settled_s(self._pid)
        work = [self._publish(owner, due.rate)]
        if topic is not None:
            work += [self._ask(place, each, topic, due.think) for place, each in enumerate(askers)]
        await together(work, due.duration)
        used_s = await settled_s(self._pid) - begun_s
        return used_s, self.found.asked - asked, self._sent - sent

    async def play(self) -> None:
        """All of it, from the beginning to the procedure's end."""
        procedure = self._procedure
        kept = min(procedure.items, procedure.kept or procedure.items)
        async with contextlib.AsyncExitStack() as stack:
            owner, askers = await self._enter(stack)
            topic = await self._furnish(owner, kept)
            used_s, begun_s = await settled_s(self._pid), time.monotonic()
            with Observer(self._pid, SAMPLE_S) as observer:
                work = [self._publish(owner, procedure.rate)]
                work += [
                    self._ask(place, asker, topic, procedure.think)
                    for place, asker in enumerate(askers)
                ]
                await together(work, procedure.duration)
                seen = observer.stop()
            self.found.used_s = await settled_s(self._pid) - used_s
            self.found.memory_bytes = [float(each) for each in seen.rss_bytes]
            if (course := seen.course(begun_s)) is not None:
                self.found.pace_per_s, self.found.paces = course.mean_per_s, course.rows(begun_s)

    async def _enter(self, stack: contextlib.AsyncExitStack) -> tuple[Dialogue, list[Asker]]:
        """Everybody online; receivers are subscribed."""
        password = self._grid.credentials()[f"{OWNER}@{self._domain}"]
        owner = await enter(self._grid, OWNER, password, "hall")
        stack.push_async_callback(owner.leave)
        # A Prosody that persists items writes all that a Topic keeps anew with each publication.
        heard = {"access_model": "open", "persist_items": "false"}
        await self._must(owner, pubsub.create(self._live, heard))
        askers = []
        for door, account in self._askers:
            asker = Asker(door, account)
            stack.callback(asker.close)
            await asker.advance(*STEPS)  # without presence: no notification comes to it
            askers.append(asker)
        for door, account in self._receivers:
            receiver = Listener(door, account, self.found.copy_came)
            stack.callback(receiver.close)
            await receiver.log_in()
            receiver.listen()
            jid = f"{account.localpart}@{self._domain}"
            await self._must(owner, pubsub.set_subscription(self._live, jid, "subscribed"))
        return owner, askers

    async def _furnish(self, owner: Dialogue, count: int) -> str:
        """A new Topic that keeps so many items."""
        topic = f"asked-{secrets.token_hex(4)}"
        size_bytes = int(self._procedure.size)
        configuration = {"access_model": "open", "persist_items": "true", "max_items": str(count)}
        await self._must(owner, pubsub.create(topic, configuration))
        for number in range(count):
            content = payload("opaque", size_bytes, number).decode()
            await self._must(owner, pubsub.publish(topic, f"kept-{number}", content))
        return topic

    async def _must(self, owner: Dialogue, request: str) -> None:
        reply = await owner.ask("set", self._broker, request)
        if not reply.ok:
            raise LoadError(f"{self._broker}: {reply.text[:200]}")

    async def _publish(self, owner: Dialogue, rate_per_s: float) -> None:
        """Publications at instants of their own, for ever."""
        draws, due_ns = generator(self._seed, "publications"), time.monotonic_ns()
        size_bytes = int(self._procedure.size)
        while True:
            due_ns += int(draws.exponential(1.0 / rate_per_s) * 1e9)
            content = payload("opaque", size_bytes, self._sent).decode()
            request = pubsub.publish(self._live, f"live-{self._sent}", content)
            await asyncio.sleep((due_ns - time.monotonic_ns()) / 1e9)
            self.found.intended_ns[self._sent] = due_ns
            owner.say(f"<iq type='set' id='p{self._sent}' to='{self._broker}'>{request}</iq>")
            self.found.late_s = max(self.found.late_s, (time.monotonic_ns() - due_ns) / 1e9)
            owner.forget()
            self._sent += 1

    async def _ask(self, place: int, asker: Asker, topic: str, think_s: float) -> None:
        await asyncio.sleep(generator(self._seed, "asker", place).random() * think_s)
        while True:
            begun_s = time.monotonic()
            self.found.asked += 1
            size_bytes = await asker.ask(self._broker, pubsub.items(topic))
            self.found.syncs_s.append(time.monotonic() - begun_s)
            self.found.answers_bytes.append(size_bytes)
            await asyncio.sleep(think_s)


def measured(
    found: Inquiry,
    procedure: LargeAnswers,
    defence: str,
    deadline_s: float,
    piloted_per_s: float | None = None,
) -> Measured:
    """The figures, as the model has them; a publication's latency is that of its last copy.

    Parameters
    ----------
    procedure : LargeAnswers
        With the costs that its prediction had.
    deadline_s : float
        Within this a delivery counts. [s]
    piloted_per_s : float, optional
        Pace of the server's core at which those costs hold. [1/s]
    """
    latency_s = []
    end_ns = max(found.intended_ns.values(), default=0)
    for number, due_ns in found.intended_ns.items():
        come_ns = found.come_ns.get(number, [])
        if len(come_ns) == procedure.receivers:
            latency_s.append((max(come_ns) - due_ns) / 1e9)
        elif due_ns < end_ns - deadline_s * 1e9:  # later ones were on their way when all was ended
            latency_s.append(math.inf)
    counts = histogram.count(np.array(latency_s))
    requests = len(found.syncs_s)
    published_s = (procedure.publication or 0.0) * len(found.intended_ns)
    timely = sum(each <= deadline_s for each in latency_s) * procedure.receivers
    growth = np.array(found.memory_bytes) - found.memory_bytes[0]
    why = "one run"
    samples = {
        "goodput_per_s": Sample(timely / procedure.duration, reason=why),
        "p99_s": statistics.quantile([counts], 0.99),
        "peak_memory_bytes": Sample(float(growth.max()), reason=why),
        "sync_s": Sample(float(np.mean(found.syncs_s)) if requests else math.inf, reason=why),
        "requests_per_s": Sample(requests / procedure.duration, reason=why),
        "answer_cpu_s": Sample((found.used_s - published_s) / max(found.asked, 1), reason=why),
    }
    slower: tuple[tuple[float, float], ...] = ()
    if piloted_per_s is not None and found.pace_per_s is not None:
        samples["pace_per_s"] = Sample(found.pace_per_s, reason=why)
        slower = tuple(
            (at_s, pacing.slowdown(pace_per_s, piloted_per_s)) for at_s, pace_per_s in found.paces
        )
    instants = np.linspace(0.0, procedure.duration, len(growth)).tolist()
    return Measured(
        defence, "on a real server", samples, thinned(instants, growth.tolist()),
        doubts=tuple(_doubts(found, procedure, samples["answer_cpu_s"].value)), slower=slower,
    )  # fmt: skip


def _doubts(found: Inquiry, procedure: LargeAnswers, answer_s: float) -> Iterator[str]:
    """Why the figures may be the machine's and not the server's."""
    if found.late_s > LATE_S:
        yield f"a publication was late by {found.late_s:.3g} s: the generator was the limit"
    items = min(procedure.items, procedure.kept or procedure.items)
    expected_s = procedure.answer + items * procedure.item
    if found.syncs_s and abs(answer_s / expected_s - 1.0) > DRIFT:
        yield (
            f"an answer took {answer_s * 1e3:.3g} ms of the server instead of "
            f"{expected_s * 1e3:.3g} as in the pilot: times do not compare"
        )
