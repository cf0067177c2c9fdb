"""What the generator's processes hand over, put together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtest.ledger import NEVER, Received

Instants = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ended:
    """A process that ended in the middle of a run: what it measured since is not known.

    Attributes
    ----------
    role : str
        `receive` or `publish`.
    worker : int
        Whose child it was.
    after_s : float
        When it ended, from the start of the run. [s]
    platforms : tuple of int
        Whose sessions went with it.
    why : str
        What it left to say.
    windows : list of dict
        What it had told until then.
    """

    role: str
    worker: int
    after_s: float
    platforms: tuple[int, ...]
    why: str
    windows: list[dict[str, Any]]


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
    ended : tuple of Ended
        Processes that were killed, or died, before they handed over.
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
    ended: tuple[Ended, ...] = ()

    @property
    def deaf(self) -> set[int]:
        """Platforms whose deliveries went with a process."""
        return {each for ended in self.ended if ended.role == "receive" for each in ended.platforms}

    @property
    def mute(self) -> set[int]:
        """Platforms whose publications went with a process."""
        return {each for ended in self.ended if ended.role == "publish" for each in ended.platforms}

    def first(self, rows: int) -> Harvest:
        """The same for the first rows of the plan only; all copies stay."""
        return replace(
            self,
            sent_ns=self.sent_ns[:rows],
            answered_ns=self.answered_ns[:rows],
            refused=self.refused[:rows],
        )


def gather(files: Sequence[Path], rows: int, ended: Mapping[int, Ended] | None = None) -> Harvest:
    """Read the result files of all processes of a run.

    Parameters
    ----------
    files : sequence of Path
        One for each process, in the order of the specs.
    rows : int
        Publications of the plan.
    ended : mapping, optional
        By place in `files`: the processes that left none.
    """
    ended = ended or {}
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
        if share in ended:
            windows += [{**window, "share": share} for window in ended[share].windows]
            continue
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
        tuple(ended.values()),
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
