"""When to try again: waiting times between attempts, with and without jitter.

The policies and their names follow M. Brooker, "Exponential Backoff and Jitter" (AWS Architecture
Blog, 2015): without jitter, a crowd that failed together tries again together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from loadtest.problems import LoadError

Policy = Literal["fixed", "exponential", "full-jitter", "equal-jitter", "decorrelated"]
POLICIES: tuple[str, ...] = get_args(Policy)


@dataclass(frozen=True)
class Retry:
    """How a Platform behaves whose attempt has failed.

    Attributes
    ----------
    policy : str
        `fixed`: base; `exponential`: min(cap, base 2^k) before attempt k + 1; `full-jitter`:
        uniform between 0 and that; `equal-jitter`: half of it and a uniform share of the other
        half; `decorrelated`: min(cap, uniform between base and three times the wait before).
    base_s, cap_s : float
        First and longest wait. [s]
    attempts : int
        How often it tries at most.
    """

    policy: str = "full-jitter"
    base_s: float = 1.0
    cap_s: float = 60.0
    attempts: int = 10

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
            doubled_s = min(self.cap_s, self.base_s * 2.0**attempt)
            match self.policy:
                case "fixed":
                    wait_s = self.base_s
                case "exponential":
                    wait_s = doubled_s
                case "full-jitter":
                    wait_s = draws.uniform(0.0, doubled_s)
                case "equal-jitter":
                    wait_s = 0.5 * doubled_s + draws.uniform(0.0, 0.5 * doubled_s)
                case _:
                    wait_s = min(self.cap_s, draws.uniform(self.base_s, 3.0 * wait_s))
            yield float(wait_s)
