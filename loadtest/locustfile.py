"""The Locust door: `locust -f loadtest/locustfile.py --headless -u 50 -r 10 -t 30s`.

Locust controls and shows; the engine's own processes log in, publish and receive, so it does not
matter whether Locust has patched this process for gevent. The grid must be up (`gridlab grid up`).
`-u` is the number of Platforms, dealt out to the file's populations in proportion; `-r` logins per
second; `-t` the duration of the publications, without logging in and draining.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any, NoReturn

import gevent
from gevent import subprocess
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

import results
import topologies
from loadtest import deployment
from loadtest.users import Board, PlatformUser, shares
from topologies import Topology

BAD_INPUT, INVALID = 2, 3
END_WITHIN_S = 20.0

__all__ = ["PlatformUser"]


def add_arguments(parser: LocustArgumentParser) -> None:
    """What to play, and where."""
    group = parser.add_argument_group("XMPP-Grid Lab")
    add = group.add_argument
    add("--grid", default="default", env_var="GRIDLAB_GRID", help="Name of a grid that is up")
    add("--topology", default="", env_var="GRIDLAB_TOPOLOGY", help="File or name; the grid's own")
    add("--load", type=float, default=1.0, help="Factor on the rates of legitimate publications")
    add("--seed", type=int, default=1, help="Key of the plan's draws")
    add("--replication", type=int, default=0, help="Which repetition of the plan")
    add("--out", default=str(results.default_directory()), help="Directory of the record")
    # Locust's own default is every interface.
    parser.set_defaults(web_host="127.0.0.1", master_bind_host="127.0.0.1")


def prepare(environment: Environment, **_: object) -> None:
    """Check that there is a grid to drive, and take over the run's length."""
    options = environment.parsed_options
    if options.master or options.worker:
        refuse("--master, --worker, --processes: one engine plays the whole plan; leave them out")
    try:
        Door(environment)
    except ValueError as problem:
        refuse(str(problem))


class Door:
    """Starts the engine with Locust's test, shows what it tells, ends with it."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._options: Namespace = environment.parsed_options
        self._player: subprocess.Popen | None = None
        self._watching: gevent.Greenlet | None = None
        grid = deployment.status(self._options.grid).document()
        described = self._options.topology or grid["topology_file"] or grid["topology"]
        self._file = str(described)
        self._changes = () if self._options.topology else tuple(grid["overrides"])
        self._topology = topologies.load(self._file, self._changes)
        # Locust would stop the clock while sessions still log in; the engine counts from the
        # first publication and ends by itself.
        self._duration_s, self._options.run_time = self._options.run_time, None
        self._options.num_users = self._options.num_users or self._topology.platform_count
        self._options.spawn_rate = self._options.spawn_rate or 100
        self._overrides(self._options.num_users)
        environment.events.test_start.add_listener(self.start)
        environment.events.test_stop.add_listener(self.stop)
        environment.events.quitting.add_listener(self.stop)

    def _overrides(self, users: int) -> tuple[str, ...]:
        topology: Topology = self._topology
        counts = {each.name: each.count for each in topology.platforms}
        if users == topology.platform_count:
            return self._changes
        dealt = shares(counts, users)
        fewer = (f"platforms[{name}].count={count}" for name, count in dealt.items())
        return (*self._changes, *fewer)

    def start(self, **_: object) -> None:
        """Start the engine for the number of users that Locust is asked for."""
        options, runner = self._options, self._environment.runner
        wish = {
            "topology": self._file,
            "overrides": self._overrides(runner.target_user_count),
            "grid": options.grid,
            "seed": options.seed,
            "replication": options.replication,
            "load": options.load,
            "duration_s": self._duration_s,
            "logins_per_s": float(options.spawn_rate),
            "out": options.out,
            "parent_pid": os.getpid(),
        }
        self._player = subprocess.Popen(
            [sys.executable, "-P", "-m", "loadtest.player"],
            env={**os.environ, "PYTHONPATH": _search_path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches Locust, which asks it to stop
        )
        self._player.stdin.write(json.dumps(wish).encode() + b"\n")
        self._player.stdin.flush()
        self._watching = gevent.spawn(self._watch, self._player)

    def _watch(self, player: subprocess.Popen) -> None:
        board = Board(self._environment.stats, self._topology.name)
        last: dict[str, Any] = {"state": "failed", "problem": "the engine died", "code": INVALID}
        for line in player.stdout:
            news = json.loads(line)
            board.show(news, time.time())
            if news["state"] in ("done", "failed"):
                last = news
        player.wait()
        self._environment.process_exit_code = last["code"]
        if last["state"] == "failed":
            print(last["problem"], file=sys.stderr)
        else:
            lost = last["counts"]["lost"] + last["counts"]["rejected"]
            board.fail("DELIVER", "not delivered", lost, time.time())
            for remark in (*last["reasons"], *last["warnings"]):
                print(remark, file=sys.stderr)
            print(f"record: {last['path']}", file=sys.stderr)
        gevent.spawn(self._end)

    def _end(self) -> None:
        """The run is over; in the web page, another may follow."""
        runner = self._environment.runner
        if self._options.headless:
            runner.quit()
        else:
            runner.stop()

    def stop(self, **_: object) -> None:
        """End the engine's run, if it is still on, and wait for its record."""
        player, self._player = self._player, None
        if player is None:
            return
        if player.poll() is None:
            player.send_signal(signal.SIGTERM)
        if self._watching is not None and self._watching is not gevent.getcurrent():
            self._watching.join(END_WITHIN_S)


def _search_path() -> str:
    parent = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, (parent, os.environ.get("PYTHONPATH"))))


def refuse(problem: str) -> NoReturn:
    """Say what is wrong, and end with the exit code for bad input."""
    print(problem, file=sys.stderr)
    sys.exit(BAD_INPUT)


events.init_command_line_parser.add_listener(add_arguments)
events.init.add_listener(prepare)
