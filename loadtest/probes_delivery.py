"""Probes of late delivery: offline messages, last items, and the stamp of when it was meant."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

from loadtest import pubsub
from loadtest.dialogue import Stanza
from loadtest.findings import Finding, judged, passed, probe, unsupported
from loadtest.testbed import SETTLE_S, Testbed, about

# XEP-0082 with the UTC designator, as XEP-0203 section 2 wants it.
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@contextlib.asynccontextmanager
async def _after_absence(bed: Testbed, **wishes: object) -> AsyncIterator[Stanza | None]:
    """What a subscriber gets at login of an item that was published while it was away."""
    async with bed.account() as localpart, bed.topic(**wishes) as node:
        async with bed.session(localpart) as session:
            await bed.must(session, pubsub.subscribe(node, session.bare))
        await bed.must(bed.owner, pubsub.publish(node, "missed"))
        async with bed.session(localpart) as session:
            yield await session.hear(about(node, "missed"), 1.0)


def _stamp(stanza: Stanza) -> str:
    found = stanza.xml.find(f".//{{{pubsub.DELAY}}}delay")
    return "" if found is None else found.get("stamp", "")


_KEPT = {"notification_type": "normal", "send_last_published_item": "never"}


@probe
async def offline_kept(bed: Testbed) -> Finding:
    """A notification of type normal waits for a subscriber who is offline."""
    async with _after_absence(bed, **_KEPT) as got:
        return passed(got) if got else unsupported("nothing at the next login")


@probe
async def offline_headline_dropped(bed: Testbed) -> Finding:
    """A notification of type headline does not wait."""
    wishes = {"notification_type": "headline", "send_last_published_item": "never"}
    async with _after_absence(bed, **wishes) as got:
        return judged(got is None, got)


@probe
async def offline_stamped(bed: Testbed) -> Finding:
    """What has waited says since when."""
    async with _after_absence(bed, **_KEPT) as got:
        if got is None:
            return unsupported("nothing at the next login")
        return judged(bool(_stamp(got)), got.text[-300:])


@probe
async def stamp_in_utc(bed: Testbed) -> Finding:
    """The stamp is a date and time in UTC."""
    async with _after_absence(bed, **_KEPT) as got:
        if got is None:
            return unsupported("nothing at the next login")
        return judged(bool(_UTC.fullmatch(_stamp(got))), f"stamp={_stamp(got)}")


@probe
async def offline_error_dropped(bed: Testbed) -> Finding:
    """A message of type error does not wait for its addressee."""
    async with bed.account() as localpart, bed.platform() as sender:
        jid = f"{localpart}@{bed.door.domain}"
        words = "<body>conform-error</body><error type='cancel'><gone xmlns='{}'/></error>"
        content = words.format("urn:ietf:params:xml:ns:xmpp-stanzas")
        sender.say(f"<message type='error' to='{jid}'>{content}</message>")
        await sender.ask("get", bed.door.domain, pubsub.disco("info"))
        async with bed.session(localpart) as session:
            got = await session.hear(about("conform-error"), SETTLE_S)
            return judged(got is None, got)


@probe
async def last_item_on_subscription(bed: Testbed) -> Finding:
    """With `on_sub` a new subscriber gets the last item."""
    wishes = {"send_last_published_item": "on_sub", "persist_items": 1, "max_items": 5}
    async with bed.platform() as platform, bed.topic(**wishes) as node:
        await bed.must(bed.owner, pubsub.publish(node, "last"))
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        got = await platform.hear(about(node, "last"), 1.0)
        return passed(got) if got else unsupported("nothing within 1 s of subscribing")


@probe
async def last_item_stamped(bed: Testbed) -> Finding:
    """The last item says when it was published."""
    wishes = {"send_last_published_item": "on_sub", "persist_items": 1, "max_items": 5}
    async with bed.platform() as platform, bed.topic(**wishes) as node:
        await bed.must(bed.owner, pubsub.publish(node, "last"))
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        got = await platform.hear(about(node, "last"), 1.0)
        return judged(got is not None and bool(_stamp(got)), got)


@probe
async def last_item_at_login(bed: Testbed) -> Finding:
    """With `on_sub_and_presence` each login gets the last item of each Topic again."""
    wishes = {"send_last_published_item": "on_sub_and_presence", "persist_items": 1}
    return await _replayed(bed, max_items=5, **wishes)


@probe
async def last_item_by_default(bed: Testbed) -> Finding:
    """Who sends last items unasked says so: feature `pubsub#last-published`."""
    found = await _replayed(bed)
    async with bed.platform() as platform:
        reply = await platform.ask("get", bed.broker, pubsub.disco("info"))
        says = f"{pubsub.PUBSUB}#last-published" in reply.text
    note = f"feature last-published is {'there' if says else 'missing'}"
    if found.verdict == "pass":
        return judged(says, "a login replayed the last item of a Topic with defaults;", note)
    return judged(not says, "no login replay with defaults;", note)


async def _replayed(bed: Testbed, **wishes: object) -> Finding:
    async with bed.account() as localpart, bed.topic(**wishes) as node:
        async with bed.session(localpart) as session:
            await bed.must(session, pubsub.subscribe(node, session.bare))
            await bed.must(bed.owner, pubsub.publish(node, "seen"))
            await session.hear(about(node, "seen"))
        async with bed.session(localpart) as session:
            got = await session.hear(about(node, "seen"), 1.0)
            return passed(got) if got else unsupported("nothing within 1 s of the next login")
