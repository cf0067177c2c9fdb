"""Who is subscribed: before a run, exactly those whom the description names (XEP-0060).

Platforms subscribe themselves, with their bare JID, and skip what they have from an earlier run.
Subscriptions that this run does not expect are ended by the owner of the Topics, because a server
builds a copy for each of them, whether its Platform is online or not.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection

from loadtest.client import Session

PUBSUB = "http://jabber.org/protocol/pubsub"
OWNER = f"{PUBSUB}#owner"


async def subscribe(session: Session, broker: str, topics: Collection[str]) -> int:
    """Subscribe a session's account to Topics of one Broker; the number that it did not have.

    Raises
    ------
    LoadError
        The Broker refused or did not answer.
    """
    account = session.requested_jid.bare
    reply = await session.ask("get", broker, _question(PUBSUB, "subscriptions"))
    have = {
        each.get("node")
        for each in reply.iter(f"{{{PUBSUB}}}subscription")
        if each.get("jid") == account and each.get("subscription") == "subscribed"
    }
    missing = [topic for topic in topics if topic not in have]
    for topic in missing:
        question = _question(PUBSUB, "subscribe", node=topic, jid=account)
        await session.ask("set", broker, question)
    return len(missing)


async def end_others(owner: Session, broker: str, topic: str, expected: Collection[str]) -> int:
    """End all subscriptions to a Topic but those of the accounts `expected`; how many there were.

    Raises
    ------
    LoadError
        The Broker refused or did not answer.

    References
    ----------
    XEP-0060 section 8.8, Manage Subscriptions.
    """
    reply = await owner.ask("get", broker, _question(OWNER, "subscriptions", node=topic))
    others = [
        str(each.get("jid"))
        for each in reply.iter(f"{{{OWNER}}}subscription")
        if each.get("jid") not in expected
    ]
    if others:
        question = _question(OWNER, "subscriptions", node=topic)
        for jid in others:
            ET.SubElement(question[0], f"{{{OWNER}}}subscription", jid=jid, subscription="none")
        await owner.ask("set", broker, question)
    return len(others)


def _question(namespace: str, name: str, **attributes: str) -> ET.Element:
    pubsub = ET.Element(f"{{{namespace}}}pubsub")
    ET.SubElement(pubsub, f"{{{namespace}}}{name}", attributes)
    return pubsub
