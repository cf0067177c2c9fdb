"""A session that is online and from then on only counts: no XMPP library behind it.

slixmpp logs it in and subscribes it; then slixmpp's objects, some 80 kB and all that garbage
collection has to walk, are dropped, and the connection and the receive path stay. Such a session
still behaves: it answers requests with the error that RFC 6120 asks for, and notices its end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadtest.receiver import DeliveryLog, Receiver
from loadtest.transport import TimedTransport

if TYPE_CHECKING:
    from loadtest.client import Session

_REQUEST = re.compile(rb"<iq (?=[^>]*\btype=[\"'](?:get|set)[\"'])[^>]*>")
_ATTRIBUTE = {name: re.compile(rb"\s%s=[\"']([^\"']*)[\"']" % name) for name in (b"id", b"from")}
_STREAM_ERROR = re.compile(rb"<stream:error[^>]*>\s*<([a-z-]+)")


class CountingSession:
    """What stays of a `Session` that has nothing more to say.

    Parameters
    ----------
    session : Session
        Online; it must not be used any more.
    tag : str
        The run's tag.
    log : DeliveryLog
        Where deliveries are noted.

    Attributes
    ----------
    lost : str or None
        Why it is no longer online.
    """

    __slots__ = ("_receiver", "lost", "number", "timeline", "transport")

    def __init__(self, session: Session, tag: str, log: DeliveryLog) -> None:
        transport = session.transport
        assert isinstance(transport, TimedTransport)
        self.number = session.number
        self.timeline = session.timeline
        self.lost: str | None = session.lost
        self.transport: TimedTransport | None = transport
        self._receiver = Receiver(self.number, tag, log, self._other, session.unread())
        session.dismantle()
        transport.set_stream(self)
        transport.count(self._receiver)

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Take decrypted bytes of the stream."""
        self._receiver.feed(data, received_ns, delay_ns)

    def connection_lost(self, exception: BaseException | None) -> None:
        """Learn that the connection has ended."""
        self.transport = None
        self.lost = self.lost or f"the server closed the connection ({exception or 'no reason'})"

    def leave(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            self.transport.write(b"</stream:stream>")
            self.transport.close()

    def _other(self, stanza: bytes, received_ns: int) -> None:
        if stanza.startswith(b"<iq"):
            request = _REQUEST.match(stanza)
            if request and self.transport:
                self.transport.write(_refusal(request[0]))
        elif error := _STREAM_ERROR.match(stanza):
            self.lost = f"stream error {error[1].decode()}"


def _refusal(opening: bytes) -> bytes:
    """The error that answers a request which nobody understands (RFC 6120 section 8.3.3.19)."""
    found = {name: pattern.search(opening) for name, pattern in _ATTRIBUTE.items()}
    identity, sender = (each[1] if each else b"" for each in (found[b"id"], found[b"from"]))
    to = b" to='%s'" % sender if sender else b""
    return (
        b"<iq type='error' id='%s'%s><error type='cancel'><service-unavailable "
        b"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>" % (identity, to)
    )
