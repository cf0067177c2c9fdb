"""Probes of data forms (XEP-0004) as Topics are configured by them."""

from __future__ import annotations

import secrets
from collections import Counter

from loadtest import pubsub
from loadtest.dialogue import Stanza
from loadtest.findings import Finding, Refused, judged, probe
from loadtest.testbed import Testbed

_FIELD = f"{{{pubsub.FORM}}}field"


async def _form(bed: Testbed, node: str) -> Stanza:
    reply = await bed.owner.ask("get", bed.broker, pubsub.ask_owner("configure", node))
    if not reply.ok:
        raise Refused(reply.text)
    return reply


@probe
async def form_fields_named(bed: Testbed) -> Finding:
    """Each field has a name, and none has that of another."""
    async with bed.topic() as node:
        reply = await _form(bed, node)
        fields = [each for each in reply.xml.iter(_FIELD) if each.get("type") != "fixed"]
        names = Counter(each.get("var") for each in fields)
        wrong = [name for name, times in names.items() if times > 1 or not name]
        return judged(not wrong, f"{len(names)} fields; nameless or repeated: {wrong}")


@probe
async def form_single_values(bed: Testbed) -> Finding:
    """A field that takes one value holds no more than one."""
    many = {"list-multi", "jid-multi", "text-multi", "hidden"}
    async with bed.topic() as node:
        reply = await _form(bed, node)
        wrong = [
            each.get("var")
            for each in reply.xml.iter(_FIELD)
            if each.get("type") not in many and len(each.findall(f"{{{pubsub.FORM}}}value")) > 1
        ]
        return judged(not wrong, f"fields with several values: {wrong}")


@probe
async def form_unknown_fields_ignored(bed: Testbed) -> Finding:
    """A field that the Broker does not know does no harm."""
    async with bed.topic(title="before") as node:
        form = pubsub.form("submit", {"title": "after", "weather": "fine"})
        reply = await bed.owner.ask("set", bed.broker, pubsub.configure(node, form))
        now = pubsub.form_fields(await _form(bed, node))
        return judged(reply.ok and now.get("pubsub#title") == ["after"], reply)


@probe
async def form_omitted_fields_kept(bed: Testbed) -> Finding:
    """A field that is left out keeps its value."""
    async with bed.topic(title="kept", access_model="whitelist") as node:
        form = pubsub.form("submit", {"max_items": 3})
        reply = await bed.owner.ask("set", bed.broker, pubsub.configure(node, form))
        now = pubsub.form_fields(await _form(bed, node))
        values = {name: now.get(f"pubsub#{name}") for name in ("title", "access_model")}
        right = values == {"title": ["kept"], "access_model": ["whitelist"]}
        return judged(reply.ok and right, reply, f"then {values}")


@probe
async def form_options_honoured(bed: Testbed) -> Finding:
    """Whatever access model the form offers, a Topic can have."""
    async with bed.topic() as node:
        reply = await _form(bed, node)
    field = reply.xml.find(f".//{_FIELD}[@var='pubsub#access_model']")
    offered = (
        [] if field is None else [each.text or "" for each in field.iterfind(".//{*}option/*")]
    )
    refused = []
    for model in offered:
        node = f"conform-{secrets.token_hex(6)}"
        made = await bed.owner.ask("set", bed.broker, pubsub.create(node, {"access_model": model}))
        if made.ok:
            await bed.owner.ask("set", bed.broker, pubsub.delete(node))
        else:
            refused.append(f"{model}: {' '.join(made.conditions)}")
    return judged(bool(offered) and not refused, f"offered: {offered}; refused: {refused}")


@probe
async def form_truth_values(bed: Testbed) -> Finding:
    """A boolean may be written as 0, 1, false and true."""
    refused = []
    for word in ("0", "1", "false", "true"):
        node = f"conform-{secrets.token_hex(6)}"
        made = await bed.owner.ask("set", bed.broker, pubsub.create(node, {"persist_items": word}))
        if made.ok:
            await bed.owner.ask("set", bed.broker, pubsub.delete(node))
        else:
            refused.append(word)
    return judged(not refused, f"refused: {refused}")


@probe
async def form_nonsense_refused(bed: Testbed) -> Finding:
    """A value of the wrong kind is refused: not-acceptable."""
    async with bed.topic() as node:
        form = pubsub.form("submit", {"max_items": "many"})
        reply = await bed.owner.ask("set", bed.broker, pubsub.configure(node, form))
        right = not reply.ok and "not-acceptable" in reply.conditions
        return judged(right, "max_items=many:", reply)
