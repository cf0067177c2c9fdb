"""The floor: what a C program pays to receive or publish the same, where there is a compiler."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loadtest.problems import LoadError

SOURCE = Path(__file__).parent / "templates" / "floor.c"


def build(directory: Path) -> Path | None:
    """The program, compiled into `directory`; None where there is no compiler or no OpenSSL."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    program = directory / "floor"
    command = [compiler, "-O2", "-o", str(program), str(SOURCE), "-lssl", "-lcrypto"]
    built = subprocess.run(command, check=False, capture_output=True, timeout=60)
    return program if built.returncode == 0 else None


class Floor:
    """The program, online."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.pid = child.pid

    def _line(self) -> bytes:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def begin(self, start_ns: int) -> None:
        """Nothing to be told."""

    def listen(self) -> None:
        """Nothing to be heard."""

    def received(self, expected: int) -> int:
        """Deliveries so far."""
        assert self._child.stdin is not None
        self._child.stdin.write(b"?\n")
        self._child.stdin.flush()
        return int(self._line())

    def publish(self, start_ns: int) -> tuple[int, int]:
        """Publish all from an instant on; how many were answered, and how late at p99 [ns].

        Only where it was run to publish.
        """
        assert self._child.stdin is not None
        self._child.stdin.write(b"%d\n" % start_ns)
        self._child.stdin.flush()
        answered, late_ns = map(int, self._line().split() or (0, 0))
        return answered, late_ns


@contextmanager
def running(
    program: Path,
    served: Mapping[str, Any],
    accounts: Mapping[str, str],
    node: str,
    cores: tuple[int, ...],
    publishing: tuple[int, float, int] | None = None,
) -> Iterator[Floor]:
    """The program with a session for each account (password by local part), all online.

    It receives, or publishes so many items, so many a second [1/s], so many at one instant.

    Raises
    ------
    LoadError
        A session could not log in.
    """
    lines = [
        f"{name} {base64.b64encode(f'{chr(0)}{name}{chr(0)}{password}'.encode()).decode()}\n"
        for name, password in accounts.items()
    ]
    file = program.with_name("accounts")
    file.write_text("".join(lines))

    where = [served["address"], str(served["port"]), served["domain"], node, str(file)]
    where += map(str, publishing or ())
    with subprocess.Popen(
        [str(program), *where],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            os.sched_setaffinity(child.pid, cores)
            floor = Floor(child)
            if floor._line() != b"ready":
                assert child.stderr is not None
                raise LoadError(f"the C floor did not log in: {child.stderr.read().decode()}")
            yield floor
        finally:
            child.kill()
