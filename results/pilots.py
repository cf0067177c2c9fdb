"""Light loads that do not count, and what rests on them: nothing of that is scored.

Costs are fitted on a pilot before the runs; the same light load after them tells whether the
machine is still the same. Each is played until it counts, three times at most; where other work
spoils all three, its figures are those of the last and tell nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from results.evidence import METRICS

if TYPE_CHECKING:
    from results.twin_documents import LightLoad, MetricError, TwinPoint


def spoiled(document: Mapping[str, Any]) -> str:
    """Why the costs of a validation are none: its pilot does not count. Empty where it does."""
    pilot = document.get("fit", {}).get("pilot")
    for each in _listed(document):
        if each["run"] == pilot and not each["valid"]:
            return f"the pilot that its costs rest on does not count: {'; '.join(each['reasons'])}"
    return ""


def untold(document: Mapping[str, Any]) -> str:
    """Why nobody knows whether the machine was the same after the runs; empty where it is known."""
    lights = _listed(document)
    if document.get("drift") is not None or not lights:
        return ""
    why = "; ".join(lights[-1]["reasons"])
    return f"no light load counts both before and after the runs{why and f': {why}'}"


def unfounded(point: TwinPoint, why: str) -> TwinPoint:
    """The point without what rests on costs that nobody knows: blind, and at equal pace.

    What was predicted of each run from a light load of its own stays, and structure, which is told
    what each run did cost.
    """
    kept: dict[str, Any] = dict(point)
    for name in METRICS:
        if name in point:
            kept[name] = _nothing(point[name], why)
    kept["given_pace"] = {name: _nothing(each, why) for name, each in point["given_pace"].items()}
    for verdict in ("verdict", "verdict_given_pace"):
        if kept[verdict]:
            kept[verdict] = {"verdict": "invalid", "reasons": [why]}
    return cast("TwinPoint", kept)


def _nothing(error: MetricError, why: str) -> MetricError:
    return {**error, "error": None, "inside_interval": None, "not_scored": why}


def _listed(document: Mapping[str, Any]) -> Sequence[LightLoad]:
    found: Sequence[LightLoad] = document.get("light_loads", [])
    return found
