"""How seldom a backlog is reached: what `gridlab rare` tells, and how it says so."""

from __future__ import annotations

from typing_extensions import TypedDict

from results.statistics import Estimate

HOURS_PER_YEAR = 8766.0


class RareBacklog(TypedDict):
    """The document of `gridlab rare --json`.

    `probability` is that of one busy period to reach the backlog, `periods_per_s` how many of these
    there are, `per_hour` how many are expected to reach it. `levels` are the backlogs on the way
    there, from each of which a part makes so many `trials`. `half_width` is relative to the
    probability, null if nothing came that far; the estimate is `precise` if that is as was asked.
    """

    topology: str
    controller: str
    copies: int
    seed: int
    levels: list[int]
    trials: int
    parts: int
    probability: Estimate
    periods_per_s: Estimate
    per_hour: Estimate
    half_width: float | None
    precise: bool


def render(document: RareBacklog) -> str:
    """It in two sentences."""
    what = f"{document['controller']} of {document['topology']} owes {document['copies']:,} copies"
    probability, rate = document["probability"], document["per_hour"]["value"]
    if not probability["value"] or not rate or document["half_width"] is None:
        return f"{what} so seldom that no part of {document['parts']} came that far."
    often = f"every {1.0 / rate:,.3g} h" if rate > 1.0 / HOURS_PER_YEAR else "less than once a year"
    if rate > 1.0:
        often = f"{rate:,.3g} times an hour"
    wide = f"+- {100.0 * document['half_width']:.2g} %"
    precise = "" if document["precise"] else " That is not as narrow as was asked."
    return (
        f"{what} in one busy period of {1.0 / probability['value']:,.4g} ({wide}), {often}. "
        f"{document['parts']} parts of {len(document['levels'])} levels say so.{precise}"
    )
