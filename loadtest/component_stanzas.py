"""How our external Broker says what it says: stanzas as text.

A notification to many is written once; only its address is put in for each.
"""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from loadtest.component_topics import Refusal, Topic
from loadtest.pubsub import EVENT, FORM, PUBSUB

_STANZAS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
_ERRORS: Final = f"{PUBSUB}#errors"
_XML: Final = "{http://www.w3.org/XML/1998/namespace}"
_TYPES: Final = {  # RFC 6120 section 8.3.3; the others are `cancel`
    "forbidden": "auth",
    "not-authorized": "auth",
    "bad-request": "modify",
    "not-acceptable": "modify",
}


class Speaker:
    """Writes what goes out from one address."""

    def __init__(self, jid: str) -> None:
        self.jid = jid
        self._numbers = itertools.count(1)

    def reply(self, stanza: ET.Element, content: str = "") -> str:
        """The result of an iq."""
        return f"<iq type='result' {self._back(stanza)}>{content}</iq>"

    def refuse(self, stanza: ET.Element, refusal: Refusal) -> str:
        """The error of an iq."""
        kind = _TYPES.get(refusal.condition, "cancel")
        why = f"<{refusal.condition} xmlns='{_STANZAS}'/>"
        if refusal.specific:
            why += f"<{refusal.specific} xmlns='{_ERRORS}'/>"
        return f"<iq type='error' {self._back(stanza)}><error type='{kind}'>{why}</error></iq>"

    def message(self, to: str, content: str, kind: str) -> str:
        """A message to one."""
        return self._messages([to], content, kind)[0]

    def items(self, topic: Topic, content: str, to: Iterable[str]) -> list[str]:
        """A notification of items, or of their retraction."""
        inside = f"<items node={quoteattr(topic.name)}>{content}</items>"
        return self.event(topic, inside, to)

    def event(self, topic: Topic, content: str, to: Iterable[str]) -> list[str]:
        """A notification of any kind, for each who gets it."""
        kind = topic.configuration["notification_type"]
        return self._messages(to, f"<event xmlns='{EVENT}'>{content}</event>", kind)

    def subscription(self, topic: Topic, jid: str, state: str) -> str:
        """What a subscriber is told when its owner changes its subscription."""
        node = quoteattr(topic.name)
        told = f"<subscription node={node} jid={quoteattr(jid)} subscription='{state}'/>"
        return self.message(jid, f"<event xmlns='{EVENT}'>{told}</event>", "headline")

    def _messages(self, to: Iterable[str], content: str, kind: str) -> list[str]:
        number = f"b{next(self._numbers)}"
        head = f"<message from={quoteattr(self.jid)} type='{kind}' id='{number}' to="
        return [f"{head}{quoteattr(jid)}>{content}</message>" for jid in to]

    def _back(self, stanza: ET.Element) -> str:
        number, sender = stanza.get("id", ""), stanza.get("from", "")
        return f"id={quoteattr(number)} from={quoteattr(self.jid)} to={quoteattr(sender)}"


def item(number: str, payload: str, publisher: str) -> str:
    """An item as subscribers get it."""
    head = f"<item id={quoteattr(number)} publisher={quoteattr(publisher)}"
    return f"{head}>{payload}</item>" if payload else f"{head}/>"


def form(
    kind: str, form_type: str, values: Mapping[str, str], kinds: Mapping[str, str] | None = None
) -> str:
    """A data form (XEP-0004); its fields lack their `pubsub#`."""
    content = f"<field var='FORM_TYPE' type='hidden'><value>{form_type}</value></field>"
    for name, value in values.items():
        of = f" type='{(kinds or {}).get(name, 'text-single')}'" if kind == "form" else ""
        content += f"<field var='pubsub#{name}'{of}><value>{escape(value)}</value></field>"
    return f"<x xmlns='{FORM}' type='{kind}'>{content}</x>"


def fields(element: ET.Element) -> dict[str, str]:
    """The values of the fields of the form inside an element, without their `pubsub#`."""
    return {
        field.get("var", "").removeprefix("pubsub#"): field.findtext(f"{{{FORM}}}value") or ""
        for field in element.iter(f"{{{FORM}}}field")
    }


def local(element: ET.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def text(element: ET.Element, inside: str = "") -> str:
    """An element as text, each namespace declared where it changes."""
    namespace, _, name = element.tag[1:].rpartition("}") if "}" in element.tag else ("", "", "")
    name = name or element.tag
    declared = f" xmlns={quoteattr(namespace)}" if namespace != inside else ""
    prefixes: dict[str, str] = {}
    attributes = ""
    for key, value in element.items():
        attributes += f" {_attribute(key, prefixes)}={quoteattr(value)}"
    declared += "".join(f" xmlns:{short}={quoteattr(full)}" for full, short in prefixes.items())
    content = escape(element.text or "")
    content += "".join(text(each, namespace) + escape(each.tail or "") for each in element)
    head = f"<{name}{declared}{attributes}"
    return f"{head}>{content}</{name}>" if content else f"{head}/>"


def _attribute(key: str, prefixes: dict[str, str]) -> str:
    if key.startswith(_XML):
        return f"xml:{key[len(_XML) :]}"
    if not key.startswith("{"):
        return key
    namespace, _, name = key[1:].rpartition("}")
    short = prefixes.setdefault(namespace, f"a{len(prefixes)}")
    return f"{short}:{name}"
