"""Messages of Platforms to a server that are no publications: steps of logins on their way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.state import PUBLICATION, Floats, Integers, Records


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

    def records(self, numbers: Integers, wire_bytes: float) -> Records:
        """What the kernels know of them; the Platforms have these numbers there."""
        records = np.zeros(len(self), PUBLICATION)
        records["row"], records["job"] = self.key, self.flags
        records["arrival_s"] = records["intended_s"] = self.arrival_s
        records["intake_s"], records["factor"] = self.work_s, self.factor
        records["give_up_s"], records["answered"] = self.give_up_s, True
        records["platform"], records["wire_bytes"] = numbers, wire_bytes
        return records


def nothing() -> Messages:
    """No messages."""
    whole, figures = np.zeros(0, np.int64), np.zeros(0)
    return Messages(whole, whole, figures, figures, figures, figures, whole)
