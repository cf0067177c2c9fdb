"""What the simulator is to reach, here and in its README, and whether a benchmark shows it.

A target is met if every round meets it, missed if every round misses it, and not decided if rounds
disagree. One that is missed comes with a profile of what missed it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from results import units
from sim.benchmark_plays import KERNELS, BenchmarkError, Spot

if TYPE_CHECKING:
    from sim.benchmark import Benchmark, BenchmarkRow
    from sim.benchmark_singles import Single

RATIO, WALL, MEMORY, DELIVERIES, EVENTS, SLOPE = (
    "ratio_to_simpy", "wall_s", "peak_rss_bytes", "deliveries_per_s", "events_per_s", "slope",
)  # fmt: skip
MET: Literal["met"] = "met"
MISSED: Literal["missed"] = "missed"
UNDECIDED: Literal["not decided"] = "not decided"
LEAST = (RATIO, DELIVERIES, EVENTS)  # are to be at least so much, the others at most
MEANING = {
    RATIO: "times naive SimPy",
    WALL: "wall clock",
    MEMORY: "peak memory",
    DELIVERIES: "deliveries per second",
    EVENTS: "events per second",
    SLOPE: "power of deliveries that cost grows with in the last decade",
}


@dataclass(frozen=True)
class Target:
    """A figure of one engine on one workload, and what it is to be. [as in `MEANING`]"""

    name: str
    size: int
    figure: str
    asked: float
    engine: str = "gridlab"


class Judged(TypedDict):
    """A target, what was found, and where the time went if it is missed. [as in `MEANING`]

    `found` is what is told of all rounds, `rounds` what each found.
    """

    name: str
    size: int
    engine: str
    figure: str
    asked: float
    found: float
    rounds: list[float]
    verdict: Literal["met", "missed", "not decided"]
    profile: list[Spot]


TARGETS = (
    Target("fan-out", 10_000, RATIO, 3_000),
    Target("fan-out", 100_000, RATIO, 3_000),
    Target("fan-out", 10_000, RATIO, 400, KERNELS + "loop-turns"),
    Target("fan-out", 10_000, RATIO, 400, KERNELS + "fanout-process"),
    Target("fan-out", 100_000, RATIO, 400, KERNELS + "loop-turns"),
    Target("fan-out", 100_000, RATIO, 400, KERNELS + "fanout-process"),
    Target("one-publish", 1_000_000, WALL, 0.025),
    Target("one-publish", 1_000_000, MEMORY, 250e6),
    Target("storm", 300_000, RATIO, 300),
    Target("topology", 200, RATIO, 1_000),
    Target("topology", 200, DELIVERIES, 50e6),
    Target("topology", 200, MEMORY, 500e6),
    Target("events", 8, EVENTS, 5e6),
    Target("scaling", 10_000, SLOPE, 1.05),
    Target("first-result", 202, WALL, 1.0),
    Target("edr-scale", 500_040, WALL, 60.0),
)


@dataclass(frozen=True)
class Figure:
    """What is told of a figure, and what each round found. [as in `MEANING`]"""

    found: float
    rounds: Sequence[float]


def judged(document: Benchmark) -> list[Judged]:
    """Every target whose workload was played, without profiles.

    Raises
    ------
    BenchmarkError
        The workload was played, but not in that size or by that engine, or without that figure.
    """
    measured = figures(document["workloads"], document["singles"])
    played = {each["name"] for each in (*document["workloads"], *document["singles"])}
    return [_judged(each, measured) for each in TARGETS if each.name in played]


def _judged(target: Target, measured: Mapping[tuple[str, int, str, str], Figure]) -> Judged:
    figure = measured.get((target.name, target.size, target.engine, target.figure))
    if figure is None:
        what = f"{target.name} {target.size:,} {target.engine}: {MEANING[target.figure]}"
        raise BenchmarkError(f"{what}: a target, but not measured")
    return {
        "name": target.name,
        "size": target.size,
        "engine": target.engine,
        "figure": target.figure,
        "asked": target.asked,
        "found": figure.found,
        "rounds": [*figure.rounds],
        "verdict": verdict(target, figure.rounds),
        "profile": [],
    }


def verdict(target: Target, rounds: Sequence[float]) -> Literal["met", "missed", "not decided"]:
    """What rounds say of a target together."""
    least = target.figure in LEAST
    met = [each >= target.asked if least else each <= target.asked for each in rounds]
    if all(met):
        return MET
    return UNDECIDED if any(met) else MISSED


def figures(
    rows: Sequence[BenchmarkRow], singles: Sequence[Single]
) -> Mapping[tuple[str, int, str, str], Figure]:
    """What was measured, by name, size, engine and figure."""
    found: dict[tuple[str, int, str, str], Figure] = {}
    for row in rows:
        place, each_round = (row["name"], row["size"], row["engine"]), row["each_round"]
        kind = EVENTS if "events_per_s" in row else DELIVERIES
        rate_per_s = row.get("events_per_s", row.get("deliveries_per_s", 0.0))
        rates_per_s = [each["per_s"] for each in each_round]
        found[*place, kind] = Figure(rate_per_s, rates_per_s)
        found[*place, WALL] = Figure(
            row["played"] / rate_per_s, [row["played"] / each for each in rates_per_s]
        )
        found[*place, RATIO] = Figure(
            row["ratio_to_simpy"], [each["ratio_to_simpy"] for each in each_round]
        )
        found[*place, MEMORY] = Figure(
            row["peak_rss_bytes"], [each["peak_rss_bytes"] for each in each_round]
        )
    for single in singles:
        place = single["name"], single["size"], "gridlab"
        if single["slope"] is not None:
            found[*place, SLOPE] = Figure(single["slope"], single["slopes"])
        else:
            walls_s = [each["wall_s"] for each in single["points"]]
            found[*place, WALL] = Figure(statistics.median(walls_s), walls_s)
    return found


def told(figure: str, value: float) -> str:
    """A figure for people."""
    if figure == MEMORY:
        return units.size(value)
    if figure == WALL:
        return units.seconds(value)
    if figure in (DELIVERIES, EVENTS):
        return units.rate(value)
    return f"{value:,.4g}"


def render(verdicts: Sequence[Judged]) -> list[str]:
    """Lines for people: what was asked, what was found, and the profile of what is missed.

    Where rounds disagree, the least and the most that one found.
    """
    lines = []
    for each in verdicts:
        bound = "at least" if each["figure"] in LEAST else "at most"
        asked, found = (told(each["figure"], each[key]) for key in ("asked", "found"))
        what = f"{each['name']} {each['size']:,} {each['engine']}: {MEANING[each['figure']]}"
        if each["verdict"] == UNDECIDED:
            few, many = (told(each["figure"], most(each["rounds"])) for most in (min, max))
            found += f" ({few} to {many})"
        lines.append(f"{each['verdict']:<{len(UNDECIDED)}}  {what} {found}, {bound} {asked}")
        lines += [
            f"                 {spot['share']:4.0%}  {spot['where']}" for spot in each["profile"]
        ]
    return lines


def markdown() -> str:
    """The table of the README."""
    rows = [
        f"| {each.name} | {each.size:,} | {each.engine} | {MEANING[each.figure]} "
        f"| {'at least' if each.figure in LEAST else 'at most'} {told(each.figure, each.asked)} |"
        for each in TARGETS
    ]
    return "\n".join(
        ["| workload | size | engine | figure | asked |", "|---|---:|---|---|---|", *rows]
    )
