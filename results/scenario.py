"""A scenario's figures as a document and as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

from results.documents import Summary


class ActionQuantiles(TypedDict):
    """Latency of actions that went well, from the instant when they were to begin. [s]"""

    p50: float
    p90: float
    p99: float
    max: float


class ActionFigures(TypedDict):
    """Actions of one kind: how many, why some failed, from the first to the last. [s]"""

    n: int
    failed: dict[str, int]
    span_s: float
    latency_s: ActionQuantiles | None


class ScenarioFigures(TypedDict):
    """What was done beside the plan, and what the server does not support of it."""

    name: str
    workload: str
    parameters: dict[str, Any]
    start_s: float
    end_s: float
    unsupported: dict[str, str]
    actions: dict[str, ActionFigures]
    away: NotRequired[dict[str, Any]]
    slow: NotRequired[dict[str, Any]]
    knee: NotRequired[dict[str, Any]]
    phases: NotRequired[list[dict[str, Any]]]


class LoadSummary(Summary):
    """A measured run: the document of `gridlab load --json`."""

    scenario: NotRequired[ScenarioFigures]


class LoadSummaries(TypedDict):
    """A scenario of several runs."""

    runs: list[LoadSummary]


def render_scenario(figures: Mapping[str, Any] | None) -> Iterator[str]:
    """Lines for the terminal; none where there was no scenario."""
    if figures is None:
        return
    yield f"Scenario {figures['name']}, {figures['workload']} workload"
    for what, why in figures["unsupported"].items():
        yield f"  not supported by the server: {what} ({why})"
    for kind, action in figures["actions"].items():
        latency = action["latency_s"]
        line = f"  {kind}: {action['n']}"
        if latency:
            line += f", p50 {1e3 * latency['p50']:.1f} ms, p99 {1e3 * latency['p99']:.1f} ms"
        for why, count in action["failed"].items():
            line += f", {count} failed ({why})"
        yield line
    if away := figures.get("away"):
        yield (
            f"  {away['sessions']} sessions away, {away['returned']} returned; of {away['owed']} "
            f"copies published meanwhile {away['delivered']} came, {away['lost']} were lost"
        )
    if knee := figures.get("knee"):
        followed, not_followed = knee["highest_followed"], knee["lowest_not_followed"]
        yield f"  the server followed up to {followed or 'no step'}" + (
            f" and no longer at {not_followed}" if not_followed else ", the highest that was played"
        )
    for name, group in figures.get("slow", {}).items():
        latency = group["latency_s"]
        if latency:
            yield f"  {name}: {group['sessions']} sessions, p99 {1e3 * latency['p99']:.1f} ms"
