"""Acts on items: a Platform that catches up page by page, and items larger than a server takes."""

from __future__ import annotations

import asyncio
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncGenerator
from typing import Final

from loadtest import pubsub
from loadtest.act import Act, Stage, reason
from loadtest.acts_topics import publish_items
from loadtest.client import Session
from loadtest.payload import item_id, payload
from loadtest.problems import LoadError
from loadtest.shares import Login
from topologies.draws import generator

_ITEM: Final = f"{{{pubsub.PUBSUB}}}item"
SMALLEST_BYTES: Final = 16 * 1024
ANSWER_WITHIN_S: Final = 3.0


async def item_sync(stage: Stage) -> AsyncGenerator[None]:
    """Users fetch all items of a Topic, in pages where the server has them, think, fetch again."""
    count, page = int(stage.parameters["items"]), int(stage.parameters["page"])
    node = await stage.topic(access_model="open", persist_items=1, max_items=count)
    if node is None:
        return
    await publish_items(stage, node, "opaque", int(stage.parameters["size"]), count)
    yield

    async def user(place: int, login: Login) -> None:
        assert stage.script is not None
        draws = generator(stage.script.seed, "item-sync", place)
        async with stage.session(login) as session:
            while True:
                await _sync(stage, session, node, count, page)
                await stage.think(float(stage.parameters["think"]), draws)

    await stage.crowd(user)


async def _sync(stage: Stage, session: Session, node: str, count: int, page: int) -> None:
    """All items of a Topic: `sync`, made of `page` requests (XEP-0060 section 6.5, XEP-0059)."""
    begun_ns = time.monotonic_ns()
    have, after, outcome = 0, "", "ok"
    while have < count and outcome == "ok":
        wish = f"<max>{page}</max>" + (f"<after>{after}</after>" if after else "")
        asked_ns = time.monotonic_ns()
        try:
            reply = await stage.ask(session, "get", pubsub.items(node, page=wish))
        except LoadError as problem:
            outcome = reason(problem)
        else:
            got = sum(1 for _ in reply.iter(_ITEM))
            if got > page:
                stage.unsupported["pages of items (XEP-0059)"] = f"asked for {page}, got {got}"
            have += got
            after = reply.findtext(f".//{{{pubsub.RSM}}}last", "")
            if not got or (have < count and not after):
                outcome = f"{have} of {count} items"
        stage.actions.note("page", asked_ns, asked_ns, time.monotonic_ns(), outcome)
    stage.actions.note("sync", begun_ns, begun_ns, time.monotonic_ns(), outcome)


async def oversize(stage: Stage) -> AsyncGenerator[None]:
    """One user publishes larger and larger items, and learns how the server says no."""
    node = await stage.topic(access_model="open", persist_items=1, max_items=1)
    if node is None:
        return
    largest = int(stage.parameters["largest"])
    yield
    size = SMALLEST_BYTES
    while size <= largest:
        await _publish_large(stage, node, size)
        size *= 4


async def _publish_large(stage: Stage, node: str, size_bytes: int) -> None:
    """One item of that size, on a session of its own; the server may end it. [B]"""
    owner = stage.owner_login("oversize")
    content = payload("opaque", size_bytes, size_bytes).decode()
    request = pubsub.publish(node, item_id(stage.spec.tag, size_bytes), content)
    kind = f"publish {size_bytes // 1024} KiB"
    began_ns = time.monotonic_ns()
    try:
        async with stage.session(owner) as session:
            outcome = await _answer(session, stage.broker, ET.fromstring(request))
    except LoadError as problem:
        outcome = f"no login: {reason(problem)}"
    stage.actions.note(kind, began_ns, began_ns, time.monotonic_ns(), outcome)


async def _answer(session: Session, broker: str, question: ET.Element) -> str:
    """How a server answers: `ok`, a condition, or how it ended the session."""
    asking = asyncio.ensure_future(session.ask("set", broker, question))
    deadline_s = time.monotonic() + ANSWER_WITHIN_S
    while not asking.done() and not session.lost and time.monotonic() < deadline_s:
        await asyncio.wait([asking], timeout=0.02)
    if not asking.done():
        asking.cancel()
        return session.lost or f"no answer within {ANSWER_WITHIN_S:g} s"
    problem = asking.exception()
    return reason(problem) if isinstance(problem, LoadError) else "ok"


ACTS: Final[dict[str, Act]] = {"item-sync": item_sync, "oversize-items": oversize}
