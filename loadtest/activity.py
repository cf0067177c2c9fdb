"""What Platforms did on a grid: who came and went, and what each asked of a Topic, with the answer.

Servers and Brokers write it, each into a file of its own of mode 0600, one JSON object a line (see
`modules/mod_grid_activity.lua`, `templates/grid_activity.erl` and, for our external Broker,
`Journal`); it ends with the grid.
"""

from __future__ import annotations

import json
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from loadtest.component_stanzas import local
from loadtest.pubsub import OWNER, PUBSUB

FIELDS: Final = (
    "at",
    "action",
    "jid",
    "address",
    "broker",
    "topic",
    "item",
    "account",
    "state",
    "outcome",
)
_NAMED: Final = {
    "publish": "item",
    "retract": "item",
    "affiliations": "affiliation",
    "subscriptions": "subscription",
}
_STANZAS: Final = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
_PUBSUB: Final = (f"{{{PUBSUB}}}pubsub", f"{{{OWNER}}}pubsub")


class Journal:
    """The activity at one external Broker, as it is answered.

    Parameters
    ----------
    path : Path
        File to append to; it is made with mode 0600.
    broker : str
        The Broker's address.
    """

    def __init__(self, path: Path, broker: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self._broker = broker

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def note(self, stanza: ET.Element, said: Sequence[str]) -> None:
        """Write down what a stanza asked for and what was said to it.

        Parameters
        ----------
        stanza : Element
            As it came in; only an iq of type `set` is an activity.
        said : sequence of str
            All that goes out for it, the answer among it.
        """
        request = next((each for pubsub in stanza for each in _requests(pubsub)), None)
        if local(stanza) != "iq" or stanza.get("type") != "set" or request is None:
            return
        common = {
            "at": datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "action": local(request),
            "jid": stanza.get("from"),
            "broker": self._broker,
            "topic": request.get("node"),
            "outcome": _outcome(said),
        }
        lines = "".join(
            json.dumps({name: value for name, value in (common | about).items() if value}) + "\n"
            for about in _about(request)
        )
        os.write(self._descriptor, lines.encode())


def _requests(pubsub: ET.Element) -> Iterator[ET.Element]:
    if pubsub.tag in _PUBSUB:
        yield from pubsub


def _about(request: ET.Element) -> list[dict[str, str | None]]:
    """The items, accounts or, failing these, the subscriber that a request names."""
    kind = _NAMED.get(local(request))
    named = [
        {"item": each.get("id"), "account": each.get("jid"), "state": each.get(str(kind))}
        for each in request
        if local(each) == kind
    ]
    return named or [{"account": request.get("jid")}]


def _outcome(said: Sequence[str]) -> str:
    answer = next((text for text in said if text.startswith("<iq ")), None)
    if answer is None:
        return "unanswered"
    for each in ET.fromstring(answer).iter():
        if each.tag.startswith(_STANZAS):
            return each.tag.removeprefix(_STANZAS)
        if local(each) == "subscription" and each.get("subscription") == "pending":
            return "pending"
    return "ok"


def read(files: Sequence[Path]) -> list[dict[str, str]]:
    """The activities in these files, the earliest first; a line that is being written is left out.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    found = []
    for path in files:
        with path.open(encoding="utf-8", errors="replace") as stream:
            found += [json.loads(line) for line in stream if line.endswith("\n")]
    return sorted(found, key=lambda each: str(each["at"]))


def render(entry: Mapping[str, Any]) -> str:
    """An activity as one line for people."""
    about = [f"{name} {_shown(entry[name])}" for name in FIELDS[3:-1] if name in entry]
    who = f"{entry['at']} {_shown(entry['jid'])} {_shown(entry['action'])}"
    return " ".join([f"{who}:", *about, "->", _shown(entry["outcome"])])


def _shown(value: Any) -> str:
    """A word from outside without control characters, which a terminal would act on."""
    return "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value)
    )
