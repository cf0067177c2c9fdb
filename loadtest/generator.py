"""The generator's processes: started together, listened to, told what to do, ended together."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from loadtest.problems import LoadError
from loadtest.shares import Spec

END_WITHIN_S = 2.0
_STDERR_TAIL_BYTES = 2_000


def command(spec_file: Path) -> list[str]:
    """How a process is started for what a spec file describes."""
    return [sys.executable, "-P", "-m", "loadtest.share", str(spec_file)]


def environment() -> dict[str, str]:
    """Environment of such a process: it finds this package wherever it is started."""
    package_parent = str(Path(__file__).resolve().parents[1])
    search_path = os.pathsep.join(filter(None, (package_parent, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": search_path}


class Generator:
    """One child process for each spec, as a context: none outlives it.

    Parameters
    ----------
    directory : Path
        Private; specs and error output go there.
    specs : sequence of Spec
        What each process is to do.
    """

    def __init__(self, directory: Path, specs: Sequence[Spec]) -> None:
        self._directory = directory
        self.specs = specs
        self._children: list[subprocess.Popen[bytes]] = []
        self._inputs: list[IO[bytes] | None] = [None] * len(specs)
        self._outputs: list[IO[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._buffers = [b""] * len(specs)
        self._started = False
        self._done: set[int] = set()
        self._why: dict[int, str] = {}

    def __enter__(self) -> Self:
        try:
            self._start_all()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _start_all(self) -> None:
        for place, spec in enumerate(self.specs):
            path = self._directory / f"share-{place}.json"
            spec.write(path)
            with path.with_suffix(".stderr").open("wb") as errors:
                child = subprocess.Popen(
                    command(path),
                    env=environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,  # Ctrl-C is for the parent alone
                )
            self._children.append(child)
            assert child.stdin is not None
            assert child.stdout is not None
            self._attach(place, child.stdin, child.stdout)

    def _attach(self, place: int, commands: IO[bytes], events: IO[bytes]) -> None:
        """Talk to a process through these."""
        self._inputs[place] = commands
        self._outputs.append(events)
        os.set_blocking(events.fileno(), False)
        self._selector.register(events, selectors.EVENT_READ, place)

    def pid(self, place: int) -> int:
        """Process id of one of them."""
        return self._children[place].pid

    def tell(self, role: str | None = None, **command: object) -> None:
        """Send a command to all processes, or to those of one role."""
        self._started |= "start_ns" in command
        line = json.dumps(command).encode() + b"\n"
        for stream, spec in zip(self._inputs, self.specs, strict=True):
            if role in (None, spec.role) and stream is not None:
                with contextlib.suppress(OSError):  # it has ended, which `events` tells
                    stream.write(line)
                    stream.flush()

    def events(self, wait_s: float) -> Iterator[dict[str, Any]]:
        """What the processes tell within `wait_s` [s]; returns early once something was told.

        A process that ends before it is done, in the middle of a run, is told as `ended` with the
        reason `why`.

        Raises
        ------
        LoadError
            A process could not do its part, or has died before the start.
        """
        for key, _ in self._selector.select(max(0.0, wait_s)):
            place: int = key.data
            chunk = os.read(key.fd, 1 << 20)
            if not chunk:
                self._selector.unregister(key.fileobj)
                if place not in self._done:
                    why = self._obituary(place)
                    if not self._started:
                        raise LoadError(why)
                    yield {"event": "ended", "place": place, "why": why}
                continue
            *lines, self._buffers[place] = (self._buffers[place] + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["event"] == "failed":
                    raise LoadError(event["problem"])
                if event["event"] == "died":
                    self._why[place] = event["why"]
                    continue
                if event["event"] == "done":
                    self._done.add(place)
                yield {**event, "place": place}

    def wait_for(self, name: str, within_s: float) -> Iterator[dict[str, Any]]:
        """Wait until every process that lives has told the event `name`; all that came meanwhile.

        Raises
        ------
        LoadError
            They did not, within `within_s` [s].
        """
        missing = {each.data for each in self._selector.get_map().values()}
        deadline_s = time.monotonic() + within_s
        while missing:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise LoadError(f"{len(missing)} generator processes are not {name} in time")
            for event in self.events(left_s):
                if event["event"] in (name, "ended"):
                    missing.discard(event["place"])
                yield event

    def _obituary(self, place: int) -> str:
        code = self._children[place].wait()
        path = self._directory / f"share-{place}.stderr"
        tail = path.read_bytes()[-_STDERR_TAIL_BYTES:].decode(errors="replace")
        role = self.specs[place].role
        said = f":\n{tail}" if tail.strip() else ""
        return f"generator process {place} ({role}) ended with code {code}{said}"

    def _end(self) -> None:
        """Close the pipes, at which each process ends itself, and kill what is left."""
        for pipe in (*self._inputs, *self._outputs):
            with contextlib.suppress(OSError):
                pipe and pipe.close()
        deadline_s = time.monotonic() + END_WITHIN_S
        for child in self._children:
            try:
                child.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._selector.close()
