"""Probes of subscriptions: who may have one, what it brings, how it ends."""

from __future__ import annotations

from loadtest import pubsub
from loadtest.dialogue import Stanza
from loadtest.findings import Finding, failed, judged, passed, probe, refusal, unsupported
from loadtest.testbed import SETTLE_S, Testbed, about


def state(reply: Stanza) -> str:
    """The state that a subscription in this reply is in; empty where there is none."""
    found = reply.xml.find(".//{*}subscription")
    return "" if found is None else found.get("subscription", "")


@probe
async def subscription_told(bed: Testbed) -> Finding:
    """Success names the Topic, the JID and the state."""
    async with bed.platform() as platform, bed.topic() as node:
        reply = await platform.ask("set", bed.broker, pubsub.subscribe(node, platform.bare))
        found = reply.xml.find(".//{*}subscription")
        told = {} if found is None else found.attrib
        right = (told.get("node"), told.get("jid")) == (node, platform.bare)
        return judged(right and state(reply) == "subscribed", reply)


@probe
async def subscription_of_another_refused(bed: Testbed) -> Finding:
    """Nobody subscribes somebody else."""
    async with bed.platform() as platform, bed.topic() as node:
        request = pubsub.subscribe(node, bed.owner.bare)
        return refusal(await platform.ask("set", bed.broker, request), "bad-request")


@probe
async def subscription_off_whitelist_refused(bed: Testbed) -> Finding:
    """Who is not on the whitelist gets not-allowed with closed-node."""
    async with bed.platform() as platform, bed.topic(access_model="whitelist") as node:
        reply = await platform.ask("set", bed.broker, pubsub.subscribe(node, platform.bare))
        return refusal(reply, "not-allowed", "closed-node")


@probe
async def subscription_of_outcast_refused(bed: Testbed) -> Finding:
    """An outcast gets forbidden."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(bed.owner, pubsub.affiliate(node, platform.bare, "outcast"))
        reply = await platform.ask("set", bed.broker, pubsub.subscribe(node, platform.bare))
        return refusal(reply, "forbidden")


@probe
async def subscription_to_unknown_refused(bed: Testbed) -> Finding:
    """A Topic that is not there cannot be subscribed to."""
    async with bed.platform() as platform:
        request = pubsub.subscribe("no-such-topic", platform.bare)
        return refusal(await platform.ask("set", bed.broker, request), "item-not-found")


@probe
async def subscription_repeated(bed: Testbed) -> Finding:
    """Subscribing again gives the state that there is, and one copy of each item."""
    async with bed.platform() as platform, bed.topic() as node:
        request = pubsub.subscribe(node, platform.bare)
        await bed.must(platform, request)
        again = await platform.ask("set", bed.broker, request)
        await bed.must(bed.owner, pubsub.publish(node, "once"))
        await platform.hear(about(node, "once"))
        await platform.hear(lambda stanza: False, SETTLE_S)
        copies = len(platform.heard(about(node, "once")))
        return judged(state(again) == "subscribed" and copies == 1, again, f"{copies} copies")


@probe
async def subscriptions_listed(bed: Testbed) -> Finding:
    """A Platform sees its own subscriptions."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        reply = await platform.ask("get", bed.broker, pubsub.ask("subscriptions"))
        if not reply.ok:
            return unsupported(reply)
        return judged(node in reply.text, reply)


@probe
async def affiliations_listed(bed: Testbed) -> Finding:
    """A Platform sees its own affiliations."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(bed.owner, pubsub.affiliate(node, platform.bare, "publisher"))
        reply = await platform.ask("get", bed.broker, pubsub.ask("affiliations"))
        if not reply.ok:
            return unsupported(reply)
        return judged(node in reply.text and "publisher" in reply.text, reply)


@probe
async def unsubscription(bed: Testbed) -> Finding:
    """After it nothing more is delivered."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        reply = await platform.ask("set", bed.broker, pubsub.unsubscribe(node, platform.bare))
        await bed.must(bed.owner, pubsub.publish(node, "late"))
        late = await platform.hear(about(node, "late"), SETTLE_S)
        return judged(reply.ok and late is None, reply, late)


@probe
async def unsubscription_of_stranger_refused(bed: Testbed) -> Finding:
    """Who has no subscription cannot end one: unexpected-request with not-subscribed."""
    async with bed.platform() as platform, bed.topic() as node:
        reply = await platform.ask("set", bed.broker, pubsub.unsubscribe(node, platform.bare))
        return refusal(reply, "unexpected-request", "not-subscribed")


@probe
async def unsubscription_of_another_refused(bed: Testbed) -> Finding:
    """Nobody ends the subscription of somebody else."""
    async with bed.platform() as one, bed.platform() as other, bed.topic() as node:
        await bed.must(one, pubsub.subscribe(node, one.bare))
        reply = await other.ask("set", bed.broker, pubsub.unsubscribe(node, one.bare))
        return refusal(reply, "forbidden")


@probe
async def subscriptions_managed(bed: Testbed) -> Finding:
    """The owner lists the subscribers of a Topic and removes one, who then gets nothing."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        seen = await bed.owner.ask("get", bed.broker, pubsub.ask_owner("subscriptions", node))
        if not seen.ok:
            return unsupported(seen)
        await bed.must(bed.owner, pubsub.set_subscription(node, platform.bare, "none"))
        await bed.must(bed.owner, pubsub.publish(node, "late"))
        late = await platform.hear(about(node, "<item ", "late"), SETTLE_S)
        return judged(platform.bare in seen.text and late is None, seen, late)


@probe
async def subscriber_told_of_removal(bed: Testbed) -> Finding:
    """A subscriber whom the owner removes is told."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        await bed.must(bed.owner, pubsub.set_subscription(node, platform.bare, "none"))
        told = await platform.hear(about(node, "subscription"), SETTLE_S)
        return passed(told) if told else failed("nothing to the subscriber")
