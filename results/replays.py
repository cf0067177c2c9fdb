"""Attacks on real servers beside what was predicted of them: the headline of each stored replay.

A replay is what `gridlab attack ID --real --json` printed, as `make prove` stores it in
`results/reference`. Each variant was predicted before it was played. What is asked of it: that the
headline figure is within its bound, and that the defence moves it the way it was predicted to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import TypedDict

from results import units
from results.terminal import sheet
from results.trust import REFERENCE

if TYPE_CHECKING:
    from rich.console import RenderableType

BOUND: Final = 0.25
NOTHING_S: Final = 0.05  # a time that the model says is none: a real server's own work is not in it
BOUNDS: Final = {"S-FLOOD": 0.20, "S-HERD": 0.15, "S-PASS": 0.15, "S-NAT": 0.05}
HERDS: Final = "herds that drain, or do not, as it says"
TITLES: Final = (
    "scenario", "variant", "figure", "predicted", "measured", "error", "bound", "holds",
    "direction", "told the cost",
)  # fmt: skip


class Replay(TypedDict):
    """The headline figure of one variant on both sides, in the unit that its name ends with.

    `error` is predicted / measured - 1, `cost_error` the same with a model that was told the CPU
    time that the server used in the play, `pace_error` with one that was told the pace of its core;
    null where there is no ratio. `plays` is how many plays the measured figure is the median of.
    `holds` is null where the play itself is in doubt, or where a side has no figure; where nothing
    is predicted, nothing has to be measured (of times, less than 50 ms). `same_direction` tells of
    all variants but the first whether they move the figure as predicted: less by more than the
    bound, more by more than the bound, or neither.
    """

    proof: str
    scenario: str
    defence: str
    figure: str
    predicted: float | None
    measured: float | None
    error: float | None
    bound: float
    holds: bool | None
    same_direction: bool | None
    cost_error: float | None
    pace_error: float | None
    plays: int
    doubts: list[str]


class Replays(TypedDict):
    """The document of `gridlab threats --real --json`: rows, how many count, and of these hold."""

    rows: list[Replay]
    count: int
    held: int
    same_direction: int
    directions: int


def replays(place: Path = REFERENCE) -> Replays:
    """All replays that are stored at a place, by scenario."""
    rows = [row for path in sorted(place.glob("attack-*-real.json")) for row in _of(path)]
    told = [row["holds"] for row in rows if row["holds"] is not None]
    moved = [row["same_direction"] for row in rows if row["same_direction"] is not None]
    return {
        "rows": rows, "count": len(told), "held": sum(told),
        "same_direction": sum(moved), "directions": len(moved),
    }  # fmt: skip


def _of(path: Path) -> Iterator[Replay]:
    kept = json.loads(path.read_text())
    document = kept["document"]
    if "points" in document:
        yield from _of_herds(path.stem, document.get("real"))
        return
    scenario, headline = document["id"], document["headline"]
    bound = BOUNDS.get(scenario, BOUND)
    doubts = {each["defence"]: each.get("doubts", []) for each in document["measured"]}
    repeated = {each["defence"]: "plays" in each for each in document["measured"]}
    costs, paces = (
        {defence: _error(sides) for defence, sides in _by_defence(given, headline).items()}
        for given in (document.get("given_cost", []), document.get("given_pace", []))
    )
    first: Mapping[str, Any] | None = None
    for defence, sides in _by_defence(document["agreement"], headline).items():
        moves = None if first is None else _alike(first, sides, bound)
        first = first or sides
        error, holds = _error(sides), _holds(sides, bound)
        yield {
            "proof": path.stem,
            "scenario": scenario,
            "defence": defence,
            "figure": headline,
            "predicted": sides["predicted"]["value"],
            "measured": sides["measured"]["value"],
            "error": error,
            "bound": bound,
            "holds": None if doubts[defence] else holds,
            "same_direction": None if doubts[defence] else moves,
            "cost_error": costs.get(defence),
            "pace_error": paces.get(defence),
            "plays": sides["measured"]["n"] if repeated[defence] else 1,
            "doubts": doubts[defence],
        }


def _of_herds(name: str, real: Mapping[str, Any] | None) -> Iterator[Replay]:
    """Herds of the phase diagram: of how many the line and the model said what came."""
    if real is None:
        return
    points, doubts = real["points"], list(real["doubts"])
    sides: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
        ("the line", "line_right", {}), ("the model", "model_right", real),
    )  # fmt: skip
    for who, key, told in sides:
        wrong = round(len(points) * (1.0 - real[key]))
        yield {
            "proof": name,
            "scenario": "S-HERD",
            "defence": f"{len(points)} herds, {who}",
            "figure": HERDS,
            "predicted": len(points),
            "measured": len(points) - wrong,
            "error": _excess(real[key]),
            "bound": 1.0 / max(len(points) - 1, 1),
            "holds": None if doubts else wrong <= 1,
            "same_direction": None,
            "cost_error": _excess(told.get("given_cost_right")),
            "pace_error": _excess(told.get("given_pace_right")),
            "plays": 1,
            "doubts": doubts,
        }


def _excess(right: float | None) -> float | None:
    return 1.0 / right - 1.0 if right else None


def _by_defence(rows: Sequence[Mapping[str, Any]], figure: str) -> dict[str, Mapping[str, Any]]:
    return {row["defence"]: row for row in rows if row["figure"] == figure}


def _error(sides: Mapping[str, Any]) -> float | None:
    one, other = sides["predicted"]["value"], sides["measured"]["value"]
    return one / other - 1.0 if one is not None and other else None


def _holds(sides: Mapping[str, Any], bound: float) -> bool | None:
    """Whether the error is within the bound; of what has no end on one side alone it is not."""
    one, other = (sides[side]["value"] for side in ("predicted", "measured"))
    if one is None or other is None:
        endless = [_endless(sides[side]) for side in ("predicted", "measured")]
        return endless[0] == endless[1] if any(endless) else None
    if not one or not other:
        return bool(max(one, other) <= (NOTHING_S if sides["figure"].endswith("_s") else 0.0))
    return bool(abs(one / other - 1.0) <= bound)


def _endless(estimate: Mapping[str, Any]) -> bool:
    return estimate["value"] is None and "unbounded" in estimate.get("reason", "")


def _alike(first: Mapping[str, Any], sides: Mapping[str, Any], bound: float) -> bool | None:
    """Whether a defence moves the figure as predicted, down, up or not; None where it has none."""
    moves = []
    for side in ("predicted", "measured"):
        before, after = first[side]["value"], sides[side]["value"]
        if before is None and _endless(first[side]) and after is not None:
            moves.append(-math.inf)
        elif not before or after is None:
            return None
        else:
            moves.append(math.log(after / before) if after else -math.inf)
    least = math.log1p(bound)
    ways = [0.0 if abs(move) <= least else math.copysign(1.0, move) for move in moves]
    return ways[0] == ways[1] or abs(moves[0] - moves[1]) <= least


def markdown(found: Replays) -> str:
    """The table, as docs show it."""
    lines = [
        f"| {' | '.join(TITLES)} |",
        "|---" * len(TITLES) + "|",
        *(f"| {' | '.join(_cells(row))} |" for row in found["rows"]),
        "",
        _sums(found),
    ]
    return "\n".join(lines)


def render(found: Replays) -> RenderableType:
    """The table for a terminal, a block for each scenario."""
    from rich.console import Group
    from rich.text import Text

    words = ("", "holds", "direction")
    table = sheet("", "predicted", "measured", "error", "holds", "direction", words=words)
    scenario = ""
    for row in found["rows"]:
        cells = dict(zip(TITLES, _cells(row), strict=True))
        if row["scenario"] != scenario:
            scenario = row["scenario"]
            head = Text(f"{scenario} {row['figure']}", style="bold")
            table.add_row(head, "", "", f"± {cells['bound']}")
        table.add_row(f"  {row['defence']}", *(cells[each] for each in TITLES[3:6]),
                      cells["holds"], cells["direction"])  # fmt: skip
    return Group(table, Text(_sums(found), style="bold"))


def _sums(found: Replays) -> str:
    return (
        f"{found['held']} of {found['count']} are within their bounds, "
        f"{found['same_direction']} of {found['directions']} defences move the figure as predicted."
    )


def _cells(row: Replay) -> tuple[str, ...]:
    words = {True: "yes", False: "no", None: "–"}
    told = [_signed(row["cost_error"])] if row["cost_error"] is not None else []
    if row["pace_error"] is not None:
        told.append(f"{_signed(row['pace_error'])} (its pace)")
    measured = _figure(row["figure"], row["measured"])
    if row["plays"] > 1:
        measured += f" ({row['plays']} plays)"
    return (
        row["scenario"], row["defence"], row["figure"],
        _figure(row["figure"], row["predicted"]), measured,
        _signed(row["error"]), f"{100 * row['bound']:.0f} %",
        "in doubt" if row["doubts"] else words[row["holds"]],
        words[row["same_direction"]], ", ".join(told) or "–",
    )  # fmt: skip


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name.endswith("_per_s"):
        return units.rate(value)
    if name.endswith("_bytes"):
        return units.size(value)
    if name == HERDS:
        return f"{value:.0f}"
    return units.seconds(value) if name.endswith("_s") and value else units.number(value)


def _signed(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.1f} %".replace("-", "−")
