"""The Platforms of a herd, what became of them, and how fast they may connect."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from loadtest.caller import Account
from loadtest.retries import Retry

GIVEN_UP: Final = "given up"


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
    back_s : float or None
        When a server that was killed answered again.
    """

    attempts: list[tuple[str, float, float, str]] = field(default_factory=list)
    online: list[tuple[str, float, float]] = field(default_factory=list)
    lost: list[tuple[str, float]] = field(default_factory=list)
    back_s: float | None = None


class Turnstile:
    """Lets connections pass one after another, at no more than a rate.

    Parameters
    ----------
    rate_per_s : float
        The rails' cap, or less. [1/s]
    """

    def __init__(self, rate_per_s: float) -> None:
        self._gap_s, self._next_s = 1.0 / rate_per_s, 0.0

    async def pass_through(self) -> None:
        """Wait for one's turn."""
        now_s = asyncio.get_running_loop().time()
        turn_s = self._next_s = max(now_s, self._next_s + self._gap_s)
        if turn_s > now_s:
            await asyncio.sleep(turn_s - now_s)
