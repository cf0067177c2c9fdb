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
from typing import Any, Self

from loadtest.problems import LoadError
from loadtest.shares import Spec

END_WITHIN_S = 2.0
_STDERR_TAIL_BYTES = 2_000


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
        self._selector = selectors.DefaultSelector()
        self._buffers = [b""] * len(specs)

    def __enter__(self) -> Self:
        try:
            for place, spec in enumerate(self.specs):
                self._start(place, spec)
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

    def _start(self, place: int, spec: Spec) -> None:
        path = self._directory / f"share-{place}.json"
        spec.write(path)
        package_parent = str(Path(__file__).resolve().parents[1])
        search_path = os.pathsep.join(filter(None, (package_parent, os.environ.get("PYTHONPATH"))))
        with (self._directory / f"share-{place}.stderr").open("wb") as errors:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "loadtest.share", str(path)],
                env={**os.environ, "PYTHONPATH": search_path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for the parent alone
            )
        self._children.append(child)
        assert child.stdout is not None
        os.set_blocking(child.stdout.fileno(), False)
        self._selector.register(child.stdout, selectors.EVENT_READ, place)

    def tell(self, role: str | None = None, **command: object) -> None:
        """Send a command to all processes, or to those of one role."""
        line = json.dumps(command).encode() + b"\n"
        for child, spec in zip(self._children, self.specs, strict=True):
            if role in (None, spec.role):
                assert child.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(line)
                    child.stdin.flush()

    def events(self, wait_s: float) -> Iterator[dict[str, Any]]:
        """What the processes tell within `wait_s` [s]; returns early once something was told.

        Raises
        ------
        LoadError
            A process could not do its part, or has died.
        """
        for key, _ in self._selector.select(max(0.0, wait_s)):
            place: int = key.data
            chunk = os.read(key.fd, 1 << 20)
            if not chunk:
                self._selector.unregister(key.fileobj)
                code = self._children[place].wait()
                if code:
                    raise LoadError(self._obituary(place, code))
                continue
            *lines, self._buffers[place] = (self._buffers[place] + chunk).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["event"] == "failed":
                    raise LoadError(event["problem"])
                yield {**event, "place": place}

    def wait_for(self, name: str, within_s: float) -> None:
        """Wait until every process has told the event `name`.

        Raises
        ------
        LoadError
            They did not, within `within_s` [s].
        """
        missing = set(range(len(self.specs)))
        deadline_s = time.monotonic() + within_s
        while missing:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise LoadError(f"{len(missing)} generator processes are not {name} in time")
            for event in self.events(left_s):
                if event["event"] == name:
                    missing.discard(event["place"])

    def _obituary(self, place: int, code: int) -> str:
        path = self._directory / f"share-{place}.stderr"
        tail = path.read_bytes()[-_STDERR_TAIL_BYTES:].decode(errors="replace")
        role = self.specs[place].role
        return f"generator process {place} ({role}) ended with code {code}:\n{tail}"

    def _end(self) -> None:
        """Close the pipes, at which each process ends itself, and kill what is left."""
        for child in self._children:
            for pipe in (child.stdin, child.stdout):
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
