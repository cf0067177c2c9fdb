"""Grids that come and go many times: how soon they are ready, and what they leave behind.

    gridlab bench grid --cycles 100

Two in three are a Prosody or an ejabberd alone, one in three is a federation of both. After each
`down` the processes, ports, directories and descriptors of the grid are looked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
from typing_extensions import TypedDict

import topologies
from loadtest import deployment, lease, processes, rails
from loadtest.server import FEDERATION_PORT
from results import statistics
from results.statistics import Estimate

_KINDS: Final = {
    "prosody": ("single-broker", ("controllers[0].profile=prosody-0.12",)),
    "ejabberd": ("single-broker", ("controllers[0].profile=ejabberd-23",)),
    "federation": ("federation", ()),
}
_CONNECT_WITHIN_S: Final = 0.5


class Left(TypedDict):
    """What was there after `down`, all cycles together. [1]"""

    processes: int
    ports: int
    files: int
    descriptors: int


class Ready(TypedDict):
    """How long the servers of one kind of grid took from their start to their answer. [s]"""

    mean_s: Estimate
    longest_s: float | None


class Cycles(TypedDict):
    """The document of `gridlab bench grid --json`."""

    cycles: int
    ready: dict[str, Ready]
    left: Left
    clean: bool


def run(cycles: int, progress: Callable[[float, str], None] = lambda _share, _text: None) -> Cycles:
    """Bring grids up and down so many times, and look each time.

    Raises
    ------
    DeploymentError
        A grid does not come up.
    """
    name = f"cycles-{os.getpid()}"
    described = {kind: topologies.load(*parts) for kind, parts in _KINDS.items()}
    ready_s: dict[str, list[float]] = {kind: [] for kind in described}
    left = Left(processes=0, ports=0, files=0, descriptors=0)
    _cycle(described["prosody"], name, left)  # what is imported once is not a leak
    before = _descriptors()
    for number in range(cycles):
        kind = tuple(described)[number % len(described)]
        progress(number / cycles, kind)
        ready_s[kind].append(_cycle(described[kind], name, left))
    left["descriptors"] = max(0, _descriptors() - before)
    return Cycles(
        cycles=cycles,
        ready={
            kind: Ready(mean_s=statistics.mean(each, 0.0), longest_s=max(each, default=None))
            for kind, each in ready_s.items()
        },
        left=left,
        clean=not any(left.values()),
    )


def _cycle(topology: Any, name: str, left: Left) -> float:
    """One grid, up and down; what it left is added. How long it took to be ready. [s]"""
    try:
        grid = deployment.up(topology, name)
        document = grid.document()
        supervisor = psutil.Process(document["supervisor_pid"])
        pids = [supervisor.pid, *(each.pid for each in supervisor.children(recursive=True))]
        family = [processes.Identity.of(pid) for pid in pids]
        launches = lease.read_json(grid.directory / lease.LAUNCH_FILE)["servers"]
    finally:
        deployment.down(name)
    left["processes"] += sum(each.alive for each in family)
    left["ports"] += sum(_listens(*place) for place in _places(document))
    places = {grid.directory, *(Path(each["directory"]) for each in launches)}
    left["files"] += sum(place.exists() for place in places)
    return float(document["ready_s"])


def _places(document: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for served in document["controllers"].values():
        for port in (served["port"], served["direct_tls_port"], FEDERATION_PORT):
            yield served["address"], port


def _listens(address: str, port: int) -> bool:
    try:
        rails.dial(address, port, _CONNECT_WITHIN_S).close()
    except ConnectionRefusedError:
        return False
    except TimeoutError:
        pass  # somebody listens and takes nobody in
    return True


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def render(document: Cycles) -> str:
    """The same for people."""
    lines = [f"{document['cycles']} grids came up and went down"]
    for kind, ready in document["ready"].items():
        mean, longest_s = ready["mean_s"], ready["longest_s"]
        if mean["value"] is not None and longest_s is not None:
            lines.append(
                f"  {kind}: ready after {mean['value']:.2f} s on average of {mean['n']}, "
                f"{longest_s:.2f} s at most"
            )
    found = ", ".join(f"{count} {what}" for what, count in document["left"].items())
    return "\n".join([*lines, f"  left behind: {found}"])
