"""What the load engine is to reach, and whether a bench shows it.

A promise is met where every round of a bench keeps its bound, missed where none does, not decided
where rounds disagree (or the ends of the interval of a single one), and not measured where there
was none.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from typing_extensions import TypedDict

from results.units import number

Bound = Literal["at least", "at most"]
Verdict = Literal["met", "missed", "not decided", "not measured"]


class Promise(TypedDict):
    """A figure, the bound that it is to keep, and whether it does.

    `rounds` has what each round found, `found` is their median, null where there was none.
    """

    what: str
    bound: Bound
    asked: float
    found: float | None
    rounds: list[float]
    verdict: Verdict


def promise(
    what: str, bound: Bound, asked: float, rounds: Sequence[float], ends: Sequence[float] = ()
) -> Promise:
    """A promise with its verdict.

    Parameters
    ----------
    what : str
        The figure and its unit, for people; brackets would be taken for colours.
    bound : {"at least", "at most"}
        Which side of `asked` is right; `asked` itself is.
    asked : float
        The bound.
    rounds : sequence of float
        What each round found.
    ends : sequence of float, optional
        Of the interval of a single round's figure: on which side of the bound both are counts, too.
    """
    return Promise(
        what=what,
        bound=bound,
        asked=asked,
        found=statistics.median(rounds) if rounds else None,
        rounds=list(rounds),
        verdict=_verdict(bound, asked, [*rounds, *ends]),
    )


def _verdict(bound: Bound, asked: float, rounds: Sequence[float]) -> Verdict:
    if not rounds:
        return "not measured"
    kept = [each >= asked if bound == "at least" else each <= asked for each in rounds]
    if all(kept):
        return "met"
    return "not decided" if any(kept) else "missed"


def lines(claims: Mapping[str, Promise]) -> list[str]:
    """A line for people of each promise."""
    told = []
    for each in claims.values():
        parts = [] if each["found"] is None else [number(each["found"])]
        if len(each["rounds"]) > 1:
            few, many = (number(most(each["rounds"])) for most in (min, max))
            parts[0] += f" ({few} to {many})"
        parts.append(f"{each['bound']} {number(each['asked'])}")
        told.append(f"{each['verdict']:<12}  {each['what']}: {', '.join(parts)}")
    return told
