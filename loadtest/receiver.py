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
PUBLICATION_MAX = 10**9 - 1  # what fits a row of the log; no plan has as many

_EVENT = "{http://jabber.org/protocol/pubsub#event}"
_DELAY = "{urn:xmpp:delay}delay"
_CLOSE = b"</message>"
HEAD, ITEM = b"<message ", b"<item"
TAIL = b"</item></items></event></message>"
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


def _iq_end(data: bytes, start: int) -> int:
    """Where an `iq` ends, found without a pattern; 0 where that takes a closer look.

    Answers are most of what a publisher reads. Quotes of one kind only, and an even number of them:
    so the first ">" is in none of the attributes.
    """
    if not data.startswith(b"<iq ", start):
        return 0
    close = data.find(b">", start)
    quotes = data.count(b"'", start, close), data.count(b'"', start, close)
    if close < 0 or min(quotes) or max(quotes) % 2:
        return 0
    if data.endswith(b"/>", start, close + 1):
        return close + 1
    end = data.find(b"</iq>", close)
    if end < 0 or data.find(b"<iq", close, end) >= 0 or data.find(b"<!", close, end) >= 0:
        return 0
    return end + len(b"</iq>")


class DeliveryLog:
    """Deliveries of one process in order of receipt, as compact growing rows."""

    def __init__(self) -> None:
        # One array and one call for each delivery: (publication << 32 | session), received by the
        # kernel where it said so [ns], delay from there to here [ns]; a replay's (XEP-0203) is -1
        # minus the delay.
        self._rows = array("q")
        self.append: Callable[[tuple[int, int, int]], None] = self._rows.extend
        self._taken = 0
        self.foreign = 0  # items of other runs
        self.others = 0  # stanzas that are no deliveries
        self.checked = 0
        self.mismatches = 0

    def __len__(self) -> int:
        return self._taken + len(self._rows) // 3

    def extend(self, rows: npt.NDArray[np.int64]) -> None:
        """Note many at once; shape (n, 3)."""
        self._rows.frombytes(rows.tobytes())

    def take(self) -> npt.NDArray[np.int64]:
        """The rows since it was last called, which the log then forgets; shape (n, 3)."""
        rows = np.array(self._rows, dtype=np.int64).reshape(-1, 3)
        self._taken += len(rows)
        del self._rows[:]
        return rows


def columns(rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], ...]:
    """(publication, session, received_ns, delay_ns, replayed) of rows of a delivery log."""
    key, delay_ns = rows[:, 0], rows[:, 2]
    replayed = delay_ns < 0
    return (
        (key >> 32).astype(np.uint32),
        (key & 0xFFFFFFFF).astype(np.uint32),
        rows[:, 1],
        np.where(replayed, -1 - delay_ns, delay_ns),
        replayed,
    )


_events: dict[bytes, bytes] = {}  # one of a kind, which all sessions share


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
    left : bytes
        The beginning of an element whose end is still to come.
    """

    __slots__ = ("_head", "_other", "append", "event", "key", "left", "log", "quote", "tag")

    def __init__(
        self,
        session: int,
        tag: str,
        log: DeliveryLog,
        other: Callable[[bytes, int], None],
        left: bytes = b"",
    ) -> None:
        self.tag = tag
        self._head = _head(tag)
        self.log = log
        self.append = log.append
        self._other = other
        self.left = left
        # Of the newest plain notification, from its event to its publication's number, and the
        # quote after that: the next one is likely to be the same.
        self.event, self.quote = b"\0", 0
        self.key = session & 0xFFFFFFFF

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
        if self.left:
            data = self.left + data
        position, size = 0, len(data)
        while position < size:
            head = self._head(data, position)
            end = 0
            if head is not None:
                # A notification of one item, if it ends as one does and there is no other.
                inside = head.end()
                end = data.find(_CLOSE, inside) + 10
                if end < inside:
                    break
                if data.endswith(TAIL, inside, end) and data.find(b"<item ", inside, end) < 0:
                    publication = int(head[1])
                    self.append((publication << 32 | self.key, received_ns, delay_ns))
                    if not (publication + self.key) % CHECK_EVERY:
                        self.check(data[position:end], publication)
                    opened = data.find(b">", position) + 1
                    event = data[opened : head.start(1)]
                    self.event, self.quote = _events.setdefault(event, event), data[head.end(1)]
                else:
                    end = 0
            end = end or self._odd(data, position, received_ns, delay_ns)
            if end < 0:
                break
            position = end
        self.left = data[position:] if position < size else b""
        if len(self.left) > STANZA_BYTES_MAX:
            raise StreamError(f"a stanza of more than {STANZA_BYTES_MAX} B")

    def note(self, data: bytes, received_ns: int, delay_ns: int) -> bool:
        """Note bytes that are one plain notification much like the one before; else do nothing.

        The shortest way: no pattern is searched for, all is compared with what is expected.
        """
        event = self.event
        begin = data.find(b">") + 1
        if self.left or not data.startswith(event, begin):
            return False
        begin += len(event)
        number = data[begin : data.find(self.quote, begin)]
        if (
            len(number) < 10
            and number.isdigit()
            and data.startswith(HEAD)
            and data.endswith(TAIL)
            and data.find(ITEM, begin) < 0
        ):
            publication = int(number)
            self.append((publication << 32 | self.key, received_ns, delay_ns))
            if not (publication + self.key) % CHECK_EVERY:
                self.check(data, publication)
            return True
        return False

    def check(self, stanza: bytes, publication: int) -> None:
        """Parse a plain notification in full as well."""
        self.log.checked += 1
        self.log.mismatches += list(_items(stanza)) != [(f"{self.tag}-{publication}", False)]

    def _odd(self, data: bytes, start: int, received_ns: int, delay_ns: int) -> int:
        """Take any other element, or the blanks before it; its end, or -1 if incomplete."""
        if data[start] in b" \t\r\n":
            return start + 1
        end = _iq_end(data, start) or element_end(data, start)
        if end < 0:
            return -1
        stanza = data[start:end]
        items = list(_items(stanza)) if stanza.startswith(b"<message") else []
        log = self.log
        if not items:
            log.others += 1
            self._other(stanza, received_ns)
        for item_id, replayed in items:
            tag, _, number = item_id.rpartition("-")
            if tag != self.tag or not number.isdecimal() or int(number) > PUBLICATION_MAX:
                log.foreign += 1
                continue
            noted_ns = -1 - delay_ns if replayed else delay_ns
            log.append((int(number) << 32 | self.key, received_ns, noted_ns))
        return end


def _head(tag: str) -> Callable[[bytes, int], re.Match[bytes] | None]:
    """Matcher of a notification up to the id of its first item, which is one of the run's."""
    return re.compile(
        rb"<message [^<>]*><event xmlns=[\"']http://jabber\.org/protocol/pubsub#event[\"']>"
        rb"<items [^<>]*><item (?:[^<>]* )?id=[\"']" + re.escape(tag.encode()) + rb"-(\d{1,9})[\"']"
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
