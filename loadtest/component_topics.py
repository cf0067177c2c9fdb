"""The Topics of our external Broker: their configuration, their rights, what is kept of them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

CHOICES: Final = {
    "access_model": ("open", "whitelist", "authorize"),
    "publish_model": ("publishers", "subscribers", "open"),
    "send_last_published_item": ("never", "on_sub"),
    "notification_type": ("headline", "normal"),
}
SWITCHES: Final = ("persist_items", "deliver_payloads", "notify_retract", "notify_delete")
DEFAULTS: Final = {
    "title": "",
    "type": "",
    "access_model": "open",
    "publish_model": "publishers",
    "send_last_published_item": "never",
    "notification_type": "headline",
    "persist_items": "1",
    "deliver_payloads": "1",
    "notify_retract": "0",
    "notify_delete": "1",
    "max_items": "20",
}
AFFILIATIONS: Final = ("owner", "publisher", "publish-only", "member", "none", "outcast")
_READERS: Final = ("owner", "publisher", "member")
_WRITERS: Final = ("owner", "publisher", "publish-only")


class Refusal(Exception):
    """A request that is refused, as XEP-0060 has it.

    Parameters
    ----------
    condition : str
        Of RFC 6120 section 8.3.3.
    specific : str
        Element of the namespace `pubsub#errors`, with its attributes; empty: none.
    """

    def __init__(self, condition: str, specific: str = "") -> None:
        super().__init__(condition)
        self.condition = condition
        self.specific = specific


@dataclass
class Topic:
    """One Topic.

    Attributes
    ----------
    affiliations : dict
        Right of each bare JID; who is not there has none.
    subscriptions : dict
        `subscribed` or `pending` of each JID as it was subscribed, bare or full.
    items : dict
        Payload and publisher of each item by its id, oldest first.
    """

    name: str
    configuration: dict[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    affiliations: dict[str, str] = field(default_factory=dict)
    subscriptions: dict[str, str] = field(default_factory=dict)
    items: dict[str, tuple[str, str]] = field(default_factory=dict)

    def affiliation(self, jid: str) -> str:
        """The right of whoever has this JID."""
        return self.affiliations.get(bare(jid), "none")

    def on(self, switch: str) -> bool:
        """Whether a switch of the configuration is on."""
        return self.configuration[switch] in ("1", "true")

    @property
    def max_items(self) -> int:
        """How many items it keeps."""
        return int(self.configuration["max_items"]) if self.on("persist_items") else 0

    def configure(self, wishes: dict[str, str], items_at_most: int) -> None:
        """Change fields of the configuration; unknown ones are ignored (XEP-0004 section 3.2).

        Raises
        ------
        Refusal
            A value is none that it can have; nothing is changed then.
        """
        changed = dict(self.configuration)
        for name, wish in wishes.items():
            most = name == "max_items" and wish == "max"
            value = str(items_at_most) if most else wish
            if name in CHOICES and value not in CHOICES[name]:
                raise Refusal("not-acceptable")
            if name in SWITCHES and value not in ("0", "1", "false", "true"):
                raise Refusal("bad-request")
            fits = value.isdecimal() and int(value) <= items_at_most
            if name == "max_items" and not fits:
                raise Refusal("not-acceptable")
            if name in DEFAULTS:
                changed[name] = value
        self.configuration = changed

    def must_be_owner(self, jid: str) -> None:
        """Refuse everybody but its owners."""
        if self.affiliation(jid) != "owner":
            raise Refusal("forbidden")

    def must_publish(self, jid: str) -> None:
        """Refuse who may not publish."""
        model, right = self.configuration["publish_model"], self.affiliation(jid)
        subscribed = any(bare(each) == bare(jid) for each in self.subscribers())
        allowed = right in _WRITERS or model == "open" or (model == "subscribers" and subscribed)
        if not allowed or right == "outcast":
            raise Refusal("forbidden")

    def must_read(self, jid: str) -> None:
        """Refuse who may not read its items."""
        model, right = self.configuration["access_model"], self.affiliation(jid)
        if right == "outcast":
            raise Refusal("forbidden")
        if model == "whitelist" and right not in _READERS:
            raise Refusal("not-allowed", "closed-node")
        subscribed = any(bare(each) == bare(jid) for each in self.subscribers())
        if model == "authorize" and right not in _READERS and not subscribed:
            raise Refusal("not-authorized", "not-subscribed")

    def subscribe(self, jid: str) -> str:
        """Subscribe a JID that asks for itself; the state of its subscription."""
        model, right = self.configuration["access_model"], self.affiliation(jid)
        if right in ("outcast", "publish-only"):
            raise Refusal("forbidden")
        if model == "whitelist" and right not in _READERS:
            raise Refusal("not-allowed", "closed-node")
        waits = model == "authorize" and right not in _READERS
        state = "pending" if waits else "subscribed"
        if self.subscriptions.get(jid) != "subscribed":
            self.subscriptions[jid] = state
        return self.subscriptions[jid]

    def subscribers(self) -> list[str]:
        """Who gets what is published."""
        return [jid for jid, state in self.subscriptions.items() if state == "subscribed"]

    def affiliate(self, jid: str, right: str) -> list[str]:
        """Give a bare JID a right; subscriptions that it no longer may have, which are ended."""
        if right not in AFFILIATIONS:
            raise Refusal("bad-request")
        if right == "none":
            self.affiliations.pop(jid, None)
        else:
            self.affiliations[jid] = right
        ended = [
            each
            for each in self.subscriptions
            if bare(each) == jid and not self._may_stay(each, right)
        ]
        for each in ended:
            del self.subscriptions[each]
        return ended

    def _may_stay(self, jid: str, right: str) -> bool:
        if right in ("outcast", "publish-only"):
            return False
        return self.configuration["access_model"] != "whitelist" or right in _READERS

    def keep(self, number: str | None, payload: str, publisher: str) -> str:
        """Keep an item as far as it keeps any; its id, made up where there is none."""
        number = number or secrets.token_hex(8)
        self.items.pop(number, None)
        self.items[number] = (payload, publisher)
        while len(self.items) > self.max_items:
            del self.items[next(iter(self.items))]
        return number

    def newest(self, count: int | None) -> dict[str, tuple[str, str]]:
        """The newest items, oldest first; None: all."""
        kept = list(self.items.items())
        return dict(kept if count is None else kept[-count:] if count else [])


def bare(jid: str) -> str:
    """A JID without its resource."""
    return jid.partition("/")[0]
