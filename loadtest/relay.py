"""What a Locust worker does of a run: it starts its processes, passes on what they say, and counts.

The processes are children of the worker and die with it; whether gevent has patched the worker does
not matter to them. Histograms of what they say are added up bin by bin, and written down when the
last of them is done: the sum over all workers is the run's histogram, count for count.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
import numpy as np
from gevent import socket, subprocess

from loadtest import generator
from loadtest.users import Board
from results import histogram

# By stage of the record: its name in what a process tells.
STAGES = {
    "total": "latency",
    "answer": "answer",
    "lateness": "late",
    "login": "login",
    "query": "query",
}


class Relay:
    """One worker's part of one run.

    Parameters
    ----------
    order : mapping
        What `loadtest.workers` announced, with the worker's `name` and the directory `out`.
    board : Board
        Locust's rows of this worker.
    """

    def __init__(self, order: Mapping[str, Any], board: Board) -> None:
        self._order = order
        self._board = board
        self._mine = [each for each in order["shares"] if each["worker"] == order["name"]]
        self._running = {each["place"] for each in self._mine}
        self._counts = {stage: histogram.empty() for stage in STAGES}
        self._greenlets = [gevent.spawn(self._run, each) for each in self._mine]

    def wait(self, within_s: float | None = None) -> None:
        """Until all processes have ended; None: however long that takes. [s]"""
        gevent.joinall(self._greenlets, within_s)

    def _run(self, share: Mapping[str, Any]) -> None:
        spec_file = Path(share["spec"])
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(self._order["socket"])
        connection.sendall(json.dumps({"place": share["place"]}).encode() + b"\n")
        with spec_file.with_suffix(".stderr").open("wb") as errors:
            child = subprocess.Popen(
                generator.command(spec_file),
                env=generator.environment(),
                stdin=connection,  # commands come straight from the process that plays
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        for line in child.stdout:
            event = json.loads(line)
            self._take(event)
            own = {}
            if event["event"] == "done":
                self._running.discard(share["place"])
                own = {} if self._running else {"own": self._write()}
            connection.sendall(json.dumps({**event, **own}).encode() + b"\n")
        if code := child.wait():
            said = spec_file.with_suffix(".stderr").read_text(errors="replace")[-2_000:]
            why = f"ended with code {code}" + (f":\n{said}" if said.strip() else "")
            connection.sendall(json.dumps({"event": "died", "why": why}).encode() + b"\n")
        connection.close()

    def _take(self, event: Mapping[str, Any]) -> None:
        match event["event"]:
            case "online":
                self._board.show({"logins": [event]}, time.time())
            case "window" | "rest":
                self._board.show({"windows": [event]}, time.time())
        for stage, name in STAGES.items():
            if name in event:
                bins, counts = event[name]
                np.add.at(self._counts[stage], bins, counts)

    def _write(self) -> dict[str, Any]:
        """Write the worker's own histograms; what the record says of them."""
        directory = Path(self._order["out"]) / "workers"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self._order['tag']}-{self._order['name']}.json"
        pairs = {name: histogram.sparse(counts) for name, counts in self._counts.items()}
        document = {
            "worker": self._order["name"],
            "pid": os.getpid(),
            "run": self._order["tag"],
            "histograms": {
                name: [bins.tolist(), counts.tolist()] for name, (bins, counts) in pairs.items()
            },
        }
        with path.open("x") as stream:
            json.dump(document, stream)
        sizes = {name: int(counts.sum()) for name, counts in self._counts.items()}
        return {"worker": self._order["name"], "file": str(path), "counted": sizes}
