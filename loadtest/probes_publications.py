"""Probes of publications: what a Broker takes, from whom, and what its subscribers get."""

from __future__ import annotations

import re
import secrets
import xml.etree.ElementTree as ET

from loadtest import pubsub
from loadtest.dialogue import Silence
from loadtest.findings import Finding, failed, judged, passed, probe, refusal, unsupported
from loadtest.testbed import SETTLE_S, Testbed, about

_REPORT = (
    '<IODEF-Document xmlns="urn:ietf:params:xml:ns:iodef-2.0" version="2.00" xml:lang="en">'
    '<Incident purpose="reporting" restriction="amber"><IncidentID name="csirt.example">1'
    '</IncidentID><GenerationTime>2026-01-01T00:00:00+00:00</GenerationTime><Description a="&lt;'
    '&quot;">&lt;c2&gt; &amp; δοκιμή  two  spaces</Description><x:n xmlns:x="urn:x"/></Incident>'
    "</IODEF-Document>"
)


@probe
async def publication_delivered(bed: Testbed) -> Finding:
    """Each subscriber gets one notification with the item."""
    async with bed.platform() as one, bed.platform() as other, bed.topic() as node:
        for each in (one, other):
            await bed.must(each, pubsub.subscribe(node, each.bare))
        reply = await bed.must(bed.owner, pubsub.publish(node, "first"))
        got = [await each.hear(about(node, "first", "report")) for each in (one, other)]
        await one.hear(lambda stanza: False, SETTLE_S)
        copies = [len(each.heard(about(node, "first"))) for each in (one, other)]
        return judged(all(got) and copies == [1, 1], reply, got[0])


@probe
async def payload_intact(bed: Testbed) -> Finding:
    """An IODEF report arrives with every character, attribute and namespace that it left with."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        await bed.must(bed.owner, pubsub.publish(node, "report", _REPORT))
        got = await platform.hear(about(node, "IODEF-Document"))
        found = None if got is None else got.xml.find(".//{*}IODEF-Document")
        if found is None:
            return failed(got)
        return judged(_canonical(found) == _canonical(ET.fromstring(_REPORT)), got)


def _canonical(element: ET.Element) -> str:
    return ET.canonicalize(ET.tostring(element, encoding="unicode"), rewrite_prefixes=True)


@probe
async def publication_gets_an_id(bed: Testbed) -> Finding:
    """An item without an id gets one from the Broker, another each time."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        for _ in range(2):
            await bed.must(bed.owner, pubsub.publish(node, None))
        await platform.hear(lambda _: len(platform.heard(about(node, "<item "))) >= 2)
        got = platform.heard(about(node, "<item "))
        numbers = {number for each in got for number in pubsub.item_ids(each)}
        return judged(len(numbers) == 2 and "" not in numbers, *got[:2])


@probe
async def publication_overwrites(bed: Testbed) -> Finding:
    """An item of the same id takes the place of the old one."""
    async with bed.platform() as platform, bed.topic(persist_items=1, max_items=5) as node:
        for text in ("old", "new"):
            payload = f"<report xmlns='urn:gridlab:report'>{text}</report>"
            await bed.must(bed.owner, pubsub.publish(node, "same", payload))
        kept = await platform.ask("get", bed.broker, pubsub.items(node))
        right = pubsub.item_ids(kept) == ["same"] and ">new<" in kept.text
        return judged(right, kept)


@probe
async def publication_by_stranger_refused(bed: Testbed) -> Finding:
    """Who may not publish gets forbidden."""
    async with bed.platform() as platform, bed.topic(publish_model="publishers") as node:
        reply = await platform.ask("set", bed.broker, pubsub.publish(node, "mine"))
        return refusal(reply, "forbidden")


@probe
async def publication_on_unknown_refused(bed: Testbed) -> Finding:
    """Publishing makes no Topic (item-not-found) unless the Broker says that it does."""
    node = f"conform-{secrets.token_hex(6)}"
    reply = await bed.owner.ask("set", bed.broker, pubsub.publish(node, "mine"))
    if not reply.ok:
        return refusal(reply, "item-not-found")
    await bed.owner.ask("set", bed.broker, pubsub.delete(node))
    features = await bed.owner.ask("get", bed.broker, pubsub.disco("info"))
    note = "feature auto-create: the Topic has come into being"
    return judged(f"{pubsub.PUBSUB}#auto-create" in features.text, note, reply)


