"""When to try again: waiting times between attempts, with and without jitter.

The policies and their names follow M. Brooker, "Exponential Backoff and Jitter" (AWS Architecture
Blog, 2015): without jitter, a crowd that failed together tries again together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args

import numpy as np

from loadtest.problems import LoadError

if TYPE_CHECKING:
    from topologies.schema import Topology

Entered = TypeVar("Entered")
Policy = Literal[
    "fixed", "exponential", "full-jitter", "equal-jitter", "decorrelated", "memoryless"
]
POLICIES: tuple[str, ...] = get_args(Policy)
_DOUBLINGS_MAX: Final = 100  # any cap is reached long before
AS_DESCRIBED: Final = "as-described"


@dataclass(frozen=True)
class Retry:
    """How a Platform behaves whose attempt has failed.

    Attributes
    ----------
    policy : str
        `fixed`: base; `exponential`: min(cap, base 2^n) after n failures; `full-jitter`:
        uniform between 0 and that; `equal-jitter`: half of it and a uniform share of the other
        half; `decorrelated`: min(cap, uniform between base and three times the wait before);
        `memoryless`: exponential of mean base, at most cap.
    base_s, cap_s : float
        First and longest wait. [s]
    attempts : int
        How often it tries at most.
    first_s : float or None
        The first attempt after a loss comes uniformly within this; None: within the policy's first
        wait. [s]
    timeout_s : float
        An attempt is given up after this. [s]
    """

    policy: str = "full-jitter"
    base_s: float = 1.0
    cap_s: float = 60.0
    attempts: int = 10
    first_s: float | None = None
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what is no policy."""
        if self.policy not in POLICIES:
            raise LoadError(f'retry: "{self.policy}": is no policy; use {", ".join(POLICIES)}')
        if not 0.0 < self.base_s <= self.cap_s or self.attempts < 1:
            raise LoadError(
                f"retry: base {self.base_s:g} s, cap {self.cap_s:g} s, {self.attempts} attempts: "
                "0 < base <= cap and at least one attempt are needed"
            )

    def waits_s(self, draws: np.random.Generator) -> Iterator[float]:
        """Waits before the second, third, ... attempt; one fewer than attempts. [s]"""
        wait_s = self.base_s
        for attempt in range(self.attempts - 1):
            failures = min(attempt + 1, _DOUBLINGS_MAX)
            doubled_s = min(self.cap_s, self.base_s * 2.0**failures)
            match self.policy:
                case "fixed":
                    wait_s = self.base_s
                case "exponential":
                    wait_s = doubled_s
                case "full-jitter":
                    wait_s = draws.uniform(0.0, doubled_s)
                case "equal-jitter":
                    wait_s = 0.5 * doubled_s + draws.uniform(0.0, 0.5 * doubled_s)
                case "memoryless":
                    wait_s = min(self.cap_s, draws.exponential(self.base_s))
                case _:
                    wait_s = min(self.cap_s, draws.uniform(self.base_s, 3.0 * wait_s))
            yield float(wait_s)

    def first_wait_s(self, draws: np.random.Generator) -> float:
        """Wait between a loss and the first attempt: a crowd cut off together spreads out. [s]"""
        if self.first_s is None:
            return next(self.waits_s(draws), 0.0)
        return float(draws.uniform(0.0, self.first_s))

    async def attempt(self, enter: Callable[[], Awaitable[Entered]]) -> Entered:
        """One attempt, given up in time.

        Raises
        ------
        LoadError
            It failed, or took too long.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                return await enter()
        except TimeoutError:
            raise LoadError(f"login: given up after {self.timeout_s:g} s") from None


def described(topology: Topology) -> dict[str, dict[str, Any]]:
    """Policies of the populations whose file has one, ready for JSON, by their names."""
    policies = {
        each.name: Retry(
            each.retry.policy,
            each.retry.base,
            each.retry.cap,
            each.retry.attempts,
            each.retry.first,
            each.retry.timeout,
        )
        for each in topology.platforms
        if "retry" in each.model_fields_set
    }
    return {name: asdict(policy) for name, policy in policies.items()}


def policy_of(
    jid: str, parameters: Mapping[str, Any], policies: Mapping[str, Mapping[str, Any]]
) -> Retry:
    """How the Platform of an account tries again.

    Parameters
    ----------
    jid : str
        `population-k@domain`.
    parameters : mapping
        Of the scenario: `retry`, `base`, `cap`.
    policies : mapping
        See `described`; they count where `retry` is `as-described`.
    """
    population = jid.partition("@")[0].rpartition("-")[0]
    policy = str(parameters["retry"])
    if policy != AS_DESCRIBED:
        return Retry(policy, float(parameters["base"]), float(parameters["cap"]))
    if population in policies:
        return Retry(**policies[population])
    return Retry(base_s=float(parameters["base"]), cap_s=float(parameters["cap"]))
