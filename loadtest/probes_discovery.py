"""Probes of service discovery (XEP-0030) as Platforms use it to find Brokers, Topics and items."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from loadtest import pubsub
from loadtest.findings import (
    Finding,
    failed,
    judged,
    passed,
    probe,
    probe_alone,
    refusal,
    unsupported,
)
from loadtest.testbed import Testbed

CROWD = 130  # Topics at once: more than any default page


def listed(stanza_nodes: list[str], wanted: list[str]) -> int:
    """How many of the wanted nodes are listed."""
    return len(set(wanted) & set(stanza_nodes))


@probe
async def discovery_of_broker(bed: Testbed) -> Finding:
    """The Controller lists its Broker."""
    async with bed.platform() as platform:
        reply = await platform.ask("get", bed.door.domain, pubsub.disco("items"))
        return judged(any(each.get("jid") == bed.broker for each in reply.xml.iter()), reply)


@probe
async def discovery_of_topics(bed: Testbed) -> Finding:
    """The Broker lists a Topic, with its own address."""
    async with bed.platform() as platform, bed.topic() as node:
        reply = await platform.ask("get", bed.broker, pubsub.disco("items"))
        found = [
            each.attrib for each in reply.xml.iterfind(".//{*}item") if each.get("node") == node
        ]
        right = len(found) == 1 and found[0].get("jid") == bed.broker
        return judged(right, str(found[0]) if found else reply)


@probe_alone
async def discovery_of_many_topics(bed: Testbed) -> Finding:
    """A long list is whole, or says that it is not (a page with its count, XEP-0059)."""
    async with crowded(bed) as nodes, bed.platform() as platform:
        reply = await platform.ask("get", bed.broker, pubsub.disco("items"), within_s=8.0)
        found = [each.get("node", "") for each in reply.xml.iterfind(".//{*}item")]
        number = listed(found, nodes)
        note = f"{len(found)} items for at least {len(nodes)} Topics, {number} of them ours"
        said = f"{{{pubsub.RSM}}}set" in {each.tag for each in reply.xml.iter()}
        return judged(number == len(nodes) or said, note, reply.text[-200:])


@probe_alone
async def result_limit(bed: Testbed) -> Finding:
    """The Controller bounds what one query returns."""
    async with crowded(bed) as nodes, bed.platform() as platform:
        reply = await platform.ask("get", bed.broker, pubsub.disco("items"), within_s=8.0)
        found = [each.get("node", "") for each in reply.xml.iterfind(".//{*}item")]
        note = f"{len(found)} items for at least {len(nodes)} Topics"
        return passed(note) if len(found) < len(nodes) else unsupported(note)


@probe
async def paging_of_topics(bed: Testbed) -> Finding:
    """Discovery of Topics obeys a page size."""
    async with bed.topic(), bed.topic(), bed.topic(), bed.platform() as platform:
        page = pubsub.disco("items", page="<max>2</max>")
        reply = await platform.ask("get", bed.broker, page)
        found = list(reply.xml.iterfind(".//{*}item"))
        note = f"{len(found)} items on a page of 2"
        return passed(note, reply) if len(found) <= 2 else unsupported(note, reply.text[:200])


@contextlib.asynccontextmanager
async def crowded(bed: Testbed) -> AsyncIterator[list[str]]:
    """So many Topics that a server's default page does not hold them."""
    async with contextlib.AsyncExitStack() as stack:
        topics = [bed.topic() for _ in range(CROWD)]
        yield list(await asyncio.gather(*map(stack.enter_async_context, topics)))


@probe
async def discovery_of_nothing(bed: Testbed) -> Finding:
    """A Topic without items gives an empty list, not an error."""
    async with bed.platform() as platform, bed.topic() as node:
        reply = await platform.ask("get", bed.broker, pubsub.disco("items", node))
        return judged(reply.ok and not list(reply.xml.iterfind(".//{*}item")), reply)


@probe
async def discovery_mirrors_node(bed: Testbed) -> Finding:
    """The reply names the node that was asked about."""
    async with bed.platform() as platform, bed.topic() as node:
        reply = await platform.ask("get", bed.broker, pubsub.disco("info", node))
        query = reply.xml.find(f"{{{pubsub.DISCO}#info}}query")
        return judged(query is not None and query.get("node") == node, reply)


@probe
async def discovery_of_unknown(bed: Testbed) -> Finding:
    """A node that is not there is answered by item-not-found."""
    async with bed.platform() as platform:
        reply = await platform.ask("get", bed.broker, pubsub.disco("info", "no-such-topic"))
        return refusal(reply, "item-not-found")


@probe
async def broker_identity(bed: Testbed) -> Finding:
    """The Broker says that it is a publish-subscribe service and what it can do."""
    async with bed.platform() as platform:
        reply = await platform.ask("get", bed.broker, pubsub.disco("info"))
        identities = [
            (each.get("category"), each.get("type"))
            for each in reply.xml.iterfind(".//{*}identity")
        ]
        features = {each.get("var", "") for each in reply.xml.iterfind(".//{*}feature")}
        named = any(each.startswith(pubsub.PUBSUB) for each in features)
        return judged(("pubsub", "service") in identities and named, reply)


@probe
async def topic_identity(bed: Testbed) -> Finding:
    """A Topic says that it is a leaf."""
    async with bed.platform() as platform, bed.topic() as node:
        reply = await platform.ask("get", bed.broker, pubsub.disco("info", node))
        kinds = [
            (each.get("category"), each.get("type"))
            for each in reply.xml.iterfind(".//{*}identity")
        ]
        return judged(("pubsub", "leaf") in kinds, reply)


@probe
async def topic_metadata(bed: Testbed) -> Finding:
    """A Topic's title and type of payload can be found out."""
    about = {"title": "Findings of C", "type": "urn:gridlab:report"}
    async with bed.platform() as platform, bed.topic(**about) as node:
        reply = await platform.ask("get", bed.broker, pubsub.disco("info", node))
        values = pubsub.form_fields(reply)
        if "FORM_TYPE" not in values:
            return unsupported(reply)
        missing = [name for name, value in about.items() if values.get(f"pubsub#{name}") != [value]]
        return failed(f"without {missing}", reply) if missing else passed(reply)


@probe
async def discovery_of_items(bed: Testbed) -> Finding:
    """Published items are listed by their ids as names, without a node."""
    async with bed.platform() as platform, bed.topic(persist_items=1, max_items=5) as node:
        await bed.must(bed.owner, pubsub.publish(node, "one"))
        reply = await platform.ask("get", bed.broker, pubsub.disco("items", node))
        found = list(reply.xml.iterfind(".//{*}item"))
        right = [each.get("name") for each in found] == ["one"]
        return judged(right and not any(each.get("node") for each in found), reply)


@probe
async def discovery_of_msgoffline(bed: Testbed) -> Finding:
    """A Controller that keeps messages for those offline says so."""
    async with bed.platform() as platform:
        reply = await platform.ask("get", bed.door.domain, pubsub.disco("info"))
        return passed(reply) if "msgoffline" in reply.text else unsupported(reply)


@probe
async def paging_advertised(bed: Testbed) -> Finding:
    """The Broker says that it pages (feature `pubsub#rsm` or XEP-0059's own)."""
    async with bed.platform() as platform:
        reply = await platform.ask("get", bed.broker, pubsub.disco("info"))
        features = {each.get("var", "") for each in reply.xml.iterfind(".//{*}feature")}
        found = features & {pubsub.RSM, f"{pubsub.PUBSUB}#rsm"}
        return passed(" ".join(sorted(found))) if found else unsupported(reply)
