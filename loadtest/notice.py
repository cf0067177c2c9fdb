"""How much of what was given up a server still pays for: measured step by step of a login.

Clients are brought up to a step of their login; the server is halted (SIGSTOP), so that the step's
messages wait as they do in a queue; the clients send them and give up at once; the server goes on.
What it then uses is set against what the same step costs it when nobody gives up, and against what
it costs to see connections end without any message. If p is the share of abandoned steps that it
drops unpaid,

    1 - p = (abandoned - ended) / paid

which is the `noticed` of a profile's logins. A garbage collection or a busy moment of the machine
moves one such figure by more than it is: each step is measured in several rounds, the three arms
forwards and backwards in turn, and p is kept as it comes out, with its interval over the rounds. It
is brought into [0, 1] only where a profile takes it.
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

CLIENTS: Final = 50
ROUNDS: Final = 4  # forwards, backwards, backwards, forwards
TRIED: Final = ("stream", "tls", "sasl", "proof", "bind")  # one of each kind of work
_ARMS: Final = ((True, False), (False, True), (True, True))  # sends, leaves: paid, ended, abandoned
_ARRIVED_S: Final = 0.05  # loopback has taken everything by then
_REST_S: Final = 0.12  # without CPU time: the server has done all
_REST_CPU_S: Final = 0.5e-3
_SETTLED_WITHIN_S: Final = 10.0


@dataclass(frozen=True)
class Notice:
    """The share of abandoned steps that the server drops before it pays for them."""

    steps: tuple[AbandonedStep, ...]  # the last is all of them

    @property
    def noticed(self) -> float:
        """All steps together, weighted by what each costs, brought into [0, 1]."""
        return min(max(self.steps[-1]["noticed"], 0.0), 1.0)


def summary(step: str, arms_s: npt.NDArray[np.float64]) -> AbandonedStep:
    """What a step came to.

    Parameters
    ----------
    step : str
        Its name.
    arms_s : ndarray, shape (rounds, 3)
        CPU time of one client's paid, ended and abandoned step. [s]
    """
    paid_s, ended_s, abandoned_s = arms_s.mean(axis=0).tolist()
    parts = share(arms_s[:, 0], arms_s[:, 2], arms_s[:, 1])
    known = Sample(float(share(paid_s, abandoned_s, ended_s)), np.asarray(parts)).estimate()
    low, high = known["low"], known["high"]
    assert low is not None, "several rounds give an interval"
    assert high is not None
    return AbandonedStep(
        step=step,
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
    arms_s = np.zeros((len(TRIED), ROUNDS, len(_ARMS)))
    for turn in range(ROUNDS):
        backwards = turn % 4 in (1, 2)
        for number, step in enumerate(TRIED):
            tell((turn + number / len(TRIED)) / ROUNDS, f"abandoning logins at {step}")
            for arm in reversed(range(len(_ARMS))) if backwards else range(len(_ARMS)):
                sends, leaves = _ARMS[arm]
                used_s = await _arm(pid, door, chosen, step, sends=sends, leaves=leaves)
                arms_s[number, turn, arm] = used_s / len(chosen)
    found = [summary(step, arms) for step, arms in zip(TRIED, arms_s, strict=True)]
    return Notice((*found, summary("all", arms_s.sum(axis=0))))


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
