"""What `gridlab bench sim` has measured: by workload and round, kept in a file if there is one.

A round in which an engine has not played is not kept: the same command plays it anew, and goes on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sim import scenarios
from topologies import TopologyError


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
        The file is of other code, of another benchmark, or none of ours.
    """

    def __init__(self, path: Path | None, quick: bool) -> None:
        self._path = path
        self._header = {"benchmark": "quick" if quick else "whole", "code": scenarios.code()}
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
            self._refuse("was measured with other code, or by the other of --quick and whole")

    def found(self, workload: str, turn: int) -> Any:
        """What a round found; None if it was not played."""
        return self._found.get(f"{workload}, round {turn + 1}")

    def keep(self, workload: str, turn: int, found: Any) -> None:
        """A round was played."""
        self._found[f"{workload}, round {turn + 1}"] = found
        if self._path is not None:
            beside = self._path.with_name(self._path.name + ".partial")
            beside.write_text(json.dumps(self._header | {"rounds": self._found}, indent=1))
            os.replace(beside, self._path)

    def _refuse(self, rule: str) -> None:
        raise TopologyError([f"--out: {self._path}: {rule}; name another file"])
