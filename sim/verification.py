"""`gridlab verify`: what is known beside what is simulated, in one table.

A row holds if what is known lies in the interval of what is simulated and that interval is narrow.
Intervals are Student's over replications; at 99.9 % a table of ninety rows that all tell the truth
fails in one run of twelve, and a fixed seed that passes keeps passing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from typing_extensions import TypedDict

from results.statistics import Estimate
from sim.verification_cases import CASES
from sim.verification_worlds import LEVEL, Effort, Figure, Floats

Progress = Callable[[float, str], None]


class KnownFigure(TypedDict):
    """A figure from elsewhere, and where."""

    value: float
    source: str


class OtherFigure(TypedDict):
    """The same from another program."""

    program: str
    value: Estimate


class VerificationRow(TypedDict):
    """One figure; `half_width` is relative to `theory`, and at most `half_width_max` if it holds.

    With `bound` the theory is a limit that no replication may exceed, and that the largest must
    come near to. `fluid_error` is what a fluid form may be off, relative to it. Where another
    program stands in for a theory, its mean is given as `theory`.
    """

    name: str
    utilisation: float | None
    theory: float
    bound: bool
    simulated: Estimate
    half_width: float
    half_width_max: float
    fluid_error: float
    published: KnownFigure | None
    other: OtherFigure | None
    holds: bool


class Verification(TypedDict):
    """The document of `gridlab verify --json`."""

    level: float
    seed: int
    checks: list[VerificationRow]
    holds: bool


def verify(quick: bool = False, seed: int = 1, progress: Progress | None = None) -> Verification:
    """Simulate every case and set it beside what is known.

    Parameters
    ----------
    quick : bool
        A fifth of the jobs in fewer replications, with intervals as much wider.
    seed : int
        Key of all draws.
    progress : callable, optional
        Called with the share done and a remark.
    """
    effort = Effort(12, 0.2, seed) if quick else Effort(16, 1.0, seed)
    rows: list[VerificationRow] = []
    for number, case in enumerate(CASES):
        for figure in case(effort):
            rows.append(checked(figure))
            if progress is not None:
                progress(number / len(CASES), figure.name)
    holds = all(row["holds"] for row in rows)
    return {"level": LEVEL, "seed": seed, "checks": rows, "holds": holds}


def checked(figure: Figure) -> VerificationRow:
    """One row."""
    simulated, known = _estimate(figure.values), figure.theory
    half_width = _half_width(figure.values)
    gap = abs(float(figure.values.mean()) - known)
    if figure.other is not None:
        half_width = math.hypot(half_width, _half_width(figure.other[0]))
    inside = gap <= half_width + figure.fluid_error * known
    if figure.at_most:
        most = float(figure.values.max())
        inside = known * (1.0 - figure.narrow) <= most <= known * (1.0 + 1e-9)
    published = figure.published
    return {
        "name": figure.name,
        "utilisation": figure.utilisation,
        "theory": known,
        "bound": figure.at_most,
        "simulated": simulated,
        "half_width": half_width / known,
        "half_width_max": figure.narrow,
        "fluid_error": figure.fluid_error,
        "published": {"value": published[0], "source": published[1]} if published else None,
        "other": (
            {"program": figure.other[1], "value": _estimate(figure.other[0])}
            if figure.other
            else None
        ),
        "holds": bool(inside and half_width <= figure.narrow * known),
    }


def _half_width(values: Floats) -> float:
    from scipy import stats

    degrees = len(values) - 1
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(stats.t.ppf(0.5 + 0.5 * LEVEL, degrees)) * error


def _estimate(values: Floats) -> Estimate:
    mean, half_width = float(np.mean(values)), _half_width(values)
    return {"value": mean, "low": mean - half_width, "high": mean + half_width, "n": len(values)}


def render(document: Verification) -> Any:
    """A table for people."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("what is known")
    for title in ("rho", "known", "simulated", "±", "asked", "elsewhere", ""):
        table.add_column(title, justify="right", no_wrap=True)
    for row in document["checks"]:
        elsewhere = ""
        if row["published"]:
            elsewhere = f"{row['published']['value']:.4g}"
        if row["other"]:
            elsewhere = f"{row['other']['program']} {row['other']['value']['value']:.4g}"
        table.add_row(
            row["name"],
            "" if row["utilisation"] is None else f"{row['utilisation']:g}",
            ("<= " if row["bound"] else "") + f"{row['theory']:.5g}",
            f"{row['simulated']['value']:.5g}",
            f"{100 * row['half_width']:.2g} %",
            f"{100 * row['half_width_max']:.2g} %",
            elsewhere,
            "holds" if row["holds"] else "[bold]FAILS[/bold]",
        )
    return table
