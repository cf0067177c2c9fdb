"""Acts at the door: many Platforms log in at once, each step timed; or they ask to be let in."""

from __future__ import annotations

import asyncio
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator
from typing import Final

from loadtest import pubsub
from loadtest.act import Act, Stage, reason
from loadtest.client import Session
from loadtest.logins import log_in
from loadtest.problems import LoadError
from loadtest.retries import policy_of
from loadtest.shares import Login
from topologies.draws import generator

_AUTHORIZATION: Final = f"{pubsub.PUBSUB}#subscribe_authorization"
ANSWER_WITHIN_S: Final = 10.0


async def login_storm(stage: Stage) -> AsyncGenerator[None]:
    """Users log in within `spread` seconds, stay for a thinking time, leave, and come again."""
    spread_s, think_s = float(stage.parameters["spread"]), float(stage.parameters["think"])
    offsets_s = stage.draws.uniform(0.0, spread_s, len(stage.users))

    yield
    begun_ns = time.monotonic_ns()

    async def user(place: int, login: Login) -> None:
        assert stage.script is not None
        draws = generator(stage.script.seed, "login-storm", place)
        retry = policy_of(login.jid, stage.parameters, stage.script.retries)
        due_ns = begun_ns + int(offsets_s[place] * 1e9)
        await asyncio.sleep((due_ns - time.monotonic_ns()) / 1e9)
        while True:
            session = await log_in(
                stage.actions,
                lambda: retry.attempt(lambda: stage.enter(login)),
                due_ns,
                retry.waits_s(draws),
            )
            await stage.think(think_s, draws)
            if session is not None:
                stage.leave(session)
            due_ns = time.monotonic_ns()

    await stage.crowd(user)


async def authorize(stage: Stage) -> AsyncGenerator[None]:
    """Users ask for a subscription that the Topic's owner must grant, think, end it, ask again."""
    node = await stage.topic(access_model="authorize")
    if node is None:
        return
    owner = await stage.owner()
    owner.send_presence()  # requests go to an owner who is available

    def grant(stanza: bytes, received_ns: int) -> bool:
        if _AUTHORIZATION.encode() not in stanza or node.encode() not in stanza:
            return False
        owner.send_raw(_approval(stanza, stage.broker))
        return True

    owner.filter = grant
    yield

    async def user(place: int, login: Login) -> None:
        assert stage.script is not None
        draws = generator(stage.script.seed, "authorize", place)
        async with stage.session(login) as session:
            while True:
                await _ask_to_be_let_in(stage, session, node)
                await stage.think(float(stage.parameters["think"]), draws)

    await stage.crowd(user)


async def _ask_to_be_let_in(stage: Stage, session: Session, node: str) -> None:
    """One subscription: the request's answer, the grant, and its end."""
    jid = str(session.boundjid)
    granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def hear(stanza: bytes, received_ns: int) -> bool:
        told = stanza.startswith(b"<message") and node.encode() in stanza
        if told and b"subscribed" in stanza and not granted.done():
            granted.set_result(received_ns)
        return told

    session.filter = hear
    due_ns = time.monotonic_ns()
    if not await stage.timed(
        "request", due_ns, stage.ask(session, "set", pubsub.subscribe(node, jid))
    ):
        return
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            granted_ns = await granted
        stage.actions.note("grant", due_ns, due_ns, granted_ns)
    except TimeoutError:
        stage.actions.note("grant", due_ns, due_ns, time.monotonic_ns(), "no answer in time")
    try:
        await stage.ask(session, "set", pubsub.unsubscribe(node, jid))
    except LoadError as problem:
        stage.problems.append(f"unsubscribe: {reason(problem)}")


def _approval(request: bytes, broker: str) -> bytes:
    """The owner's consent to a request (XEP-0060 section 8.6)."""
    form = ET.fromstring(request).find(f".//{{{pubsub.FORM}}}x")
    assert form is not None
    fields = {
        str(field.get("var")).removeprefix("pubsub#"): field.findtext(f"{{{pubsub.FORM}}}value", "")
        for field in form.iter(f"{{{pubsub.FORM}}}field")
        if field.get("var") != "FORM_TYPE"
    }
    submitted = pubsub.form("submit", {**fields, "allow": "true"}, _AUTHORIZATION)
    number = ET.fromstring(request).get("id", "")
    return f"<message to='{broker}' id='{number}'>{submitted}</message>".encode()


ACTS: Final[dict[str, Act]] = {"login-storm": login_storm, "authorize": authorize}
