"""New Platforms on a real server, whose subscriptions somebody must approve: several mornings.

Each morning has Topics, Platforms, spammers and a desk of its own on the same server. Before it
somebody tries to make Topics under names that are mistyped often. Who asks for a wrong name gets an
error and asks again once it is set right, or is subscribed to a Topic of his. In the end the owner
publishes on all Topics and he on all of his, and each Platform knows whom it hears.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from loadtest import pubsub
from loadtest.desk import AUTHORIZATION, Asked, Desk, asked_of
from loadtest.dialogue import Dialogue, Stanza
from loadtest.herd import ended
from loadtest.localparts import subscribers
from loadtest.problems import LoadError
from loadtest.provisioning import OWNER
from loadtest.testbed import enter
from results import histogram, statistics
from results.statistics import Sample
from results.variants import Curve, Measured, thinned
from topologies.procedures import MORNINGS

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from topologies.procedures import Approvals
    from topologies.procedures_load import Request
    from topologies.schema import Topology

LEAD_S: Final = 0.3
HEARD_WITHIN_S: Final = 1.0
ANSWER_S: Final = 10.0
LATE_S: Final = 0.05
SAMPLE_S: Final = 0.05


def require(procedure: Approvals, topology: Topology, kind: str) -> None:
    """Refuse what is not played, naming all of it.

    Raises
    ------
    LoadError
        With place, value, rule and repair.
    """
    problems = []
    needed = MORNINGS * (procedure.platforms + procedure.spammers)
    there = len(subscribers(topology))
    if there < needed:
        problems.append(
            f"platforms: {there} subscribe; {MORNINGS} mornings of procedure.platforms and "
            f"procedure.spammers need {needed}; raise platforms.count"
        )
    if not any(each.publishes for each in topology.platforms):
        problems.append("platforms: nobody publishes; one of them tries to make Topics")
    if kind == "prosody" and procedure.prepared < 1.0:
        problems.append(
            f"procedure.prepared: {procedure.prepared:g}: Prosody's Topics have no access model "
            "authorize; set it to 100 %, or choose ejabberd"
        )
    if problems:
        raise LoadError("\n".join(problems))


@dataclass
class Morning:
    """One of them, and what came of it.

    Attributes
    ----------
    wishes : dict
        The honest requests by Topic and bare JID.
    granted_s : dict
        When the server said so, since the request was due. [s]
    reached, lured : set
        Whose true items came, and whose false ones.
    spam : dict
        The others' requests by Topic and full JID.
    made : set
        Which honest requests were made.
    desk : Desk or None
        Who answers.
    """

    number: int
    wishes: dict[Asked, Request] = field(default_factory=dict)
    spam: dict[Asked, Request] = field(default_factory=dict)
    granted_s: dict[Asked, float] = field(default_factory=dict)
    made: set[Asked] = field(default_factory=set)
    reached: set[Asked] = field(default_factory=set)
    lured: set[Asked] = field(default_factory=set)
    desk: Desk | None = None

    def topic(self, number: int) -> str:
        """The name of a Topic."""
        return f"indicators-{self.number}-{number}"


def alike(topic: str) -> str:
    """The name that somebody wants to make a Topic of."""
    return topic.replace("indicators", "indicator")


def mistyped(topic: str) -> str:
    """The name that is nobody's."""
    return topic.replace("indicators", "indicatros")


