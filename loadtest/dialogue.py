"""One XMPP stream word by word: what is said and heard is kept as text, as evidence.

A conformance probe must see what a library hides: the features of an unauthenticated stream, an
error's exact conditions, a stanza nobody asked for. So this is the protocol's bare minimum: a TCP
connection from the one dialler, TLS verified with the grid's authority, SCRAM or EXTERNAL, bind.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import hmac
import itertools
import re
import secrets
import ssl
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from loadtest import rails
from loadtest.problems import LoadError
from loadtest.receiver import element_end

ANSWER_WITHIN_S: Final = 4.0
STANZAS: Final = "urn:ietf:params:xml:ns:xmpp-stanzas"
SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
_WRAPPER: Final = "<x xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{}</x>"
_HASHES: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}
_SECRET: Final = re.compile(r"(<(?:auth|response|challenge|success)\b[^>]*>)[^<]+")

Tls = Literal["none", "starttls", "direct"]
_REPLIES: Final = [("{jabber:client}iq", kind) for kind in ("result", "error")]


class Silence(LoadError):
    """An answer that had to come did not come in time."""


@dataclass(frozen=True)
class Door:
    """Where a Controller takes connections, and what its certificate is verified with."""

    address: str
    port: int
    direct_tls_port: int
    domain: str
    context: ssl.SSLContext

    def with_context(self, context: ssl.SSLContext) -> Door:
        """The same door with other TLS settings."""
        return dataclasses.replace(self, context=context)


@dataclass(frozen=True)
class Stanza:
    """A top-level element of a stream, as it was read and parsed."""

    text: str
    xml: ET.Element

    @property
    def ok(self) -> bool:
        """Whether a reply is a result and not an error."""
        return self.xml.get("type") == "result"

    @property
    def conditions(self) -> list[str]:
        """Names of an error's conditions, the defined one first; empty where there is none."""
        error = self.xml.find("{jabber:client}error")
        found = [] if error is None else [each for each in error if not _is_text(each)]
        found.sort(key=lambda each: not each.tag.startswith(f"{{{STANZAS}}}"))
        return [each.tag.rpartition("}")[2] for each in found]


def _is_text(element: ET.Element) -> bool:
    return element.tag == f"{{{STANZAS}}}text"


