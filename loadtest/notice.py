"""How much of what was given up a server still pays for, over all steps of a login.

As many clients are brought up to each kind of step of their login; the server is halted (SIGSTOP),
so that all their messages wait as they do in a queue; the clients send them and give up at once;
the server goes on. What it then uses is set against what the same steps cost it when nobody gives
up, and against what it costs to see connections end without any message. If p is the share of
abandoned steps that it drops unpaid,

    1 - p = (abandoned - ended) / paid

which is the `noticed` of a profile's logins. A garbage collection or a busy moment of the machine
moves one such figure by more than it is: so all steps are taken at once, which makes each figure
large and leaves time for many rounds, the three arms forwards and backwards in turn. p is kept as
it comes out, with its interval over the rounds; it is brought into [0, 1] only where a profile
takes it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from loadtest.caller import STEPS, Account, Caller, Door
from loadtest.observation import cpu_s
from results.statistics import Sample
from results.variants import AbandonedStep

ROUNDS: Final = 12  # forwards, backwards, backwards, forwards, and so on
TRIED: Final = ("stream", "tls", "sasl", "proof", "bind")  # one of each kind of work
_ARMS: Final = ((True, False), (False, True), (True, True))  # sends, leaves: paid, ended, abandoned
_ARRIVED_S: Final = 0.05  # loopback has taken everything by then
_REST_S: Final = 0.12  # without CPU time: the server has done all
_REST_CPU_S: Final = 0.5e-3
_SETTLED_WITHIN_S: Final = 10.0


@dataclass(frozen=True)
class Notice:
    """The share of abandoned steps that the server drops before it pays for them."""

    total: AbandonedStep

    @property
    def noticed(self) -> float:
        """All steps together, weighted by what each costs, brought into [0, 1]."""
        return min(max(self.total["noticed"], 0.0), 1.0)


def summary(arms_s: npt.NDArray[np.float64]) -> AbandonedStep:
    """What all steps came to.

    Parameters
    ----------
    arms_s : ndarray, shape (rounds, 3)
        CPU time of one client's paid, ended and abandoned steps. [s]
    """
    paid_s, ended_s, abandoned_s = arms_s.mean(axis=0).tolist()
    parts = share(arms_s[:, 0], arms_s[:, 2], arms_s[:, 1])
    known = Sample(float(share(paid_s, abandoned_s, ended_s)), np.asarray(parts)).estimate()
    low, high = known["low"], known["high"]
    assert low is not None, "several rounds give an interval"
    assert high is not None
    return AbandonedStep(
        step="all",
        paid_s=paid_s,
        abandoned_s=abandoned_s,
        ended_s=ended_s,
        noticed=float(share(paid_s, abandoned_s, ended_s)),
        low=low,
        high=high,
        rounds=len(arms_s),
    )


Seconds = TypeVar("Seconds", float, npt.NDArray[np.float64])


def share(paid_s: Seconds, abandoned_s: Seconds, ended_s: Seconds) -> Seconds:
    """The share p of abandoned steps that is dropped unpaid, as it comes out."""
    return 1.0 - (abandoned_s - ended_s) / paid_s


async def measure(
    pid: int,
    door: Door,
    accounts: Sequence[Account],
    tell: Callable[[float, str], None] = lambda done, remark: None,
) -> Notice:
    """Halt and wake the server with logins under way; it must be the caller's to signal.

    Parameters
    ----------
    pid : int
        The server.
    door : Door
        Where to log in.
    accounts : sequence of Account
        Shared out evenly among the steps.
    tell : callable
        Gets the share done and a remark.
    """
    each = len(accounts) // len(TRIED)
    places = [(account, step) for step, account in zip(TRIED * each, accounts, strict=False)]
    await _warm(door, [account for account, _ in places])
    arms_s = np.zeros((ROUNDS, len(_ARMS)))
    for turn in range(ROUNDS):
        tell(turn / ROUNDS, "abandoning logins")
        backwards = turn % 4 in (1, 2)
        for arm in reversed(range(len(_ARMS))) if backwards else range(len(_ARMS)):
            sends, leaves = _ARMS[arm]
            used_s = await _arm(pid, door, places, sends=sends, leaves=leaves)
            arms_s[turn, arm] = used_s / each
    return Notice(summary(arms_s))


async def _warm(door: Door, accounts: Sequence[Account]) -> None:
    """Log in and leave once: a server's first logins cost more, and salts are known then."""
    for account in accounts:
        caller = Caller(door, account)
        try:
            await caller.log_in()
        finally:
            caller.close()


async def _arm(
    pid: int, door: Door, places: Sequence[tuple[Account, str]], *, sends: bool, leaves: bool
) -> float:
    """CPU time of the server for one step of all clients, of which it sees nothing before. [s]"""
    steps = [step for _, step in places]
    callers = [Caller(door, account) for account, _ in places]
    answers: list[asyncio.Future[object]] = []
    try:
        for caller, step in zip(callers, steps, strict=True):
            await caller.advance(*STEPS[: STEPS.index(step)])
        await settled_s(pid)
        os.kill(pid, signal.SIGSTOP)
        try:
            begun_s = cpu_s(pid)
            if sends:
                begun = [each.begin(step) for each, step in zip(callers, steps, strict=True)]
                answers = [asyncio.ensure_future(each) for each in begun]
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
