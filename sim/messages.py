"""Messages of Platforms to a server that are no publications: steps of logins on their way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.state import Floats, Integers


@dataclass(frozen=True)
class Messages:
    """Steps of logins on their way to one station in order of arrival: columns of equal length."""

    key: Integers
    platform: Integers
    arrival_s: Floats
    work_s: Floats
    factor: Floats
    give_up_s: Floats
    flags: Integers

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, chosen: slice) -> Messages:
        return Messages(
            self.key[chosen], self.platform[chosen], self.arrival_s[chosen], self.work_s[chosen],
            self.factor[chosen], self.give_up_s[chosen], self.flags[chosen],
        )  # fmt: skip


def nothing() -> Messages:
    """No messages."""
    whole, figures = np.zeros(0, np.int64), np.zeros(0)
    return Messages(whole, whole, figures, figures, figures, figures, whole)
