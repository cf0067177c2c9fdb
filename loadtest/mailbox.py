"""A receiver's end of encrypted items: keys that it has, what it opens, what still waits for a key.

An item is one element: `report` in the clear, `sealed` for its receiver alone or, with `under`, for
all that have the shared key of that number. A `key` element brings one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from loadtest.problems import LoadError
from loadtest.sealing import Recipient, SharedKey

NAMESPACE: Final = "urn:gridlab:sealed"
_ELEMENT: Final = re.compile(rb"<(report|sealed|key)\b([^>]*)>([^<]*)<")
_NUMBER: Final = re.compile(rb"\bitem=['\"](\d+)")
_UNDER: Final = re.compile(rb"\bunder=['\"](\d+)")

Take = Callable[[int, bytes, int, float], None]
"""Gets an item's number, what it says (nothing where it could not be opened), the instant [ns] and
the CPU time of opening it [s]."""


def item_name(number: int) -> bytes:
    """What an item is bound to be called."""
    return b"item %d" % number


def key_name(number: int) -> bytes:
    """What a shared key is bound to be called."""
    return b"key %d" % number


def report(number: int, text: str) -> str:
    """An item in the clear."""
    return f"<report xmlns='urn:gridlab:report' item='{number}'>{text}</report>"


def sealed(number: int, text: str, under: int | None = None) -> str:
    """An encrypted item."""
    shared = "" if under is None else f" under='{under}'"
    return f"<sealed xmlns='{NAMESPACE}' item='{number}'{shared}>{text}</sealed>"


def key(number: int, text: str) -> str:
    """A shared key, encrypted for one receiver."""
    return f"<key xmlns='{NAMESPACE}' item='{number}'>{text}</key>"


class Mailbox:
    """One receiver's.

    Parameters
    ----------
    name : str
        Its account's localpart.
    take : callable
        Gets what was opened.
    """

    def __init__(self, name: str, take: Take) -> None:
        self.name, self.recipient, self._take = name, Recipient(), take
        self.keys: dict[int, SharedKey] = {}
        self._waiting: list[tuple[int, int, bytes]] = []

    def received(self, message: bytes, received_ns: int) -> None:
        """Open all that is in a message, or keep it until its key comes."""
        for kind, about, text in _ELEMENT.findall(message):
            number, under = _among(_NUMBER, about), _among(_UNDER, about)
            if number is None:
                continue
            if kind == b"key":
                self.keys[number] = SharedKey(self.recipient.opened(text, key_name(number)))
                waiting, self._waiting = self._waiting, []
                for each in waiting:
                    self._sealed(*each, received_ns)
            elif kind == b"report":
                self._take(number, text, received_ns, 0.0)
            elif under is None:
                self._open(number, self.recipient.opened, text, received_ns)
            else:
                self._sealed(number, under, text, received_ns)

    def _sealed(self, number: int, under: int, text: bytes, received_ns: int) -> None:
        shared = self.keys.get(under)
        if shared is None:
            self._waiting.append((number, under, text))
        else:
            self._open(number, shared.opened, text, received_ns)

    def _open(
        self, number: int, opened: Callable[[bytes, bytes], bytes], text: bytes, received_ns: int
    ) -> None:
        begun_s = time.thread_time()
        try:
            content = opened(text, item_name(number))
        except LoadError:
            content = b""
        self._take(number, content, received_ns, time.thread_time() - begun_s)


def _among(pattern: re.Pattern[bytes], about: bytes) -> int | None:
    found = pattern.search(about)
    return int(found[1]) if found else None
