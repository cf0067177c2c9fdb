"""What Locust's web page shows of a run while it goes on, and when it is over.

Histograms are added up bin by bin as the processes tell them, so the quantiles are those of the
record, not of Locust's whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from results import histogram

QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
CURVE = (
    *(k / 20 for k in range(18)),
    *(0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9998, 0.9999),
)
SECONDS_MAX = 600

# What is shown, and its name in what a process tells.
STAGES = {
    "delivery": "latency",
    "answer": "answer",
    "lateness": "late",
    "login": "login",
    "query": "query",
}


class Live:
    """The state of one run, fed by what the player tells."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A new run begins."""
        self._counts = {stage: histogram.empty() for stage in STAGES}
        self._news: dict[str, Any] = {"state": "waiting"}
        self._books = {"sent": 0, "answered": 0, "refused": 0, "deliveries": 0}
        self._by_second: dict[int, dict[str, float]] = {}
        self._predicted: Mapping[str, Any] | None = None
        self._outcome: Mapping[str, Any] | None = None

    def take(self, news: Mapping[str, Any]) -> None:
        """Take in one line of the player's."""
        match news["state"]:
            case "predicted":
                self._predicted = news
            case "done" | "failed":
                self._outcome = news
                self._news = {**self._news, "state": news["state"]}
            case "sharing":
                pass
            case _:
                told = ("state", "elapsed_s", "duration_s", "online", "sessions")
                self._news = {name: news[name] for name in told}
                for login in news["logins"]:
                    self._add("login", login["login"])
                    self._add("query", login["query"])
                for window in news["windows"]:
                    self._take_window(window)

    def _take_window(self, window: Mapping[str, Any]) -> None:
        for stage, name in STAGES.items():
            if name in window:
                self._add(stage, window[name])
        self._books["sent"] += window.get("sent", 0)
        self._books["refused"] += window.get("refused", 0)
        self._books["deliveries"] += window.get("deliveries", 0)
        if "answer" in window:
            self._books["answered"] += sum(window["answer"][1])
        if "second" in window:
            second = self._by_second.setdefault(int(window["second"]), {})
            second["deliveries"] = second.get("deliveries", 0) + window.get("deliveries", 0)
            for name in ("lateness_s", "lag_s", "delay_s", "cpu_s"):
                second[name] = max(second.get(name, 0.0), float(window.get(name, 0.0)))

    def _add(self, stage: str, pairs: Any) -> None:
        np.add.at(self._counts[stage], pairs[0], pairs[1])

    def document(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        seconds = sorted(self._by_second)[-SECONDS_MAX:]
        return {
            **self._news,
            "stages": {name: figures(counts) for name, counts in self._counts.items()},
            "measured": curve(self._counts["delivery"]),
            "predicted": self._predicted,
            "books": self._books,
            "seconds": [{"second": each, **self._by_second[each]} for each in seconds],
            "outcome": self._outcome,
        }


def figures(counts: histogram.Counts) -> dict[str, float | int | None]:
    """Number and quantiles of a histogram. [s]"""
    total = int(counts.sum())
    found: dict[str, float | int | None] = {"n": total}
    for q in QUANTILES:
        found[f"p{100 * q:g}"] = _finite(histogram.quantile(counts, q)) if total else None
    return found


def curve(counts: histogram.Counts) -> list[tuple[float, float]]:
    """(quantile, latency) of a histogram, as far as its size bears it out; empty without counts."""
    total = int(counts.sum())
    return [
        (q, latency_s)
        for q in CURVE
        if total
        and total * (1.0 - q) > 1.0 - 1e-9
        and (latency_s := _finite(histogram.quantile(counts, q))) is not None
    ]


def _finite(seconds: float) -> float | None:
    return seconds if np.isfinite(seconds) else None
