"""What the null server says on one stream: logins by script, requests answered `result`.

It knows no accounts and takes any password; SCRAM is spoken just far enough that a client which
verifies the server's signature is content. There is no XML parser: requests are recognised as the
load engine, Tsung and slixmpp write them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Final

PASSWORD: Final = "null"
ITERATIONS: Final = 4_096

_SASL = b"xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
_HASHES: Final = {b"SCRAM-SHA-1": "sha1", b"SCRAM-SHA-256": "sha256"}
_SALT = secrets.token_bytes(16)
_KEYS = {
    name: hmac.digest(
        hashlib.pbkdf2_hmac(name, PASSWORD.encode(), _SALT, ITERATIONS), b"Server Key", name
    )
    for name in _HASHES.values()
}
_STARTTLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
_MECHANISMS = (
    b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    + b"".join(b"<mechanism>%s</mechanism>" % name for name in (*reversed(_HASHES), b"PLAIN"))
    + b"</mechanisms>"
)
_BIND = b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"

_ID = re.compile(rb"\sid=[\"']([^\"']*)[\"']")
_TYPE = re.compile(rb"\stype=[\"'](get|set)[\"']")
_NODE = re.compile(rb"<(publish|subscribe) (?:[^<>]* )?node=[\"']([^\"']*)[\"']")
_JID = re.compile(rb"<subscribe [^<>]*jid=[\"']([^\"'/]*)")
_RESOURCE = re.compile(rb"<resource>([^<]*)</resource>")
_MECHANISM = re.compile(rb"mechanism=[\"']([A-Z0-9-]+)[\"']")
_END = {b"<iq": b"</iq>", b"<presence": b"</presence>", b"<message": b"</message>"}
_NAME = re.compile(rb"<[/?]?[a-zA-Z:]+")


def elements(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Whole top-level elements of a client's stream and where each ends; the rest is incomplete."""
    place = 0
    while True:
        place = data.find(b"<", place)
        closed = data.find(b">", place) + 1
        if place < 0 or not closed:
            return
        name = _NAME.match(data, place)
        end_tag = b"</%s>" % name[0][1:] if name and name[0] in _WITH_END else b""
        if name and name[0] in _END:
            end_tag = _END[name[0]]
        if end_tag and data[closed - 2 : closed] != b"/>":
            closed = data.find(end_tag, closed) + len(end_tag)
            if closed < len(end_tag):
                return
        yield data[place:closed], closed
        place = closed


_WITH_END = (b"<auth", b"<response", b"<starttls")


class Stream:
    """One client's stream.

    Parameters
    ----------
    domain : bytes
        The server's.
    say : callable
        Sends bytes to this client.

    Attributes
    ----------
    account, jid : bytes
        Bare and full JID, once known.
    secured, present, ended : bool
        Whether TLS is on, presence was sent, the stream was closed.
    """

    __slots__ = ("_domain", "_final", "_say", "account", "ended", "jid", "present", "secured")

    def __init__(self, domain: bytes, say: Callable[[bytes], None]) -> None:
        self._domain, self._say = domain, say
        self._final: Callable[[bytes], bytes] | None = None
        self.account = self.jid = b""
        self.secured = self.present = self.ended = False

    def open(self) -> None:
        """Answer a stream's header with a header and the features that are due."""
        features = _STARTTLS if not self.secured else _BIND if self.account else _MECHANISMS
        self._say(
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' id='null' "
            b"xmlns:stream='http://etherx.jabber.org/streams' from='%s'>"
            b"<stream:features>%s</stream:features>" % (self._domain, features)
        )

    def authenticate(self, element: bytes) -> None:
        """Answer `<auth/>` or `<response/>`."""
        text = element[element.find(b">") + 1 : element.rfind(b"<")]
        said = base64.b64decode(text)
        mechanism = _MECHANISM.search(element)
        if mechanism and mechanism[1] in _HASHES:
            first = said.split(b",", 2)[2]  # after the channel binding
            user, nonce = (part[2:] for part in first.split(b",")[:2])
            self._challenge(_HASHES[mechanism[1]], user, nonce, first)
        elif self._final:
            proof = self._final(said)
            self._say(b"<success %s>%s</success>" % (_SASL, base64.b64encode(proof)))
        else:
            self._known_as(said.split(b"\0")[1])
            self._say(b"<success %s/>" % _SASL)

    def _challenge(self, name: str, user: bytes, nonce: bytes, first: bytes) -> None:
        challenge = b"r=%sx,s=%s,i=%d" % (nonce, base64.b64encode(_SALT), ITERATIONS)

        def final(said: bytes) -> bytes:
            self._known_as(user)
            message = b",".join((first, challenge, said[: said.rfind(b",p=")]))
            return b"v=" + base64.b64encode(hmac.digest(_KEYS[name], message, name))

        self._final = final
        self._say(b"<challenge %s>%s</challenge>" % (_SASL, base64.b64encode(challenge)))

    def _known_as(self, user: bytes) -> None:
        self.account, self._final = user + b"@" + self._domain, None

    def answer(self, request: bytes) -> tuple[bytes, bytes, bytes]:
        """Answer an IQ; what it did: (`publish`, node, item), (`subscribe`, node, bare JID).

        All three are empty where it did nothing.
        """
        identity = _ID.search(request)
        number = identity[1] if identity else b""
        kind = _TYPE.search(request, 0, request.find(b">"))
        if kind is None:
            return b"", b"", b""
        did = _NODE.search(request)
        if did is None and b"xmpp-bind" in request:
            resource = _RESOURCE.search(request)
            self.jid = self.account + b"/" + (resource[1] if resource else b"null")
            self._say(
                b"<iq type='result' id='%s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                b"<jid>%s</jid></bind></iq>" % (number, self.jid)
            )
            return b"", b"", b""
        self._say(b"<iq type='result' id='%s' to='%s'/>" % (number, self.jid))
        if did is None:
            return b"", b"", b""
        if did[1] == b"publish":
            end = request.rfind(b"</item>") + len(b"</item>")
            return b"publish", did[2], request[request.find(b"<item ") : end]
        subscriber = _JID.search(request)
        return b"subscribe", did[2], subscriber[1] if subscriber else self.account
