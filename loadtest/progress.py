"""How far a work of several steps is, as one share of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Progress = Callable[[float, str], None]  # gets the share done and a remark


class Told:
    """Turns what the steps report into one share of the whole."""

    def __init__(self, progress: Progress, total_s: float) -> None:
        self._progress, self._total_s = progress, total_s
        self._before_s = self._step_s = 0.0
        self._remark = ""

    def next(self, remark: str, step_s: float) -> None:
        """A step begins that takes about so long. [s]"""
        self._before_s += self._step_s
        self._step_s, self._remark = step_s, remark
        self._progress(min(self._before_s / self._total_s, 1.0), remark)

    def play(self, news: Mapping[str, Any]) -> None:
        """A run on the grid is this far: what `engine.play` tells."""
        share = min(news["elapsed_s"] / news["duration_s"], 1.0)
        done_s = self._before_s + share * self._step_s
        remark = f"{self._remark}: {news['state']}"
        self._progress(min(done_s / self._total_s, 1.0), remark)
