"""How a publisher sends an item: in the clear, encrypted for each receiver, or once for all."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from xml.sax.saxutils import quoteattr

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from loadtest import mailbox, pubsub
from loadtest.mailbox import Mailbox, item_name, key_name
from loadtest.sealing import Recipient, SharedKey, sealed_for


class Sender:
    """A publisher's end.

    Parameters
    ----------
    boxes : sequence of Mailbox
        The receivers; each is given the first shared key.
    domain, broker, topic, relay : str
        Where they are, where the Topic is, and the localpart of the relay.
    key_items : int, optional
        A new shared key goes to each receiver before so many items.

    Attributes
    ----------
    seals : dict
        The newest text that an item was encrypted to, by item.
    sealing_s : float
        CPU time of encryption so far, the relay's apart. [s]
    """

    def __init__(
        self, boxes: Sequence[Mailbox], domain: str, broker: str, topic: str, relay: str,
        key_items: int | None = None,
    ) -> None:  # fmt: skip
        self._boxes, self._domain, self._broker, self._topic = boxes, domain, broker, topic
        self._relay, self._relay_name, self._key_items = Recipient(), relay, key_items
        self._key, self._key_number, self._sent = SharedKey(), 0, 0
        for box in boxes:
            box.keys[0] = self._key
        self.seals: dict[int, str] = {}
        self.sealing_s = 0.0

    def stanzas(self, manner: str, number: int, content: bytes) -> Iterator[str]:
        """What is said for one item, each stanza encrypted as it is taken."""
        ways: dict[str, Callable[[int, bytes], Iterator[str]]] = {
            "publish": self._published,
            "messages": self._one_by_one,
            "relay": self._to_relay,
            "addressed": self._addressed,
            "sealed": self._sealed,
        }
        return ways[manner](number, content)

    def relayed(self, message: bytes) -> Iterator[str]:
        """What the relay says when it is sent an item: the same for each receiver."""
        found: list[tuple[int, bytes]] = []
        box = Mailbox(self._relay_name, lambda number, content, *_: found.append((number, content)))
        box.recipient = self._relay
        box.received(message, 0)
        before_s = self.sealing_s
        for number, content in found:
            yield from self._one_by_one(number, content)
        self.sealing_s = before_s

    def _published(self, number: int, content: bytes) -> Iterator[str]:
        yield self._publish(number, mailbox.report(number, content.decode()))

    def _one_by_one(self, number: int, content: bytes) -> Iterator[str]:
        for box in self._boxes:
            yield self._message(box.name, self._for_one(box.recipient.public, number, content))

    def _to_relay(self, number: int, content: bytes) -> Iterator[str]:
        yield self._message(self._relay_name, self._for_one(self._relay.public, number, content))

    def _addressed(self, number: int, content: bytes) -> Iterator[str]:
        jids = (quoteattr(f"{box.name}@{self._domain}") for box in self._boxes)
        addresses = "".join(f"<address type='to' jid={jid}/>" for jid in jids)
        to_all = f"<addresses xmlns='http://jabber.org/protocol/address'>{addresses}</addresses>"
        element = self._for_all(number, content)
        yield f"<message type='headline' to='multicast.{self._domain}'>{to_all}{element}</message>"

    def _sealed(self, number: int, content: bytes) -> Iterator[str]:
        if self._key_items and self._sent % self._key_items == 0:
            self._key, self._key_number = SharedKey(), self._key_number + 1
            name, secret = key_name(self._key_number), self._key.secret
            for box in self._boxes:
                public = box.recipient.public
                text = self._timed(functools.partial(sealed_for, public, secret, name))
                yield self._message(box.name, mailbox.key(self._key_number, text))
        self._sent += 1
        yield self._publish(number, self._for_all(number, content))

    def _for_one(self, public: X25519PublicKey, number: int, content: bytes) -> str:
        text = self._timed(lambda: sealed_for(public, content, item_name(number)))
        self.seals[number] = text
        return mailbox.sealed(number, text)

    def _for_all(self, number: int, content: bytes) -> str:
        text = self._timed(lambda: self._key.sealed(content, item_name(number)))
        self.seals[number] = text
        return mailbox.sealed(number, text, self._key_number)

    def _timed(self, seal: Callable[[], bytes]) -> str:
        begun_s = time.thread_time()
        text = seal()
        self.sealing_s += time.thread_time() - begun_s
        return text.decode()

    def _publish(self, number: int, element: str) -> str:
        request = pubsub.publish(self._topic, f"deed-{number}", element)
        return f"<iq type='set' id='p{number}' to='{self._broker}'>{request}</iq>"

    def _message(self, name: str, content: str) -> str:
        return f"<message type='headline' to='{name}@{self._domain}'>{content}</message>"
