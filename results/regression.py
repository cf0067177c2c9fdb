"""A performance gate: is `head` dearer than `base`, beyond a budget and beyond chance?

Base and head are played in pairs on one machine, at once or in alternating order (AB, BA, AB, ...),
so that a machine that drifts moves both. `results.ratios` judges each metric; while one is neither
within its budget nor beyond it, pairs are added up to a limit, and then it is inconclusive.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from typing_extensions import TypedDict

from results import pacing
from results.ratios import COSTS, QUANTILES, Floats, MetricVerdict, metrics
from results.records import RecordError

if TYPE_CHECKING:
    from results.run import Run

INVALID_SHARE_MAX: Final = 0.5
DEFAULT_BUDGETS: Final = {"cpu_s_per_delivery": 0.05}
ALIASES: Final = {"cpu": "cpu_s_per_delivery", "memory": "memory_bytes",
                  "bytes": "egress_bytes_per_delivery"}  # fmt: skip


class Invariant(TypedDict):
    """Something that holds or not, whatever the machine: on both sides, over all plays."""

    holds: bool
    base: int
    head: int


class Regression(TypedDict):
    """The document of `gridlab regress --json`."""

    verdict: Literal["pass", "fail", "inconclusive", "invalid"]
    metrics: list[MetricVerdict]
    pairs: int
    at_once: int  # pairs whose sides were played at the same time
    discarded: int
    invariants: dict[str, Invariant]
    reasons: list[str]
    at_equal_pace: bool  # whether CPU time could be compared so
    base: list[str]
    head: list[str]


Play = Callable[[int], "Run"]
PlayPair = Callable[[int], tuple["Run", "Run"]]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Limits:
    """How many pairs are played, and the budget of each gated metric. [1]

    None beyond `pairs_min` is begun that would end after `within_s` [s]; nor any at all then, once
    one was not valid.
    """

    pairs_min: int = 6
    pairs_max: int = 14
    within_s: float = math.inf
    budgets: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_BUDGETS))


def read_budgets(texts: Sequence[str]) -> dict[str, float]:
    """Budgets of `--budget p99=5%`: how much dearer head may be, as a share; CPU's is always set.

    Raises
    ------
    RecordError
        Not a metric's name and a share.
    """
    names = (*COSTS, *QUANTILES, *ALIASES)
    budgets = dict(DEFAULT_BUDGETS)
    for text in texts:
        found = re.fullmatch(r"([a-z0-9_]+)=([0-9]+(?:\.[0-9]+)?) ?%", text.strip())
        if found is None or found[1] not in names:
            raise RecordError(
                f'--budget: "{text}": must be a metric and a share in percent; metrics are '
                f"{', '.join(names)}; write for example p99=5%"
            )
        budgets[ALIASES.get(found[1], found[1])] = float(found[2]) / 100.0
    return budgets


@dataclass
class Pairs:
    """What was played so far: valid pairs of runs, and how many plays were discarded."""

    base: list[Run] = field(default_factory=list)
    head: list[Run] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.base)

    @property
    def at_once(self) -> int:
        """How many were played at the same time on the same cores."""
        generators = [run.header.measurement.get("generator", {}) for run in self.base]
        return sum(each.get("settings", {}).get("beside", 0) > 0 for each in generators)


def in_turn(base: Play, head: Play) -> PlayPair:
    """Pairs of two sides that are played one after the other, in an order that changes."""

    def play(number: int) -> tuple[Run, Run]:
        if number % 2 == 0:
            first = base(number)
            return first, head(number)
        last = head(number)
        return base(number), last

    return play


def regress(
    play: PlayPair, limits: Limits, *, seed: int = 1, progress: Progress | None = None
) -> tuple[Regression, Pairs]:
    """Play pairs until every gated metric is decided, or up to the limit; the verdict.

    Parameters
    ----------
    play : callable
        Plays base and head once each; gets the number of the pair, which both sides shall use as
        the replication, so that both play the same plan.
    limits : Limits
        Numbers of pairs, and budgets.
    seed : int
        Of the bootstrap.
    progress : callable, optional
        Gets the share done and a remark.
    """
    pairs, document, begun_s = Pairs(), None, time.monotonic()
    for number in range(math.ceil(limits.pairs_max * (1.0 + INVALID_SHARE_MAX))):
        if progress is not None:
            progress(len(pairs) / limits.pairs_max, f"pair {len(pairs) + 1}")
        _play_pair(pairs, play, number)
        document = _judged(pairs, limits, seed)
        decided = document["verdict"] in ("pass", "fail")
        used_s = time.monotonic() - begun_s
        late = used_s * (number + 2) / (number + 1) > limits.within_s
        # Pairs of a large grid take long: so many as are needed are played whatever that takes.
        late = late and (len(pairs) >= limits.pairs_min or bool(pairs.discarded))
        if decided or late or len(pairs) == limits.pairs_max:
            break
    assert document is not None
    return document, pairs


def _play_pair(pairs: Pairs, play: PlayPair, number: int) -> None:
    """Play one pair; keep it if both are valid."""
    runs = dict(zip(("base", "head"), play(number), strict=True))
    bad = [
        f"{name} of pair {number + 1}: {'; '.join(run.header.verdict.reasons)}"
        for name, run in runs.items()
        if not run.header.verdict.valid
    ]
    if bad:
        pairs.discarded += bad
        return
    pairs.base.append(runs["base"])
    pairs.head.append(runs["head"])


def _judged(pairs: Pairs, limits: Limits, seed: int) -> Regression:
    """The verdict on the pairs so far."""
    document: Regression = {
        "verdict": "invalid",
        "metrics": [],
        "pairs": len(pairs),
        "at_once": pairs.at_once,
        "discarded": len(pairs.discarded),
        "invariants": {},
        "reasons": list(pairs.discarded),
        "at_equal_pace": False,
        "base": [run.header.run_id for run in pairs.base],
        "head": [run.header.run_id for run in pairs.head],
    }
    if len(pairs) < limits.pairs_min:
        document["reasons"].append(f"only {len(pairs)} of {limits.pairs_min} pairs were valid")
        return document
    paces = relative_paces(pairs)
    document["at_equal_pace"] = paces is not None
    document["metrics"] = metrics((pairs.base, pairs.head), limits.budgets, seed, paces)
    document["invariants"] = invariants(pairs)
    broken = [name for name, law in document["invariants"].items() if not law["holds"]]
    document["reasons"] += [f"{name}: more often on head than on base" for name in broken]
    verdicts = {each["verdict"] for each in document["metrics"]}
    if broken or "fail" in verdicts:
        document["verdict"] = "fail"
    else:
        undecided = verdicts & {"inconclusive", "unavailable"}
        document["verdict"] = "inconclusive" if undecided else "pass"
    return document


def relative_paces(pairs: Pairs) -> tuple[Floats, Floats] | None:
    """Of each play of base and of head, what a CPU second was worth against the fastest play's. [1]

    None if it is not known of all, or does not matter as pairs were played at once: then CPU
    seconds are compared as they are.
    """
    if pairs.at_once:
        return None
    sides = [[pacing.pace_per_s(run) for run in side] for side in (pairs.base, pairs.head)]
    known = [each for side in sides for each in side if each is not None]
    if not known or len(known) < 2 * len(pairs):
        return None
    worth = [
        [1.0 / pacing.slowdown(each, max(known)) for each in side if each is not None]
        for side in sides
    ]
    return np.array(worth[0]), np.array(worth[1])


def invariants(pairs: Pairs) -> dict[str, Invariant]:
    """Nothing lost, doubled or refused more often on head than on base."""
    found: dict[str, Invariant] = {}
    for name in ("lost", "duplicated", "reordered", "rejected"):
        base, head = (
            sum(int(getattr(run.header.counts, name)) for run in side)
            for side in (pairs.base, pairs.head)
        )
        found[f"nothing more {name}"] = {"holds": head <= base, "base": base, "head": head}
    return found
