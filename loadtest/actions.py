"""What the actors of a scenario did: one row for each action, with its instants and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

OK = "ok"


@dataclass
class ActionLog:
    """Actions of one process, as growing columns.

    Attributes
    ----------
    rows : list
        (kind, due, began, ended, outcome): the kind of action; when it was to begin, when it began
        and when it was over, on the monotonic clock [ns]; `ok`, or why not.
    """

    rows: list[tuple[str, int, int, int, str]] = field(default_factory=list)

    def note(self, kind: str, due_ns: int, began_ns: int, ended_ns: int, outcome: str = OK) -> None:
        """Append one action."""
        self.rows.append((kind, due_ns, began_ns, ended_ns, outcome))


@dataclass(frozen=True)
class Actions:
    """All actions of a run; instants have the shape (3, n): due, began, ended. [ns]"""

    kind: npt.NDArray[np.str_]
    instants_ns: npt.NDArray[np.int64]
    outcome: npt.NDArray[np.str_]

    def latency_s(self, kind: str) -> npt.NDArray[np.float64]:
        """Ended minus due, of the actions of a kind that went well. [s]"""
        chosen = (self.kind == kind) & (self.outcome == OK)
        return np.asarray((self.instants_ns[2] - self.instants_ns[0])[chosen] / 1e9)

    def failed(self, kind: str) -> dict[str, int]:
        """How many of a kind did not go well, by reason."""
        chosen = (self.kind == kind) & (self.outcome != OK)
        reasons, counts = np.unique(self.outcome[chosen], return_counts=True)
        return {str(reason): int(count) for reason, count in zip(reasons, counts, strict=True)}

    @property
    def kinds(self) -> list[str]:
        """All kinds, in alphabetical order."""
        return [str(kind) for kind in np.unique(self.kind)]

    def summary(self) -> dict[str, Any]:
        """Figures of each kind: how many, why some failed, quantiles of the latency. [s]"""
        return {kind: self._figures(kind) for kind in self.kinds}

    def _figures(self, kind: str) -> dict[str, Any]:
        latency_s, failed = self.latency_s(kind), self.failed(kind)
        instants = self.instants_ns[:, self.kind == kind]
        span_s = float(instants[2].max() - instants[0].min()) / 1e9
        figures = {"n": len(latency_s) + sum(failed.values()), "failed": failed, "span_s": span_s}
        if not len(latency_s):
            return {**figures, "latency_s": None}
        p50, p90, p99 = (float(q) for q in np.quantile(latency_s, [0.5, 0.9, 0.99]))
        quantiles = {"p50": p50, "p90": p90, "p99": p99, "max": float(latency_s.max())}
        return {**figures, "latency_s": quantiles}


def together(parts: Sequence[Sequence[Sequence[Any]]]) -> Actions:
    """The actions of several processes, rows of their logs, one after another."""
    rows = [row for part in parts for row in part]
    kind, due, began, ended, outcome = zip(*rows, strict=True) if rows else [()] * 5
    return Actions(
        np.array(kind, dtype=np.str_),
        np.array([due, began, ended], dtype=np.int64),
        np.array(outcome, dtype=np.str_),
    )
