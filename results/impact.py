"""What an attack does to the legitimate Platforms, and what a defence does about it and to them.

Each variant of the defence is run twice on the same plan, with and without the attack:

    goodput        legitimate deliveries in time per second while the attack lasts
    p99            of legitimate deliveries intended then; undelivered counts as infinite
    collateral     share of the goodput that the defence takes without any attack
    amplification  what the server does more with the attack than without, per unit that the
                   attacker sends: bytes out per byte in, copies and CPU seconds per publication
    recovery       from the attack's end until all is as before
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from typing_extensions import TypedDict

from results import timeline
from results.figures import Figures
from results.run import Run
from results.statistics import Estimate, FloatArray, Sample, unavailable

ENVELOPE_BYTES: Final = 193.0  # of a publish around its payload, constructed (topologies.profiles)


class Amplification(TypedDict):
    """Server's work per unit of the attacker's."""

    bytes: Estimate
    messages: Estimate
    cpu_s: Estimate


class Variant(TypedDict):
    """One defence against one attack."""

    defence: str
    description: str
    goodput_per_s: Estimate
    p99_s: Estimate
    collateral: Estimate
    amplification: Amplification
    time_to_detect_s: Estimate
    time_to_mitigate_s: Estimate
    time_to_recover_s: Estimate
    runs: dict[str, str]


class Attack(TypedDict):
    """The document of `gridlab attack --json`."""

    id: str
    title: str
    reference: str
    hypothesis: str
    topology: str
    variants: list[Variant]


@dataclass(frozen=True)
class Window:
    """When the attack lasts. [s]"""

    start_s: float
    end_s: float


def variant(
    defence: str, description: str, runs: tuple[Run, Run], undefended: Run, window: Window
) -> Variant:
    """Figures of one defence.

    Parameters
    ----------
    runs : (Run, Run)
        With the attack, and without.
    undefended : Run
        Without the attack, without the defence.
    """
    attacked, calm = runs
    return {
        "defence": defence,
        "description": description,
        "goodput_per_s": _goodput(attacked, window).estimate(),
        "p99_s": Figures([attacked], _phases(attacked, window)).latency().quantile(0.99),
        "collateral": _collateral(calm, undefended).estimate(),
        "amplification": _amplification(attacked, calm),
        "time_to_detect_s": unavailable("no detector takes part"),
        "time_to_mitigate_s": unavailable("the defence stands from the beginning"),
        "time_to_recover_s": _recovery(attacked, window),
        "runs": {"attacked": attacked.header.run_id, "calm": calm.header.run_id},
    }


def _phases(run: Run, window: Window) -> list[str]:
    return [p.name for p in run.header.phases if window.start_s <= p.start_s < window.end_s]


def _recovery(attacked: Run, window: Window) -> Estimate:
    phases = _phases(attacked, window)
    after = [p for p in attacked.header.phases if p.start_s >= window.end_s and p.measured]
    if not phases or not after:
        return unavailable("the run ends with the attack: make it longer")
    return timeline.recovery(attacked, phases[-1]).estimate()


Rows = Callable[[Mapping[str, FloatArray]], FloatArray]


def _by_replication(run: Run, column: str, chosen: Rows) -> FloatArray:
    """A column's sum over chosen rows, by replication."""
    table = run.intervals
    weights = table[column].astype(np.float64) * chosen(table)
    return np.bincount(table["replication"], weights=weights).astype(np.float64)


def _all(table: Mapping[str, FloatArray]) -> FloatArray:
    return np.ones(len(table["start_s"]))


def _goodput(run: Run, window: Window) -> Sample:
    """Legitimate deliveries in time, intended within the window, per second. [1/s]"""

    def inside(table: Mapping[str, FloatArray]) -> FloatArray:
        middle_s = 0.5 * (table["start_s"] + table["end_s"])
        return ((middle_s >= window.start_s) & (middle_s < window.end_s)).astype(np.float64)

    parts = _by_replication(run, "timely", inside) / (window.end_s - window.start_s)
    return Sample(float(parts.mean()), parts, 0.0)


def _collateral(calm: Run, undefended: Run) -> Sample:
    """Share of the timely deliveries that the defence alone takes. [1]"""
    kept, all_of_them = (_by_replication(run, "timely", _all) for run in (calm, undefended))
    if not all_of_them.sum():
        return Sample(np.nan, reason="nothing is delivered in time even without attack")
    return Sample(float(1.0 - kept.sum() / all_of_them.sum()), 1.0 - kept / all_of_them)


def _amplification(attacked: Run, calm: Run) -> Amplification:
    """What is more with the attack, per byte and per publication of the attacker."""

    def more(column: str) -> FloatArray:
        return _by_replication(attacked, column, _all) - _by_replication(calm, column, _all)

    hostile = _by_replication(attacked, "offered", _all) - _by_replication(
        attacked, "offered_legitimate", _all
    )
    if not hostile.all():
        none = unavailable("the attacker publishes nothing")
        return {"bytes": none, "messages": none, "cpu_s": none}
    sent_bytes = np.array([_hostile_bytes(attacked, number) for number in range(len(hostile))])

    def per(column: str, units: FloatArray) -> Estimate:
        extra = more(column)
        return Sample(float(extra.sum() / units.sum()), extra / units).estimate()

    return {
        "bytes": per("egress_bytes", sent_bytes),
        "messages": per("delivered", hostile),
        "cpu_s": per("busy_s", hostile),
    }


def _hostile_bytes(run: Run, replication: int) -> float:
    """Bytes that the attacker sends: its publications with the stanza around each. [B]

    Payloads are those of the kept rows whose publishers are the run's adversaries, scaled to all.
    """
    table = run.publications
    offered = run.intervals["replication"] == replication
    hostile = float((run.intervals["offered"] - run.intervals["offered_legitimate"])[offered].sum())
    rows = (table["replication"] == replication) & (table["publisher"] >= _first_adversary(run))
    sizes = table["payload_bytes"][rows]
    mean_bytes = float(sizes.mean()) if len(sizes) else 0.0
    return hostile * (mean_bytes + ENVELOPE_BYTES)


def _first_adversary(run: Run) -> int:
    """Number of the first Platform that an overlay added: adversaries come last in its file."""
    import yaml

    first = 0
    for population in yaml.safe_load(run.header.topology.text)["platforms"]:
        if population.get("role") == "adversary" and population["count"]:
            last_adversary = first
        first += int(population["count"])
    return last_adversary
