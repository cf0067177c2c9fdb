"""What `gridlab bench sim` has measured: by workload and round, kept in a file if there is one.

A round in which an engine has not played is not kept: the same command plays it anew, and goes on.
It goes on only with the same code, the same topologies and profiles, on the same machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import topologies
from results import environment
from sim.benchmark_grids import CAMPUS, MEASURED
from sim.benchmark_singles import EDR, SMALL
from topologies import TopologyError
from topologies.loading import find

LIBRARIES = ("numba", "numpy", "simpy")
PACKAGES = ("sim", "topologies", "results")  # whose code takes part


class Rounds:
    """What was found in each round.

    Parameters
    ----------
    path : Path or None
        File that keeps them, which may be there already.
    quick : bool
        Whether they are of the shorter benchmark.

    Raises
    ------
    TopologyError
        The file is of other code, machine or benchmark, or none of ours.
    """

    def __init__(self, path: Path | None, quick: bool) -> None:
        self._path = path
        self._with = measured_with()
        self._header = {"benchmark": "quick" if quick else "whole"} | self._with
        self._found: dict[str, Any] = {}
        if path is None or not path.exists():
            return
        try:
            kept = json.loads(path.read_text())
            header = {name: kept[name] for name in self._header}
            self._found = kept["rounds"]
        except (KeyError, TypeError, ValueError, OSError):
            self._refuse("holds no rounds of a benchmark")
        if header != self._header:
            differ = ", ".join(name for name in header if header[name] != self._header[name])
            self._refuse(
                "was measured with other code or on another machine, or by the other of --quick "
                f"and whole (other: {differ})"
            )

    def found(self, workload: str, turn: int) -> Any:
        """What a round found; None if it was not played."""
        return self._found.get(f"{workload}, round {turn + 1}")

    def keep(self, workload: str, turn: int, found: Any) -> None:
        """A round was played.

        Raises
        ------
        TopologyError
            Code, machine or what is played is not what it was at the beginning.
        """
        if measured_with() != self._with:
            self._refuse("is being measured with other code or on another machine than begun")
        self._found[f"{workload}, round {turn + 1}"] = found
        if self._path is not None:
            beside = self._path.with_name(self._path.name + ".partial")
            beside.write_text(json.dumps(self._header | {"rounds": self._found}, indent=1))
            os.replace(beside, self._path)

    def _refuse(self, rule: str) -> None:
        where = f"--out: {self._path}" if self._path else "the benchmark"
        raise TopologyError([f"{where}: {rule}; start anew in another file"])


def measured_with() -> dict[str, str]:
    """Processor, versions, and a hash of the code and of the files that are played; read now.

    Raises
    ------
    TopologyError
        A topology or a profile cannot be read.
    """
    digest, root = hashlib.sha256(), Path(__file__).resolve().parents[1]
    sources = [root / "gridlab.py"]
    sources += [path for name in PACKAGES for path in sorted((root / name).glob("*.py"))]
    sources += [find(name) for name in (CAMPUS, SMALL[0], EDR)]
    for path in sources:
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    for profile in _profiles():
        digest.update(profile.model_dump_json().encode())
    return {
        "code": digest.hexdigest(),
        "processor": environment.machine()["processor"],
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def _profiles() -> list[topologies.Profile]:
    """The costs of all servers that are played, but for those on paper, which are code."""
    grids = [topologies.load(name) for name in (CAMPUS, SMALL[0], EDR)]
    return [
        *(topologies.read_profile(name) for name in MEASURED.values()),
        *(topologies.profile(grid, node.name) for grid in grids for node in grid.controllers),
    ]
