"""Scenarios worked by plain processes that share nothing: the machine's own efficiency.

`tests/sweeping.py` starts each as a program of its own. It reads how many scenarios to work, a line
at a time, and prints a line when they are done: no executor, no store, nothing that is shared.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


class Plain:
    """One plain process, warm and waiting."""

    def __init__(self, sets: Sequence[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), *sets], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.begin(2)
        self.end()

    def begin(self, count: int) -> None:
        """Let it work that many scenarios."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Wait until they are done."""
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise SystemExit("a plain process ended early")

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()


def took_s(processes: Sequence[Plain], count: int) -> float:
    """Time in which each of them works that many scenarios, all at the same time. [s]"""
    started_s = time.monotonic()
    for each in processes:
        each.begin(count)
    for each in processes:
        each.end()
    return time.monotonic() - started_s


def main(sets: Sequence[str]) -> None:
    """Work what standard input asks for."""
    import topologies
    from sim import scenarios

    base = scenarios.base(topologies.load("single-broker", sets))
    fixed = ("profile.costs.copy_distribution", "constant")
    number = 0
    for line in sys.stdin:
        for _ in range(int(line)):
            number += 1
            load = f"{0.9 + number % 1000 / 5000.0:.6f}"
            scenarios.work(scenarios.Scenario(base, number, (("load", load), fixed)))
        print("done", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(sys.argv[1:])
