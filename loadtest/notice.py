"""How much of what was given up a server still pays for: measured step by step of a login.

Clients are brought up to a step of their login; the server is halted (SIGSTOP), so that the step's
messages wait as they do in a queue; the clients send them and give up at once; the server goes on.
What it then uses is set against what the same step costs it when nobody gives up, and against what
it costs to see connections end without any message. If p is the share of abandoned steps that it
drops unpaid,

    1 - p = (abandoned - ended) / paid

which is the `noticed` of a profile's logins.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from loadtest.caller import STEPS, Account, Caller, Door
from loadtest.observation import cpu_s
from results.variants import AbandonedStep

CLIENTS: Final = 100  # several of the server's garbage collections in each arm
TRIED: Final = ("stream", "tls", "sasl", "proof", "bind")  # one of each kind of work
_ARRIVED_S: Final = 0.05  # loopback has taken everything by then
_REST_S: Final = 0.12  # without CPU time: the server has done all
_REST_CPU_S: Final = 0.5e-3
_SETTLED_WITHIN_S: Final = 10.0


@dataclass(frozen=True)
class Notice:
    """The share of abandoned steps that the server drops before it pays for them."""

    steps: tuple[AbandonedStep, ...]

    @property
    def noticed(self) -> float:
        """All steps together, weighted by what each costs. [1]"""
        paid_s = sum(each["paid_s"] for each in self.steps)
        return sum(each["noticed"] * each["paid_s"] for each in self.steps) / paid_s


def share(paid_s: float, abandoned_s: float, ended_s: float) -> float:
    """The share p of abandoned steps that is dropped unpaid, in [0, 1]."""
    return min(max(1.0 - (abandoned_s - ended_s) / paid_s, 0.0), 1.0)


async def measure(
    pid: int,
    door: Door,
    accounts: Sequence[Account],
    tell: Callable[[float, str], None] = lambda done, remark: None,
) -> Notice:
    """Halt and wake the server for each step of a login; it must be the caller's to signal.

    Parameters
    ----------
    pid : int
        The server.
    door : Door
        Where to log in.
    accounts : sequence of Account
        `CLIENTS` of them are used, if there are as many.
    tell : callable
        Gets the share done and a remark.
    """
    chosen = accounts[:CLIENTS]
    await _warm(door, chosen)
    found = []
    for number, step in enumerate(TRIED):
        tell(number / len(TRIED), f"abandoning logins at {step}")
        paid_s, ended_s, abandoned_s = [
            await _arm(pid, door, chosen, step, sends=sends, leaves=leaves) / len(chosen)
            for sends, leaves in ((True, False), (False, True), (True, True))
        ]
        found.append(
            AbandonedStep(
                step=step,
                paid_s=paid_s,
                abandoned_s=abandoned_s,
                ended_s=ended_s,
                noticed=share(paid_s, abandoned_s, ended_s),
            )
        )
    return Notice(tuple(found))


async def _warm(door: Door, accounts: Sequence[Account]) -> None:
    """Log in and leave once: a server's first logins cost more, and salts are known then."""
    for account in accounts:
        caller = Caller(door, account)
        try:
            await caller.log_in()
        finally:
            caller.close()


async def _arm(
    pid: int, door: Door, accounts: Sequence[Account], step: str, *, sends: bool, leaves: bool
) -> float:
    """CPU time of the server for one step of all clients, of which it sees nothing before. [s]"""
    callers = [Caller(door, account) for account in accounts]
    before = STEPS[: STEPS.index(step)]
    answers: list[asyncio.Future[object]] = []
    try:
        for caller in callers:
            await caller.advance(*before)
        await settled_s(pid)
        os.kill(pid, signal.SIGSTOP)
        try:
            begun_s = cpu_s(pid)
            if sends:
                answers = [asyncio.ensure_future(each.begin(step)) for each in callers]
                await asyncio.sleep(_ARRIVED_S)
            if leaves:
                for caller in callers:
                    caller.close()
                await asyncio.sleep(_ARRIVED_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(_ARRIVED_S)
        return await settled_s(pid) - begun_s
    finally:
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)
        for caller in callers:
            caller.close()


async def settled_s(pid: int) -> float:
    """The server's CPU clock once it rests. [s]"""
    deadline_s = time.monotonic() + _SETTLED_WITHIN_S
    used_s = cpu_s(pid)
    while time.monotonic() < deadline_s:
        await asyncio.sleep(_REST_S)
        before_s, used_s = used_s, cpu_s(pid)
        if used_s - before_s < _REST_CPU_S:
            break
    return used_s
