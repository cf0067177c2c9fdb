"""The table of threats put to the test: does each toggle move its figure as it should?

Both variants play the same draws, so that the interval is that of the paired difference; a claim
holds if it lies on the side of zero that the claim says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from results.statistics import Estimate
from results.variants import effect
from sim import defences
from topologies import overlays
from topologies.threats import Difference, Found, Shown, Threat

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Finding:
    """What came of one row's claim."""

    row: Threat
    difference: Estimate
    holds: bool


def try_all(
    rows: Sequence[Threat], *, seed: int = 1, replications: int | None = None,
    progress: Progress | None = None,
) -> list[Finding]:  # fmt: skip
    """Play every scenario that the rows name, once, and look at all their claims."""
    claimed = [row for row in rows if row.shown is not None]
    names = list(dict.fromkeys(row.shown.scenario for row in claimed if row.shown))
    found: dict[str, Finding] = {}
    for done, name in enumerate(names):
        own = [row for row in claimed if row.shown and row.shown.scenario == name]
        if progress is not None:
            progress(done / len(names), name)
        wanted = sorted(
            {v for row in own if row.shown for v in (row.shown.without, row.shown.toggle)}
        )
        trial = defences.attack(
            overlays.scenario(name, defences=wanted), seed=seed, replications=replications
        )
        found |= {row.id: _finding(row, trial) for row in own}
    return [found[row.id] for row in claimed]


def _finding(row: Threat, trial: defences.Trial) -> Finding:
    assert row.shown is not None
    claim: Shown = row.shown
    without, toggle = (trial.measured[name] for name in (claim.without, claim.toggle))
    difference = effect(without, toggle, claim.metric)
    return Finding(row, difference, moves(difference, claim.direction))


def moves(difference: Estimate, direction: str) -> bool:
    """Whether a difference's interval lies on the side of zero that was claimed."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return False
    return low > 0.0 if direction == "more" else high < 0.0


def verdicts(findings: Iterable[Finding]) -> dict[str, Found]:
    """What came of each claim, by row, as the document has it."""
    return {
        each.row.id: {"difference": _plain(each.difference), "holds": each.holds}
        for each in findings
    }


def _plain(estimate: Estimate) -> Difference:
    found: Difference = {
        "value": estimate["value"],
        "low": estimate["low"],
        "high": estimate["high"],
        "n": estimate["n"],
    }
    if "reason" in estimate:
        found["reason"] = estimate["reason"]
    return found


def broken(findings: Iterable[Finding]) -> list[str]:
    """Sentences about the claims that do not hold."""
    return [
        f"{each.row.id}: {each.row.shown.metric} of {each.row.shown.scenario} is not "
        f"{each.row.shown.direction} with {each.row.shown.toggle} than with "
        f"{each.row.shown.without}: {each.difference}"
        for each in findings
        if not each.holds and each.row.shown is not None
    ]
