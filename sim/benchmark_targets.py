"""What the simulator is to reach, here and in its README, and whether a benchmark shows it.

A target that is missed comes with a profile of what missed it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from results import units
from sim.benchmark_plays import KERNELS, Spot

if TYPE_CHECKING:
    from sim.benchmark import Benchmark, BenchmarkRow
    from sim.benchmark_singles import Single

RATIO, WALL, MEMORY, DELIVERIES, EVENTS, SLOPE = (
    "ratio_to_simpy", "wall_s", "peak_rss_bytes", "deliveries_per_s", "events_per_s", "slope",
)  # fmt: skip
LEAST = (RATIO, DELIVERIES, EVENTS)  # are to be at least so much, the others at most
MEANING = {
    RATIO: "times naive SimPy",
    WALL: "wall clock",
    MEMORY: "peak memory",
    DELIVERIES: "deliveries per second",
    EVENTS: "events per second",
    SLOPE: "power of deliveries that cost grows with",
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
    """A target, what was found, and where the time went if it is missed. [as in `MEANING`]"""

    name: str
    size: int
    engine: str
    figure: str
    asked: float
    found: float
    met: bool
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


def judged(document: Benchmark) -> list[Judged]:
    """Every target of which the figure was measured, without profiles."""
    found = figures(document["workloads"], document["singles"])
    return [
        {
            "name": each.name,
            "size": each.size,
            "engine": each.engine,
            "figure": each.figure,
            "asked": each.asked,
            "found": value,
            "met": value >= each.asked if each.figure in LEAST else value <= each.asked,
            "profile": [],
        }
        for each in TARGETS
        if (value := found.get((each.name, each.size, each.engine, each.figure))) is not None
    ]


def figures(
    rows: Sequence[BenchmarkRow], singles: Sequence[Single]
) -> Mapping[tuple[str, int, str, str], float]:
    """What was measured, by name, size, engine and figure."""
    found: dict[tuple[str, int, str, str], float] = {}
    for row in rows:
        place = row["name"], row["size"], row["engine"]
        kind = EVENTS if "events_per_s" in row else DELIVERIES
        rate_per_s = row.get("events_per_s", row.get("deliveries_per_s", 0.0))
        found[*place, RATIO] = row["ratio_to_simpy"]
        found[*place, MEMORY] = row["peak_rss_bytes"]
        found[*place, WALL] = row["played"] / rate_per_s
        found[*place, kind] = rate_per_s
    for single in singles:
        place = single["name"], single["size"], "gridlab"
        found[*place, WALL] = single["points"][-1]["wall_s"]
        if single["slope"] is not None:
            found[*place, SLOPE] = single["slope"]
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
    """Lines for people: what was asked, what was found, and the profile of what is missed."""
    lines = []
    for each in verdicts:
        bound = "at least" if each["figure"] in LEAST else "at most"
        asked, found = (told(each["figure"], each[key]) for key in ("asked", "found"))
        what = f"{each['name']} {each['size']:,} {each['engine']}: {MEANING[each['figure']]}"
        lines.append(f"{'met   ' if each['met'] else 'missed'}  {what} {found}, {bound} {asked}")
        lines += [f"            {spot['share']:4.0%}  {spot['where']}" for spot in each["profile"]]
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
