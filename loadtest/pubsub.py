"""The requests of XEP-0060 that probes make, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import quoteattr

from loadtest.dialogue import Stanza

PUBSUB: Final = "http://jabber.org/protocol/pubsub"
OWNER: Final = f"{PUBSUB}#owner"
EVENT: Final = f"{PUBSUB}#event"
FORM: Final = "jabber:x:data"
RSM: Final = "http://jabber.org/protocol/rsm"
DISCO: Final = "http://jabber.org/protocol/disco"
DELAY: Final = "urn:xmpp:delay"

PAYLOAD: Final = "<report xmlns='urn:gridlab:report'>a</report>"


def form(kind: str, fields: Mapping[str, object], form_type: str = f"{PUBSUB}#node_config") -> str:
    """A data form (XEP-0004) of one kind, for example `submit`; fields lack their `pubsub#`."""
    named = {f"pubsub#{name}": value for name, value in fields.items()}
    values = {"FORM_TYPE": form_type, **named}
    return (
        f"<x xmlns='{FORM}' type='{kind}'>"
        + "".join(
            f"<field var='{name}'{_hidden(name)}><value>{value}</value></field>"
            for name, value in values.items()
        )
        + "</x>"
    )


def _hidden(name: str) -> str:
    return " type='hidden'" if name == "FORM_TYPE" else ""


def create(node: str, configuration: Mapping[str, object]) -> str:
    """Create a node and configure it (sections 8.1.1, 8.1.3)."""
    wishes = f"<configure>{form('submit', configuration)}</configure>" if configuration else ""
    return _pubsub(f"<create node={quoteattr(node)}/>{wishes}")


def configure(node: str, submitted: str) -> str:
    """Hand in a form of configuration (section 8.2.4)."""
    return _owner(f"<configure node={quoteattr(node)}>{submitted}</configure>")


def delete(node: str) -> str:
    """Delete a node (section 8.4)."""
    return _owner(f"<delete node={quoteattr(node)}/>")


def purge(node: str) -> str:
    """Remove all items of a node (section 8.5)."""
    return _owner(f"<purge node={quoteattr(node)}/>")


def subscribe(node: str, jid: str) -> str:
    """Subscribe a JID (section 6.1)."""
    return _pubsub(f"<subscribe node={quoteattr(node)} jid={quoteattr(jid)}/>")


def unsubscribe(node: str, jid: str) -> str:
    """Unsubscribe a JID (section 6.2)."""
    return _pubsub(f"<unsubscribe node={quoteattr(node)} jid={quoteattr(jid)}/>")


def publish(node: str, number: str | None, payload: str = PAYLOAD, attributes: str = "") -> str:
    """Publish an item (section 7.1), with an id of its own or without."""
    name = "" if number is None else f" id={quoteattr(number)}"
    item = f"<item{name}{attributes}>{payload}</item>"
    return _pubsub(f"<publish node={quoteattr(node)}>{item}</publish>")


def retract(node: str, number: str) -> str:
    """Delete an item and tell the subscribers (section 7.2)."""
    item = f"<item id={quoteattr(number)}/>"
    return _pubsub(f"<retract node={quoteattr(node)} notify='true'>{item}</retract>")


def items(node: str, *, newest: int | None = None, number: str = "", page: str = "") -> str:
    """Retrieve items (section 6.5): all, the newest, the one of an id, or a page (XEP-0059)."""
    most = "" if newest is None else f" max_items='{newest}'"
    one = f"<item id={quoteattr(number)}/>" if number else ""
    return _pubsub(f"<items node={quoteattr(node)}{most}>{one}</items>{_page(page)}")


def affiliate(node: str, jid: str, affiliation: str) -> str:
    """Set an affiliation (section 8.9.2)."""
    entry = f"<affiliation jid={quoteattr(jid)} affiliation='{affiliation}'/>"
    return _owner(f"<affiliations node={quoteattr(node)}>{entry}</affiliations>")


def set_subscription(node: str, jid: str, state: str) -> str:
    """Set somebody's subscription (section 8.8.2)."""
    entry = f"<subscription jid={quoteattr(jid)} subscription='{state}'/>"
    return _owner(f"<subscriptions node={quoteattr(node)}>{entry}</subscriptions>")


def ask_owner(name: str, node: str) -> str:
    """Ask for what only owners may know: `configure`, `affiliations`, `subscriptions`."""
    return _owner(f"<{name} node={quoteattr(node)}/>")


def ask(name: str) -> str:
    """Ask for one's own `subscriptions` (section 5.6) or `affiliations` (section 5.7)."""
    return _pubsub(f"<{name}/>")


def disco(kind: str, node: str | None = None, page: str = "") -> str:
    """A query of service discovery (XEP-0030), `info` or `items`."""
    name = "" if node is None else f" node={quoteattr(node)}"
    return f"<query xmlns='{DISCO}#{kind}'{name}>{_page(page)}</query>"


def item_ids(stanza: Stanza) -> list[str]:
    """Ids of the items that a reply or a notification holds."""
    return [each.get("id", "") for each in stanza.xml.iterfind(".//{*}items/{*}item")]


def form_fields(stanza: Stanza) -> dict[str, list[str]]:
    """Values of the fields of the form in a stanza, by their `var`."""
    return {
        each.get("var", ""): [value.text or "" for value in each.iterfind(f"{{{FORM}}}value")]
        for each in stanza.xml.iter(f"{{{FORM}}}field")
    }


def _page(page: str) -> str:
    return f"<set xmlns='{RSM}'>{page}</set>" if page else ""


def _pubsub(content: str) -> str:
    return f"<pubsub xmlns='{PUBSUB}'>{content}</pubsub>"


def _owner(content: str) -> str:
    return f"<pubsub xmlns='{OWNER}'>{content}</pubsub>"