class Onboarding:
    """All mornings on one server.

    Parameters
    ----------
    grid : Grid
        Deployed with `Options(creation=procedure.creators)`.
    procedure : Approvals
        What happens in each.
    topology : Topology
        Whose Platforms they are.
    seed : int
        Of all requests.
    """

    def __init__(self, grid: Grid, procedure: Approvals, topology: Topology, seed: int) -> None:
        document = grid.document()
        place = next(iter(document["controllers"].values()))
        require(procedure, topology, place["server"])
        self._access = "whitelist" if place["server"] == "prosody" else "authorize"
        self._grid, self._procedure, self._domain = grid, procedure, place["domain"]
        self._broker = next(iter(document["brokers"].values()))
        self._passwords = grid.credentials()
        self._squatter = next(f"{each.name}-0" for each in topology.platforms if each.publishes)
        names = subscribers(topology)
        self._sessions: dict[str, Dialogue] = {}
        self._stanzas: set[int] = set()
        self.late_s, self.lookalikes = 0.0, 0
        self.mornings = [self._plan(number, names, seed) for number in range(MORNINGS)]

    def _plan(self, number: int, names: Sequence[str], seed: int) -> Morning:
        """Who asks for what; each spammer asks for resources of its own, again and again."""
        procedure, morning = self._procedure, Morning(number)
        each = procedure.platforms + procedure.spammers
        own = names[number * each :][:each]
        for request in procedure.requests(seed, number):
            place = request.account + (0 if request.honest else procedure.platforms)
            jid = f"{own[place]}@{self._domain}"
            topic = morning.topic(request.topic % procedure.topics)
            if request.honest:
                morning.wishes[topic, jid] = request
            else:
                morning.spam[topic, f"{jid}/{request.topic}"] = request
        return morning

    async def play(self) -> None:
        """All of it, from the Topics to who hears whom."""
        entered: list[Dialogue] = []
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(_leave, entered)
            owner = await self._enter(entered, OWNER)
            squatter = await self._enter(entered, self._squatter)
            jids = {jid for each in self.mornings for _, jid in (*each.wishes, *each.spam)}
            for jid in sorted({each.partition("/")[0] for each in jids}):
                self._sessions[jid] = await self._enter(entered, jid.partition("@")[0])
            await self._furnish(owner, squatter)
            begun_s = time.monotonic() + LEAD_S
            work = [self._receive(owner)]
            for morning in self.mornings:
                known = {**morning.wishes, **morning.spam}
                morning.desk = Desk(owner, self._broker, self._procedure, known)
                work.append(morning.desk.work())
                work += [
                    self._wish(morning, asked, request, begun_s) for asked, request in known.items()
                ]
            running = [asyncio.ensure_future(each) for each in work]
            try:
                left_s = begun_s + self._procedure.duration - time.monotonic()
                await asyncio.wait(running, timeout=left_s, return_when=asyncio.FIRST_EXCEPTION)
                for each in running:
                    if each.done():
                        each.result()
            finally:
                await ended(running)
            await self._hear(owner, squatter)

    async def _enter(self, entered: list[Dialogue], name: str) -> Dialogue:
        password = self._passwords[f"{name}@{self._domain}"]
        session = await enter(self._grid, name, password, "onboarding")
        entered.append(session)
        session.say("<presence/>")
        return session

    async def _furnish(self, owner: Dialogue, squatter: Dialogue) -> None:
        """The owner's Topics with who is on a whitelist, and those that somebody else can make."""
        configuration = {"access_model": self._access, "send_last_published_item": "never"}
        for morning in self.mornings:
            for number in range(self._procedure.topics):
                topic = morning.topic(number)
                await self._must(owner, pubsub.create(topic, configuration))
                if self._procedure.squatted:
                    await squatter.ask("set", self._broker, pubsub.create(alike(topic), {}))
            for (topic, jid), request in morning.wishes.items():
                if request.prepared:
                    await self._must(owner, pubsub.affiliate(topic, jid, "member"))
                    if self._access == "authorize":  # ejabberd asks the owner about members, too
                        await self._must(owner, pubsub.set_subscription(topic, jid, "subscribed"))
        seen = await squatter.ask("get", self._broker, pubsub.disco("items"))
        found = {each.get("node") for each in seen.xml.iterfind(".//{*}item")}
        topics = [each.topic(k) for each in self.mornings for k in range(self._procedure.topics)]
        self.lookalikes = sum(alike(topic) in found for topic in topics)

    async def _must(self, owner: Dialogue, request: str) -> Stanza:
        reply = await owner.ask("set", self._broker, request)
        if not reply.ok:
            raise LoadError(f"{self._broker}: {reply.text[:200]}")
        return reply

    async def _receive(self, owner: Dialogue) -> None:
        """Give each form to the desk of its morning, for ever."""
        desks = {
            each.topic(number): each for each in self.mornings
            for number in range(self._procedure.topics)
        }  # fmt: skip
        while True:
            form = await owner.hear(self._new_form, ANSWER_S)
            if form is not None:
                self._stanzas.add(id(form))
                desk = desks[asked_of(form)[0]].desk
                assert desk is not None
                desk.take(form)

    def _new_form(self, stanza: Stanza) -> bool:
        return AUTHORIZATION in stanza.text and id(stanza) not in self._stanzas

    async def _wish(self, morning: Morning, asked: Asked, request: Request, begun_s: float) -> None:
        """One request, under a wrong name first where it has one, until it is granted."""
        topic, jid = asked
        session, due_s = self._sessions[jid.partition("/")[0]], begun_s + request.at_s
        await asyncio.sleep(due_s - time.monotonic())
        self.late_s = max(self.late_s, time.monotonic() - due_s)
        if request.honest:
            morning.made.add(asked)
        if request.delay_s or request.lured:
            wrong = alike(topic) if request.alike else mistyped(topic)
            if await self._subscribe(session, wrong, jid):
                return  # it believes that it is there
            await asyncio.sleep(due_s + request.delay_s - time.monotonic())
        if not await self._subscribe(session, topic, jid):
            told = await session.hear(lambda stanza: _granted(stanza, topic), math.inf)
            assert told is not None
        if request.honest:
            morning.granted_s[asked] = time.monotonic() - due_s

    async def _subscribe(self, session: Dialogue, topic: str, jid: str) -> bool:
        """Whether a subscription is granted at once; it may be pending, or refused."""
        request = pubsub.subscribe(topic, jid)
        reply = await session.ask("set", self._broker, request, ANSWER_S)
        return reply.ok and _state(reply, topic) == "subscribed"

    async def _hear(self, owner: Dialogue, squatter: Dialogue) -> None:
        """Whose items come to whom."""
        for morning in self.mornings:
            for number in range(self._procedure.topics):
                topic = morning.topic(number)
                await self._must(owner, pubsub.publish(topic, "true"))
                if self.lookalikes:
                    await self._must(squatter, pubsub.publish(alike(topic), "false"))
        latest_s = time.monotonic() + ANSWER_S
        for topic, jid in (asked for morning in self.mornings for asked in morning.granted_s):
            item = functools.partial(_brings, topic, "true")
            await self._sessions[jid].hear(item, max(latest_s - time.monotonic(), 0.0))
        await asyncio.sleep(HEARD_WITHIN_S)  # for all that nobody waits for
        for morning in self.mornings:
            for topic, jid in morning.wishes:
                session = self._sessions[jid]
                if session.heard(functools.partial(_brings, topic, "true")):
                    morning.reached.add((topic, jid))
                if session.heard(functools.partial(_brings, alike(topic), "false")):
                    morning.lured.add((topic, jid))


