"""Who answers requests for subscriptions: people, or a program, at the owner's session.

Requests come as forms to the Topics' owner (XEP-0060 section 8.6) and wait for one of the desk's
people, first come, first served; each takes as long as the request says. Spam is denied, and so is
at once what an account asks for while it has too many waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from loadtest import pubsub
from loadtest.dialogue import Dialogue, Stanza

if TYPE_CHECKING:
    from topologies.procedures import Approvals
    from topologies.procedures_load import Request

AUTHORIZATION: Final = f"{pubsub.PUBSUB}#subscribe_authorization"
Asked = tuple[str, str]
"""Which Topic, and the JID that shall be subscribed."""


def asked_of(stanza: Stanza) -> Asked:
    """What a request for a subscription is about."""
    fields = pubsub.form_fields(stanza)
    return fields["pubsub#node"][0], fields["pubsub#subscriber_jid"][0]


class Desk:
    """The people of one morning.

    Parameters
    ----------
    owner : Dialogue
        The session that requests come to.
    broker : str
        Where answers go.
    procedure : Approvals
        How many people there are, and how many requests of an account may wait.
    known : mapping
        The request behind each form.
    """

    def __init__(
        self, owner: Dialogue, broker: str, procedure: Approvals, known: Mapping[Asked, Request]
    ) -> None:
        self._owner, self._broker, self._known = owner, broker, known
        self._pending, self._people = procedure.pending, procedure.approvers
        self._waits: asyncio.Queue[tuple[Stanza, Request]] = asyncio.Queue()
        self._of: dict[tuple[bool, int], int] = {}
        self._programs: set[asyncio.Task[None]] = set()
        self.turned_away = self.waiting_max = 0
        self._idle = procedure.approvers or 0

    def take(self, stanza: Stanza) -> None:
        """A form has come."""
        request = self._known[asked_of(stanza)]
        who = request.honest, request.account
        if self._pending is not None and self._of.get(who, 0) >= self._pending:
            self.turned_away += 1
            self._say(stanza, allow=False)
            return
        self._of[who] = self._of.get(who, 0) + 1
        if self._people is None:  # a program answers all that wait at the same time
            program = asyncio.ensure_future(self._answer(stanza, request))
            self._programs.add(program)
            program.add_done_callback(self._programs.discard)
            return
        self._waits.put_nowait((stanza, request))
        # Who is free will take one each, only not before the event loop's next turn.
        self.waiting_max = max(self.waiting_max, self._waits.qsize() - self._idle)

    async def work(self) -> None:
        """All people at work, for ever."""
        people = [asyncio.ensure_future(self._person()) for _ in range(self._people or 0)]
        try:
            await asyncio.gather(*people, asyncio.Event().wait())
        finally:
            for each in (*people, *self._programs):
                each.cancel()

    async def _person(self) -> None:
        while True:
            stanza, request = await self._waits.get()
            self._idle -= 1
            await self._answer(stanza, request)
            self._idle += 1

    async def _answer(self, stanza: Stanza, request: Request) -> None:
        await asyncio.sleep(request.work_s)
        self._of[request.honest, request.account] -= 1
        self._say(stanza, allow=request.honest)

    def _say(self, stanza: Stanza, *, allow: bool) -> None:
        """The owner's answer to a form."""
        fields = {
            name.removeprefix("pubsub#"): values[0] if values else ""
            for name, values in pubsub.form_fields(stanza).items()
            if name != "FORM_TYPE"
        }
        answer = {**fields, "allow": "true" if allow else "false"}
        form = pubsub.form("submit", answer, AUTHORIZATION)
        number = stanza.xml.get("id", "")
        self._owner.say(f"<message to='{self._broker}' id='{number}'>{form}</message>")
