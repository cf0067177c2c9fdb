"""Stolen accounts on a real grid: what they read until their rights are taken back.

Each thief goes through Topics of its own in random order, subscribes, and reads what is kept there;
it also hears what is published on a common Topic. Some Topics are honey: nobody has cause to
subscribe to them. A watchman reads what the servers note of Platforms' activity; the Topics' owner
then takes the steps that the procedure names, one after another.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest import pubsub, revocation
from loadtest.dialogue import Dialogue, Silence, Stanza
from loadtest.herd import together
from loadtest.problems import LoadError
from loadtest.testbed import about, enter
from results.statistics import Sample
from results.variants import Measured, thinned
from topologies.draws import generator

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from topologies.procedures import Harvest

ALL_S: Final = 30.0  # for the answers to many requests at once
LOOK_S: Final = 0.05  # how often the watchman looks
RECONNECT_S: Final = 5.0  # who is thrown out is back after this, as in the model
OWNER: Final = "admin"
_STEPS: Final = ("affiliation", "subscription", "session")


@dataclass
class Theft:
    """One thief: its account, its Topics, and what came of it. Instants since its start. [s]"""

    account: str
    topics: tuple[str, ...]
    honey: frozenset[str]
    taken_s: list[float] = field(default_factory=list)
    alarm_read: int | None = None
    noticed_s: float = math.inf
    decided_s: float = math.inf
    over: bool = False


class Burglary:
    """Thefts at one Broker.

    Parameters
    ----------
    grid : Grid
        Deployed with activity and administration.
    procedure : Harvest
        How fast they read, and what is done about them.
    accounts : sequence of str
        Localparts of the accounts that are stolen.
    seed : int
        Of orders and honey.
    """

    def __init__(self, grid: Grid, procedure: Harvest, accounts: Sequence[str], seed: int) -> None:
        if missing := [each for each in procedure.steps if each not in _STEPS]:
            raise LoadError(f"procedure.steps: {', '.join(missing)}: not driven on real grids")
        self._grid, self._procedure, self._seed = grid, procedure, seed
        document = grid.document()
        self._domain = next(iter(document["controllers"].values()))["domain"]
        self._broker = next(iter(document["brokers"].values()))
        self._begun_s = 0.0
        self._sessions: dict[str, Dialogue] = {}
        self.thefts = [self._theft(number, each) for number, each in enumerate(accounts)]

    def _theft(self, number: int, account: str) -> Theft:
        procedure, draws = self._procedure, generator(self._seed, "order", number)
        topics = [f"kept-{number}-{each}" for each in range(procedure.readable)]
        order = tuple(draws.permutation(topics).tolist())
        reads = procedure.honey_reads(self._seed, number)  # as predicted for this theft
        return Theft(account, order, frozenset(order[read] for read in reads))

    async def play(self) -> None:
        """All thefts at a time, from the beginning to the procedure's end."""
        async with contextlib.AsyncExitStack() as stack:
            owner = await self._session(stack, OWNER)
            await self._furnish(owner)
            for theft in self.thefts:
                thief = self._sessions[theft.account] = await self._session(stack, theft.account)
                thief.say("<presence/>")
                await thief.ask("set", self._broker, pubsub.subscribe("live", thief.bare))
            self._begun_s = time.monotonic()
            tasks = [self._publish(owner), self._watch()]
            for theft in self.thefts:
                tasks += [self._read(theft), self._respond(theft, owner)]
                tasks.append(self._listen(theft, stack))
            await together(tasks, self._procedure.duration)

    async def _session(self, stack: contextlib.AsyncExitStack, localpart: str) -> Dialogue:
        password = self._grid.credentials()[f"{localpart}@{self._domain}"]
        session = await enter(self._grid, localpart, password, "theft")
        stack.push_async_callback(session.leave)
        return session

    async def _furnish(self, owner: Dialogue) -> None:
        """Make the Topics, with an item on each."""
        kept = {"access_model": "open", "persist_items": "true", "max_items": "1"}
        for theft in self.thefts:
            for topic in theft.topics:
                await self._must(owner, pubsub.create(topic, kept))
                await self._must(owner, pubsub.publish(topic, "1"))
        await self._must(owner, pubsub.create("live", {"access_model": "open"}))

    async def _must(self, owner: Dialogue, request: str) -> None:
        reply = await owner.ask("set", self._broker, request)
        if not reply.ok:
            raise LoadError(f"{self._broker}: {reply.text[:200]}")

    @property
    def _now_s(self) -> float:
        return time.monotonic() - self._begun_s

    async def _publish(self, owner: Dialogue) -> None:
        """Items on the common Topic, each at an instant of its own."""
        draws, due_s = generator(self._seed, "live"), 0.0
        while True:
            due_s += draws.exponential(1.0 / self._procedure.live)
            await asyncio.sleep(due_s - self._now_s)
            number = f"live-{round(due_s * 1e6)}"
            request = pubsub.publish("live", number)
            owner.say(f"<iq type='set' id='{number}' to='{self._broker}'>{request}</iq>")

    async def _read(self, theft: Theft) -> None:
        """One Topic after another, until the Broker says no; without a session it waits for one."""
        due_s = 0.0
        for number, topic in enumerate(theft.topics, start=1):
            due_s = max(due_s, self._now_s) + 1.0 / self._procedure.reads
            await asyncio.sleep(due_s - self._now_s)
            while not (replies := await self._ask_for(topic, self._sessions[theft.account])):
                await asyncio.sleep(LOOK_S)
            if not all(reply.ok for reply in replies):
                return
            theft.taken_s.append(self._now_s)
            if topic in theft.honey and theft.alarm_read is None:
                theft.alarm_read = number

    async def _ask_for(self, topic: str, thief: Dialogue) -> list[Stanza]:
        """The replies to a subscription and a request for items; none without a session."""
        if thief.closed is not None:
            return []
        try:
            replies = await asyncio.gather(
                thief.ask("set", self._broker, pubsub.subscribe(topic, thief.bare)),
                thief.ask("get", self._broker, pubsub.items(topic)),
            )
        except Silence:
            return []
        return list(replies)

    async def _listen(self, theft: Theft, stack: contextlib.AsyncExitStack) -> None:
        """Note what comes from the common Topic; who is thrown out comes back."""
        wanted = about("live", "live-")
        heard: set[str] = set()
        while True:
            await asyncio.sleep(LOOK_S / 5)
            thief = self._sessions[theft.account]
            for stanza in thief.heard(wanted):
                for item in set(pubsub.item_ids(stanza)) - heard:
                    heard.add(item)
                    theft.taken_s.append(self._now_s)
            thief.forget()
            if thief.closed is not None:
                await asyncio.sleep(RECONNECT_S)
                self._sessions[theft.account] = await self._session(stack, theft.account)
                self._sessions[theft.account].say("<presence/>")

    async def _watch(self) -> None:
        """The watchman: who asked for a Topic that nobody has cause to ask for."""
        while True:
            await asyncio.sleep(LOOK_S)
            for deed in self._grid.activity():
                for theft in self.thefts:
                    named = deed.get("jid", "").partition("@")[0] == theft.account
                    if named and deed["action"] == "subscribe" and deed["topic"] in theft.honey:
                        theft.noticed_s = min(theft.noticed_s, self._now_s)

    async def _respond(self, theft: Theft, owner: Dialogue) -> None:
        procedure = self._procedure
        while not math.isfinite(theft.noticed_s):
            await asyncio.sleep(LOOK_S / 5)
        draws = generator(self._seed, "decision", theft.account)
        await asyncio.sleep(draws.exponential(procedure.decide) if procedure.decide else 0.0)
        theft.decided_s = self._now_s
        account = f"{theft.account}@{self._domain}"
        for step in procedure.steps:
            await asyncio.sleep(procedure.step)
            match step:
                case "affiliation":
                    # All at once: the server waits 40 ms for an acknowledgement at each answer.
                    requests = [pubsub.affiliate(topic, account, "outcast")
                                for topic in ("live", *theft.topics)]  # fmt: skip
                    asked = [owner.ask("set", self._broker, each, ALL_S) for each in requests]
                    await asyncio.gather(*asked)
                case "subscription":
                    request = pubsub.set_subscription("live", account, "none")
                    await owner.ask("set", self._broker, request)
                case _:
                    await revocation.end_sessions(owner, self._domain, account)
        theft.over = {"affiliation", "subscription"} <= set(procedure.steps)