@probe
async def publication_too_large_refused(bed: Testbed) -> Finding:
    """A payload above the Topic's limit gets not-acceptable with payload-too-big."""
    async with bed.topic(max_payload_size=1000) as node, bed.platform() as platform:
        await bed.must(bed.owner, pubsub.affiliate(node, platform.bare, "publisher"))
        payload = f"<report xmlns='urn:gridlab:report'>{'x' * 5000}</report>"
        reply = await platform.ask("set", bed.broker, pubsub.publish(node, "large", payload))
        if reply.ok:
            return unsupported("5 kB in spite of max_payload_size=1000:", reply)
        return refusal(reply, "not-acceptable", "payload-too-big")


@probe
async def publisher_not_forged(bed: Testbed) -> Finding:
    """Who published an item is what the Broker knows, not what the item says."""
    async with bed.platform() as platform, bed.platform() as publisher, bed.topic() as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        await bed.must(bed.owner, pubsub.affiliate(node, publisher.bare, "publisher"))
        forged = f" publisher='{bed.owner.bare}'"
        await bed.must(publisher, pubsub.publish(node, "forged", attributes=forged))
        got = await platform.hear(about(node, "forged"))
        named = None if got is None else re.search(r"publisher=['\"]([^'\"/]+)", got.text)
        if got is None or (named and named[1] != publisher.bare):
            return failed(got)
        return passed(got)


@probe
async def publisher_named(bed: Testbed) -> Finding:
    """Notifications name the publisher of an item."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        await bed.must(bed.owner, pubsub.publish(node, "signed"))
        got = await platform.hear(about(node, "signed"))
        if got is None:
            return failed(got)
        return passed(got) if "publisher=" in got.text else unsupported(got)


@probe
async def full_topic_drops_oldest(bed: Testbed) -> Finding:
    """A full Topic makes room by dropping its oldest item."""
    async with bed.platform() as platform, bed.topic(persist_items=1, max_items=2) as node:
        for number in ("a", "b", "c"):
            await bed.must(bed.owner, pubsub.publish(node, number))
        kept = await platform.ask("get", bed.broker, pubsub.items(node))
        return judged(sorted(pubsub.item_ids(kept)) == ["b", "c"], kept)


@probe
async def full_topic_retracts(bed: Testbed) -> Finding:
    """On a full Topic every publication also sends each subscriber a retraction."""
    async with bed.platform() as platform, bed.topic(persist_items=1, max_items=2) as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        for number in range(6):
            await bed.must(bed.owner, pubsub.publish(node, f"i{number}"))
        await platform.hear(about(node, "<item ", "i5"))
        await platform.hear(lambda stanza: False, SETTLE_S)
        found = platform.heard(about(node, "<retract "))
        note = f"{len(found)} retractions for 6 publications on a Topic of 2 items"
        return passed(note, *found[:1]) if found else unsupported(note)


@probe
async def retraction_told(bed: Testbed) -> Finding:
    """Deleting an item with `notify` tells the subscribers."""
    async with bed.platform() as platform, bed.topic(persist_items=1, max_items=5) as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        await bed.must(bed.owner, pubsub.publish(node, "wrong"))
        await bed.must(bed.owner, pubsub.retract(node, "wrong"))
        told = await platform.hear(about(node, "<retract ", "wrong"), 1.0)
        kept = await platform.ask("get", bed.broker, pubsub.items(node))
        return judged(told is not None and not pubsub.item_ids(kept), told, kept)


@probe
async def retraction_by_stranger_refused(bed: Testbed) -> Finding:
    """A mere subscriber cannot delete an item."""
    async with bed.platform() as platform, bed.topic(persist_items=1, max_items=5) as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        await bed.must(bed.owner, pubsub.publish(node, "right"))
        reply = await platform.ask("set", bed.broker, pubsub.retract(node, "right"))
        return refusal(reply, "forbidden")


@probe
async def disable_misbehaving(bed: Testbed) -> Finding:
    """A Platform that sends 600 kB in one stanza is cut off by the Controller itself."""
    async with bed.platform() as platform:
        payload = f"<report xmlns='urn:gridlab:report'>{'x' * 600_000}</report>"
        try:
            reply = await platform.ask("set", bed.broker, pubsub.publish("any", "large", payload))
        except Silence:
            return passed(platform.closed)
        return unsupported(f"600 kB in one stanza: {reply.text[-300:]}")
