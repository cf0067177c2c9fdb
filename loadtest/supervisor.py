"""The one process that a grid leaves: it owns the servers, watches them, and cleans up after them.

`python -m loadtest.supervisor DIRECTORY CONTROL LOCK` starts what `launch.json` says once it is
told to on CONTROL, a socket to whoever asked. There, one JSON line tells how the start went; if the
asker is gone before that, all is undone. LOCK is the inherited lock on the directory. The servers
die with this process (PR_SET_PDEATHSIG); it ends on SIGTERM, or with an ephemeral grid's owner.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from loadtest import lease, observation, processes, rails
from loadtest.problems import DeploymentError, RailsError
from loadtest.server import Launch

READY_WITHIN_S: Final = 15.0
STOP_GRACE_S: Final = 1.5
_WATCH_PERIOD_S: Final = 0.5
_PROBE_PERIOD_S: Final = 0.01
_DESCRIPTORS_SHARE: Final = 0.98
_MEMORY_RESERVE_BYTES: Final = 256 * 1024**2
_LOG_TAIL_LINES: Final = 5
_ORDERS: Final = "orders"
_TAKEN_DOWN: Final = "taken down"
_GIVEN_UP: Final = "its start was given up"
_OWNER_ENDED: Final = "its owner ended"


class Ended(Exception):
    """The grid is to end; the message says why."""


class Supervisor:
    """Starts, watches and stops the servers of one grid."""

    def __init__(self, directory: Path, control: socket.socket) -> None:
        self._directory = directory
        self._control = control
        self._launches: list[Launch] = []
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._identities: dict[str, processes.Identity] = {}
        self._selector = selectors.DefaultSelector()
        self._ready_s: float | None = None

    def run(self) -> None:
        """Start the servers, report, watch until the end, stop them, remove every file."""
        why = "the supervisor failed"
        try:
            self._listen_for_the_end()
            self._write_state("starting")
            self._await_orders()
            begun_s = time.monotonic()
            self._start()
            self._ready_s = time.monotonic() - begun_s
            self._write_state("up")
            self._tell({"ready": True})
            self._selector.unregister(self._control)
            self._control.close()
            self._watch()
        except (Ended, DeploymentError, OSError) as end:
            why = str(end)
        finally:
            self._stop()
            lease.clear_files(self._directory)
            with contextlib.suppress(RailsError):
                rails.audit("end", f"grid {self._directory.name}", {}, why)
            # Told on a socket that only the end of this process closes: the asker waits for that.
            self._tell({"ready": False, "problem": why})
            self._control.detach()

    def _listen_for_the_end(self) -> None:
        wake, waker = socket.socketpair()
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _note)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._wakers = (wake, waker)  # kept open: the signal handler writes to it
        self._selector.register(wake, selectors.EVENT_READ, _TAKEN_DOWN)

    def _await_orders(self) -> None:
        """Wait until everything is prepared, or until the asker closes or loses its end."""
        self._selector.register(self._control, selectors.EVENT_READ, _ORDERS)
        if _ORDERS not in {key.data for key, _ in self._selector.select()}:
            raise Ended(_TAKEN_DOWN)
        if not self._control.recv(64):
            raise Ended(_GIVEN_UP)
        self._selector.modify(self._control, selectors.EVENT_READ, _GIVEN_UP)
        launch = lease.read_json(self._directory / lease.LAUNCH_FILE)
        self._launches = [Launch(**fields) for fields in launch["servers"]]
        if launch["owner"] is not None:
            self._watch_owner(processes.Identity(**launch["owner"]))

    def _watch_owner(self, owner: processes.Identity) -> None:
        descriptor = processes.open_pidfd(owner)
        if descriptor is None:
            raise Ended(_OWNER_ENDED)
        self._selector.register(descriptor, selectors.EVENT_READ, _OWNER_ENDED)

    def _pause(self, wait_s: float) -> list[str]:
        """Wait, at most `wait_s` [s]; Controllers whose server has ended. Raises Ended."""
        ended = []
        for key, _ in self._selector.select(wait_s):
            if key.data in self._children:
                ended.append(key.data)
                self._selector.unregister(key.fileobj)
            else:
                raise Ended(key.data)
        return ended

    def _start(self) -> None:
        for launch in self._launches:
            self._adopt(launch, _spawn(launch))
            self._write_state("starting")
        deadline_s = time.monotonic() + READY_WITHIN_S
        for launch in self._launches:
            while not _answers(launch):
                self._check_start(launch, self._pause(_PROBE_PERIOD_S), deadline_s)
            self._check_start(launch, [], deadline_s)

    def _adopt(self, launch: Launch, child: subprocess.Popen[bytes]) -> None:
        self._children[launch.controller] = child
        # A child that has ended already keeps its process id until it is waited for.
        self._selector.register(os.pidfd_open(child.pid), selectors.EVENT_READ, launch.controller)
        with contextlib.suppress(ProcessLookupError):
            self._identities[launch.controller] = processes.Identity.of(child.pid)

    def _check_start(self, launch: Launch, ended: list[str], deadline_s: float) -> None:
        """Raise DeploymentError where a server has ended, has met errors, or takes too long."""
        for each in self._launches:
            if each.controller in ended:
                raise DeploymentError(self._obituary(each))
        if errors := _tail(launch.errors_file):
            raise DeploymentError(f"{_place(launch)}: started with errors:{errors}")
        if time.monotonic() > deadline_s:
            raise DeploymentError(
                f"{_place(launch)}: was not ready after {READY_WITHIN_S:g} s; "
                f"its log ends:{_last_words(launch)}"
            )

    def _tell(self, report: dict[str, object]) -> None:
        """Tell the asker how the start went; it need not be there any more."""
        with contextlib.suppress(OSError):
            self._control.sendall(json.dumps(report).encode() + b"\n")

    def _watch(self) -> None:
        """Watch until the grid is to end; a failed one stays visible until it is taken down."""
        failed = False
        while True:
            ended = self._pause(_WATCH_PERIOD_S)
            if failed:
                continue
            problem = self._problem(ended)
            if problem is not None:
                failed = True
                self._stop()
                self._write_state("failed", problem)

    def _problem(self, ended: list[str]) -> str | None:
        """Why the servers may not go on; None while all is well."""
        for launch in self._launches:
            if launch.controller in ended:
                return self._obituary(launch)
            if excess := _excess(launch, self._children[launch.controller].pid):
                return f"{_place(launch)}: {excess}; it was stopped"
        stop_file = rails.stop_file(self._directory)
        return None if stop_file is None else f"{stop_file}: asked every run to stop"

    def _obituary(self, launch: Launch) -> str:
        child = self._children[launch.controller]
        code = child.wait()
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        return (
            f"{_place(launch)}: the server ended with {cause}; its log ends:{_last_words(launch)}"
        )

    def _stop(self) -> None:
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        deadline_s = time.monotonic() + STOP_GRACE_S
        for child in self._children.values():
            try:
                child.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _write_state(self, state: str, problem: str | None = None) -> None:
        identities = {
            controller: dataclasses.asdict(identity)
            for controller, identity in self._identities.items()
        }
        supervisor = dataclasses.asdict(processes.Identity.of(os.getpid()))
        document = {
            "state": state,
            "problem": problem,
            "ready_s": self._ready_s,
            "supervisor": supervisor,
            "servers": identities,
        }
        lease.write_json(self._directory / lease.STATE_FILE, document)


def _note(_number: int, _frame: FrameType | None) -> None:
    """Let the signal reach the wake-up socket instead of ending the process."""


def _spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """Start a server as its own user, tied to this process; DeploymentError where that fails."""
    parent_pid = os.getpid()

    def tie() -> None:  # runs in the child, after the change of user, which would undo it
        processes.die_with_parent(parent_pid)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_descriptor_limit(),) * 2)
        if launch.cores:
            os.sched_setaffinity(0, launch.cores)

    with open(_output_file(launch), "wb") as output:
        try:
            return subprocess.Popen(
                launch.argv,
                cwd=launch.directory,
                user=launch.user,
                group=launch.user,
                extra_groups=None if launch.user is None else [],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=tie,  # noqa: PLW1509  (this process has one thread)
            )
        except (OSError, subprocess.SubprocessError) as error:
            user = launch.user or "you"
            raise DeploymentError(
                f"{_place(launch)}: {launch.argv[0]} cannot be started as {user} on cores "
                f"{list(launch.cores) or 'all'}: {error}; check that {user} may run it there"
            ) from None


def _answers(launch: Launch) -> bool:
    """Whether the server answers on its port as one that serves its domain."""
    try:
        with rails.dial(launch.address, launch.port, timeout_s=0.5) as connection:
            connection.sendall(launch.hello.encode())
            received = b""
            while launch.answer.encode() not in received:
                chunk = connection.recv(4096)
                if not chunk:
                    return False
                received += chunk
            return True
    except OSError:
        return False


def _excess(launch: Launch, pid: int) -> str | None:
    """What the server uses beyond its means; the machine's memory counts as well as its own."""
    try:
        resident_bytes, descriptors = observation.resident_bytes(pid), observation.descriptors(pid)
    except ProcessLookupError:  # its end is told by its pidfd
        return None
    if resident_bytes > launch.memory_bytes:
        return f"{resident_bytes / 2**20:.0f} MiB is more memory than its Controller has"
    if _available_bytes() < _MEMORY_RESERVE_BYTES:
        return f"less than {_MEMORY_RESERVE_BYTES / 2**20:.0f} MiB of the machine's memory is left"
    limit = _descriptor_limit()
    if descriptors > _DESCRIPTORS_SHARE * limit:
        return f"{descriptors} of its {limit} file descriptors are in use"
    return None


def _descriptor_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/meminfo names no MemAvailable")


def _place(launch: Launch) -> str:
    return f'controller "{launch.controller}" ({launch.address}:{launch.port})'


def _last_words(launch: Launch) -> str:
    return _tail(launch.log_file) + _tail(_output_file(launch))


def _output_file(launch: Launch) -> str:
    return launch.log_file + ".out"


def _tail(path: str) -> str:
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "".join(f"\n  {line}" for line in lines[-_LOG_TAIL_LINES:])


def main(arguments: list[str]) -> None:
    """Detach from the caller, then supervise until the end."""
    if os.fork() != 0:
        os._exit(0)
    os.umask(0o077)
    directory, control, lock = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    for descriptor in (control, lock):
        os.set_inheritable(descriptor, False)
    Supervisor(directory, socket.socket(fileno=control)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
