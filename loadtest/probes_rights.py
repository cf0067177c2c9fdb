"""Probes of roles, their revocation and what is revealed: RFC 8600 sections 8.1.3 and 8.3.2."""

from __future__ import annotations

from loadtest import pubsub
from loadtest.findings import Finding, judged, probe, unsupported
from loadtest.probes_access import subscribed_and_read
from loadtest.testbed import SETTLE_S, Testbed, about


@probe
async def authorization_model(bed: Testbed) -> Finding:
    """Each role may do its part and no more: publish, read, subscribe."""
    want = {
        "publisher": (True, True, True),
        "member": (False, True, True),
        "none": (False, False, False),
        "outcast": (False, False, False),
    }
    found = {}
    wishes = {"access_model": "whitelist", "persist_items": 1, "max_items": 5}
    for role in want:
        async with bed.platform() as platform, bed.topic(**wishes) as node:
            await bed.must(bed.owner, pubsub.publish(node, "first"))
            await bed.must(bed.owner, pubsub.affiliate(node, platform.bare, role))
            published = await platform.ask("set", bed.broker, pubsub.publish(node, "mine"))
            asked, read = await subscribed_and_read(bed, platform, node)
            found[role] = (published.ok, read.ok, asked.ok)
    text = "; ".join(f"{role}: {_rights(rights)}" for role, rights in found.items())
    return judged(found == want, text)


def _rights(rights: tuple[bool, ...]) -> str:
    names = ("publish", "read", "subscribe")
    return ", ".join(name for name, may in zip(names, rights, strict=True) if may) or "nothing"


@probe
async def role_publish_only(bed: Testbed) -> Finding:
    """A sensor can be let publish and not read (publish-only)."""
    wishes = {"access_model": "whitelist", "persist_items": 1, "max_items": 5}
    async with bed.platform() as platform, bed.topic(**wishes) as node:
        role = pubsub.affiliate(node, platform.bare, "publish-only")
        made = await bed.owner.ask("set", bed.broker, role)
        if not made.ok:
            return unsupported(made)
        published = await platform.ask("set", bed.broker, pubsub.publish(node, "mine"))
        read = await platform.ask("get", bed.broker, pubsub.items(node))
        return judged(published.ok and not read.ok, published, read)


@probe
async def affiliations_managed(bed: Testbed) -> Finding:
    """The owner sees the roles on a Topic and changes them; others do neither."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(bed.owner, pubsub.affiliate(node, platform.bare, "publisher"))
        question = pubsub.ask_owner("affiliations", node)
        seen = await bed.owner.ask("get", bed.broker, question)
        spied = await platform.ask("get", bed.broker, question)
        right = platform.bare in seen.text and not spied.ok
        return judged(right, seen, spied)


@probe
async def publishing_by_subscribers(bed: Testbed) -> Finding:
    """With publish model `subscribers` whoever has subscribed, by bare JID, may publish."""
    async with bed.topic(publish_model="subscribers") as node, bed.platform() as platform:
        before = await platform.ask("set", bed.broker, pubsub.publish(node, "early"))
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        after = await platform.ask("set", bed.broker, pubsub.publish(node, "mine"))
        return judged(after.ok and not before.ok, before, after)


@probe
async def revocation_easy(bed: Testbed) -> Finding:
    """One request of the owner, outcast, ends all that a subscriber could do and get."""
    wishes = {"access_model": "whitelist", "persist_items": 1, "max_items": 5}
    async with bed.platform() as platform, bed.topic(**wishes) as node:
        await bed.must(bed.owner, pubsub.affiliate(node, platform.bare, "member"))
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        request = pubsub.affiliate(node, platform.bare, "outcast")
        done = await bed.owner.ask("set", bed.broker, request)
        await bed.must(bed.owner, pubsub.publish(node, "after"))
        leaked = await platform.hear(about(node, "after"), SETTLE_S)
        read = await platform.ask("get", bed.broker, pubsub.items(node))
        return judged(done.ok and leaked is None and not read.ok, done, leaked, read)


@probe
async def revocation_complete(bed: Testbed) -> Finding:
    """Cast out and unsubscribed, a Platform gets nothing, reads nothing and cannot come back."""
    wishes = {"persist_items": 1, "max_items": 5}
    async with bed.platform() as platform, bed.topic(**wishes) as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        steps = (
            pubsub.affiliate(node, platform.bare, "outcast"),
            pubsub.set_subscription(node, platform.bare, "none"),
        )
        told = [await bed.owner.ask("set", bed.broker, step) for step in steps]
        await bed.must(bed.owner, pubsub.publish(node, "after"))
        leaked = await platform.hear(about(node, "after"), SETTLE_S)
        tried = await subscribed_and_read(bed, platform, node)
        kept_out = leaked is None and not any(each.ok for each in tried)
        return judged(kept_out, *told, leaked, tried[0])


@probe
async def authorization_throughout(bed: Testbed) -> Finding:
    """A subscriber who is taken off the whitelist gets nothing that is published later."""
    async with bed.platform() as platform, bed.topic(access_model="whitelist") as node:
        await bed.must(bed.owner, pubsub.affiliate(node, platform.bare, "member"))
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        done = await bed.owner.ask("set", bed.broker, pubsub.affiliate(node, platform.bare, "none"))
        await bed.must(bed.owner, pubsub.publish(node, "after"))
        leaked = await platform.hear(about(node, "after"), SETTLE_S)
        return judged(done.ok and leaked is None, done, leaked)


@probe
async def authorization_after_tightening(bed: Testbed) -> Finding:
    """A subscriber of an open Topic gets nothing more once the Topic is whitelisted without it."""
    async with bed.platform() as platform, bed.topic(access_model="open") as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        form = pubsub.form("submit", {"access_model": "whitelist"})
        done = await bed.must(bed.owner, pubsub.configure(node, form))
        await bed.must(bed.owner, pubsub.publish(node, "after"))
        leaked = await platform.hear(about(node, "after"), SETTLE_S)
        return judged(leaked is None, done, leaked)


@probe
async def items_revealed_to_members_only(bed: Testbed) -> Finding:
    """A stranger to a whitelist learns none of its items' ids from discovery."""
    wishes = {"access_model": "whitelist", "persist_items": 1, "max_items": 5}
    async with bed.platform() as platform, bed.topic(**wishes) as node:
        await bed.must(bed.owner, pubsub.publish(node, "case-of-c"))
        reply = await platform.ask("get", bed.broker, pubsub.disco("items", node))
        return judged("case-of-c" not in reply.text, reply)


@probe
async def topics_revealed_to_members_only(bed: Testbed) -> Finding:
    """A stranger to a whitelisted Topic does not find its name and title in discovery."""
    wishes = {"access_model": "whitelist", "title": "an inquiry"}
    async with bed.platform() as platform, bed.topic(**wishes) as node:
        reply = await platform.ask("get", bed.broker, pubsub.disco("items"))
        listed = [each for each in reply.xml.iterfind(".//{*}item") if each.get("node") == node]
        return judged(not listed, str(listed[0].attrib) if listed else "not listed")
