"""Stolen credentials on a real grid: owner and thief of an account log in over each other.

Each contest has an account of its own. Its owner is subscribed to a Topic and online; the thief
comes later: with the password and the owner's resource, so that one throws the other out or is
refused; with a resource of its own, which throws nobody out; or with an account of its own and the
id of the owner's session (XEP-0198). The password may be changed meanwhile (XEP-0133); who is
thrown out comes back as the procedure says, the owner with the new password.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from loadtest import pubsub, revocation
from loadtest.dialogue import Dialogue, Silence
from loadtest.herd import together
from loadtest.problems import LoadError
from loadtest.server import Options
from loadtest.testbed import about, door_of, enter, has_certificates
from results.statistics import Sample
from results.variants import Measured, thinned
from topologies.draws import generator

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from topologies.procedures import Duel

CONTESTS: Final = 4
LOOK_S: Final = 0.01  # how often a session is looked at
OWNER: Final = "admin"  # of the Topics
TOPIC: Final = "live"
RESUMPTION: Final = "urn:xmpp:sm:3"
Side = Literal["owner", "thief"]


def options(procedure: Duel, kind: str) -> Options:
    """How a server is deployed for a duel.

    Parameters
    ----------
    kind : str
        `prosody` or `ejabberd`.

    Raises
    ------
    LoadError
        Its servers do not do what the procedure says.
    """
    problems = []
    if procedure.lock_after is not None:
        problems.append("lock_after: no server locks accounts by conflicts")
    if procedure.guesses is not None:
        problems.append("guesses: ids are not guessed on real grids")
    if procedure.stolen_session_id and not procedure.bound_session_id:
        problems.append("bound_session_id: both servers bind ids to their account")
    if procedure.rotate is not None and procedure.survives != (kind == "ejabberd"):
        ends = "leaves sessions open" if kind == "ejabberd" else "ends the account's sessions"
        problems.append(f"survives: {kind} {ends} when a password is changed")
    if problems:
        raise LoadError("\n".join(f"procedure.{each}" for each in problems))
    return Options(
        administration=True,
        certificates=procedure.external,
        conflict=procedure.conflict,
        resumption=procedure.stolen_session_id,
    )


@dataclass
class Contest:
    """One account, its owner and its thief. Instants since its start. [s]

    Attributes
    ----------
    account, thief : str
        Localparts of the account, and of the thief's own.
    held_s : dict
        By side, stretches of time with a session of the account.
    items_s : dict
        By side, when each item of the Topic came.
    kicks : int
        Conflicts: sessions that another ended, or that were refused for one.
    refused : int
        Other attempts that failed.
    session_id : str
        Of the owner's first session, where sessions can be resumed.
    """

    account: str
    thief: str
    held_s: dict[Side, list[list[float]]] = field(
        default_factory=lambda: {"owner": [], "thief": []}
    )
    items_s: dict[Side, list[float]] = field(default_factory=lambda: {"owner": [], "thief": []})
    kicks: int = 0
    refused: int = 0
    session_id: str = ""


class Arena:
    """Contests at one Broker.

    Parameters
    ----------
    grid : Grid
        Deployed with `options`.
    procedure : Duel
        Who comes when, and what is done.
    accounts : sequence of (account, thief)
        Localparts.
    seed : int
        Of the owners' patience and the publications.
    """

    def __init__(
        self, grid: Grid, procedure: Duel, accounts: Sequence[tuple[str, str]], seed: int
    ) -> None:
        self._grid, self._procedure, self._seed = grid, procedure, seed
        document = grid.document()
        self._domain = next(iter(document["controllers"].values()))["domain"]
        self._broker = next(iter(document["brokers"].values()))
        self._passwords = dict(grid.credentials())
        self._begun_s = 0.0
        self.contests = [Contest(*each) for each in accounts]

    async def play(self) -> None:
        """All contests at a time, from the beginning to the procedure's end."""
        async with contextlib.AsyncExitStack() as stack:
            self._stack = stack
            owner = await self._kept(enter(self._grid, OWNER, self._password(OWNER), "contest"))
            await self._must(owner, pubsub.create(TOPIC, {"access_model": "open"}))
            holders = [await self._first(contest) for contest in self.contests]
            self._begun_s = time.monotonic()
            tasks = [self._publish(owner)]
            for contest, holder in zip(self.contests, holders, strict=True):
                tasks += [self._own(contest, holder), self._steal(contest)]
                if self._procedure.rotate is not None:
                    tasks.append(self._rotate(contest, owner))
            await together(tasks, self._procedure.duration)

    @property
    def _now_s(self) -> float:
        return time.monotonic() - self._begun_s

    def _password(self, localpart: str) -> str:
        return self._passwords[f"{localpart}@{self._domain}"]

    async def _kept(self, entering: Coroutine[Any, Any, Dialogue]) -> Dialogue:
        session = await entering
        self._stack.push_async_callback(session.leave)
        return session

    async def _must(self, who: Dialogue, request: str) -> None:
        reply = await who.ask("set", self._broker, request)
        if not reply.ok:
            raise LoadError(f"{self._broker}: {reply.text[:200]}")

    async def _first(self, contest: Contest) -> Dialogue:
        """The owner, online and subscribed before anything happens."""
        session = await self._enter(contest, "owner")
        if session is None:
            raise LoadError(f"{contest.account}: does not get in")
        await self._must(session, pubsub.subscribe(TOPIC, session.bare))
        if self._procedure.stolen_session_id:
            session.say(f"<enable xmlns='{RESUMPTION}' resume='true'/>")
            enabled = await session.hear(lambda each: each.xml.tag == f"{{{RESUMPTION}}}enabled")
            if enabled is None or not (number := enabled.xml.get("id")):
                raise LoadError(f"{contest.account}: its session cannot be resumed")
            contest.session_id = number
        return session

    async def _enter(self, contest: Contest, side: Side) -> Dialogue | None:
        """A session of the account, if the server lets this side have one."""
        own = side == "thief" and self._procedure.resource == "own"
        resource = "thief" if own else "tool"
        password = self._password(contest.account)
        try:
            if side == "thief":
                session = await self._kept(self._with_password(contest, resource))
            else:
                session = await self._kept(enter(self._grid, contest.account, password, resource))
        except (LoadError, OSError, TimeoutError):
            contest.refused += 1
            return None
        if not session.jid:  # the resource is taken
            contest.kicks += 1
            await session.leave()
            return None
        session.say("<presence/>")
        return session

    async def _with_password(self, contest: Contest, resource: str) -> Dialogue:
        """The thief has the password as it was, and no certificate."""
        stolen = self._grid.credentials()[f"{contest.account}@{self._domain}"]
        stream = await Dialogue.open(door_of(self._grid))
        try:
            if has_certificates(self._grid) and not stream.mechanisms:
                raise Silence("no password is taken")
            await stream.authenticate(contest.account, stolen)
            return await stream.bind(resource)
        except BaseException:
            await stream.leave()
            raise

    async def _hold(self, contest: Contest, side: Side, session: Dialogue) -> None:
        """Listen until the server ends the session, and keep the books."""
        span_s = [self._now_s, math.inf]
        contest.held_s[side].append(span_s)
        wanted = about(TOPIC, "live-")
        try:
            closed = False
            while not closed:
                await asyncio.sleep(LOOK_S)
                closed = session.closed is not None
                come = [name for each in session.heard(wanted) for name in pubsub.item_ids(each)]
                contest.items_s[side] += [self._now_s] * len(come)
                session.forget()
            contest.kicks += "conflict" in (session.closed or "")
        finally:
            span_s[1] = self._now_s

    async def _own(self, contest: Contest, session: Dialogue | None) -> None:
        procedure = self._procedure
        patience = 0.5 + generator(self._seed, "owner", contest.account).random()
        while True:
            if session is not None:
                await self._hold(contest, "owner", session)
            await asyncio.sleep(procedure.retry * patience)
            session = await self._enter(contest, "owner")

    async def _steal(self, contest: Contest) -> None:
        procedure = self._procedure
        await asyncio.sleep(procedure.arrival - self._now_s)
        while True:
            if procedure.stolen_session_id:
                session = await self._resumed(contest)
            else:
                session = await self._enter(contest, "thief")
            if session is not None:
                await self._hold(contest, "thief", session)
            await asyncio.sleep(procedure.retry)

    async def _resumed(self, contest: Contest) -> Dialogue | None:
        """The owner's session, if an account of the thief's own may resume it."""
        stream = await self._kept(Dialogue.open(door_of(self._grid)))
        await stream.authenticate(contest.thief, self._password(contest.thief))
        stream.say(f"<resume xmlns='{RESUMPTION}' previd='{contest.session_id}' h='0'/>")
        answer = await stream.read("resumed", "failed")
        if answer.xml.tag.endswith("}failed"):
            contest.refused += 1
            await stream.leave()
            return None
        return stream.listen()

    async def _rotate(self, contest: Contest, owner: Dialogue) -> None:
        assert self._procedure.rotate is not None
        await asyncio.sleep(self._procedure.rotate - self._now_s)
        account = f"{contest.account}@{self._domain}"
        self._passwords[account] = f"{self._passwords[account]}-changed"
        await revocation.change_password(owner, self._domain, account, self._passwords[account])

    async def _publish(self, owner: Dialogue) -> None:
        draws, due_s = generator(self._seed, "live"), 0.0
        while True:
            due_s += draws.exponential(1.0 / self._procedure.rate)
            await asyncio.sleep(due_s - self._now_s)
            number = f"live-{round(due_s * 1e6)}"
            request = pubsub.publish(TOPIC, number)
            owner.say(f"<iq type='set' id='{number}' to='{self._broker}'>{request}</iq>")