async def _leave(sessions: Sequence[Dialogue]) -> None:
    """All at once: a server that has stopped answering holds up each for a while."""
    await asyncio.gather(*(each.leave() for each in sessions))


def _state(stanza: Stanza, topic: str) -> str | None:
    for each in stanza.xml.iterfind(".//{*}subscription"):
        if each.get("node") == topic:
            return each.get("subscription")
    return None


def _granted(stanza: Stanza, topic: str) -> bool:
    return topic in stanza.text and _state(stanza, topic) == "subscribed"


def _brings(topic: str, item: str, stanza: Stanza) -> bool:
    """Whether a notification has this item of this Topic."""
    if topic not in stanza.text:
        return False
    items = [each for each in stanza.xml.iterfind(".//{*}items") if each.get("node") == topic]
    return any(one.get("id") == item for each in items for one in each)


def measured(played: Onboarding, procedure: Approvals, defence: str) -> Measured:
    """The figures, as the model has them, a part for each morning."""
    found: dict[str, list[float]] = {}
    histograms = []
    for morning in played.mornings:
        made = {asked for asked in morning.made if morning.wishes[asked].at_s < procedure.duration}
        total = max(len(made), 1)
        latency_s = np.array([morning.granted_s.get(asked, math.inf) for asked in made])
        counts = histogram.count(latency_s)
        histograms.append(counts)
        desk = morning.desk
        figures = {
            "goodput_per_s": len(morning.granted_s) / procedure.duration,
            "subscribe_p50_s": histogram.quantile(counts, 0.5),
            "waiting_max": float(desk.waiting_max if desk else 0),
            "never_share": len(made - morning.reached) / total,
            "lured_share": len(morning.lured) / total,
            "turned_away": float(desk.turned_away if desk else 0),
        }
        for name, value in figures.items():
            found.setdefault(name, []).append(float(value))
    samples = {name: _sample(values) for name, values in found.items()}
    samples["p99_s"] = statistics.quantile(histograms, 0.99)
    told = f"on a real server; Topics of look-alike names: {played.lookalikes}"
    return Measured(
        defence, told, samples, _curve(played.mornings[0], procedure),
        doubts=tuple(_doubts(played)),
    )  # fmt: skip


def _sample(values: Sequence[float]) -> Sample:
    parts = np.array(values)
    endless = int(np.isinf(parts).sum())
    reason = f"unbounded: never within the run in {endless} of {len(parts)} mornings"
    return Sample(float(parts.mean()), parts, -np.inf, reason if endless else "")


def _curve(morning: Morning, procedure: Approvals) -> Curve:
    """How many of the honest requests of the first morning are not granted yet."""
    ends_s = np.arange(0.0, procedure.duration, SAMPLE_S)
    made_s = np.sort([morning.wishes[asked].at_s for asked in morning.made])
    granted_s = np.sort(
        [morning.wishes[asked].at_s + took_s for asked, took_s in morning.granted_s.items()]
    )
    waiting = np.searchsorted(made_s, ends_s) - np.searchsorted(granted_s, ends_s)
    return thinned(ends_s.tolist(), waiting.astype(float).tolist())


def _doubts(played: Onboarding) -> Iterator[str]:
    if played.late_s > LATE_S:
        yield f"a request was late by {played.late_s:.3g} s: the generator was the limit"
    for morning in played.mornings:
        unheard = morning.granted_s.keys() - morning.reached
        if unheard:
            yield f"morning {morning.number}: {len(unheard)} that were granted heard nothing"
