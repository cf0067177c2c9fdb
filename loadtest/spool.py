"""What a generator process measures, on disk while it measures: killed, it leaves what it had.

Three files for each process, their names beginning alike: `.publications` (mapped into memory),
`.deliveries` (appended to every second), and `.json`, which only a process that came to its end
leaves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
NEVER = -1


class Spool:
    """The files of one process.

    Parameters
    ----------
    begin : str
        What their names begin with.
    """

    def __init__(self, begin: str) -> None:
        self._begin = begin

    def _path(self, kind: str) -> Path:
        return Path(f"{self._begin}.{kind}")

    def publications(self, rows: Integers) -> tuple[Integers, Integers, Integers]:
        """Columns for these rows of the plan: sent_ns, answered_ns (NEVER as yet), refused."""
        path = self._path("publications.npy")
        columns = np.lib.format.open_memmap(path, mode="w+", dtype=np.int64, shape=(4, len(rows)))
        columns[0], columns[1:3], columns[3] = rows, NEVER, 0
        plain = np.asarray(columns)  # the same memory, without the subclass's cost at each access
        return plain[1], plain[2], plain[3]

    def read_publications(self) -> Integers:
        """Rows, sent_ns, answered_ns, refused; shape (4, n), n = 0 where nothing was published."""
        path = self._path("publications.npy")
        if not path.exists():
            return np.empty((4, 0), dtype=np.int64)
        columns: Integers = np.load(path)
        return columns

    def append(self, deliveries: Integers) -> None:
        """Add rows of the delivery log."""
        if len(deliveries):
            with self._path("deliveries").open("ab") as stream:
                stream.write(deliveries.tobytes())

    def read_deliveries(self) -> Integers:
        """All rows of the delivery log, shape (n, 3)."""
        path = self._path("deliveries")
        if not path.exists():
            return np.empty((0, 3), dtype=np.int64)
        cells = np.fromfile(path, dtype=np.int64)
        return cells[: len(cells) // 3 * 3].reshape(-1, 3)  # the last write may have been cut

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Say how it ended."""
        self._path("json").write_text(json.dumps(facts))

    def read_facts(self) -> dict[str, Any] | None:
        """What it said at its end, None where it did not come to that."""
        path = self._path("json")
        if not path.exists():
            return None
        facts: dict[str, Any] = json.loads(path.read_text())
        return facts