def measured(contests: Sequence[Contest], procedure: Duel, defence: str) -> Measured:
    """The figures of contests, each an independent part."""
    lasting_s = procedure.duration - procedure.arrival
    thief_s = [_time_s(each, "thief", 0.0, procedure.duration) for each in contests]
    taken = [float(len(each.items_s["thief"])) for each in contests]
    kept = [sum(t >= procedure.arrival for t in each.items_s["owner"]) for each in contests]
    figures = {
        "exposed_s": thief_s,
        "exposed_items": taken,
        "goodput_per_s": [count / lasting_s for count in kept],
        "hijacked_share": [float(each > 0.0) for each in thief_s],
        "kicks_per_s": [each.kicks / lasting_s for each in contests],
    }
    samples = {
        name: Sample(float(np.mean(values)), np.array(values), 0.0)
        for name, values in figures.items()
    }
    came_s = sorted(contests[0].items_s["thief"])
    curve = thinned([0.0, *came_s, procedure.duration],
                    [*map(float, range(len(came_s) + 1)), float(len(came_s))])  # fmt: skip
    return Measured(defence, "on a real server", samples, curve)


def _time_s(contest: Contest, side: Side, begin_s: float, end_s: float) -> float:
    """How long a side had a session. [s]"""
    return math.fsum(
        max(min(stop, end_s) - max(start, begin_s), 0.0) for start, stop in contest.held_s[side]
    )
