"""What the generator's processes hand over, put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtest.ledger import NEVER, Received

Instants = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Harvest:
    """Everything that was measured by the generator.

    Attributes
    ----------
    sent_ns, answered_ns : ndarray
        By row of the plan, `ledger.NEVER` where it was not; monotonic clock. [ns]
    refused : ndarray of bool
        By row, whether the server refused it.
    received : Received
        Every copy that came.
    delay_ns : ndarray
        By copy, how long the kernel held it. [ns]
    logins_ns : ndarray, shape (sessions, 5)
        Begin, connected, secured, authenticated, bound. [ns]
    windows : list of dict
        One for each second of each process, with its `role` and `share`.
    facts : list of dict
        By process.
    conditions : dict
        How often the server gave each reason to refuse a publication.
    scheduling : str
        Scheduling class that the publishing processes had.
    """

    sent_ns: Instants
    answered_ns: Instants
    refused: npt.NDArray[np.bool_]
    received: Received
    delay_ns: Instants
    logins_ns: Instants
    windows: list[dict[str, Any]]
    facts: list[dict[str, Any]]
    conditions: dict[str, int]
    scheduling: str

    def first(self, rows: int) -> Harvest:
        """The same for the first rows of the plan only; all copies stay."""
        return replace(
            self,
            sent_ns=self.sent_ns[:rows],
            answered_ns=self.answered_ns[:rows],
            refused=self.refused[:rows],
        )


def gather(files: Sequence[Path], rows: int) -> Harvest:
    """Read the result files of all processes of a run over `rows` publications."""
    sent_ns = np.full(rows, NEVER, dtype=np.int64)
    answered_ns = sent_ns.copy()
    refused = np.zeros(rows, dtype=np.bool_)
    copies: list[dict[str, npt.NDArray[Any]]] = []
    logins: list[Instants] = [np.empty((0, 5), dtype=np.int64)]
    windows: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    conditions: dict[str, int] = {}
    scheduling: set[str] = set()
    for share, file in enumerate(files):
        with np.load(file) as result:
            told = json.loads(str(result["facts"]))
            windows += [{**window, "share": share} for window in told.pop("windows")]
            facts.append(told)
            if len(result["logins_ns"]):
                logins.append(result["logins_ns"])
            if "rows" in result:
                sent_ns[result["rows"]] = result["sent_ns"]
                answered_ns[result["rows"]] = result["answered_ns"]
                refused[result["rows"]] = result["refused"]
                scheduling.add(str(result["scheduling"]))
                for name, count in result["conditions"]:
                    conditions[str(name)] = conditions.get(str(name), 0) + int(count)
            if "publication" in result:
                copies.append({name: result[name] for name in _COPY_COLUMNS})
    received, delay_ns = _together(copies)
    return Harvest(
        sent_ns, answered_ns, refused, received, delay_ns,
        np.concatenate(logins), windows, facts, conditions, ", ".join(sorted(scheduling)),
    )  # fmt: skip


_COPY_COLUMNS = ("publication", "session", "received_ns", "delay_ns", "replayed_rows")


def _together(copies: list[dict[str, npt.NDArray[Any]]]) -> tuple[Received, Instants]:
    """The delivery logs one after another; a session's copies stay in their order."""
    kinds = {"publication": np.uint32, "session": np.uint32}
    columns = {
        name: np.concatenate(
            [np.empty(0, kinds.get(name, np.int64)), *(each[name] for each in copies)]
        )
        for name in _COPY_COLUMNS[:4]
    }
    masks = [np.zeros(0, dtype=np.bool_)]
    for each in copies:
        mask = np.zeros(len(each["publication"]), dtype=np.bool_)
        mask[each["replayed_rows"]] = True
        masks.append(mask)
    received = Received(
        columns["publication"], columns["session"], columns["received_ns"], np.concatenate(masks)
    )
    return received, columns["delay_ns"]
