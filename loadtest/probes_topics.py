"""Probes of a Topic's life: created, configured, emptied, deleted, and by whom."""

from __future__ import annotations

import secrets

from loadtest import pubsub
from loadtest.findings import Finding, failed, judged, passed, probe, refusal, unsupported
from loadtest.testbed import SETTLE_S, Testbed, about


@probe
async def creation_of_existing_refused(bed: Testbed) -> Finding:
    """A name is given once."""
    async with bed.topic() as node:
        again = await bed.owner.ask("set", bed.broker, pubsub.create(node, {}))
        return refusal(again, "conflict")


@probe
async def creation_by_stranger_refused(bed: Testbed) -> Finding:
    """A Platform without the privilege cannot create a Topic: forbidden."""
    node = f"conform-{secrets.token_hex(6)}"
    async with bed.platform() as platform:
        reply = await platform.ask("set", bed.broker, pubsub.create(node, {}))
        if reply.ok:
            await platform.ask("set", bed.broker, pubsub.delete(node))
        return refusal(reply, "forbidden")


@probe
async def creation_with_configuration(bed: Testbed) -> Finding:
    """A Topic is created as the request's form describes it, in one step."""
    async with bed.topic(access_model="whitelist", max_items=7, title="seven") as node:
        reply = await bed.owner.ask("get", bed.broker, pubsub.ask_owner("configure", node))
        found = pubsub.form_fields(reply)
        want = {"access_model": "whitelist", "max_items": "7", "title": "seven"}
        right = all(found.get(f"pubsub#{name}") == [value] for name, value in want.items())
        return judged(right, _shown(found))


def _shown(fields: dict[str, list[str]]) -> str:
    return ", ".join(f"{name}={' '.join(values)}" for name, values in fields.items())


@probe
async def unknown_access_model_refused(bed: Testbed) -> Finding:
    """An access model that is not there gets not-acceptable with unsupported-access-model."""
    node = f"conform-{secrets.token_hex(6)}"
    made = await bed.owner.ask("set", bed.broker, pubsub.create(node, {"access_model": "secret"}))
    if made.ok:
        await bed.owner.ask("set", bed.broker, pubsub.delete(node))
        return failed("access_model=secret:", made)
    return refusal(made, "not-acceptable", "unsupported-access-model")


@probe
async def configuration_form(bed: Testbed) -> Finding:
    """The owner gets a form with the present configuration."""
    async with bed.topic(title="present") as node:
        reply = await bed.owner.ask("get", bed.broker, pubsub.ask_owner("configure", node))
        found = pubsub.form_fields(reply)
        typed = found.get("FORM_TYPE") == [f"{pubsub.PUBSUB}#node_config"]
        return judged(typed and found.get("pubsub#title") == ["present"], _shown(found))


@probe
async def configuration_by_stranger_refused(bed: Testbed) -> Finding:
    """A Platform neither reads nor changes the configuration."""
    async with bed.platform() as platform, bed.topic() as node:
        read = await platform.ask("get", bed.broker, pubsub.ask_owner("configure", node))
        form = pubsub.form("submit", {"access_model": "open"})
        write = await platform.ask("set", bed.broker, pubsub.configure(node, form))
        right = all("forbidden" in reply.conditions for reply in (read, write))
        return judged(right, read, write)


@probe
async def configuration_cancelled(bed: Testbed) -> Finding:
    """A cancelled form changes nothing."""
    async with bed.topic(title="kept") as node:
        form = f"<x xmlns='{pubsub.FORM}' type='cancel'/>"
        reply = await bed.owner.ask("set", bed.broker, pubsub.configure(node, form))
        now = await bed.owner.ask("get", bed.broker, pubsub.ask_owner("configure", node))
        kept = pubsub.form_fields(now).get("pubsub#title") == ["kept"]
        return judged(reply.ok and kept, reply)


@probe
async def configuration_change_told(bed: Testbed) -> Finding:
    """With `notify_config` subscribers are told of a change."""
    async with bed.platform() as platform, bed.topic(notify_config=1) as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        seen = await bed.owner.ask("get", bed.broker, pubsub.ask_owner("configure", node))
        if "pubsub#notify_config" not in pubsub.form_fields(seen):
            return unsupported("the form has no such field:", _shown(pubsub.form_fields(seen)))
        form = pubsub.form("submit", {"title": "changed", "notify_config": 1})
        await bed.must(bed.owner, pubsub.configure(node, form))
        told = await platform.hear(about(node, "<configuration"), 1.0)
        return passed(told) if told else failed("nothing within 1 s of a changed title")


@probe
async def default_configuration(bed: Testbed) -> Finding:
    """The configuration of a Topic to come can be asked for."""
    request = f"<pubsub xmlns='{pubsub.OWNER}'><default/></pubsub>"
    reply = await bed.owner.ask("get", bed.broker, request)
    if not reply.ok:
        return unsupported(reply)
    found = pubsub.form_fields(reply)
    return judged("pubsub#access_model" in found, _shown(found))


@probe
async def deletion_told(bed: Testbed) -> Finding:
    """Subscribers are told that a Topic is deleted."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        reply = await bed.must(bed.owner, pubsub.delete(node))
        told = await platform.hear(about(node, "<delete "), 1.0)
        return passed(told) if told else failed(reply, "nothing to the subscriber within 1 s")


@probe
async def deletion_by_stranger_refused(bed: Testbed) -> Finding:
    """A Platform cannot delete somebody else's Topic."""
    async with bed.platform() as platform, bed.topic() as node:
        reply = await platform.ask("set", bed.broker, pubsub.delete(node))
        return refusal(reply, "forbidden")


@probe
async def purge_told_once(bed: Testbed) -> Finding:
    """Emptying a Topic is one notification, however many items there were."""
    wishes = {"persist_items": 1, "max_items": 5, "notify_retract": 1}
    async with bed.platform() as platform, bed.topic(**wishes) as node:
        await bed.must(platform, pubsub.subscribe(node, platform.bare))
        for number in ("a", "b", "c"):
            await bed.must(bed.owner, pubsub.publish(node, number))
        reply = await bed.owner.ask("set", bed.broker, pubsub.purge(node))
        if not reply.ok:
            return unsupported(reply)
        told = await platform.hear(about(node, "<purge "), 1.0)
        await platform.hear(lambda stanza: False, SETTLE_S)
        purges = len(platform.heard(about(node, "<purge ")))
        retractions = len(platform.heard(about(node, "<retract ")))
        note = f"{purges} purge events and {retractions} retractions for 3 items"
        return judged((purges, retractions) == (1, 0), note, told)
