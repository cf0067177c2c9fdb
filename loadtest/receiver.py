"""The lean receive path: deliveries are read off the bytes, all else goes to the XMPP library.

An XMPP stream is cut into its top-level elements, wherever the reads happened to split it. A plain
notification of one item of this run is recognised by its head and its tail, and noted down
(publication, session, instants) without parsing what lies between. Anything else that carries items
is parsed in full, and every other element is handed on whole. One plain notification in
`CHECK_EVERY` is parsed in full as well: the shortcut cannot go wrong unseen.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

CHECK_EVERY = 256
STANZA_BYTES_MAX = 1 << 20

_EVENT = "{http://jabber.org/protocol/pubsub#event}"
_DELAY = "{urn:xmpp:delay}delay"
_CLOSE = b"</message>"
_TAIL = b"</item></items></event></message>"
_STREAM, _STREAM_CLOSE = b"stream:stream", b"</stream:stream>"

# Attribute values may hold ">", so quotes are followed.
_ATTRIBUTES = rb"(?:\s(?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*?)?"
_DECLARATION = re.compile(rb"<\?xml[^>]*\?>")
_OPENING = re.compile(rb"<([A-Za-z_][^\s<>/\"']*)" + _ATTRIBUTES + rb"(/?)>")
_TAG = re.compile(
    rb"<!\[CDATA\[.*?\]\]>|<(/?)[A-Za-z_][^\s<>/\"']*" + _ATTRIBUTES + rb"(/?)>", re.S
)


class StreamError(ValueError):
    """What arrived is not an XMPP stream, or one element of it is larger than may be."""


def element_end(data: bytes, start: int) -> int:
    """Where the top-level element that starts at `start` ends, or -1 while it is incomplete.

    The XML declaration, the stream's header and its closing tag count as elements.

    Raises
    ------
    StreamError
        There is no element at `start`.
    """
    if data.startswith(b"<?", start):
        declaration = _DECLARATION.match(data, start)
        return declaration.end() if declaration else -1
    if data.startswith(b"</", start):
        end = start + len(_STREAM_CLOSE)
        if not _STREAM_CLOSE.startswith(data[start:end]):
            raise StreamError(f"a closing tag without its element: {data[start : start + 60]!r}")
        return end if len(data) >= end else -1
    if not data.startswith(b"<", start):
        raise StreamError(f"text between stanzas: {data[start : start + 60]!r}")
    opening = _OPENING.match(data, start)
    if opening is None:
        return -1
    if opening[2] or opening[1] == _STREAM:
        return opening.end()
    depth = 1
    for tag in _TAG.finditer(data, opening.end()):
        if tag[1] is None or tag[2]:
            continue
        depth += -1 if tag[1] else 1
        if depth == 0:
            return tag.end()
    return -1


class DeliveryLog:
    """Deliveries of one process in order of receipt, as compact growing columns."""

    def __init__(self) -> None:
        self.publication = array("I")
        self.session = array("I")
        self.received_ns = array("q")  # by the kernel where it said so
        self.delay_ns = array("q")  # from there to here
        self.replayed = array("I")  # rows of this log that carry a delay stamp (XEP-0203)
        self.foreign = 0  # items of other runs
        self.checked = 0
        self.mismatches = 0

    def __len__(self) -> int:
        return len(self.publication)

    def since(self, row: int) -> tuple[npt.NDArray[Any], ...]:
        """Copies of (publication, session, received_ns, delay_ns) from `row` on."""
        columns = (self.publication, self.session, self.received_ns, self.delay_ns)
        return tuple(np.array(column[row:], dtype=column.typecode) for column in columns)

    def note(self, publication: int, session: int, received_ns: int, delay_ns: int) -> None:
        """Append one delivery."""
        self.publication.append(publication)
        self.session.append(session)
        self.received_ns.append(received_ns)
        self.delay_ns.append(delay_ns)


class Receiver:
    """Cuts the stream of one session and notes its deliveries.

    Parameters
    ----------
    session : int
        Number that the deliveries are noted under: the Platform.
    tag : str
        The run's tag: item ids are `TAG-PUBLICATION`.
    log : DeliveryLog
        Where deliveries are noted.
    other : callable
        Takes every other top-level element, whole, with its instant of receipt [ns].
    """

    __slots__ = ("_head", "_left", "_log", "_other", "_session", "_tag")

    def __init__(
        self, session: int, tag: str, log: DeliveryLog, other: Callable[[bytes, int], None]
    ) -> None:
        self._session = session
        self._tag = tag
        self._head = _head(tag)
        self._log = log
        self._other = other
        self._left = b""

    def feed(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Take in bytes of the stream.

        Parameters
        ----------
        data : bytes
            What was read and decrypted.
        received_ns : int
            When the kernel received it. [ns]
        delay_ns : int
            How long it then lay there. [ns]

        Raises
        ------
        StreamError
            Not an XMPP stream, or a stanza above `STANZA_BYTES_MAX`.
        """
        if self._left:
            data = self._left + data
        position, size = 0, len(data)
        while position < size:
            end = self._plain(data, position, received_ns, delay_ns)
            if end == 0:
                end = self._odd(data, position, received_ns, delay_ns)
            if end < 0:
                break
            position = end
        self._left = data[position:]
        if len(self._left) > STANZA_BYTES_MAX:
            raise StreamError(f"a stanza of more than {STANZA_BYTES_MAX} B")

    def _plain(self, data: bytes, start: int, received_ns: int, delay_ns: int) -> int:
        """Note a notification of one item; its end, -1 if incomplete, 0 if it is anything else."""
        head = self._head(data, start)
        if head is None:
            return 0
        inside = head.end()
        end = data.find(_CLOSE, inside) + len(_CLOSE)
        if end < inside:
            return -1
        if not data.endswith(_TAIL, inside, end) or data.find(b"<item ", inside, end) >= 0:
            return 0
        publication = int(head[1])
        log = self._log
        log.note(publication, self._session, received_ns, delay_ns)
        if len(log.publication) % CHECK_EVERY == 0:
            log.checked += 1
            log.mismatches += list(_items(data[start:end])) != [
                (f"{self._tag}-{publication}", False)
            ]
        return end

    def _odd(self, data: bytes, start: int, received_ns: int, delay_ns: int) -> int:
        """Take any other element, or the blanks before it; its end, or -1 if incomplete."""
        if data[start] in b" \t\r\n":
            return start + 1
        end = element_end(data, start)
        if end < 0:
            return -1
        stanza = data[start:end]
        items = list(_items(stanza)) if stanza.startswith(b"<message") else []
        if not items:
            self._other(stanza, received_ns)
        log = self._log
        for item_id, replayed in items:
            tag, _, number = item_id.rpartition("-")
            if tag != self._tag or not number.isdecimal():
                log.foreign += 1
                continue
            if replayed:
                log.replayed.append(len(log))
            log.note(int(number), self._session, received_ns, delay_ns)
        return end


def _head(tag: str) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """Matcher of a notification up to the id of its first item, which is one of the run's."""
    return re.compile(
        rb"<message [^<>]*><event xmlns=[\"']http://jabber\.org/protocol/pubsub#event[\"']>"
        rb"<items [^<>]*><item (?:[^<>]* )?id=[\"']"
        + re.escape(tag.encode())
        + rb"-(\d{1,10})[\"']"
    ).match


def _items(stanza: bytes) -> Iterator[tuple[str, bool]]:
    """Ids of all items in a notification by a full parse, and whether it is a replay (XEP-0203)."""
    try:
        message = ET.fromstring(stanza)
    except ET.ParseError:
        return
    replayed = message.find(_DELAY) is not None
    for item in message.iterfind(f"{_EVENT}event/{_EVENT}items/{_EVENT}item"):
        yield item.get("id", ""), replayed
