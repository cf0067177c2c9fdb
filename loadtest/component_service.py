"""What our external Broker answers: XEP-0060 as far as RFC 8600 relies on it, without a socket.

A stanza comes in as an element and leaves as text, the answer first and notifications after it. One
notification is written once and addressed to each subscriber: slixmpp would build each anew.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from typing import Final
from xml.sax.saxutils import quoteattr

from loadtest.component_stanzas import Speaker, fields, form, item, local, text
from loadtest.component_topics import CHOICES, SWITCHES, Refusal, Topic, bare
from loadtest.pubsub import DISCO, OWNER, PUBSUB

_AUTHORIZATION: Final = f"{PUBSUB}#subscribe_authorization"
_FEATURES: Final = """
access-authorize access-open access-whitelist config-node create-and-configure create-nodes
delete-items delete-nodes get-pending item-ids last-published manage-subscriptions
member-affiliation meta-data modify-affiliations outcast-affiliation persistent-items publish
publish-only-affiliation publisher-affiliation purge-nodes retract-items retrieve-affiliations
retrieve-items retrieve-subscriptions subscribe subscription-notifications
"""

Handler = Callable[[ET.Element, str, ET.Element], list[str]]


class Service(Speaker):
    """A Broker: its Topics and what it says.

    Parameters
    ----------
    jid : str
        Its address.
    creators : collection of str
        Bare JIDs that may make Topics.
    items_at_most : int
        The most that a Topic may be told to keep. [1]
    """

    def __init__(
        self, jid: str, topics: Iterable[Topic], creators: Iterable[str], items_at_most: int = 256
    ) -> None:
        super().__init__(jid)
        self.topics = {topic.name: topic for topic in topics}
        self._creators = frozenset(creators)
        self._items_at_most = items_at_most
        self._handlers: dict[tuple[str, str, str], Handler] = {
            ("get", f"{DISCO}#info", "query"): self._describe,
            ("get", f"{DISCO}#items", "query"): self._list,
            ("set", PUBSUB, "create"): self._create,
            ("set", PUBSUB, "subscribe"): self._subscribe,
            ("set", PUBSUB, "unsubscribe"): self._unsubscribe,
            ("set", PUBSUB, "publish"): self._publish,
            ("set", PUBSUB, "retract"): self._retract,
            ("get", PUBSUB, "items"): self._items,
            ("get", PUBSUB, "subscriptions"): self._own_subscriptions,
            ("get", PUBSUB, "affiliations"): self._own_affiliations,
            ("set", OWNER, "delete"): self._delete,
            ("set", OWNER, "purge"): self._purge,
            ("get", OWNER, "configure"): self._configuration,
            ("set", OWNER, "configure"): self._configure,
            ("get", OWNER, "subscriptions"): self._subscriptions,
            ("set", OWNER, "subscriptions"): self._set_subscriptions,
            ("get", OWNER, "affiliations"): self._affiliations,
            ("set", OWNER, "affiliations"): self._set_affiliations,
        }

    def answer(self, stanza: ET.Element) -> list[str]:
        """What to send for a stanza that came in, in order."""
        kind, sender = local(stanza), stanza.get("from", "")
        if kind == "message":
            return self._approve(stanza, sender)
        if kind != "iq" or stanza.get("type") not in ("get", "set"):
            return []
        try:
            wish = self._wish(stanza)
            said = self._handlers[wish[0]](wish[1], sender, stanza)
        except Refusal as refusal:
            said = [self.refuse(stanza, refusal)]
        return said

    def _wish(self, stanza: ET.Element) -> tuple[tuple[str, str, str], ET.Element]:
        """What an iq asks for, and the element that says so."""
        kind = stanza.get("type", "")
        for child in stanza:
            namespace = child.tag[1:].partition("}")[0]
            for each in child if local(child) == "pubsub" else [child]:
                key = kind, namespace, local(each)
                if key in self._handlers:
                    return key, each
        raise Refusal("feature-not-implemented")

    # Discovery (XEP-0030).

    def _describe(self, query: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        node = query.get("node")
        if node is None:
            features = [f"{DISCO}#info", f"{DISCO}#items", PUBSUB]
            features += (f"{PUBSUB}#{each}" for each in _FEATURES.split())
            content = "<identity category='pubsub' type='service' name='XMPP-Grid Lab Broker'/>"
            content += "".join(f"<feature var='{each}'/>" for each in features)
            return [self.reply(stanza, f"<query xmlns='{DISCO}#info'>{content}</query>")]
        topic = self._topic(node)
        shown = ("title", "type", "access_model", "publish_model", "max_items")
        content = f"<identity category='pubsub' type='leaf'/><feature var='{PUBSUB}'/>" + form(
            "result", f"{PUBSUB}#meta-data", {k: topic.configuration[k] for k in shown}
        )
        head = f"<query xmlns='{DISCO}#info' node={quoteattr(node)}>"
        return [self.reply(stanza, f"{head}{content}</query>")]

    def _list(self, query: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        node = query.get("node")
        jid = quoteattr(self.jid)
        if node is None:  # closed Topics are shown to those alone who may read them
            shown = [topic for topic in self.topics.values() if _visible(topic, sender)]
            items = "".join(
                f"<item jid={jid} node={quoteattr(topic.name)}{_named(topic)}/>" for topic in shown
            )
            return [self.reply(stanza, f"<query xmlns='{DISCO}#items'>{items}</query>")]
        topic = self._topic(node)
        topic.must_read(sender)
        items = "".join(f"<item jid={jid} name={quoteattr(each)}/>" for each in topic.items)
        head = f"<query xmlns='{DISCO}#items' node={quoteattr(node)}>"
        return [self.reply(stanza, f"{head}{items}</query>")]

    # What Platforms ask for (XEP-0060 sections 5 to 7).

    def _subscribe(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic, jid = self._topic(wish.get("node")), wish.get("jid", "")
        if bare(jid) != bare(sender):
            raise Refusal("bad-request", "invalid-jid")
        state = topic.subscribe(jid)
        node = quoteattr(topic.name)
        told = f"<subscription node={node} jid={quoteattr(jid)} subscription='{state}'/>"
        said = [self.reply(stanza, f"<pubsub xmlns='{PUBSUB}'>{told}</pubsub>")]
        if state == "pending":
            said += self._ask_owners(topic, jid)
        elif topic.configuration["send_last_published_item"] == "on_sub":
            said += self.items(topic, _content(topic.newest(1)), [jid])
        return said

    def _ask_owners(self, topic: Topic, jid: str) -> list[str]:
        asked = form(
            "form",
            _AUTHORIZATION,
            {"node": topic.name, "subscriber_jid": jid, "allow": "false"},
            kinds={"allow": "boolean", "subscriber_jid": "jid-single", "node": "text-single"},
        )
        owners = [each for each, right in topic.affiliations.items() if right == "owner"]
        return [self.message(owner, asked, "normal") for owner in owners]

    def _unsubscribe(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic, jid = self._topic(wish.get("node")), wish.get("jid", "")
        if bare(jid) != bare(sender):
            raise Refusal("forbidden")
        if jid not in topic.subscriptions:
            raise Refusal("unexpected-request", "not-subscribed")
        del topic.subscriptions[jid]
        return [self.reply(stanza)]

    def _publish(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic = self._topic(wish.get("node"))
        topic.must_publish(sender)
        items = [each for each in wish if local(each) == "item"]
        if len(items) != 1 or len(items[0]) != 1:
            raise Refusal("bad-request", "item-required" if not items else "invalid-payload")
        payload = text(items[0][0], PUBSUB)
        number = topic.keep(items[0].get("id"), payload, bare(sender))
        told = f"<item id={quoteattr(number)}/>"
        head = f"<pubsub xmlns='{PUBSUB}'><publish node={quoteattr(topic.name)}>"
        reply = self.reply(stanza, f"{head}{told}</publish></pubsub>")
        shown = payload if topic.on("deliver_payloads") else ""
        told = item(number, shown, bare(sender))
        return [*self.items(topic, told, topic.subscribers()), reply]

    def _retract(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic = self._topic(wish.get("node"))
        numbers = [each.get("id", "") for each in wish]
        if not numbers or not numbers[0]:
            raise Refusal("bad-request", "item-required")
        if numbers[0] not in topic.items:
            raise Refusal("item-not-found")
        if topic.affiliation(sender) != "owner" and topic.items[numbers[0]][1] != bare(sender):
            raise Refusal("forbidden")
        del topic.items[numbers[0]]
        said = [self.reply(stanza)]
        if topic.on("notify_retract") or wish.get("notify") in ("1", "true"):
            gone = f"<retract id={quoteattr(numbers[0])}/>"
            said += self.items(topic, gone, topic.subscribers())
        return said

    def _items(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic = self._topic(wish.get("node"))
        topic.must_read(sender)
        wanted = [each.get("id", "") for each in wish]
        count = wish.get("max_items")
        if count is not None and not count.isdecimal():
            raise Refusal("bad-request")
        kept = topic.newest(None if count is None else int(count))
        if wanted:
            kept = {number: topic.items[number] for number in wanted if number in topic.items}
        content = _content(kept)
        head = f"<pubsub xmlns='{PUBSUB}'><items node={quoteattr(topic.name)}>"
        return [self.reply(stanza, f"{head}{content}</items></pubsub>")]

    def _own_subscriptions(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        found = "".join(
            f"<subscription node={quoteattr(topic.name)} jid={quoteattr(jid)} "
            f"subscription='{state}'/>"
            for topic in self.topics.values()
            if wish.get("node") in (None, topic.name)
            for jid, state in topic.subscriptions.items()
            if bare(jid) == bare(sender)
        )
        content = f"<subscriptions>{found}</subscriptions>"
        return [self.reply(stanza, f"<pubsub xmlns='{PUBSUB}'>{content}</pubsub>")]

    def _own_affiliations(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        found = "".join(
            f"<affiliation node={quoteattr(topic.name)} affiliation='{topic.affiliation(sender)}'/>"
            for topic in self.topics.values()
            if topic.affiliation(sender) != "none"
        )
        content = f"<affiliations>{found}</affiliations>"
        return [self.reply(stanza, f"<pubsub xmlns='{PUBSUB}'>{content}</pubsub>")]

    # What owners ask for (section 8).

    def _create(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        name = wish.get("node")
        if bare(sender) not in self._creators:
            raise Refusal("forbidden")
        if not name:
            raise Refusal("not-acceptable", "nodeid-required")
        if name in self.topics:
            raise Refusal("conflict")
        topic = Topic(name, affiliations={bare(sender): "owner"})
        topic.configure(fields(stanza), self._items_at_most)
        self.topics[name] = topic
        told = f"<create node={quoteattr(name)}/>"
        return [self.reply(stanza, f"<pubsub xmlns='{PUBSUB}'>{told}</pubsub>")]

    def _delete(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic = self._owned(wish, sender)
        del self.topics[topic.name]
        told = f"<delete node={quoteattr(topic.name)}/>"
        said = self.event(topic, told, topic.subscribers()) if topic.on("notify_delete") else []
        return [self.reply(stanza), *said]

    def _purge(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic = self._owned(wish, sender)
        topic.items.clear()
        told = f"<purge node={quoteattr(topic.name)}/>"
        return [self.reply(stanza), *self.event(topic, told, topic.subscribers())]

    def _configuration(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic = self._owned(wish, sender)
        kinds = dict.fromkeys(CHOICES, "list-single") | dict.fromkeys(SWITCHES, "boolean")
        shown = form("form", f"{PUBSUB}#node_config", topic.configuration, kinds)
        head = f"<pubsub xmlns='{OWNER}'><configure node={quoteattr(topic.name)}>"
        return [self.reply(stanza, f"{head}{shown}</configure></pubsub>")]

    def _configure(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic = self._owned(wish, sender)
        if not any(each.get("type") == "cancel" for each in wish):
            topic.configure(fields(wish), self._items_at_most)
        return [self.reply(stanza)]

    def _subscriptions(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic = self._owned(wish, sender)
        found = "".join(
            f"<subscription jid={quoteattr(jid)} subscription='{state}'/>"
            for jid, state in topic.subscriptions.items()
        )
        head = f"<pubsub xmlns='{OWNER}'><subscriptions node={quoteattr(topic.name)}>"
        return [self.reply(stanza, f"{head}{found}</subscriptions></pubsub>")]

    def _set_subscriptions(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic, said = self._owned(wish, sender), []
        for each in wish:
            jid, state = each.get("jid", ""), each.get("subscription", "")
            if state not in ("none", "subscribed"):
                raise Refusal("bad-request")
            said += self._settle(topic, jid, state)
        return [self.reply(stanza), *said]

    def _affiliations(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic = self._owned(wish, sender)
        found = "".join(
            f"<affiliation jid={quoteattr(jid)} affiliation='{right}'/>"
            for jid, right in topic.affiliations.items()
        )
        head = f"<pubsub xmlns='{OWNER}'><affiliations node={quoteattr(topic.name)}>"
        return [self.reply(stanza, f"{head}{found}</affiliations></pubsub>")]

    def _set_affiliations(self, wish: ET.Element, sender: str, stanza: ET.Element) -> list[str]:
        topic, said = self._owned(wish, sender), []
        for each in wish:
            jid, right = bare(each.get("jid", "")), each.get("affiliation", "")
            owners = [own for own, has in topic.affiliations.items() if has == "owner"]
            if owners == [jid] and right != "owner":
                raise Refusal("not-acceptable")
            for ended in topic.affiliate(jid, right):
                said.append(self.subscription(topic, ended, "none"))
        return [self.reply(stanza), *said]

    def _settle(self, topic: Topic, jid: str, state: str) -> list[str]:
        if state == "subscribed":
            topic.subscriptions[jid] = state
        else:
            topic.subscriptions.pop(jid, None)
        return [self.subscription(topic, jid, state)]

    def _approve(self, message: ET.Element, sender: str) -> list[str]:
        """An owner's decision on a pending subscription (section 8.6)."""
        decided = fields(message)
        topic = self.topics.get(decided.get("node", ""))
        jid = decided.get("subscriber_jid", "")
        if topic is None or topic.affiliation(sender) != "owner":
            return []
        if topic.subscriptions.get(jid) != "pending":
            return []
        allowed = decided.get("allow") in ("1", "true")
        return self._settle(topic, jid, "subscribed" if allowed else "none")

    def _topic(self, name: str | None) -> Topic:
        if not name:
            raise Refusal("bad-request", "nodeid-required")
        if name not in self.topics:
            raise Refusal("item-not-found")
        return self.topics[name]

    def _owned(self, wish: ET.Element, sender: str) -> Topic:
        topic = self._topic(wish.get("node"))
        topic.must_be_owner(sender)
        return topic


def _content(kept: dict[str, tuple[str, str]]) -> str:
    return "".join(item(number, *each) for number, each in kept.items())


def _visible(topic: Topic, jid: str) -> bool:
    try:
        topic.must_read(jid)
    except Refusal as refusal:
        return refusal.condition == "not-authorized"  # it may ask for a subscription
    return True


def _named(topic: Topic) -> str:
    title = topic.configuration["title"]
    return f" name={quoteattr(title)}" if title else ""
