"""One session of a Platform: slixmpp for all that is XMPP, on a transport that times what it reads.

slixmpp's own ways that a load test must not take are closed here: PBKDF2 in a Python loop,
stringprep of the same words again, features that are set to what they are, a TLS context for each
client, a second connection attempt over the other kind of TLS, reconnecting for ever, and a
whitespace keep-alive that cannot be switched off.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import ssl
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, Literal

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.stanza import StreamFeatures
from slixmpp.util.sasl import client
from slixmpp.util.sasl.mechanisms import SCRAM
from slixmpp.xmlstream import ElementBase, StanzaBase

from loadtest import rails
from loadtest.problems import LoadError
from loadtest.receiver import DeliveryLog, Receiver, StreamError
from loadtest.transport import TimedTransport

LOGIN_TIMEOUT_S = 30.0
REPLY_TIMEOUT_S = 30.0
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1")


@functools.lru_cache(maxsize=20_000)
def salted_password(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword of RFC 5802 section 3, Hi(): PBKDF2 with HMAC and the hash `name`."""
    return hashlib.pbkdf2_hmac(name, password, salt, iterations)


def _hi(mechanism: Any, text: bytes, salt: bytes, iterations: int) -> bytes:
    return salted_password(mechanism.hash().name, bytes(text), bytes(salt), iterations)


SCRAM.Hi = _hi

# Stringprep looks up each character in a dozen tables; an account's words stay the same.
client.saslprep = functools.lru_cache(maxsize=20_000)(client.saslprep)


def _setup(features: Any, xml: ET.Element | None = None) -> bool:
    """What slixmpp does, without setting each of the features' values to itself afterwards."""
    return bool(StanzaBase.setup(features, xml))


StreamFeatures.setup = _setup


@dataclass(frozen=True)
class Endpoint:
    """Where a Controller takes its Platforms' connections: one kind of TLS, never both."""

    address: str
    port: int
    domain: str
    tls: Literal["direct", "starttls"]
    context: ssl.SSLContext

    def __str__(self) -> str:
        return f"{self.domain} ({self.address}:{self.port}, {self.tls} TLS)"


@dataclass(slots=True)
class Timeline:
    """Instants of a login on the monotonic clock. [ns]"""

    began_ns: int = 0
    connected_ns: int = 0
    secured_ns: int = 0
    authenticated_ns: int = 0
    bound_ns: int = 0

    def instants(self) -> list[int]:
        """All of them in order. [ns]"""
        return list(astuple(self))


