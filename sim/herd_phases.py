"""Reconnect herds of many sizes and caps: which of them drain, beside what one inequality says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from results import histogram
from results.herd_phases import WHOLE, PhaseDiagram, Point, boundary_cap_s
from results.run import Run
from sim.replications import simulate
from topologies import overlays
from topologies.schema import Population, Topology

Progress = Callable[[float, str], None]

WORKS_S: Final = (8.0, 14.0, 20.0, 26.0, 32.0, 38.0)
CAPS_S: Final = (2.0, 8.0, 16.0, 26.0, 42.0, 62.0)
PATIENCE_S: Final = 3.0
HORIZON_S: Final = 150.0
START_S: Final = 1.0
PATIENT: Final = 500  # Platforms of the herd that tells the server's rate


def diagram(
    base: str | None = None,
    *,
    works_s: Sequence[float] = WORKS_S,
    caps_s: Sequence[float] = CAPS_S,
    changes: Sequence[str] = (),
    seed: int = 1,
    progress: Progress | None = None,
) -> PhaseDiagram:
    """Simulate S-HERD without defence for each size of the herd and each cap of full jitter.

    Parameters
    ----------
    base : str, optional
        Topology instead of the scenario's own.
    works_s : sequence of float
        Sizes, as the time that all logins of the herd take the server. [s]
    caps_s : sequence of float
        Caps of the back-off. [s]
    changes : sequence of str
        Of the base, as `--set` takes them.
    seed : int
        Of all runs.
    progress : callable, optional
        Gets the share done and a remark.
    """
    first = _laid(base, PATIENT, caps_s[0], changes)
    login_s = 1.0 / rate_per_s(base, changes, seed)
    points: list[Point] = []
    total = len(works_s) * len(caps_s)
    for work_s in works_s:
        for cap_s in caps_s:
            platforms = round(work_s / login_s)
            topology = _laid(base, platforms, cap_s, changes)
            points.append(_point(topology, platforms, platforms * login_s, cap_s, seed))
            if progress is not None:
                progress(len(points) / total, f"{platforms:,} Platforms, cap {cap_s:g} s")
    apart = [
        each
        for each in points
        if abs(each["cap_s"] - boundary_cap_s(each["work_s"], PATIENCE_S)) > 0.25 * each["cap_s"]
    ]
    above = [each for each in points if each["foretold"]]
    return {
        "topology": first.name,
        "patience_s": PATIENCE_S,
        "login_s": login_s,
        "horizon_s": HORIZON_S,
        "policy": "full-jitter",
        "points": points,
        "agreement": _agreement(points),
        "agreement_apart": _agreement(apart),
        "agreement_above": _agreement(above),
    }


def _agreement(points: Sequence[Point]) -> float | None:
    right = sum(each["drained"] == each["foretold"] for each in points)
    return right / len(points) if points else None


def _laid(base: str | None, platforms: int, cap_s: float, changes: Sequence[str]) -> Topology:
    """S-HERD without defence, with a herd of this size that goes by this cap."""
    retry = f"policy: full-jitter, base: 1 s, cap: {cap_s} s, first: 0 s, timeout: {PATIENCE_S} s"
    scenario = overlays.scenario(
        "S-HERD",
        base,
        ["none"],
        [
            f"workload.duration={HORIZON_S} s",
            f"platforms[$subscriber].count={platforms}",
            f"platforms[$subscriber].retry={{{retry}}}",
            *changes,
        ],
    )
    topology = scenario.attacked["none"]
    fault = topology.faults[0].model_copy(update={"start": START_S, "duration": START_S})
    return topology.model_copy(update={"faults": (fault,)})


def _herd(topology: Topology) -> Population:
    return max(topology.platforms, key=lambda each: each.count)


def rate_per_s(base: str | None, changes: Sequence[str], seed: int) -> float:
    """Logins a second that the server does when nobody gives up. [1/s]

    A patient herd, all at once: more than the sum of the steps' costs if the server, like Prosody,
    collects garbage besides.
    """
    patient = [*changes, f"platforms[$subscriber].retry.timeout={HORIZON_S} s"]
    topology = _laid(base, PATIENT, CAPS_S[0], patient)
    run = simulate(topology, seed=seed, replications=1, processes=1, door="gridlab attack")
    return PATIENT / last_login_s(run, topology)


def last_login_s(run: Run, topology: Topology) -> float:
    """How long the slowest login of the herd took. [s]"""
    latency = run.header.measurement["logins"][_herd(topology).name]["login_latency"]
    counts = histogram.dense(np.array(latency["bins"], np.int32), np.array(latency["counts"]))
    return float(histogram.quantile(counts, 1.0))


def _point(topology: Topology, platforms: int, work_s: float, cap_s: float, seed: int) -> Point:
    run = simulate(topology, seed=seed, replications=1, processes=1, door="gridlab attack")
    entry = run.header.measurement["logins"][_herd(topology).name]
    return point(platforms, work_s, cap_s, entry["online"][0][-1] / platforms, PATIENCE_S)


def point(
    platforms: int, work_s: float, cap_s: float, online_share: float, patience_s: float
) -> Point:
    """What became of a herd, beside what the line says of it. [s]"""
    return {
        "platforms": platforms,
        "work_s": work_s,
        "cap_s": cap_s,
        "online_share": online_share,
        "drained": online_share >= WHOLE,
        "foretold": cap_s > boundary_cap_s(work_s, patience_s),
    }
