"""The floor: what a C program pays to receive the same deliveries, where there is a compiler."""

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
    """The program while it receives."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.pid = child.pid

    def _line(self) -> bytes:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()

    def begin(self, start_ns: int) -> None:
        """Nothing to be told."""

    def received(self, expected: int) -> int:
        """Deliveries so far."""
        assert self._child.stdin is not None
        self._child.stdin.write(b"?\n")
        self._child.stdin.flush()
        return int(self._line())


@contextmanager
def running(
    program: Path,
    served: Mapping[str, Any],
    accounts: Mapping[str, str],
    node: str,
    cores: tuple[int, ...],
) -> Iterator[Floor]:
    """The program with a session for each account (password by local part), all online.

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

    where = (served["address"], str(served["port"]), served["domain"], node, str(file))
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
