"""Locust's side of a run: it starts the engine with a test, shows what it tells, ends with it.

The engine is a process of its own (`loadtest.player`). With `--master` or `--processes` its
generator processes are started by the workers (`loadtest.relay`), which count their own part.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import locust.stats
from gevent import subprocess
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest import tab, target, workers
from loadtest.live import Live
from loadtest.relay import Relay
from loadtest.users import Board, shares
from topologies import Topology

BAD_INPUT, INVALID = 2, 3
END_WITHIN_S = 20.0
ROWS_WITHIN_S = 10.0
HELLO, ORDER, ROWS = "gridlab-worker", "gridlab-shares", "gridlab-rows"


class Door:
    """The process that Locust's user looks at: alone, or the master of workers."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._options: Namespace = environment.parsed_options
        self._player: subprocess.Popen | None = None
        self._watching: gevent.Greenlet | None = None
        self._hellos: dict[str, Mapping[str, Any]] = {}
        self._shared: tuple[str, set[str]] = "", set()  # the run's tag, and who has a part of it
        self._reported: set[tuple[str, str]] = set()  # tag and worker, whose rows are all here
        self._live = Live()
        self._joined = ExitStack()
        self._host = self._options.host
        self._target = target.find(self._options, self._joined)
        self._topology = self._target.topology
        # Locust would stop the clock while sessions still log in; the engine counts from the
        # first publication and ends by itself.
        self._duration_s, self._options.run_time = self._options.run_time, None
        self._options.num_users = self._options.num_users or self._topology.platform_count
        self._options.spawn_rate = self._options.spawn_rate or 100
        self._overrides(self._options.num_users)
        environment.events.test_start.add_listener(self.start)
        environment.events.test_stop.add_listener(self.stop)
        environment.events.quitting.add_listener(self.leave)
        environment.events.quit.add_listener(self._await_files)
        if environment.shape_class and self._options.headless:
            # Locust listens to SIGTERM only once a shape is through.
            gevent.signal_handler(signal.SIGTERM, environment.runner.quit)
        if environment.web_ui:
            tab.add(environment.web_ui, self._live)
        if isinstance(environment.runner, MasterRunner):
            environment.runner.register_message(HELLO, self._meet)
            environment.runner.register_message(ROWS, self._hear)

    @property
    def _distributed(self) -> bool:
        return isinstance(self._environment.runner, MasterRunner)

    def _meet(self, msg: Any, **_: object) -> None:
        self._hellos[msg.node_id] = msg.data

    def _hear(self, msg: Any, **_: object) -> None:
        self._reported.add((msg.data, msg.node_id))

    def _present(self) -> set[str]:
        """Workers that Locust has not lost."""
        clients = self._environment.runner.clients
        return {each.id for each in (*clients.ready, *clients.spawning, *clients.running)}

    def _overrides(self, users: int) -> tuple[str, ...]:
        topology: Topology = self._topology
        counts = {each.name: each.count for each in topology.platforms}
        if users == topology.platform_count:
            return self._target.changes
        dealt = shares(counts, users)
        fewer = (f"platforms[{name}].count={count}" for name, count in dealt.items())
        return (*self._target.changes, *fewer)

    def start(self, **_: object) -> None:
        """Start the engine for the number of users that Locust is asked for."""
        options, runner = self._options, self._environment.runner
        self._live.reset()
        if options.host and options.host != self._host:  # asked for in the web page
            self._fail(f'host: "{options.host}": is chosen when Locust starts: --host', BAD_INPUT)
        wish = {
            "topology": self._target.file,
            "overrides": self._overrides(runner.target_user_count),
            "grid": self._target.grid,
            "seed": options.seed,
            "replication": options.replication,
            "load": options.load,
            "duration_s": options.run_time or self._duration_s,
            "logins_per_s": float(options.spawn_rate),
            "out": options.out,
            "parent_pid": os.getpid(),
            "workers": self._workers() if self._distributed else (),
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

    def _workers(self) -> list[dict[str, Any]]:
        """The workers that are there, once they have all said who they are."""
        names = sorted(self._present())
        deadline_s = time.monotonic() + 5.0
        while not set(names) <= set(self._hellos) and time.monotonic() < deadline_s:
            gevent.sleep(0.05)
        foreign = [
            name
            for name in names
            if self._hellos.get(name, {"clock": None})["clock"] != workers.clock()
        ]
        if foreign:
            self._fail(
                f"worker {', '.join(foreign)}: has another clock than this process, so that "
                "latencies would mean nothing; start all workers on this machine, with this "
                "locustfile",
                BAD_INPUT,
            )
        return [{"name": name, "pid": self._hellos[name]["pid"]} for name in names]

    def _fail(self, problem: str, code: int) -> None:
        print(problem, file=sys.stderr)
        self._environment.process_exit_code = code
        gevent.spawn(self._end)
        raise RuntimeError(problem)

    def _watch(self, player: subprocess.Popen) -> None:
        board = Board(self._environment.stats, self._topology.name)
        last: dict[str, Any] = {"state": "failed", "problem": "the engine died", "code": INVALID}
        for line in player.stdout:
            news = json.loads(line)
            self._live.take(news)
            if news["state"] == "sharing":
                self._share_out(news)
            elif "windows" in news and not self._distributed:  # else the workers report their own
                board.show(news, time.time())
            if news["state"] in ("done", "failed"):
                last = news
        player.wait()
        self._await_rows()
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

    def _share_out(self, news: Mapping[str, Any]) -> None:
        self._shared = news["tag"], {each["worker"] for each in news["shares"]}
        for name in self._shared[1]:
            order = {**news, "name": name, "out": self._options.out, "rows": self._topology.name}
            self._environment.runner.send_message(ORDER, order, client_id=name)

    def _await_rows(self) -> None:
        """Wait for all rows of the workers; Locust gives their last report half a second."""
        tag, sharing = self._shared
        deadline_s = time.monotonic() + ROWS_WITHIN_S
        while time.monotonic() < deadline_s:
            missing = {name for name in sharing if (tag, name) not in self._reported}
            if not missing or not missing & self._present():
                return
            gevent.sleep(0.05)

    def _await_files(self, **_: object) -> None:
        """Let Locust write its table with the last rows: it does so once a second, and no more."""
        if self._options.csv_prefix:
            gevent.sleep(locust.stats.CSV_STATS_INTERVAL_SEC + 0.1)

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
            self._watching.join(END_WITHIN_S + ROWS_WITHIN_S)

    def leave(self, **_: object) -> None:
        """End the run, and leave a grid that was joined."""
        self.stop()
        self._joined.close()


class WorkerDoor:
    """A worker: it says who it is, and does what the master's engine asks of it."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._relay: Relay | None = None
        environment.runner.register_message(ORDER, self._obey, concurrent=True)
        environment.events.quitting.add_listener(self._finish)
        hello = {"pid": os.getpid(), "clock": workers.clock()}
        environment.runner.send_message(HELLO, hello)

    def _obey(self, msg: Any, **_: object) -> None:
        board = Board(self._environment.stats, msg.data["rows"])
        relay = self._relay = Relay(msg.data, board)
        relay.wait()
        # As Locust's own reports, of which the next one may be seconds away.
        runner = self._environment.runner
        rows: dict[str, Any] = {}
        self._environment.events.report_to_master.fire(client_id=runner.client_id, data=rows)
        runner.send_message("stats", rows)
        runner.send_message(ROWS, msg.data["tag"])

    def _finish(self, **_: object) -> None:
        """Ctrl-C reaches all of Locust's processes: let the master end the run in good order."""
        if self._relay is not None:
            self._relay.wait(END_WITHIN_S)


def _search_path() -> str:
    parent = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, (parent, os.environ.get("PYTHONPATH"))))
