"""A server's door once more, for the oracle: buckets that fill as time passes, and a list of bans.

Shares nothing with `sim.gates`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from topologies import schema


@dataclass
class Tokens:
    """Tokens that come at a rate, `most` of them at most."""

    rate_per_s: float
    most: float
    tokens: float
    as_of_s: float

    def take(self, now_s: float) -> bool:
        """Take one, if there is one."""
        self.tokens = min(self.most, self.tokens + (now_s - self.as_of_s) * self.rate_per_s)
        self.as_of_s = now_s
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


@dataclass
class ReferenceGate:
    """What a server remembers of those who connect."""

    node: schema.Controller
    server: str = "none"
    _all: Tokens | None = None
    _by_address: dict[str, Tokens] = field(default_factory=dict)
    _windows: dict[str, list[int]] = field(default_factory=dict)
    _failures: dict[str, list[float]] = field(default_factory=dict)

    def admits(self, address: str, now_s: float) -> bool:
        """Whether a connection that sends its first message now may go on."""
        limit, admission = self.node.limits.address, self.node.admission
        if limit is not None and self.server == "prosody":
            if not self._in_its_window(address, now_s, limit):
                return False
        elif limit is not None:
            if address not in self._by_address:
                most = float(limit.connections)
                self._by_address[address] = Tokens(most / limit.per, most, most, now_s)
            if not self._by_address[address].take(now_s):
                return False
        if admission is None or admission.rate is None:
            return True
        if self._all is None:
            burst = float(admission.burst)
            self._all = Tokens(admission.rate, burst, burst, now_s)
        return self._all.take(now_s)

    def _in_its_window(self, address: str, now_s: float, limit: schema.AddressLimit) -> bool:
        """As Prosody's module counts: seconds of all that it let in since a window began."""
        second, seconds = int(now_s), -int(-limit.per // 1)
        row = self._windows.setdefault(address, [second])  # when it began, then who was let in
        if second > row[0] + seconds:
            self._windows[address] = [second]
            return True
        if second < row[0] + seconds and len(row) > limit.connections:
            return False
        row.append(second)
        return True

    def closes(self, address: str, now_s: float) -> bool:
        """Whether the address is shut out."""
        failed = self.node.limits.failed_logins
        return failed is not None and len(self._row(address, now_s)) >= failed.count

    def judge(self, address: str, now_s: float, right: bool) -> None:
        """A password from there was right or wrong."""
        row = self._row(address, now_s)
        self._failures[address] = [] if right else [*row, now_s]

    def _row(self, address: str, now_s: float) -> list[float]:
        """Failures in a row that are not forgotten."""
        failed, row = self.node.limits.failed_logins, self._failures.get(address, [])
        if failed is None or (row and now_s - row[-1] > failed.ban):
            return []
        return row
