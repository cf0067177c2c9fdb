"""One server as a child process: its start, its signs of life, its excesses, its last words."""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import resource
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from loadtest import namespace, observation, processes, rails
from loadtest.problems import DeploymentError
from loadtest.server import Launch

_DESCRIPTORS_SHARE: Final = 0.98
_MEMORY_RESERVE_BYTES: Final = 256 * 1024**2
_PROBE_TIMEOUT_S: Final = 0.5
_PROBE_BYTES: Final = 65_536
_TAIL_LINES: Final = 5
_TAIL_BYTES: Final = 65_536


class Child:
    """A server that was started as its own user and dies with this process.

    Raises
    ------
    DeploymentError
        It cannot be started.

    Attributes
    ----------
    pid : int
        Not reused before its end was noted here.
    launch : Launch
        How it was started.
    pidfd : int
        Readable once the server has ended.
    identity : processes.Identity or None
        None where it ended at once.
    """

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self._output_file = f"{launch.log_file}.out"
        self._process = self._spawn()
        # A child that has ended keeps its process id until it is waited for.
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)
        self.identity: processes.Identity | None = None
        with contextlib.suppress(ProcessLookupError):
            self.identity = processes.Identity.of(self.pid)

    def __str__(self) -> str:
        launch = self.launch
        return f'controller "{launch.controller}" ({launch.address}:{launch.port})'

    def _spawn(self) -> subprocess.Popen[bytes]:
        launch = self.launch
        prepare = functools.partial(_become, launch, os.getpid())
        with open(self._output_file, "wb") as output:
            try:
                return subprocess.Popen(
                    launch.argv,
                    cwd=launch.directory,
                    env=_environment(launch),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    preexec_fn=prepare,  # noqa: PLW1509  (the supervisor has one thread)
                )
            except (OSError, subprocess.SubprocessError) as error:
                user = launch.user or "you"
                why = _tail(self._output_file).strip() or error
                raise DeploymentError(
                    f"{self}: {launch.argv[0]} cannot be started as {user} on cores "
                    f"{list(launch.cores) or 'all'}: {why}; check that {user} may run it there"
                ) from None

    def answers(self) -> bool:
        """Whether it is through with its preparations and answers as one that serves its domain."""
        launch = self.launch
        if launch.ready_file is not None and not os.path.exists(launch.ready_file):
            return False
        if not launch.hello:
            return True
        try:
            # From its own address, so that it counts against no Platform's.
            with rails.dial(
                launch.address, launch.port, _PROBE_TIMEOUT_S, launch.address
            ) as connection:
                connection.sendall(launch.hello.encode())
                return _says(connection, launch.answer.encode())
        except OSError:
            return False

    def errors(self) -> str:
        """What it has logged as errors; empty where all is well."""
        return _tail(self.launch.errors_file)

    def excess(self) -> str | None:
        """What it uses beyond its means; the machine's memory counts as well as its own."""
        if self._process.returncode is not None:  # its process id may be another's by now
            return None
        pid = self.pid
        try:
            resident_bytes = observation.resident_bytes(pid)
            descriptors = observation.descriptors(pid)
        except ProcessLookupError:  # its end is told by the pidfd
            return None
        if resident_bytes > self.launch.memory_bytes:
            return f"{_mebibytes(resident_bytes)} is more memory than its Controller has"
        if _available_bytes() < _MEMORY_RESERVE_BYTES:
            return f"less than {_mebibytes(_MEMORY_RESERVE_BYTES)} of the machine's memory is left"
        limit = _descriptor_limit()
        if descriptors > _DESCRIPTORS_SHARE * limit:
            return f"{descriptors} of its {limit} file descriptors are in use"
        return None

    def obituary(self) -> str:
        """How a server that has ended came to its end."""
        code = self._process.wait()
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"{self}: the server ended with {cause}; its log ends:{self.last_words()}"

    def last_words(self) -> str:
        """The end of its log and of what it printed."""
        return _tail(self.launch.log_file) + _tail(self._output_file)

    def kill(self) -> None:
        """End it at once, as a crash does, with all that it wrote for its next start alone."""
        self._process.kill()
        self._process.wait()
        os.close(self.pidfd)
        for name in self.launch.forgotten:
            path = Path(name)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def end(self, grace_s: float) -> None:
        """Wait for its end, and enforce it after `grace_s` [s]."""
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _says(connection: socket.socket, words: bytes) -> bool:
    """Whether these words come within a moment, however much else does, or little by little."""
    received, deadline_s = b"", time.monotonic() + _PROBE_TIMEOUT_S
    while words not in received:
        chunk = connection.recv(4096)
        if not chunk or len(received) > _PROBE_BYTES or time.monotonic() > deadline_s:
            return False
        received += chunk
    return True


def _environment(launch: Launch) -> dict[str, str]:
    """The server's own: nothing of the caller's settings, or secrets, but where programs are."""
    path = os.environ.get("PATH", os.defpath)
    home = {"HOME": launch.directory, "LANG": "C.UTF-8", "PATH": path}
    return home | dict(launch.environment)


def _become(launch: Launch, parent_pid: int) -> None:
    """Between fork and exec: turn into the user, with the files, ties and cores of the server.

    The reason of a failure goes to its output: nothing else gets out of here.
    """
    try:
        if launch.own_files:
            namespace.show_own_files(launch.own_files)
        if launch.user is not None:
            account = pwd.getpwnam(launch.user)
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        processes.die_with_parent(parent_pid)  # undone by a change of user
        resource.setrlimit(resource.RLIMIT_NOFILE, (_descriptor_limit(),) * 2)
        if launch.cores:
            os.sched_setaffinity(0, launch.cores)
    except (OSError, KeyError) as error:
        os.write(2, str(error).encode())
        raise


def _descriptor_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/meminfo names no MemAvailable")


def _mebibytes(size_bytes: float) -> str:
    return f"{size_bytes / 2**20:.0f} MiB"


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as stream:  # its end alone: a log may be large
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
            lines = stream.read(_TAIL_BYTES).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "".join(f"\n  {line}" for line in lines[-_TAIL_LINES:])
