"""Whether what was predicted of single runs, from a light load before each, proves anything.

Order and digest are looked at, as of all predictions, and the light loads themselves: each counts,
is listed, is of one run alone and was over before its prediction was stored, and the costs that it
gave follow from what it used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from results.evidence import digest

PUBLICATIONS_MIN = 30  # of a light load that tells a cost
SAME = 1e-6  # relative, between the costs that a proof states and those that its light load gives


def problems(document: Mapping[str, Any]) -> list[str]:
    """What is wrong with the bracketed runs of a validation; empty where there are none."""
    every = [(point, each) for point in document["points"] for each in _of(point["evidence"])]
    if not every:
        return []
    found = [why for point, each in every for why in _of_run(point, each)]
    listed = {each["run"]: each["valid"] for each in document.get("light_loads", [])}
    measured = {
        run for point in document["points"] for kind in ("measured", "invalid")
        for run in point["runs"][kind]
    }  # fmt: skip
    lights = [each["light"]["run"] for _, each in every]
    found += [f"{light}: a run was predicted from it, which is none of the light loads that count"
              for light in lights if not listed.get(light)]  # fmt: skip
    found += [f"{light}: is a measured run, and no light load" for light in lights
              if light in measured]  # fmt: skip
    if len(set(lights)) < len(lights):
        found.append("two runs were predicted from the same light load")
    return found + _wrong_costs([each["light"] for _, each in every], document["fit"]["speeds"])


def _of(kept: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = kept.get("bracketed", [])
    return found


def _of_run(point: Mapping[str, Any], each: Mapping[str, Any]) -> list[str]:
    """What is wrong with one run's prediction and its light load, by themselves."""
    kept, where, light = point["evidence"], f"load {point['load']:.3g}", each["light"]
    found = []
    if each["begun"] not in kept["begun"]:
        found.append(f"{where}: a prediction from a light load is not of its runs")
    if each["begun"] <= each["stored"]:
        found.append(
            f"{where}: a prediction from a light load is not older than its run, {each['begun']}"
        )
    if digest(each["predicted"]) != each["sha256"]:
        found.append(f"{where}: a prediction from a light load is not the one stored (SHA-256)")
    if not light["valid"]:
        found.append(f"{where}: a light load from which was predicted does not count")
    if light["publications"] < PUBLICATIONS_MIN:
        found.append(
            f"{where}: a light load has {light['publications']} publications, "
            f"{PUBLICATIONS_MIN} needed"
        )
    over = datetime.fromisoformat(light["created"]) + timedelta(seconds=light["seconds"])
    if over > datetime.fromisoformat(each["stored"]):
        found.append(f"{where}: a light load was not over when its prediction was stored")
    return found


def _wrong_costs(lights: Sequence[Mapping[str, Any]], before: Mapping[str, float]) -> list[str]:
    """Light loads whose costs are not the fit's, scaled by what they used over what was expected.

    A process that used nothing, or was not watched, on either side is scaled with the others and
    not looked at.
    """
    found = []
    for light in lights:
        rates = light["offered_per_s"], light["predicted_per_s"]
        for name, speed in light["speeds"].items():
            used = light["used"].get(name), light["predicted_used"].get(name)
            if not all(used):
                continue
            factor = (used[0] / rates[0]) / (used[1] / rates[1])
            if not math.isclose(speed, before[name] * factor, rel_tol=SAME):
                found.append(f"{light['run']}: its costs do not follow from what it used ({name})")
    return found
