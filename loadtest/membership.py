"""The Platforms of a herd, what became of them, and how fast they may connect."""

from __future__ import annotations

import asyncio
import collections
from dataclasses import dataclass, field
from typing import Final

from loadtest.caller import STEPS, Account
from loadtest.retries import Retry

GIVEN_UP: Final = "given up"
HELD_S: Final = 5e-3  # waits for the caps that are longer shape what is measured, if there are
HELD_SHARE: Final = 0.01  # more of them than this, or if one of them is
HELD_LONG_S: Final = 0.1  # longer than this: patience is a second and more


@dataclass(frozen=True)
class Member:
    """A Platform: its population, its number there, its account and how it tries again."""

    population: str
    number: int
    account: Account
    retry: Retry
    hostile: bool = False


@dataclass
class Books:
    """What became of them; instants since the beginning of the play. [s]

    Attributes
    ----------
    attempts : list of (population, began, ended, outcome)
        `ok`, `given up`, or why it failed.
    online : list of (population, began, online)
        When each first attempt after a loss began, and when the Platform was online.
    lost : list of (population, instant)
        Sessions that ended.
    back_s, down_s : float or None
        When a server that was killed answered again, and for how long it did not.
    held_s, held_hostile_s : list of (instant, waited)
        When the caps let a connection pass, and how long it had waited for them.
    messages : list of int
        How many attempts came to each step of a login and sent its message.
    """

    attempts: list[tuple[str, float, float, str]] = field(default_factory=list)
    online: list[tuple[str, float, float]] = field(default_factory=list)
    lost: list[tuple[str, float]] = field(default_factory=list)
    back_s: float | None = None
    down_s: float | None = None
    held_s: list[tuple[float, float]] = field(default_factory=list)
    held_hostile_s: list[tuple[float, float]] = field(default_factory=list)
    messages: list[int] = field(default_factory=lambda: [0] * len(STEPS))

    def came_to(self, sent: int) -> None:
        """An attempt has sent so many messages."""
        for step in range(sent):
            self.messages[step] += 1

    def doubts(self) -> tuple[str, ...]:
        """Where the caps on connections shaped what was to be the server's doing.

        Who tries while the server is down is refused at once, held or not: those do not count.
        Nor do a few waits of milliseconds (`HELD_SHARE`, `HELD_LONG_S`).
        """
        since_s = self.back_s or 0.0
        found = []
        for who, held_s in (("", self.held_s), ("hostile ", self.held_hostile_s)):
            late = [waited_s for passed_s, waited_s in held_s if passed_s >= since_s]
            held = [waited_s for waited_s in late if waited_s > HELD_S]
            if len(held) > HELD_SHARE * len(late) or max(held, default=0.0) > HELD_LONG_S:
                found.append(
                    f"the cap on connections held {len(held)} of {len(late)} {who}attempts back, "
                    f"one of them for {max(held):.3g} s: not the server alone sets these figures"
                )
        return tuple(found)


class Turnstile:
    """Lets so many connections pass within any second, at once while there are fewer, in order.

    Parameters
    ----------
    limit : int
        The rails' cap on connections in a second, or less.
    """

    def __init__(self, limit: int) -> None:
        self._recent: collections.deque[float] = collections.deque(maxlen=limit)
        self._turn = asyncio.Lock()

    async def pass_through(self) -> float:
        """Wait for one's turn; how long that took. [s]"""
        clock = asyncio.get_running_loop().time
        begun_s = clock()
        async with self._turn:
            while len(self._recent) == self._recent.maxlen:
                left_s = self._recent[0] + 1.0 - clock()
                if left_s <= 0.0:
                    break
                await asyncio.sleep(left_s)
            self._recent.append(clock())
        return clock() - begun_s
