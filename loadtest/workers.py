"""A run whose processes are started by others: by Locust's workers, on the same machine.

The plan, the start, the record are the same as for one process: here the work is dealt out to the
workers, and each generator process talks to the one that plays over a Unix socket in the run's
private directory, whoever its parent is (`loadtest.relay`).
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.engine import Hands
from loadtest.generator import Generator
from loadtest.problems import LoadError
from loadtest.shares import Spec

CONNECT_WITHIN_S = 30.0


def clock() -> str:
    """What processes have in common whose monotonic clocks read alike: boot and time namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.stat('/proc/self/ns/time').st_ino}"


@dataclass(frozen=True)
class Worker:
    """A process that starts generator processes."""

    name: str
    pid: int


class Workers(Hands):
    """Several workers share one run.

    Parameters
    ----------
    workers : sequence of Worker
        Who they are.
    announce : callable
        Gets what they have to start: the `socket` to connect to, the run's `tag`, and `shares` with
        their `place`, the `worker` (its name) and the `spec` file.
    """

    def __init__(
        self, workers: Sequence[Worker], announce: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._workers = tuple(workers)
        self._announce = announce
        self.parents = tuple(each.pid for each in workers)

    def generator(self, directory: Path, specs: Sequence[Spec]) -> Generator:
        """The processes for these specs, not yet started."""
        return _WorkersGenerator(directory, specs, self._workers, self._announce)

    def told(self, own: Mapping[int, Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        """Each worker with its own histograms' file, None where it was killed before."""
        file_of = {each["worker"]: each for each in own.values()}
        return tuple(
            {"name": each.name, "pid": each.pid, "file": None, **file_of.get(each.name, {})}
            for each in self._workers
        )


class _WorkersGenerator(Generator):
    """Generator processes that connect, each from its worker."""

    def __init__(
        self,
        directory: Path,
        specs: Sequence[Spec],
        workers: Sequence[Worker],
        announce: Callable[[Mapping[str, Any]], None],
    ) -> None:
        super().__init__(directory, specs)
        self._workers = workers
        self._announce = announce

    def _start_all(self) -> None:
        path = self._directory / "relay"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            listener.listen(len(self.specs))
            files = [self._directory / f"share-{place}.json" for place in range(len(self.specs))]
            for file, spec in zip(files, self.specs, strict=True):
                spec.write(file)
            shares = [
                {"place": place, "worker": self._workers[spec.worker].name, "spec": str(file)}
                for place, (file, spec) in enumerate(zip(files, self.specs, strict=True))
            ]
            tag = self.specs[0].tag
            self._announce({"socket": str(path), "tag": tag, "shares": shares})
            self._accept_all(listener)

    def _accept_all(self, listener: socket.socket) -> None:
        missing = set(range(len(self.specs)))
        deadline_s = time.monotonic() + CONNECT_WITHIN_S
        while missing:
            listener.settimeout(max(0.01, deadline_s - time.monotonic()))
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                names = {self._workers[self.specs[place].worker].name for place in missing}
                raise LoadError(
                    f"worker {', '.join(sorted(names))}: has not started its part within "
                    f"{CONNECT_WITHIN_S:g} s; is it still there?"
                ) from None
            place = _introduction(connection)
            missing.discard(place)
            with connection:
                self._attach(place, connection.makefile("wb"), connection.makefile("rb"))

    def _obituary(self, place: int) -> str:
        spec = self.specs[place]
        worker = self._workers[spec.worker]
        why = self._why.get(place, "was killed")
        return f"worker {worker.name} (process {worker.pid}), {spec.role} part: {why}"


def _introduction(connection: socket.socket) -> int:
    """Which process has connected: its first line."""
    connection.settimeout(5.0)
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(1)
    place: int = json.loads(line)["place"]
    return place
