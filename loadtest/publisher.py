"""The publishing side: templates, sending when the pacer says so, matching the server's answers."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from loadtest.client import Session
from loadtest.counting import CountingSession
from loadtest.pacer import Pacer
from loadtest.payload import MINIMUM_BYTES, item_id, parts, payload
from loadtest.publications import ANSWERED, UNSENT, WRITTEN, Publications
from loadtest.reactor import Reactor
from loadtest.receiver import DeliveryLog
from loadtest.share import Share, tell
from loadtest.shares import COMPILED_FROM, Node, Spec
from loadtest.spool import NEVER

if TYPE_CHECKING:
    from loadtest.compiled_publishing import CompiledPublishing, Parts

_ANSWER = re.compile(
    rb"<iq (?=[^>]*\bid=[\"']p(\d{1,10})[\"'])[^>]*\btype=[\"'](result|error)[\"']"
)
LIMITS = ("resource-constraint", "policy-violation")
_CONDITION = re.compile(rb"<error[^>]*>.*?<([a-z-]+) [^>]*xmpp-stanzas", re.S)


def publish_parts(node: Node, tag: str) -> tuple[bytes, bytes, bytes, bytes]:
    """The publish request (XEP-0060 section 7.1) around its two numbers and its payload.

    Its id is `p` and the publication.
    """
    return (
        b"<iq type='set' id='p",
        f"' to='{node.broker}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
        f"<publish node='{node.name}'><item id='{item_id(tag, '')}".encode(),
        b"'>",
        b"</item></publish></pubsub></iq>",
    )


def publish_stanza(node: Node, tag: str, publication: int, payload_bytes: int) -> bytes:
    """The whole publish request."""
    opening, middle, begin, end = publish_parts(node, tag)
    number = b"%d" % publication
    inside = payload(node.kind, payload_bytes, publication)
    return b"".join((opening, number, middle, number, begin, inside, end))


def compiled_parts(node: Node, tag: str) -> Parts:
    """The pieces of which compiled code makes the same request."""
    opening, middle, begin, end = publish_parts(node, tag)
    before, fill, inside, after = parts(node.kind)
    least_bytes = MINIMUM_BYTES[node.kind]
    return opening, middle, begin + before, inside, after + end, fill, least_bytes


class PublishingSession(CountingSession):
    """What stays of a session that publishes.

    Parameters
    ----------
    answered : callable
        Sees each other stanza first, with its instant of receipt [ns]; true if it took it.
    """

    __slots__ = ("_answered",)

    def __init__(
        self, session: Session, tag: str, log: DeliveryLog, answered: Callable[[bytes, int], bool]
    ) -> None:
        self._answered = answered
        super().__init__(session, tag, log)

    def _other(self, stanza: bytes, received_ns: int) -> None:
        if not self._answered(stanza, received_ns):
            super()._other(stanza, received_ns)


class PublishShare(Share):
    """Sessions that publish their rows of the plan and never wait for an answer."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        with np.load(spec.plan_file) as plan:
            mine = np.isin(plan["publisher"], [login.platform for login in spec.logins])
            self._intended_s = plan["intended_s"][mine]
            self._plan = tuple(plan[name][mine] for name in ("publisher", "topic", "payload_bytes"))
        self._publications = Publications(np.flatnonzero(mine), self.spool)
        self._columns: list[list[int]] = [each.tolist() for each in self._plan]
        self._conditions: Counter[str] = Counter()
        self._reported = self._told_answers = self._limited = self._answered_here = 0
        self._by_platform: dict[int, PublishingSession] = {}
        self._scheduling = ""
        self._interpreted_because: str | None = None
        self._compiled: CompiledPublishing | None = None

    def prepare(self) -> None:
        """Let compiled code send and read answers, where that pays."""
        if self.spec.receivers == "interpreted":
            self._interpreted_because = "receivers: interpreted"
        elif len(self._publications) < COMPILED_FROM:
            self._interpreted_because = f"fewer than {COMPILED_FROM:,} publications are due"
        else:
            self._interpreted_because = self._compile()

    def _compile(self) -> str | None:
        """Load the compiled code; why it cannot work here."""
        reactor = Reactor.of_loop()
        refused = reactor.compile(self.log, self.spec.tag, self._publications)
        if refused or reactor.compiled is None:
            return refused
        from loadtest.compiled_publishing import CompiledPublishing

        platforms = np.array([login.platform for login in self.spec.logins])
        order = np.argsort(platforms)
        publisher, *others = self._plan
        login = order[np.searchsorted(platforms, publisher, sorter=order)]
        try:
            self._compiled = CompiledPublishing(
                reactor.compiled,
                self._publications,
                [compiled_parts(node, self.spec.tag) for node in self.spec.nodes],
                (login, *others),
                lambda place: self._write(place, place + 1),
            )
        except Exception as error:  # of the compiler: all that it does is save time
            return f"{type(error).__name__}: {error}"
        return None

    def online(self, session: Session) -> Session | CountingSession:
        """A session whose publish results are matched."""
        own = PublishingSession(session, self.spec.tag, self.log, self._answer)
        self._by_platform[own.number] = own
        return own

    def stand_by(self) -> None:
        """Be first in line from here on."""
        self._scheduling = _go_first()

    async def play(self) -> None:
        """Publish every row at its instant."""
        due_ns = self.start_ns + (self._intended_s * 1e9).astype(np.int64)
        if self._compiled is None:
            pacer = Pacer(
                due_ns,
                self._write,
                clock=time.monotonic_ns,
                sleep=asyncio.sleep,
                nap=time.sleep,
                sent_ns=self._publications.sent_ns,
            )
            await pacer.run()
        else:
            sessions = [self._by_platform[login.platform] for login in self.spec.logins]
            await self._compiled.run(due_ns, [each.transport for each in sessions])
        tell(event="played")

    def _write(self, first: int, last: int) -> None:
        """Write the publications first .. last - 1, those of one session in one write."""
        publisher, topic, payload_bytes = self._columns
        batches: dict[int, bytes] = {}
        for place in range(first, last):
            session = self._by_platform[publisher[place]]
            if session.transport is None or session.transport.is_closing():
                self._publications.never_sent(place)
                continue
            stanza = publish_stanza(
                self.spec.nodes[topic[place]],
                self.spec.tag,
                self._publications.row(place),
                payload_bytes[place],
            )
            batches[publisher[place]] = batches.get(publisher[place], b"") + stanza
        for platform, data in batches.items():
            transport = self._by_platform[platform].transport
            assert transport is not None
            transport.write(data)
        self._publications.progress[WRITTEN] = last

    def _answer(self, stanza: bytes, received_ns: int) -> bool:
        """Take a publication's result; other stanzas are not its business."""
        answer = _ANSWER.match(stanza)
        place = self._publications.answer(int(answer[1]), received_ns) if answer else None
        if answer is None or place is None:
            return False
        self._answered_here += 1
        if answer[2] == b"error":
            self._publications.refused[place] = 1
            condition = _CONDITION.search(stanza)
            self._conditions[condition[1].decode() if condition else "unnamed"] += 1
        return True

    async def wind_up(self) -> None:
        """Count the answers that compiled code has read among what was no delivery."""
        self.log.others += int(self._publications.progress[ANSWERED]) - self._answered_here

    def window(self) -> dict[str, Any]:
        """What was sent in the window and how late, and the answers with their latency."""
        from results import histogram

        ours = self._publications
        sent = slice(self._reported, ours.written)
        sent_s = (ours.sent_ns[sent] - self.start_ns) / 1e9
        late_s = (sent_s - self._intended_s[sent])[ours.sent_ns[sent] != NEVER]
        answers = ours.answers[self._told_answers : ours.progress[ANSWERED]]
        answered_s = (ours.answered_ns[answers] - self.start_ns) / 1e9
        took_s = answered_s - self._intended_s[answers]
        self._reported, self._told_answers = sent.stop, self._told_answers + len(answers)
        return {
            "sent": len(late_s),
            "lateness_s": float(np.quantile(late_s, 0.99)) if len(late_s) else 0.0,
            "refused": int(np.count_nonzero(ours.refused[answers])),
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
        ours = self._publications
        sent = ours.written - int(ours.progress[UNSENT])
        return {"sent": sent, "unanswered": ours.unanswered}

    def facts(self) -> dict[str, Any]:
        """Why publications were refused, how they were sent, how this process was scheduled."""
        compiled = self._compiled.sent if self._compiled else 0
        return {
            "scheduling": self._scheduling,
            "conditions": dict(self._conditions),
            "publish_path": {
                "compiled": compiled,
                "interpreted": self.count()["sent"] - compiled,
                "because": self._interpreted_because,
            },
        }


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
