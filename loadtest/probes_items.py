"""Probes of retrieval: which items a Broker gives, to whom, and in pages (XEP-0059)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from loadtest import pubsub
from loadtest.dialogue import Stanza
from loadtest.findings import Finding, judged, passed, probe, refusal, unsupported
from loadtest.testbed import Testbed

_NUMBERS = ("i0", "i1", "i2", "i3", "i4")


@contextlib.asynccontextmanager
async def _filled(bed: Testbed, **wishes: object) -> AsyncIterator[str]:
    async with bed.topic(persist_items=1, max_items=10, **wishes) as node:
        for number in _NUMBERS:
            await bed.must(bed.owner, pubsub.publish(node, number))
        yield node


def _page(reply: Stanza) -> dict[str, str]:
    found = reply.xml.find(f".//{{{pubsub.RSM}}}set")
    return {} if found is None else {each.tag.partition("}")[2]: each.text or "" for each in found}


@probe
async def items_to_everybody(bed: Testbed) -> Finding:
    """An open Topic gives its items to all, subscribed or not."""
    async with bed.platform() as platform, _filled(bed, access_model="open") as node:
        reply = await platform.ask("get", bed.broker, pubsub.items(node))
        return judged(sorted(pubsub.item_ids(reply)) == sorted(_NUMBERS), reply)


@probe
async def items_off_whitelist_refused(bed: Testbed) -> Finding:
    """Who is not on the whitelist gets no items, but not-allowed with closed-node."""
    async with bed.platform() as platform, _filled(bed, access_model="whitelist") as node:
        reply = await platform.ask("get", bed.broker, pubsub.items(node))
        return refusal(reply, "not-allowed", "closed-node")


@probe
async def items_to_owner(bed: Testbed) -> Finding:
    """The owner gets the items of a whitelisted Topic without a subscription."""
    async with _filled(bed, access_model="whitelist") as node:
        reply = await bed.owner.ask("get", bed.broker, pubsub.items(node))
        return judged(sorted(pubsub.item_ids(reply)) == sorted(_NUMBERS), reply)


@probe
async def items_by_id(bed: Testbed) -> Finding:
    """One item can be asked for by its id."""
    async with bed.platform() as platform, _filled(bed) as node:
        reply = await platform.ask("get", bed.broker, pubsub.items(node, number="i2"))
        return judged(pubsub.item_ids(reply) == ["i2"], reply)


@probe
async def items_newest(bed: Testbed) -> Finding:
    """Asked for so many items, the Broker gives the newest."""
    async with bed.platform() as platform, _filled(bed) as node:
        reply = await platform.ask("get", bed.broker, pubsub.items(node, newest=2))
        return judged(sorted(pubsub.item_ids(reply)) == ["i3", "i4"], reply)


@probe
async def items_of_unknown_topic_refused(bed: Testbed) -> Finding:
    """A Topic that is not there has no items to give: item-not-found."""
    async with bed.platform() as platform:
        reply = await platform.ask("get", bed.broker, pubsub.items("no-such-topic"))
        return refusal(reply, "item-not-found")


@probe
async def items_missing(bed: Testbed) -> Finding:
    """An item that is not there gives an empty list, not an error."""
    async with bed.platform() as platform, _filled(bed) as node:
        reply = await platform.ask("get", bed.broker, pubsub.items(node, number="no-such"))
        return judged(reply.ok and not pubsub.item_ids(reply), reply)


@probe
async def paging_limits(bed: Testbed) -> Finding:
    """A page of items holds no more than was asked for."""
    async with bed.platform() as platform, _filled(bed) as node:
        reply = await platform.ask("get", bed.broker, pubsub.items(node, page="<max>2</max>"))
        number = len(pubsub.item_ids(reply))
        note = f"{number} items on a page of 2"
        return passed(note, reply) if number <= 2 else unsupported(note, reply.text[-200:])


@probe
async def paging_named(bed: Testbed) -> Finding:
    """A page names its first and last entry and the size of the whole."""
    async with bed.platform() as platform, _filled(bed) as node:
        reply = await platform.ask("get", bed.broker, pubsub.items(node, page="<max>2</max>"))
        page = _page(reply)
        if not page:
            return unsupported("no page in the reply:", reply.text[-200:])
        right = page.get("count") == "5" and {"first", "last"} <= page.keys()
        return judged(right, reply.text[-300:])


@probe
async def paging_goes_on(bed: Testbed) -> Finding:
    """Page after page gives every item, none twice."""
    async with bed.platform() as platform, _filled(bed) as node:
        seen: list[str] = []
        page = "<max>2</max>"
        for _ in range(4):
            reply = await platform.ask("get", bed.broker, pubsub.items(node, page=page))
            found = _page(reply)
            if not found:
                return unsupported("no page in the reply:", reply.text[-200:])
            seen += pubsub.item_ids(reply)
            if "last" not in found:
                break
            page = f"<max>2</max><after>{found['last']}</after>"
        return judged(sorted(seen) == sorted(_NUMBERS), f"in pages of 2: {' '.join(seen)}")


@probe
async def paging_counts(bed: Testbed) -> Finding:
    """An empty page asks for the number of items alone."""
    async with bed.platform() as platform, _filled(bed) as node:
        reply = await platform.ask("get", bed.broker, pubsub.items(node, page="<max>0</max>"))
        page = _page(reply)
        if not page:
            return unsupported("no page in the reply:", reply.text[-200:])
        return judged(page.get("count") == "5" and not pubsub.item_ids(reply), reply)
