"""An external Broker: a component of a Controller (XEP-0114) and a process of its own.

`python -m loadtest.component DIRECTORY` connects to the server as the settings there say, serves
its Topics, and ends when the server closes. It speaks on a plain stream of its own, because
slixmpp takes longer to build one stanza than a server to deliver it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
import time
import traceback
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from loadtest import lease, rails
from loadtest.activity import Journal
from loadtest.component_service import Service
from loadtest.component_stanzas import local
from loadtest.component_topics import Refusal, Topic
from loadtest.provisioning import Node
from loadtest.server import ACTIVITY_FILE, Broker, Launch, helper

_SETTINGS_FILE: Final = "component.json"
_READY_FILE: Final = "ready"
_SERVER_WITHIN_S: Final = 20.0
_ANSWER_WITHIN_S: Final = 5.0
_READ_BYTES: Final = 65_536


def launch(
    broker: Broker,
    directory: Path,
    place: tuple[str, int],
    max_items: int,
    *,
    activity: bool = False,
) -> Launch:
    """How to start an external Broker; its directory is made here.

    Parameters
    ----------
    place : tuple
        Address and port on which its server takes components.
    max_items : int
        The most that a Topic of it may keep.
    activity : bool
        Whether it notes what Platforms do.
    """
    directory.mkdir(mode=0o700)
    settings = {
        "jid": broker.jid,
        "secret": broker.secret,
        "place": list(place),
        "owner": broker.owner,
        "max_items": max_items,
        "activity": activity,
        "topics": [asdict(_topic(node)) for node in broker.nodes],
    }
    lease.write_json(directory / _SETTINGS_FILE, settings)
    ready = directory / _READY_FILE
    return helper(
        f"broker {broker.jid}",
        "loadtest.component",
        directory,
        place,
        ready_file=ready,
        arguments=(str(directory),),
    )


def _topic(node: Node) -> Topic:
    topic = Topic(node.name)
    topic.configuration |= {
        "access_model": node.access,
        "persist_items": "1" if node.persist else "0",
        "max_items": str(node.max_items),
        "notify_delete": "1",
    }
    topic.subscriptions = dict.fromkeys(node.approved, "subscribed")
    topic.affiliations = {**node.rights, node.owner: "owner"}
    return topic


async def serve(directory: Path) -> None:
    """Connect, shake hands, and answer until the server closes the stream."""
    settings = lease.read_json(directory / _SETTINGS_FILE)
    topics = [Topic(**each) for each in settings["topics"]]
    service = Service(settings["jid"], topics, [settings["owner"]], settings["max_items"])
    reader, writer = await _connected(settings["place"])
    stream = _Stream(reader)
    jid = quoteattr(service.jid)
    writer.write(
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
        b"xmlns:stream='http://etherx.jabber.org/streams' to=" + jid.encode() + b">"
    )
    async with asyncio.timeout(_ANSWER_WITHIN_S):
        opened = await stream.opening()
    proof = hashlib.sha1((opened.get("id", "") + settings["secret"]).encode()).hexdigest()
    writer.write(f"<handshake>{proof}</handshake>".encode())
    async with asyncio.timeout(_ANSWER_WITHIN_S):
        answer = (await stream.stanzas())[0]
    if local(answer) != "handshake":
        raise ConnectionError(f"the server refused the component: {ET.tostring(answer)!r}")
    (directory / _READY_FILE).touch(mode=0o600)
    with _journal(directory, settings) as journal:
        while stanzas := await stream.stanzas():
            for each in stanzas:
                said = _answered(service, each)
                writer.write("".join(said).encode())
                if journal is not None:
                    journal.note(each, said)
            await writer.drain()


def _answered(service: Service, stanza: ET.Element) -> list[str]:
    """What to say; a stanza that we fail at is refused, and the Broker goes on with the next."""
    try:
        return service.answer(stanza)
    except Exception:  # whatever one Platform sent, the others are served
        traceback.print_exc()
        asked = local(stanza) == "iq" and stanza.get("type") in ("get", "set")
        return [service.refuse(stanza, Refusal("internal-server-error"))] if asked else []


def _journal(directory: Path, settings: dict[str, Any]) -> AbstractContextManager[Journal | None]:
    if not settings["activity"]:
        return contextlib.nullcontext()
    return Journal(directory / ACTIVITY_FILE, settings["jid"])


async def _connected(place: Sequence[Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the server, which may still be starting."""
    deadline_s = time.monotonic() + _SERVER_WITHIN_S
    while True:
        try:
            connection = await rails.dial_async(place[0], place[1])
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(0.05)
        else:
            return await asyncio.open_connection(sock=connection)


class _Stream:
    """Cuts a stream into its stanzas."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._parser: Any = ET.XMLPullParser(("start", "end"))
        self._root: ET.Element | None = None
        self._depth = 0

    async def opening(self) -> ET.Element:
        """The stream's head."""
        while self._root is None:
            await self._read()
            for _, element in self._parser.read_events():
                self._root, self._depth = element, 1
                break
        return self._root

    async def stanzas(self) -> list[ET.Element]:
        """The next stanzas, one or more; none where the stream has ended."""
        assert self._root is not None
        found: list[ET.Element] = []
        while not found:
            for kind, element in self._parser.read_events():
                self._depth += 1 if kind == "start" else -1
                if self._depth == 0:
                    return []
                if self._depth == 1 and kind == "end":
                    found.append(element)
            if not found and not await self._read():
                return []
        self._root.clear()
        return found

    async def _read(self) -> bool:
        data = await self._reader.read(_READ_BYTES)
        self._parser.feed(data)
        return bool(data)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
