"""A run as a process of its own, for whoever cannot block or must not be disturbed: Locust.

`python -m loadtest.player` reads a `Wish` as one line of JSON, plays it, and tells its progress as
lines of JSON; the last one has the state `done` or `failed`. SIGTERM and SIGINT end the run, and
what was measured is kept.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from loadtest import deployment, processes
from loadtest.engine import Hands, Settings, lasting, play
from loadtest.predictions import newest
from loadtest.workers import Worker, Workers

VALID, BAD_INPUT, INVALID = 0, 2, 3


@dataclass(frozen=True)
class Wish:
    """What to play, where, and where the record goes."""

    topology: str
    overrides: tuple[str, ...]
    grid: str
    seed: int
    replication: int
    load: float
    duration_s: float | None
    logins_per_s: float
    out: str
    parent_pid: int
    workers: tuple[Mapping[str, Any], ...] = ()  # name and pid of each; none: this process

    def play(self) -> int:
        """Play it; the exit code of the command that asked."""
        import topologies

        topology = topologies.load(self.topology, self.overrides)
        predicted = newest(Path(self.out), lasting(topology, self.duration_s), self.load)
        if predicted:
            tell({"state": "predicted", **predicted})
        run = play(
            topology,
            deployment.status(self.grid),
            seed=self.seed,
            replication=self.replication,
            load=self.load,
            duration_s=self.duration_s,
            progress=tell,
            door="locust",
            settings=Settings(logins_per_s=self.logins_per_s),
            hands=self._hands(),
        )
        path = run.save(Path(self.out))
        verdict, code = run.header.verdict, VALID if run.header.verdict.valid else INVALID
        tell(
            {
                "state": "done",
                "code": code,
                "path": str(path),
                "reasons": verdict.reasons,
                "warnings": verdict.warnings,
                "counts": run.header.counts.model_dump(),
            }
        )
        return code

    def _hands(self) -> Hands:
        if not self.workers:
            return Hands()
        workers = [Worker(each["name"], each["pid"]) for each in self.workers]
        return Workers(workers, lambda shares: tell({"state": "sharing", **shares}))


def tell(news: Mapping[str, Any]) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps(dict(news)) + "\n")
    sys.stdout.flush()


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Play what standard input asks for."""
    wish = Wish(**json.loads(sys.stdin.readline()))
    processes.die_with_parent(wish.parent_pid)
    signal.signal(signal.SIGTERM, _stop)
    try:
        return wish.play()
    except KeyboardInterrupt:
        problem = "stopped before the first publication; nothing was measured"
    except (ValueError, OSError) as error:
        problem = str(error)
    tell({"state": "failed", "code": BAD_INPUT, "problem": problem})
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
