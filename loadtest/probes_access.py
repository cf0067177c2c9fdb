"""Probes of access models, RFC 8600 section 8.3.4: who may subscribe to a Topic and read it."""

from __future__ import annotations

import secrets

from loadtest import pubsub
from loadtest.dialogue import Dialogue, Stanza
from loadtest.findings import Finding, failed, judged, probe, refusal
from loadtest.probes_subscriptions import state
from loadtest.testbed import Testbed, about

_AUTHORIZATION = f"{pubsub.PUBSUB}#subscribe_authorization"


@probe
async def access_whitelist(bed: Testbed) -> Finding:
    """On a whitelist members may subscribe and read, and nobody else."""
    async with (
        bed.platform() as member,
        bed.platform() as stranger,
        bed.topic(access_model="whitelist", persist_items=1, max_items=5) as node,
    ):
        await bed.must(bed.owner, pubsub.affiliate(node, member.bare, "member"))
        await bed.must(bed.owner, pubsub.publish(node, "secret"))
        allowed = await subscribed_and_read(bed, member, node)
        denied = await subscribed_and_read(bed, stranger, node)
        right = all(each.ok for each in allowed) and not any(each.ok for each in denied)
        return judged(right, allowed[0], denied[0])


async def subscribed_and_read(bed: Testbed, platform: Dialogue, node: str) -> list[Stanza]:
    """Replies to a subscription and to a query for items."""
    return [
        await platform.ask("set", bed.broker, pubsub.subscribe(node, platform.bare)),
        await platform.ask("get", bed.broker, pubsub.items(node)),
    ]


@probe
async def access_authorize(bed: Testbed) -> Finding:
    """On an `authorize` Topic a subscription waits for the owner, and items wait with it."""
    async with (
        bed.topic(access_model="authorize", persist_items=1, max_items=5) as node,
        bed.platform() as platform,
    ):
        await bed.must(bed.owner, pubsub.publish(node, "secret"))
        asked, read = await subscribed_and_read(bed, platform, node)
        return judged(state(asked) == "pending" and not read.ok, asked, read)


@probe
async def access_others_refused(bed: Testbed) -> Finding:
    """No Topic can be opened to everybody, to contacts or to roster groups."""
    accepted: list[str] = []
    refused: list[str] = []
    for model in ("open", "presence", "roster"):
        node = f"conform-{model}-{secrets.token_hex(6)}"
        made = await bed.owner.ask("set", bed.broker, pubsub.create(node, {"access_model": model}))
        if made.ok:
            await bed.owner.ask("set", bed.broker, pubsub.delete(node))
        (accepted if made.ok else refused).append(model)
    return judged(not accepted, f"accepted: {accepted}; refused: {refused}")


@probe
async def approval_asked(bed: Testbed) -> Finding:
    """The owner gets a form that names Topic and subscriber and asks for `pubsub#allow`."""
    async with bed.topic(access_model="authorize") as node, bed.platform() as platform:
        await platform.ask("set", bed.broker, pubsub.subscribe(node, platform.bare))
        asked = await bed.owner.hear(about(node, _AUTHORIZATION))
        if asked is None:
            return failed("the owner heard nothing")
        fields = pubsub.form_fields(asked)
        named = [node] in fields.values() and [platform.bare] in fields.values()
        return judged(named and "pubsub#allow" in fields, asked)


@probe
async def approval_effective(bed: Testbed) -> Finding:
    """Once approved, the subscriber is told and gets what is published."""
    async with bed.topic(access_model="authorize") as node, bed.platform() as platform:
        await platform.ask("set", bed.broker, pubsub.subscribe(node, platform.bare))
        asked = await bed.owner.hear(about(node, _AUTHORIZATION))
        if asked is None:
            return failed("the owner heard nothing")
        _approve(bed, asked)
        told = await platform.hear(about(node, "subscribed"))
        await bed.must(bed.owner, pubsub.publish(node, "approved"))
        got = await platform.hear(about(node, "approved"))
        return judged(told is not None and got is not None, told, got)


def _approve(bed: Testbed, asked: Stanza) -> None:
    fields = {
        name.removeprefix("pubsub#"): values[0] if values else ""
        for name, values in pubsub.form_fields(asked).items()
        if name != "FORM_TYPE"
    }
    form = pubsub.form("submit", {**fields, "allow": "true"}, _AUTHORIZATION)
    number = asked.xml.get("id", "")
    bed.owner.say(f"<message to='{bed.broker}' id='{number}'>{form}</message>")


@probe
async def subscription_pending_refused(bed: Testbed) -> Finding:
    """While a subscription waits, its items are refused: not-authorized with not-subscribed."""
    async with (
        bed.topic(access_model="authorize", persist_items=1, max_items=5) as node,
        bed.platform() as platform,
    ):
        await bed.must(bed.owner, pubsub.publish(node, "secret"))
        _, read = await subscribed_and_read(bed, platform, node)
        return refusal(read, "not-authorized", "not-subscribed")