def measured(thefts: Sequence[Theft], defence: str, duration_s: float) -> Measured:
    """The figures of thefts, each an independent part."""
    samples = {
        "exposed_items": _sample([float(len(each.taken_s)) for each in thefts]),
        "residual_items": _sample(
            [float(sum(t > each.decided_s for t in each.taken_s)) for each in thefts]
        ),
        "reads_to_alarm": _sample(
            [float(each.alarm_read) for each in thefts if each.alarm_read is not None]
        ),
        "time_to_detect_s": _sample([each.noticed_s for each in thefts]),
        "time_to_mitigate_s": _sample(
            [max(each.taken_s, default=0.0) if each.over else math.inf for each in thefts]
        ),
    }
    taken_s = sorted(thefts[0].taken_s)
    curve = thinned([0.0, *taken_s, duration_s], [*map(float, range(len(taken_s) + 1)),
                                                  float(len(taken_s))])  # fmt: skip
    return Measured(defence, "on a real server", samples, curve)


def _sample(values: Sequence[float]) -> Sample:
    if not values:
        return Sample(math.nan, reason="it never comes to that")
    parts = np.array(values)
    endless = int(np.isinf(parts).sum())
    reason = f"unbounded: never within the run in {endless} of {len(parts)} thefts"
    return Sample(float(parts.mean()), parts, 0.0, reason if endless else "")