class Dialogue:
    """A stream to one Controller; `open` makes one.

    Attributes
    ----------
    features : str
        The newest stream features.
    transcript : list of str
        The handshake, ours marked `C:` and theirs `S:`, credentials masked.
    closed : str or None
        How the server ended the stream.
    """

    def __init__(
        self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.door = door
        self._reader, self._writer = reader, writer
        self.features = ""
        self.transcript: list[str] = []
        self.closed: str | None = None
        self.jid = ""
        self._heard: list[Stanza] = []
        self._waiting: dict[str, tuple[str | None, asyncio.Future[Stanza]]] = {}
        self._news = asyncio.Event()
        self._left = b""
        self._numbers = itertools.count(1)
        self._listening: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, door: Door, tls: Tls = "direct", source: str | None = None) -> Dialogue:
        """A stream up to its features, unauthenticated; secured unless `tls` is none.

        It comes from the loopback address `source`, by default the system's choice.

        Raises
        ------
        OSError
            No connection, or no TLS.
        """
        port = door.direct_tls_port if tls == "direct" else door.port
        connection = await rails.dial_async(door.address, port, source=source)
        opening = asyncio.open_connection(
            sock=connection,
            ssl=door.context if tls == "direct" else None,
            server_hostname=door.domain if tls == "direct" else None,
        )
        async with asyncio.timeout(ANSWER_WITHIN_S):
            self = cls(door, *await opening)
        await self.greet()
        if tls == "starttls":
            self.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            await self.read("proceed")
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._writer.start_tls(door.context, server_hostname=door.domain)
            await self.greet()
        return self

    async def greet(self) -> None:
        """Open the stream anew and read its features."""
        self.say(
            f"<?xml version='1.0'?><stream:stream to='{self.door.domain}' version='1.0' "
            "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        self.features = (await self.read("features")).text

    @property
    def tls_version(self) -> str:
        """Of the connection, as OpenSSL names it."""
        tls = self._writer.get_extra_info("ssl_object")
        return str(tls.version()) if tls else "no TLS"

    @property
    def mechanisms(self) -> list[str]:
        """SASL mechanisms that are offered, in the server's order."""
        return re.findall(r"<mechanism>([^<]+)", self.features)

    def say(self, text: str) -> None:
        """Send text as it is."""
        if self._listening is None:
            self.transcript.append("C: " + _SECRET.sub(r"\1...", text))
        self._writer.write(text.encode())

    async def read(self, *names: str) -> Stanza:
        """The next element, one of `names`, before anyone listens.

        Raises
        ------
        Silence
            It did not come, or the server closed the stream.
        """
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                element = await self._next()
        except TimeoutError:
            raise Silence(f"no {' or '.join(names)} within {ANSWER_WITHIN_S:g} s") from None
        self.transcript.append("S: " + _SECRET.sub(r"\1...", element.text))
        if element.xml.tag.rpartition("}")[2] not in names:
            raise Silence(f"not {' or '.join(names)} but {element.text}")
        return element

    async def present(self, account: str) -> None:
        """Authenticate as a bare JID with the certificate of the connection (EXTERNAL).

        Raises
        ------
        Silence
            The server said no, or nothing.
        """
        self.say(f"<auth xmlns='{SASL}' mechanism='EXTERNAL'>{_encode(account)}</auth>")
        await self.read("success")
        await self.greet()

    async def authenticate(self, localpart: str, password: str) -> None:
        """Authenticate with SCRAM, the server's signature verified (RFC 5802, RFC 7677).

        Raises
        ------
        Silence
            The server said no, or nothing.
        LoadError
            It does not know the account's keys itself.
        """
        mechanism = next((name for name in _HASHES if name in self.mechanisms), "SCRAM-SHA-256")
        hash_name = _HASHES[mechanism]
        first = f"n={localpart},r={secrets.token_urlsafe(18)}"
        self.say(f"<auth xmlns='{SASL}' mechanism='{mechanism}'>{_encode('n,,' + first)}</auth>")
        challenge = _decode(await self.read("challenge"))
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        salted = hashlib.pbkdf2_hmac(
            hash_name, password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
        )
        final = f"c=biws,r={fields['r']}"
        exchange = f"{first},{challenge},{final}".encode()
        client_key = hmac.digest(salted, b"Client Key", hash_name)
        signature = hmac.digest(hashlib.new(hash_name, client_key).digest(), exchange, hash_name)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        final += ",p=" + base64.b64encode(proof).decode()
        self.say(f"<response xmlns='{SASL}'>{_encode(final)}</response>")
        told = _decode(await self.read("success"))
        server_key = hmac.digest(salted, b"Server Key", hash_name)
        known = base64.b64encode(hmac.digest(server_key, exchange, hash_name)).decode()
        if told != f"v={known}":
            raise LoadError("the server does not know the account's keys: wrong signature")
        await self.greet()

    async def authenticate_plainly(self, localpart: str, password: str) -> None:
        """Authenticate with PLAIN (RFC 4616), inside TLS.

        Raises
        ------
        Silence
            The server said no, or nothing.
        """
        secret = _encode(f"\0{localpart}\0{password}")
        self.say(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{secret}</auth>")
        await self.read("success")
        await self.greet()

    async def bind(self, resource: str) -> Dialogue:
        """Bind a resource and listen from then on."""
        name = f"<resource>{resource}</resource>"
        self.listen()
        bound = await self.ask(
            "set", None, f"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{name}</bind>"
        )
        self.jid = bound.xml.findtext(".//{*}jid") or ""
        return self

    def listen(self) -> Dialogue:
        """Hear whatever comes from now on."""
        self._listening = asyncio.ensure_future(self._listen())
        return self

    @property
    def bare(self) -> str:
        """The bare JID."""
        return self.jid.partition("/")[0]

    async def ask(
        self, kind: str, to: str | None, content: str, within_s: float = ANSWER_WITHIN_S
    ) -> Stanza:
        """Send a query (`kind` is `get` or `set`); its reply, result or error.

        Raises
        ------
        Silence
            No reply in time, or the stream has ended.
        """
        if self.closed is not None:
            raise Silence(f"no answer: {self.closed}")
        number = f"q{next(self._numbers)}"
        reply: asyncio.Future[Stanza] = asyncio.get_running_loop().create_future()
        self._waiting[number] = to, reply
        target = "" if to is None else f" to='{to}'"
        question = f"<iq type='{kind}' id='{number}'{target}>{content}</iq>"
        self.say(question)
        try:
            async with asyncio.timeout(within_s):
                return await reply
        except TimeoutError:
            raise Silence(f"no answer within {within_s:g} s to {question[:300]}") from None
        finally:
            self._waiting.pop(number, None)

    async def hear(
        self, wanted: Callable[[Stanza], bool], within_s: float = ANSWER_WITHIN_S
    ) -> Stanza | None:
        """The first stanza that is wanted, heard already or to come; None where none comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    found = next(filter(wanted, self._heard), None)
                    if found is not None:
                        return found
                    self._news.clear()
                    await self._news.wait()
        return None

    def heard(self, wanted: Callable[[Stanza], bool]) -> list[Stanza]:
        """All stanzas so far that are wanted, replies excepted."""
        return list(filter(wanted, self._heard))

    def forget(self) -> None:
        """Let go of what was said and heard so far: a long watch keeps nothing."""
        self._heard.clear()
        self.transcript.clear()

    async def leave(self) -> None:
        """Close the stream and the connection."""
        with contextlib.suppress(OSError):
            self._writer.write(b"</stream:stream>")
            self._writer.close()
            # A wait that is cancelled cancels what it waits for, and all who wait for that later.
            closing = asyncio.ensure_future(self._writer.wait_closed())
            await asyncio.wait([closing], timeout=1.0)
            if closing.done() and not closing.cancelled():
                closing.exception()
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        with contextlib.suppress(OSError, Silence):
            while True:
                stanza = await self._next()
                asked, waiting = self._waiting.get(stanza.xml.get("id", ""), ("", None))
                if waiting and not waiting.done() and self._answers(stanza, asked):
                    waiting.set_result(stanza)
                else:
                    self._heard.append(stanza)
                    self._news.set()
        self.closed = self.closed or "the server closed the connection"
        self._news.set()
        for _, waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Silence(f"no answer: {self.closed}"))

    def _answers(self, stanza: Stanza, asked: str | None) -> bool:
        """Whether it is a reply from who was asked: others may guess an id (RFC 6120 section 8.1).

        What has no sender is of the session's own server.
        """
        sender = stanza.xml.get("from")
        kind = stanza.xml.tag, stanza.xml.get("type")
        allowed = (self.jid, self.bare, self.door.domain) if asked is None else (asked,)
        known = sender is None or sender.lower() in [each.lower() for each in allowed]
        return known and kind in _REPLIES

    async def _next(self) -> Stanza:
        while True:
            self._left = self._left.lstrip()
            end = element_end(self._left, 0) if self._left else -1
            if end < 0:
                received = await self._reader.read(65_536)
                if not received:
                    raise Silence("the server closed the connection")
                self._left += received
                continue
            text, self._left = self._left[:end].decode(), self._left[end:]
            if text.startswith(("<?xml", "<stream:stream")):
                continue
            if text == "</stream:stream>":
                raise Silence("the server closed the stream")
            stanza = Stanza(text, ET.fromstring(_WRAPPER.format(text))[0])
            if stanza.xml.tag == "{http://etherx.jabber.org/streams}error":
                self.closed = text
            return stanza


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(stanza: Stanza) -> str:
    return base64.b64decode(stanza.xml.text or "").decode()
