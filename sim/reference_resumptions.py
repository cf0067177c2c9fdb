"""Sessions that wait to be resumed, once more for the oracle: lists of copies at one server."""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.reference_stanzas import Publication
from topologies.schema import Resumption


@dataclass
class _Asleep:
    """A session without its Platform, until an instant, with what came for it. [s]"""

    until_s: float
    copies: list[Publication] = field(default_factory=list)


class SleepingSessions:
    """One server's sessions whose connections broke; none with no `resumption`."""

    def __init__(self, resumption: Resumption | None) -> None:
        self.possible = resumption is not None
        self._window_s = resumption.window if resumption is not None else 0.0
        self._most = resumption.queue if resumption is not None else 0
        self._asleep: dict[int, _Asleep] = {}

    def begin(self, platform: int, now_s: float) -> None:
        """A session falls asleep."""
        self._asleep[platform] = _Asleep(now_s + self._window_s)

    def end(self, platform: int) -> list[Publication]:
        """It is over, or awake: what was kept for it."""
        found = self._asleep.pop(platform, None)
        return [] if found is None else found.copies

    def keep(self, platform: int, stanza: Publication, now_s: float) -> None:
        """Something comes for a Platform without a connection."""
        found = self._asleep.get(platform)
        if found is not None and now_s <= found.until_s:
            found.copies.append(stanza)

    def can_wake(self, platform: int, now_s: float) -> bool:
        """Whether a session is there and nothing that came for it is lost."""
        found = self._asleep.get(platform)
        if found is None:
            return False
        return now_s <= found.until_s and len(found.copies) <= self._most
