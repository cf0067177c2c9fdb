"""What a Prosody's garbage collector does, as a module of ours in it tells (`mod_grid_collector`).

Cycles are counted, not guessed from what publications cost: with a heap of few megabytes there is
one or more in every publication, and nothing outside shows it. Whole collections are timed in the
server, without sessions and with them: a cycle goes through all that lives.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from results.statistics import CONFIDENCE, Estimate

if TYPE_CHECKING:
    from topologies.profiles import LoopTurns

WHOLES = 7  # so many does the module make when it is asked
WINDOW_S = 1.0
RESAMPLES = 300
REFERENCE_BYTES = 400.0  # the payload of the delivery in which allocation is counted
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Log:
    """What the module wrote.

    Attributes
    ----------
    cycle_s : ndarray
        When cycles ended. [s, monotonic]
    whole_s, live_bytes : ndarray
        CPU time of whole collections, and what each left. [s], [B]
    own_s, other_s : ndarray
        When the server's own threshold was back, and when another one began. [s, monotonic]
    """

    cycle_s: Floats
    whole_s: Floats
    live_bytes: Floats
    own_s: Floats = field(default_factory=lambda: np.zeros(0))
    other_s: Floats = field(default_factory=lambda: np.zeros(0))


def read(path: Path) -> Log:
    """The log as it is now; a line that is being written is left out."""
    lines = [line.split() for line in path.read_text().splitlines()]
    cycles, own, other = (
        np.array([float(words[1]) for words in lines if words[0] == kind and len(words) == 2])
        for kind in ("cycle", "own", "other")
    )
    wholes = [words[1:] for words in lines if words[0] == "whole" and len(words) == 3]
    pairs = np.array(wholes, dtype=np.float64).reshape(-1, 2)
    return Log(cycles, pairs[:, 0], pairs[:, 1], own, other)


def ask(path: Path) -> None:
    """Have the server collect whole, several times, in a moment."""
    path.with_name(f"{path.name}.ask").touch()


def asked(path: Path, within_s: float = 5.0) -> Log:
    """Ask and wait for it; the log as it is then, or when the time is up. [s]"""
    ask(path)
    end_s = time.monotonic() + within_s
    while len(read(path).whole_s) < WHOLES and time.monotonic() < end_s:
        time.sleep(0.05)
    return read(path)


@dataclass
class Collector:
    """A collector's figures: changes to the costs, estimates, and what was not seen."""

    changes: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Estimate] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


def fit(
    publications: Mapping[str, Floats], start_s: float, empty: Log, full: Log, sessions: int,
    base: LoopTurns,
) -> Collector:  # fmt: skip
    """Cycles and heap of a server that was watched through a light run.

    Cycles in each second are linear in the copies, bytes and publications whose last copy left in
    it; their coefficients are what each allocates, in cycles.

    Parameters
    ----------
    publications : mapping
        Columns of the run.
    start_s : float
        The run's origin. [s, monotonic]
    empty, full : Log
        Before any session, and with all of them.
    sessions : int
        How many those are.
    base : LoopTurns
        Costs whose figures are kept where they do not show.
    """
    found = Collector(changes={"collection_sessions": sessions})
    wholes = full.whole_s[len(empty.whole_s) :]
    live = full.live_bytes[len(empty.live_bytes) :]
    if len(wholes) and len(empty.whole_s):
        _heap(found, empty, wholes, live, sessions)
    else:
        found.kept["collection"] = "no whole collection was seen: scaled with the speed"
    counted = _counted(publications, full.cycle_s - start_s, base)
    if counted is None:
        found.kept["collection_every"] = "too few cycles were seen: the base profile's"
    else:
        found.changes |= counted[0]
        found.figures |= counted[1]
    return found


def _heap(found: Collector, empty: Log, whole_s: Floats, live: Floats, sessions: int) -> None:
    """Length of a cycle, and the heap without sessions and for each of them."""
    length_s = float(np.median(whole_s[1:]))  # the first one also takes what had become garbage
    tries = np.random.default_rng(3).choice(whole_s[1:], (RESAMPLES, len(whole_s) - 1))
    found.figures["collection"] = _interval(length_s, np.median(tries, axis=1), len(whole_s) - 1)
    heap = float(empty.live_bytes[-1])
    each = max(float(live[-1]) - heap, 0.0) / sessions
    spread = float(np.std(whole_s[1:]) / length_s) if length_s else 0.0
    found.changes |= {
        "collection": length_s, "heap": heap, "heap_session": each,
        "collection_cv": round(min(spread, 1.0), 2),
    }  # fmt: skip
    for name, value in (("heap", heap), ("heap_session", each)):
        found.figures[name] = {"value": value, "low": None, "high": None, "n": 1}


def _counted(
    publications: Mapping[str, Floats], cycle_s: Floats, base: LoopTurns
) -> tuple[dict[str, float], dict[str, Estimate]] | None:
    """How many deliveries' worth of allocation a cycle has, and what bytes and publications add."""
    from scipy.optimize import nnls

    last_s = np.where(np.isfinite(publications["last_s"]), publications["last_s"], -1.0)
    edges = np.arange(WINDOW_S, last_s.max() - WINDOW_S / 2, WINDOW_S)
    if len(edges) < 10:
        return None
    copies = publications["delivered"].astype(np.float64)
    beyond = np.maximum(publications["payload_bytes"] - REFERENCE_BYTES, 0.0)
    cycles = np.histogram(cycle_s, edges)[0].astype(np.float64)
    columns = np.column_stack(
        [np.histogram(last_s, edges, weights=each)[0]
         for each in (copies, copies * beyond, np.ones(len(copies)))]
    )  # fmt: skip
    if cycles.sum() < 2 * len(edges) or not columns[:, 0].any():
        return None
    scale = np.array([100.0, 1e5, 1.0])

    def solve(rows: npt.NDArray[np.int64]) -> Floats:
        return np.asarray(nnls(columns[rows] / scale, cycles[rows])[0] / scale, np.float64)

    rows = np.arange(len(cycles))
    draws = np.random.default_rng(4)
    values = solve(rows)
    tries = np.array([solve(draws.choice(rows, len(rows))) for _ in range(RESAMPLES)])
    if values[0] <= 0.0:
        return None
    copy = 1.0 + base.allocation_write  # what a copy allocates, built and written
    every, of_tries = copy / values[0], copy / np.maximum(tries[:, 0], 1e-9)
    changes = {
        "collection_every": every,
        "allocation_per_byte": float(values[1] * every),
        "allocation_publish": float(values[2] * every),
    }
    figures = {"collection_every": _interval(every, of_tries, len(rows))}
    for place, name in ((1, "allocation_per_byte"), (2, "allocation_publish")):
        figures[name] = _interval(changes[name], tries[:, place] * of_tries, len(rows))
    return changes, figures


def _interval(value: float, tries: Floats, n: int) -> Estimate:
    low, high = np.quantile(tries, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"value": value, "low": float(low), "high": float(high), "n": n}
