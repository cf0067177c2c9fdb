"""What a server stores for Platforms that are offline, for the oracle: lists of copies."""

from __future__ import annotations

from sim.keeping import quota
from sim.reference_stanzas import Publication
from topologies.schema import Controller, Topology

LEAST_PRIORITY = 3  # at one instant publications come first, then requests, then what was stored


class ReferenceStore:
    """One server's storage; without `offline` it stores nothing."""

    def __init__(self, node: Controller, topology: Topology, server: str) -> None:
        self.possible, self._topology = node.offline is not None, topology
        self._most = quota(node.offline, server) if node.offline is not None else 0
        self._stored: dict[int, list[Publication]] = {}
        self._presence_s: dict[int, float] = {}
        self._levels: list[tuple[float, float]] = []
        self._count = self._bounced = 0

    def _stores(self, stanza: Publication) -> bool:
        """Whether a stanza is a notification of a Topic whose notifications are stored."""
        if not self.possible or stanza.answer is not None or stanza.job is not None:
            return False
        return self._topology.topics[stanza.topic].notification == "normal"

    def keep(self, platform: int, stanza: Publication, now_s: float) -> None:
        """A copy is for a Platform that has no session."""
        if not self._stores(stanza):
            return
        own = self._stored.setdefault(platform, [])
        if len(own) >= self._most:
            self._bounced += 1
            return
        own.append(stanza)
        self._count += 1
        self._levels.append((now_s, stanza.payload_bytes))

    def expect(self, platform: int, presence_s: float) -> None:
        """A Platform has logged in, whose presence will come."""
        self._presence_s[platform] = presence_s

    def holds_back(self, platform: int, stanza: Publication, now_s: float) -> bool:
        """Whether a copy is stored although there is a session, which has no presence yet."""
        return self._stores(stanza) and now_s < self._presence_s.get(platform, 0.0)

    def send(self, platform: int, now_s: float) -> list[Publication]:
        """A presence comes: all that was stored."""
        found = self._stored.pop(platform, [])
        self._levels += [(now_s, -each.payload_bytes) for each in found]
        return found

    def figures(self, delayed: int) -> dict[str, float]:
        """The figures of `sim.offline`."""
        if not self.possible:
            return {}
        level, highest = 0.0, 0.0
        for _, step in sorted(self._levels, key=lambda each: (each[0], -each[1])):
            level += step
            highest = max(highest, level)
        return {
            "stored": self._count,
            "bounced": self._bounced,
            "delayed": delayed,
            "waiting": sum(map(len, self._stored.values())),
            "bytes_max": highest,
        }
