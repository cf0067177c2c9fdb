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
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from loadtest import lease, processes, rails
from loadtest.child import Child
from loadtest.problems import DeploymentError, RailsError
from loadtest.server import Launch

READY_WITHIN_S: Final = 15.0
STOP_GRACE_S: Final = 1.5
_ORPHANS_GRACE_S: Final = 1.0
_WATCH_PERIOD_S: Final = 0.5
_PROBE_PERIOD_S: Final = 0.01
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
        self._children: dict[str, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._ready_s: float | None = None
        self._start_s: dict[str, float] = {}  # of each server, the first time
        self._restarted: dict[str, float] | None = None

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
        processes.reap_adopted([child.pid for child in self._children.values()])
        ended = []
        for key, _ in self._selector.select(wait_s):
            if key.data in self._children:
                ended.append(key.data)
                self._selector.unregister(key.fileobj)
            else:
                raise Ended(key.data)
        return ended

    def _start(self) -> None:
        begun_s = time.monotonic()
        for launch in self._launches:
            child = self._children[launch.controller] = Child(launch)
            self._selector.register(child.pidfd, selectors.EVENT_READ, launch.controller)
            self._write_state("starting")
        deadline_s = time.monotonic() + READY_WITHIN_S
        for child in self._children.values():
            while not child.answers():
                self._check_start(child, self._pause(_PROBE_PERIOD_S), deadline_s)
            self._check_start(child, [], deadline_s)
            self._start_s[child.launch.controller] = time.monotonic() - begun_s

    def _check_start(self, child: Child, ended: list[str], deadline_s: float) -> None:
        """Raise DeploymentError where a server has ended, has met errors, or takes too long."""
        for controller in ended:
            raise DeploymentError(self._children[controller].obituary())
        if errors := child.errors():
            raise DeploymentError(f"{child}: started with errors:{errors}")
        if time.monotonic() > deadline_s:
            raise DeploymentError(
                f"{child}: was not ready after {READY_WITHIN_S:g} s; "
                f"its log ends:{child.last_words()}"
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
            if problem is None and (order := lease.read_json(self._directory / lease.RESTART_FILE)):
                (self._directory / lease.RESTART_FILE).unlink()
                problem = self._restart(order["controller"], order["down_s"])
            if problem is not None:
                failed = True
                self._stop()
                self._write_state("failed", problem)

    def _restart(self, controller: str, down_s: float) -> str | None:
        """Kill a server and have it answer again after `down_s` [s], or as soon as it can.

        It is started so much earlier as it took to start at first. Returns why the servers may not
        go on, and None where they may: that is looked after meanwhile as at any time.
        """
        child, begun_s = self._children[controller], time.monotonic()
        self._selector.unregister(child.pidfd)
        child.kill()
        self._write_state("restarting")
        start_s = begun_s + down_s - self._start_s[controller]
        while (left_s := start_s - time.monotonic()) > 0.0:
            if problem := self._problem(self._pause(min(left_s, _WATCH_PERIOD_S))):
                return problem
        child = self._children[controller] = Child(child.launch)
        self._selector.register(child.pidfd, selectors.EVENT_READ, controller)
        self._write_state("restarting")
        deadline_s = time.monotonic() + READY_WITHIN_S
        while not child.answers():
            ended = self._pause(_PROBE_PERIOD_S)
            if problem := self._problem(ended):
                return problem
            self._check_start(child, ended, deadline_s)
        self._restarted = {"killed_s": begun_s, "answered_s": time.monotonic()}
        self._write_state("up")
        return None

    def _problem(self, ended: list[str]) -> str | None:
        """Why the servers may not go on; None while all is well."""
        for controller, child in self._children.items():
            if controller in ended:
                return child.obituary()
            if excess := child.excess():
                return f"{child}: {excess}; it was stopped"
        stop_file = rails.stop_file(self._directory)
        return None if stop_file is None else f"{stop_file}: asked every run to stop"

    def _stop(self) -> None:
        for child in self._children.values():
            child.ask_to_end()
        deadline_s = time.monotonic() + STOP_GRACE_S
        for child in self._children.values():
            child.end(max(0.0, deadline_s - time.monotonic()))
        processes.reap_orphans(_ORPHANS_GRACE_S)

    def _write_state(self, state: str, problem: str | None = None) -> None:
        identities = {
            controller: dataclasses.asdict(child.identity)
            for controller, child in self._children.items()
            if child.identity is not None
        }
        supervisor = dataclasses.asdict(processes.Identity.of(os.getpid()))
        document = {
            "state": state,
            "problem": problem,
            "ready_s": self._ready_s,
            "restarted": self._restarted,
            "supervisor": supervisor,
            "servers": identities,
        }
        lease.write_json(self._directory / lease.STATE_FILE, document)


def _note(_number: int, _frame: FrameType | None) -> None:
    """Let the signal reach the wake-up socket instead of ending the process."""


def main(arguments: list[str]) -> None:
    """Detach from the caller, then supervise until the end."""
    if os.fork() != 0:
        os._exit(0)
    os.umask(0o077)
    directory, control, lock = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    for descriptor in (control, lock):
        os.set_inheritable(descriptor, False)
    processes.adopt_orphans()
    Supervisor(directory, socket.socket(fileno=control)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
