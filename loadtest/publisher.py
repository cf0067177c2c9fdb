"""The publishing side: templates, sending when the pacer says so, matching the server's answers."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from typing import Any

import numpy as np

from loadtest.client import Session
from loadtest.pacer import UNSENT, Pacer
from loadtest.payload import item_id, payload
from loadtest.share import Share, tell
from loadtest.shares import Login, Node, Spec

_ANSWER = re.compile(
    rb"<iq (?=[^>]*\bid=[\"']p(\d{1,10})[\"'])[^>]*\btype=[\"'](result|error)[\"']"
)
LIMITS = ("resource-constraint", "policy-violation")
_CONDITION = re.compile(rb"<error[^>]*>.*?<([a-z-]+) [^>]*xmpp-stanzas", re.S)


def publish_stanza(node: Node, tag: str, publication: int, payload_bytes: int) -> bytes:
    """The whole publish request (XEP-0060 section 7.1); its id is `p` and the publication."""
    return (
        f"<iq type='set' id='p{publication}' to='{node.broker}'>"
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
        f"<publish node='{node.name}'><item id='{item_id(tag, publication)}'>"
    ).encode() + (
        payload(node.kind, payload_bytes, publication) + b"</item></publish></pubsub></iq>"
    )


class PublishShare(Share):
    """Sessions that publish their rows of the plan and never wait for an answer."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        with np.load(spec.plan_file) as plan:
            mine = np.isin(plan["publisher"], [login.platform for login in spec.logins])
            self._rows = np.flatnonzero(mine)
            self._intended_s = plan["intended_s"][mine]
            self._columns = [
                plan[name][mine].tolist() for name in ("publisher", "topic", "payload_bytes")
            ]
        self._row_list: list[int] = self._rows.tolist()
        self._pending: dict[int, int] = {}  # rows on their way, and their places in the columns
        self._sent_ns, self._answered_ns, self._refused = self.spool.publications(self._rows)
        self._conditions: Counter[str] = Counter()
        self._answers: list[int] = []
        self._done = self._reported = self._limited = 0
        self._by_platform: dict[int, Session] = {}
        self._scheduling = ""
        self._pacer: Pacer | None = None

    def open(self, login: Login) -> Session:
        """A session whose publish results are matched before slixmpp sees them."""
        session = super().open(login)
        if login.platform >= 0:
            session.filter = self._answer
            self._by_platform[login.platform] = session
        return session

    def stand_by(self) -> None:
        """Be first in line from here on."""
        self._scheduling = _go_first()

    async def play(self) -> None:
        """Publish every row at its instant."""
        self._pacer = Pacer(
            self.start_ns + (self._intended_s * 1e9).astype(np.int64),
            self._send,
            clock=time.monotonic_ns,
            sleep=asyncio.sleep,
            nap=time.sleep,
            sent_ns=self._sent_ns,
        )
        await self._pacer.run()
        tell(event="played")

    def _send(self, first: int, last: int) -> None:
        """Write the publications first .. last - 1, those of one session in one write."""
        assert self._pacer is not None
        publisher, topic, payload_bytes = self._columns
        batches: dict[int, bytes] = {}
        for place in range(first, last):
            session = self._by_platform[publisher[place]]
            if session.transport is None:
                self._pacer.sent_ns[place] = UNSENT
                continue
            row = self._row_list[place]
            self._pending[row] = place
            stanza = publish_stanza(
                self.spec.nodes[topic[place]], self.spec.tag, row, payload_bytes[place]
            )
            batches[publisher[place]] = batches.get(publisher[place], b"") + stanza
        for platform, data in batches.items():
            self._by_platform[platform].transport.write(data)
        self._done = last

    def _answer(self, stanza: bytes, received_ns: int) -> bool:
        """Take a publication's result; other stanzas are slixmpp's."""
        answer = _ANSWER.match(stanza)
        place = self._pending.pop(int(answer[1]), None) if answer else None
        if answer is None or place is None:
            return False
        self._answered_ns[place] = received_ns
        self._answers.append(place)
        if answer[2] == b"error":
            self._refused[place] = 1
            condition = _CONDITION.search(stanza)
            self._conditions[condition[1].decode() if condition else "unnamed"] += 1
        return True

    def window(self) -> dict[str, Any]:
        """What was sent in the window and how late, and the answers with their latency."""
        from results import histogram

        assert self._pacer is not None
        sent = slice(self._reported, self._done)
        sent_s = (self._pacer.sent_ns[sent] - self.start_ns) / 1e9
        late_s = (sent_s - self._intended_s[sent])[self._pacer.sent_ns[sent] != UNSENT]
        answers, self._answers = np.array(self._answers, dtype=np.int64), []
        answered_s = (self._answered_ns[answers] - self.start_ns) / 1e9
        took_s = answered_s - self._intended_s[answers]
        self._reported = self._done
        return {
            "sent": len(late_s),
            "lateness_s": float(np.quantile(late_s, 0.99)) if len(late_s) else 0.0,
            "refused": int(np.count_nonzero(self._refused[answers])),
            "limited": self._limited_since(),
            "answer": histogram.pairs(took_s),
            "late": histogram.pairs(late_s),
        }

    def _limited_since(self) -> int:
        """Publications that a limit has refused since last asked (RFC 6120 section 8.3.3)."""
        total = sum(self._conditions[name] for name in LIMITS)
        self._limited, before = total, self._limited
        return total - before

    def count(self) -> dict[str, int]:
        """Publications sent, and those of them that the server has not answered."""
        return {"sent": self._done, "unanswered": len(self._pending)}

    def facts(self) -> dict[str, Any]:
        """Why publications were refused, and how this process was scheduled."""
        return {"scheduling": self._scheduling, "conditions": dict(self._conditions)}


def _go_first() -> str:
    """Ask for a place before all ordinary work, which costs it little: a pacer mostly sleeps.

    Without it a wake-up waits for the time slice of whoever has the core, 3 ms or more. The name of
    the scheduling class that this process got.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return "SCHED_OTHER"
    return "SCHED_FIFO"
