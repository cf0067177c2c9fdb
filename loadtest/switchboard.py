"""Sessions of Locust's users, in a process of their own: asyncio does not run where gevent patches.

`python -m loadtest.switchboard DIRECTORY`, the grid's, reads requests as lines of JSON, serves them
at the same time and answers each with a line: `took_ms`, `error`, and what was asked for. A line
before all others says that it is there. Copies that come of what was published here are told as
histograms, by Topic: now and then, and before a user who leaves is answered. The caps of the rails
hold, and only loopback is reached.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import ssl
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loadtest import processes, pubsub, rails
from loadtest.client import Endpoint, Session
from loadtest.payload import item_id, payload
from loadtest.problems import LoadError
from loadtest.receiver import DeliveryLog, columns
from loadtest.share import tell
from loadtest.subscriptions import subscribe

_REPORT_S: Final = 0.2
_LINE_BYTES: Final = 1 << 21  # a question may be as large as a server takes


class Switchboard:
    """All sessions of one Locust process.

    Parameters
    ----------
    directory : Path
        The grid's, where a STOP file is looked for.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tag = f"u{secrets.token_hex(4)}"
        self._log = DeliveryLog()
        self._sessions: dict[int, Session] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._sent: list[tuple[str, int]] = []  # by number: Topic, instant [ns]
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> str:
        """Serve until the parent closes the pipe, or a STOP file asks for the end; why."""
        reader = asyncio.StreamReader(limit=_LINE_BYTES)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        tell(open=True)
        reading = asyncio.ensure_future(self._read(reader))
        while not reading.done():
            await asyncio.wait([reading], timeout=_REPORT_S)
            self._report()
            if stop := rails.stop_file(self._directory):
                return f"{stop} asked for it"
        reading.result()
        return "Locust has ended"

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            task = asyncio.ensure_future(self._serve(json.loads(line)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: Mapping[str, Any]) -> None:
        began_ns, error, answer = time.monotonic_ns(), None, {}
        try:
            answer = await self._do(request)
        except (ValueError, OSError) as problem:
            error = str(problem)
        took_ms = (time.monotonic_ns() - began_ns) / 1e6
        tell(number=request["number"], took_ms=took_ms, error=error, **answer)

    async def _do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        user: int = request["user"]
        if request["do"] == "login":
            await self._log_in(user, request)
            return {}
        if request["do"] == "leave":
            if (leaving := self._sessions.pop(user, None)) is not None:
                leaving.leave()
            self._report()  # Locust may write its rows down once the last user has left
            return {}
        session = self._sessions.get(user)
        if session is None or session.lost:
            raise LoadError(f"not online: {session.lost if session else 'log in first'}")
        match request["do"]:
            case "publish":
                return await self._publish(session, request)
            case "subscribe":
                await subscribe(session, request["broker"], [request["topic"]])
                assert session.transport is not None
                session.transport.write(b"<presence/>")  # the bare JID's copies go to who has it
                return {}
            case "query":
                try:
                    question = ET.fromstring(request["xml"])
                except ET.ParseError as error:
                    raise LoadError(f"the question is no XML: {error}") from None
                reply = await session.ask(request["kind"], request["to"], question)
                text = ET.tostring(reply, encoding="unicode")
                return {"reply": text, "bytes": len(text.encode())}
            case other:
                raise LoadError(
                    f'do: "{other}": is none of login, leave, publish, subscribe, query'
                )

    async def _log_in(self, user: int, request: Mapping[str, Any]) -> None:
        if user in self._sessions:
            self._sessions.pop(user).leave()
        rails.check(rails.Caps(len(self._sessions) + 1, 0.0, 0.0, 0.0))
        door = request["door"]
        if door["ca_file"] not in self._contexts:
            self._contexts[door["ca_file"]] = ssl.create_default_context(cafile=door["ca_file"])
        context = self._contexts[door["ca_file"]]
        endpoint = Endpoint(door["address"], door["port"], door["domain"], "direct", context)
        session = Session(
            request["jid"], request["password"], endpoint, number=user, tag=self._tag, log=self._log
        )
        self._sessions[user] = session
        try:
            await session.login()
        except BaseException:
            self._sessions.pop(user, None)
            session.leave()
            raise

    async def _publish(self, session: Session, request: Mapping[str, Any]) -> dict[str, Any]:
        number, topic = len(self._sent), request["topic"]
        content = payload(request["kind"], request["size_bytes"], number).decode()
        question = ET.fromstring(pubsub.publish(topic, item_id(self._tag, number), content))
        self._sent.append((topic, time.monotonic_ns()))
        await session.ask("set", request["broker"], question)
        return {"bytes": len(content)}

    def _report(self) -> None:
        """Tell how long copies took from their publishing here, as (bin, count) pairs by Topic."""
        from results import histogram

        latency_s: dict[str, list[float]] = {}
        number, _, received_ns, _, _ = columns(self._log.take())
        for each, instant_ns in zip(number.tolist(), received_ns.tolist(), strict=True):
            topic, sent_ns = self._sent[each]
            latency_s.setdefault(topic, []).append((instant_ns - sent_ns) / 1e9)
        if latency_s:
            tell(copies={topic: histogram.pairs(each) for topic, each in latency_s.items()})


def main(directory: Path, parent_pid: int) -> None:
    """Serve the parent."""
    processes.die_with_parent(parent_pid)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Locust decides
    os.environ.pop(rails.CONSENT_VARIABLE, None)  # a consent is for a plan whose rate is known
    with rails.audited(f"Locust users on grid {directory.name}", vars(rails.CAPS)) as ending:
        ending.why = asyncio.run(Switchboard(directory).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