class Session(ClientXMPP):  # type: ignore[misc]
    """A Platform's session, read through a `Receiver`.

    Parameters
    ----------
    jid, password : str
        Full JID and password of the account.
    endpoint : Endpoint
        Where to log in.
    number : int
        The Platform, for the delivery log.
    tag : str
        The run's tag.
    log : DeliveryLog
        Where deliveries are noted.

    Attributes
    ----------
    filter : callable
        Sees each other stanza first, with its instant of receipt [ns]; true if it took it.
    lost : str or None
        Why a session that was online no longer is.
    """

    _current_connection_attempt: asyncio.Future[None] | None
    _run_out_filters: asyncio.Future[None] | None

    def __init__(
        self,
        jid: str,
        password: str,
        endpoint: Endpoint,
        *,
        number: int,
        tag: str,
        log: DeliveryLog,
    ) -> None:
        super().__init__(
            jid,
            password,
            plugin_config={"feature_mechanisms": {"use_mechs": MECHANISMS}},
            ssl_context=endpoint.context,
        )
        self.number = number
        self.endpoint = endpoint
        self.timeline = Timeline()
        self.lost: str | None = None
        self._usual, self._kernel_ns = False, 0
        self.enable_direct_tls = endpoint.tls == "direct"
        self.enable_starttls = endpoint.tls == "starttls"
        self._online: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._receiver = Receiver(number, tag, log, self._pass_on)
        self.filter: Callable[[bytes, int], bool] = lambda stanza, received_ns: False
        self.del_event_handler("session_start", self._start_keepalive)
        self.add_event_handler("auth_success", self._mark_authenticated)
        self.add_event_handler("session_start", self._mark_online)
        self.add_event_handler("failed_auth", self._refused)
        self.add_event_handler("no_auth", self._no_mechanism)
        self.add_event_handler("stream_error", self._stream_error)
        self.add_event_handler("disconnected", self._disconnected)

    async def login(self) -> None:
        """Connect, secure, authenticate, bind.

        Raises
        ------
        LoadError
            It did not come to that: who, where, why.
        """
        self.timeline.began_ns = time.monotonic_ns()
        self.connect(self.endpoint.address, self.endpoint.port)
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT_S):
                await self._online
        except TimeoutError:
            self.leave()
            raise self._error(f"no answer within {LOGIN_TIMEOUT_S:g} s") from None
        if isinstance(self.transport, TimedTransport):
            self.transport.quick = False

    async def ask(self, kind: str, to: str, question: ET.Element) -> ET.Element:
        """Send a query (`kind` is `get` or `set`) and return its reply, the whole stanza.

        Raises
        ------
        LoadError
            The server refused it or did not answer.
        """
        query = self.make_iq(ito=to, itype=kind)
        query.xml.append(question)
        try:
            reply = await query.send(timeout=REPLY_TIMEOUT_S)
        except IqError as error:
            raise self._error(f"{to} refused {_described(question)}: {error.condition}") from None
        except IqTimeout:
            raise self._error(f"{to} did not answer {_described(question)}") from None
        xml: ET.Element = reply.xml
        return xml

    def leave(self) -> None:
        """Close the connection at once."""
        self.del_event_handler("disconnected", self._disconnected)
        self.cancel_connection_attempt()
        if self.transport is not None:
            self.send_raw(self.stream_footer)
        self.abort()
        if self._run_out_filters is not None:
            self._run_out_filters.cancel()

    def unread(self) -> bytes:
        """The beginning of an element whose end is still to come."""
        return self._receiver.left

    def dismantle(self) -> None:
        """Let go of everything but the connection, which somebody else has taken over.

        slixmpp's objects hold each other; taken apart, they go at once and not at some later
        garbage collection, and thousands of them never pile up.
        """
        self.cancel_connection_attempt()
        if self._run_out_filters is not None:
            self._run_out_filters.cancel()
        for name in list(self.scheduled_events):
            self.cancel_schedule(name)
        self.__dict__.clear()
        self._run_out_filters = None  # which slixmpp still looks at when this goes

    def read_as_usual(self, tag: str, log: DeliveryLog) -> None:
        """From now on read everything with slixmpp's own handlers, as most programs do.

        Deliveries are noted when the handler sees them, so that their latency holds what the
        handlers cost: this is what the lean path is compared with.
        """
        for plugin in ("xep_0030", "xep_0004", "xep_0060"):
            self.register_plugin(plugin)

        def note(message: Any) -> None:
            now_ns = time.monotonic_ns()
            of_run, _, number = message["pubsub_event"]["items"]["item"]["id"].rpartition("-")
            if of_run == tag and number.isdecimal():
                log.append((int(number) << 32 | self.number, now_ns, now_ns - self._kernel_ns))
            else:
                log.foreign += 1

        self.add_event_handler("pubsub_publish", note)
        self._usual = True

    # What the transport calls.

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Take decrypted bytes of the stream."""
        if self._usual:
            self._kernel_ns = received_ns
            self.data_received(data)
            return
        try:
            self._receiver.feed(data, received_ns, delay_ns)
        except StreamError as error:
            self._fail(str(error))
            self.abort()

    def _pass_on(self, stanza: bytes, received_ns: int) -> None:
        if not self.filter(stanza, received_ns):
            self.data_received(stanza)

    # How slixmpp opens a connection, replaced.

    async def _attempt_connection(
        self, host: str, port: int, tls: bool, server_hostname: str | None
    ) -> bool:
        self.event_when_connected = "connected"
        try:
            transport = TimedTransport(await rails.dial_async(host, port), self)
            self.timeline.connected_ns = time.monotonic_ns()
            if tls:
                await self._secure(transport)
        except (OSError, ValueError) as error:
            self._fail(_reason(error))
            self._current_connection_attempt = None  # so that slixmpp does not try again
            return False
        self.connection_made(transport)
        return True

    async def start_tls(self) -> bool:
        """Secure the connection after STARTTLS was agreed."""
        assert isinstance(self.transport, TimedTransport)
        self._current_connection_attempt = asyncio.ensure_future(self._secure(self.transport))
        try:
            await self._current_connection_attempt
        except OSError:
            return False
        self.connection_made(self.transport, send_event=False)
        return True

    async def _secure(self, transport: TimedTransport) -> None:
        try:
            await transport.secure(self.endpoint.context, self.endpoint.domain)
        except OSError as error:
            self._fail(_reason(error))  # before the connection's end is reported as the reason
            transport.close()
            raise
        self.timeline.secured_ns = time.monotonic_ns()

    # What slixmpp reports.

    def _mark_authenticated(self, _: object) -> None:
        self.timeline.authenticated_ns = time.monotonic_ns()

    def _mark_online(self, _: object) -> None:
        self.timeline.bound_ns = time.monotonic_ns()
        if not self._online.done():
            self._online.set_result(None)

    def _refused(self, failure: ElementBase) -> None:
        self._fail(f"the account or its password was refused ({failure['condition']})")

    def _no_mechanism(self, _: object) -> None:
        self._fail(f"the server offers none of {', '.join(MECHANISMS)}")

    def _stream_error(self, error: ElementBase) -> None:
        self._fail(f"stream error {error['condition']} {error['text']}".rstrip())

    def _disconnected(self, reason: object) -> None:
        self._fail(f"the server closed the connection ({reason or 'no reason given'})")

    def _fail(self, reason: str) -> None:
        """Note why the session is not, or no longer, online; the first reason counts."""
        if not self._online.done():
            self._online.set_exception(self._error(reason))
        elif self.lost is None:
            self.lost = reason

    def _error(self, reason: str) -> LoadError:
        return LoadError(f"{self.requested_jid.bare} at {self.endpoint}: {reason}")


def _described(question: ET.Element) -> str:
    asked = question[0] if len(question) else question
    return " ".join([asked.tag.rpartition("}")[2], *asked.attrib.values()])


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with it: {error.reason or error}; is it the right port, and the right name?"
    if isinstance(error, ConnectionRefusedError):
        return "nobody accepts connections there; is the grid up?"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    return str(error) or type(error).__name__
