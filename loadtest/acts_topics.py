"""Acts on subscriptions: users come to a Topic and go, or come to one that keeps its last item."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Final

from loadtest import pubsub
from loadtest.act import Act, Stage
from loadtest.client import Session
from loadtest.payload import Kind, item_id, payload
from loadtest.shares import Login
from topologies.draws import generator

ARRIVES_WITHIN_S: Final = 10.0
_LOOK_S: Final = 0.002


async def churn(stage: Stage) -> AsyncGenerator[None]:
    """Users subscribe, think, unsubscribe, think, and so on."""
    node = await stage.topic(access_model="open")
    if node is None:
        return
    think_s = float(stage.parameters["think"])
    yield

    async def user(place: int, login: Login) -> None:
        assert stage.script is not None
        draws = generator(stage.script.seed, "churn", place)
        async with stage.session(login) as session:
            jid = str(session.boundjid)
            while True:
                for kind, request in (
                    ("subscribe", pubsub.subscribe(node, jid)),
                    ("unsubscribe", pubsub.unsubscribe(node, jid)),
                ):
                    due_ns = time.monotonic_ns()
                    await stage.timed(kind, due_ns, stage.ask(session, "set", request))
                    await stage.think(think_s, draws)

    await stage.crowd(user)


async def last_item(stage: Stage) -> AsyncGenerator[None]:
    """Users subscribe, all at once, to a Topic that sends its last item to each newcomer."""
    node = await stage.topic(
        access_model="open",
        persist_items=1,
        max_items=1,
        send_last_published_item="on_sub",
    )
    if node is None:
        return
    size_bytes, spread_s = int(stage.parameters["size"]), float(stage.parameters["spread"])
    await publish_items(stage, node, "opaque", size_bytes, 1)
    sessions: dict[int, Session] = {}

    async def arrive(place: int, login: Login) -> None:
        sessions[place] = await stage.enter(login)

    await stage.crowd(arrive)
    yield
    begun_ns = time.monotonic_ns()

    async def newcomer(place: int, login: Login) -> None:
        due_ns = begun_ns + int(stage.draws.uniform(0.0, spread_s) * 1e9)
        await asyncio.sleep((due_ns - time.monotonic_ns()) / 1e9)
        jid = str(sessions[place].boundjid)
        asked = stage.ask(sessions[place], "set", pubsub.subscribe(node, jid))
        if not await stage.timed("subscribe", due_ns, asked):
            return
        received_ns = await arrival_ns(stage, sessions[place].number)
        outcome = "ok" if received_ns else "no item in time"
        ended_ns = received_ns or time.monotonic_ns()
        stage.actions.note("last item", due_ns, due_ns, ended_ns, outcome)

    await stage.crowd(newcomer)


async def publish_items(stage: Stage, node: str, kind: Kind, size_bytes: int, count: int) -> None:
    """The owner publishes so many items, numbered from 0; LoadError where the server refuses."""
    owner = await stage.owner()
    for number in range(count):
        content = payload(kind, size_bytes, number).decode()
        request = pubsub.publish(node, item_id(stage.spec.tag, number), content)
        await stage.ask(owner, "set", request)


async def arrival_ns(stage: Stage, number: int) -> int:
    """When the session of a Platform got its first item; 0 where it did not in time. [ns]"""
    deadline_s = time.monotonic() + ARRIVES_WITHIN_S
    while time.monotonic() < deadline_s:
        if number in (arrived := stage.arrivals()):
            return arrived[number]
        await asyncio.sleep(_LOOK_S)
    return 0


ACTS: Final[dict[str, Act]] = {"subscription-churn": churn, "last-item-storm": last_item}
