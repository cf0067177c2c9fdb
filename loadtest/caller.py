"""One login of a Platform at the least cost to the generator: nine messages, nothing parsed.

A storm of logins is to find the server's limit and not its generator's. So this is neither
slixmpp's session nor `dialogue.Dialogue`: answers are recognised by their last tag, and the salted
password is kept once it was derived, as RFC 5802 section 5.1 lets clients do. Measured on the
server it is the same login: stream, STARTTLS, TLS, stream, SASL, stream, bind, presence.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import hmac
import re
import secrets
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from loadtest import rails
from loadtest.problems import LoadError
from loadtest.transport import TimedTransport

Mechanism = Literal["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
STEPS: Final = ("stream", "starttls", "tls", "features", "sasl", "proof", "restart", "bind")
"""What each message of a login asks for, in their order."""

_HASHES: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}
_SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"
_TEXT: Final = re.compile(rb">([A-Za-z0-9+/=]+)</(?:challenge|success)>")
_CONDITION: Final = re.compile(rb"<failure[^>]*>\s*<([a-z-]+)")
_BOUND: Final = re.compile(rb"<iq\b[^>]*\stype=['\"]result['\"]")
_STANZA_CONDITION: Final = re.compile(rb"<error\b[^>]*>\s*<([a-z-]+)")
_FEATURES: Final = (b"</stream:features>", b"<stream:features/>")
_FAILURE: Final = b"</failure>"
_MESSAGE: Final = b"</message>"
_ABRUPTLY: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time: the server is sent a RST


class Denied(LoadError):
    """The server said no to an account or its password, or turned the connection away."""


@dataclass(frozen=True)
class Door:
    """Where a Controller takes logins, and what its certificate is verified with."""

    address: str
    port: int
    domain: str
    context: ssl.SSLContext


@dataclass(frozen=True)
class Account:
    """Who logs in, how, and from which loopback address (the system's choice where None)."""

    localpart: str
    password: str
    mechanism: Mechanism = "SCRAM-SHA-1"
    source: str | None = None


@functools.lru_cache(maxsize=40_000)
def salted(hash_name: str, password: str, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword of RFC 5802 section 3, kept for the next login."""
    return hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, iterations)


class Caller:
    """A Platform's connection; `log_in` brings it online.

    Attributes
    ----------
    lost : Future
        Done once the connection has ended, with the reason.
    sent : int
        How many steps of a login it has begun.
    """

    def __init__(self, door: Door, account: Account) -> None:
        self._door, self._account = door, account
        self._heard = bytearray()
        self._awaited: tuple[tuple[bytes, ...], asyncio.Future[bytes]] | None = None
        self._transport: TimedTransport | None = None
        self._exchange, self.sent = "", 0
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def log_in(self) -> None:
        """All steps, one after the other.

        Raises
        ------
        LoadError
            The server refused, closed the connection, or is not there.
        """
        await self.advance(*STEPS)
        self.say("<presence/>")

    async def advance(self, *steps: str) -> None:
        """Take some steps in their order and await the answer to each."""
        for step in steps:
            await self.begin(step)

    def begin(self, step: str) -> Awaitable[object]:
        """Send the message of a step now, connecting for the first; awaits its answer."""
        actions: dict[str, Callable[[], Awaitable[object]]] = {
            "stream": self._connect,
            "starttls": self._ask_for_tls,
            "tls": self._secure,
            "features": self._open_stream,
            "sasl": self._identify,
            "proof": self._prove,
            "restart": self._open_stream,
            "bind": self._bind,
        }
        self.sent += 1
        return actions[step]()

    def say(self, text: str) -> None:
        """Send text as it is."""
        if self._transport is not None:
            self._transport.write(text.encode())

    def close(self, *, abruptly: bool = False) -> None:
        """End the connection: with a FIN, as whoever gives up does, or with a RST."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        if abruptly:
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPTLY)
        transport.close()

    # What the transport reports.

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Look whether the awaited answer is complete; what nobody awaits is dropped."""
        if self._awaited is None:
            return
        self._heard += data
        endings, answer = self._awaited
        if any(ending in self._heard for ending in endings):
            self._awaited = None
            if not answer.done():
                answer.set_result(bytes(self._heard))
            self._heard.clear()

    def connection_lost(self, exception: BaseException | None) -> None:
        """Whoever awaits an answer learns that none will come."""
        reason = str(exception) if exception else "the server closed the connection"
        if not self.lost.done():
            self.lost.set_result(reason)
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_exception(LoadError(f"{self._account.localpart}: {reason}"))
        self._awaited = None

    # The steps.

    def _ask(self, text: str, *endings: bytes) -> asyncio.Future[bytes]:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if self._transport is None or self.lost.done():
            answer.set_exception(LoadError(f"{self._account.localpart}: not connected"))
            return answer
        self._awaited = endings, answer
        self.say(text)
        return answer

    async def _connect(self) -> None:
        door = self._door
        try:
            connection = await rails.dial_async(
                door.address, door.port, timeout_s=60.0, source=self._account.source
            )
        except (OSError, TimeoutError) as error:
            raise LoadError(f"{self._account.localpart}: no connection: {error}") from None
        self._transport = TimedTransport(connection, self)
        await self._open_stream()

    def _open_stream(self) -> Awaitable[bytes]:
        return self._ask(
            f"<?xml version='1.0'?><stream:stream to='{self._door.domain}' version='1.0' "
            "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
            *_FEATURES,
        )

    def _ask_for_tls(self) -> Awaitable[bytes]:
        return self._ask("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", b"<proceed")

    async def _secure(self) -> None:
        assert self._transport is not None
        try:
            await self._transport.secure(self._door.context, self._door.domain)
        except OSError as error:
            raise LoadError(f"{self._account.localpart}: no TLS: {error}") from None

    async def _identify(self) -> None:
        account = self._account
        head = f"<auth xmlns='{_SASL}' mechanism='{account.mechanism}'>"
        if account.mechanism == "PLAIN":
            secret = _encode(f"\0{account.localpart}\0{account.password}")
            _refuse(await self._ask(f"{head}{secret}</auth>", b"<success", _FAILURE))
            return
        self._exchange = f"n={account.localpart},r={secrets.token_urlsafe(18)}"
        asked = self._ask(f"{head}{_encode('n,,' + self._exchange)}</auth>",
                          b"</challenge>", _FAILURE)  # fmt: skip
        self._exchange += "," + _decode(_refuse(await asked))

    async def _prove(self) -> None:
        account = self._account
        if account.mechanism == "PLAIN":
            return  # it has been
        response = answer_to(self._exchange, account.password, _HASHES[account.mechanism])
        text = f"<response xmlns='{_SASL}'>{_encode(response)}</response>"
        _refuse(await self._ask(text, b"<success", _FAILURE))

    async def _bind(self) -> None:
        answer = await self._ask(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            "<resource>herd</resource></bind></iq>",
            b"</iq>",
        )
        if not _BOUND.search(answer):
            found = _STANZA_CONDITION.search(answer)
            raise Denied(f"refused: bind: {found[1].decode() if found else 'no result'}")


class Listener(Caller):
    """A subscriber that hands on each message, whole, and when the kernel had the last of it.

    Parameters
    ----------
    take : callable
        Gets a message and the instant. [ns]
    """

    def __init__(self, door: Door, account: Account, take: Callable[[bytes, int], None]) -> None:
        super().__init__(door, account)
        self._take, self._online = take, False
        self._left: list[bytes] = []
        self._tail = b""  # of what is left, as much as may be the beginning of an end

    def listen(self) -> None:
        """From now on what comes are notifications."""
        self._online = True

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Cut what comes into messages; a long one is put together once, at its end."""
        if not self._online:
            super().bytes_received(data, received_ns, delay_ns)
            return
        self._left.append(data)
        seen = self._tail + data
        self._tail = seen[1 - len(_MESSAGE) :]
        if _MESSAGE not in seen:
            return
        *messages, rest = b"".join(self._left).split(_MESSAGE)
        self._left, self._tail = [rest], rest[1 - len(_MESSAGE) :]
        for message in messages:
            self._take(message, received_ns)


def answer_to(exchange: str, password: str, hash_name: str) -> str:
    """The client's last message of SCRAM to what was said so far (RFC 5802 section 3)."""
    fields = dict(part.split("=", 1) for part in exchange.split(",")[2:])
    final = f"c=biws,r={fields['r']}"
    said = f"{exchange},{final}".encode()
    known = salted(hash_name, password, base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(known, b"Client Key", hash_name)
    signature = hmac.digest(hashlib.new(hash_name, client_key).digest(), said, hash_name)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return f"{final},p={base64.b64encode(proof).decode()}"


def _refuse(answer: bytes) -> bytes:
    """The answer, unless it is a refusal."""
    if found := _CONDITION.search(answer):
        raise Denied(f"refused: {found[1].decode()}")
    return answer


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(answer: bytes) -> str:
    found = _TEXT.search(answer)
    if found is None:
        raise LoadError("no challenge in the server's answer")
    return base64.b64decode(found[1]).decode()
