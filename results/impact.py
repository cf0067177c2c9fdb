"""What an attack does to the legitimate Platforms, and what a defence does about it and to them.

Each variant of the defence is run twice on the same plan, with and without the attack:

    goodput        legitimate deliveries in time per second while the attack lasts, or from a
                   failure until the run ends
    p99            of legitimate deliveries intended then; undelivered counts as infinite;
                   the same of the Topics on which nobody attacks
    collateral     share of the goodput that the defence takes without any attack
    amplification  what the server does more with the attack than without, per unit that the
                   attacker sends: bytes out per byte in, copies and CPU seconds per publication
    recovery       from the attack's end until all is as before
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from results import histogram, slow_readers, statistics, timeline
from results.figures import Figures
from results.run import Run
from results.sessions import WHOLE
from results.statistics import FloatArray, Sample
from results.variants import Curve, Measured, thinned

PICTURES: Final = {
    "goodput": "deliveries in time [1/s]",
    "memory": "memory of the Controllers [B]",
    "online": "share of the Platforms online [1]",
}
ENVELOPE_BYTES: Final = 193.0  # of a publish around its payload, constructed (topologies.profiles)


@dataclass(frozen=True)
class Window:
    """When the attack or failure lasts, and until when its victims are looked at. [s]

    What fails is over long before its consequences are, so that a failure is looked at until the
    run's end, an attack while it lasts.
    """

    start_s: float
    end_s: float
    until_s: float


def variant(
    defence: str,
    description: str,
    runs: tuple[Run, Run],
    undefended: Run,
    window: Window,
    picture: str,
) -> Measured:
    """Figures of one defence.

    Parameters
    ----------
    runs : (Run, Run)
        With the attack, and without.
    undefended : Run
        Without the attack, without the defence.
    picture : str
        What its curve shows over time: a name of `PICTURES`.
    """
    attacked, calm = runs
    latency = Figures([attacked], _phases(attacked, window)).latency()
    samples = {
        "goodput_per_s": _goodput(attacked, window),
        "p99_s": latency.sample(0.99),
        **_other_topics(attacked, window),
        "collateral": _collateral(calm, undefended),
        "time_to_recover_s": _recovery(attacked, window),
        "peak_memory_bytes": _peak(attacked),
        "lost_share": _lost(attacked),
        **_amplification(attacked, calm),
        **_logins(attacked, window.start_s),
        **slow_readers.figures(attacked, calm),
    }
    reasons = {
        "time_to_detect_s": "no detector takes part",
        "time_to_mitigate_s": "the defence stands from the beginning",
        **dict.fromkeys(
            ("amplification_bytes", "amplification_messages", "amplification_cpu_s"),
            "nobody attacks by publishing",
        ),
    }
    names = {"attacked": attacked.header.run_id, "calm": calm.header.run_id}
    return Measured(defence, description, samples, _curve(attacked, picture), reasons, names)


def _curve(run: Run, picture: str) -> Curve:
    """One of `PICTURES` over time, of the first replication."""
    line = timeline.timeline(run, 0)
    logins = run.header.measurement.get("logins", {})
    match picture:
        case "memory":
            values = np.sum(list(line.memory_bytes.values()), axis=0)
        case "online" if logins:
            entries = list(logins.values())
            online = np.sum([entry["online"][0] for entry in entries], axis=0)
            values = online / sum(entry["platforms"] for entry in entries)
        case _:
            values = line.goodput_per_s
    ends_s = line.end_s
    count = min(len(ends_s), len(values))
    known = [float(v) if np.isfinite(v) else None for v in values[:count]]
    return thinned([float(t) for t in ends_s[:count]], known)


def _phases(run: Run, window: Window) -> list[str]:
    return [
        p.name
        for p in run.header.phases
        if p.measured and window.start_s <= p.start_s < window.until_s
    ]


def _other_topics(run: Run, window: Window) -> dict[str, Sample]:
    """p99 on the Topics that are not flooded; none where there are none. [s]"""
    described = _described(run)
    flooded = {each.get("topic") for each in described.get("attacks", ())}
    others = [each["name"] for each in described["topics"] if each["name"] not in flooded]
    if not flooded or not others:
        return {}
    latency = Figures([run], _phases(run, window)).latency
    histograms = np.sum([latency(name).parts for name in others], axis=0)
    return {"other_topics_p99_s": statistics.quantile(list(histograms), 0.99)}


def _recovery(attacked: Run, window: Window) -> Sample:
    phases = [p.name for p in attacked.header.phases if window.start_s <= p.start_s < window.end_s]
    after = [p for p in attacked.header.phases if p.start_s >= window.end_s and p.measured]
    if not phases or not after:
        return Sample(np.nan, reason="the run ends with the attack: make it longer")
    return timeline.recovery(attacked, phases[-1])


def _peak(run: Run) -> Sample:
    """The most that all Controllers together held at a time, mean over replications. [B]"""
    numbers = np.unique(run.intervals["replication"])
    levels = [timeline.timeline(run, int(number)).memory_bytes for number in numbers]
    parts = np.array([np.sum(list(each.values()), axis=0).max() for each in levels])
    return Sample(float(parts.mean()), parts, 0.0)


def _lost(run: Run) -> Sample:
    """Share of the legitimate deliveries of the measured phases that never come. [1]"""
    histograms = Figures([run]).latency().parts
    parts = np.array([each[histogram.UNDELIVERED] / max(each.sum(), 1) for each in histograms])
    return Sample(float(parts.mean()), parts, 0.0)


def _logins(run: Run, start_s: float) -> dict[str, Sample]:
    """How the Platforms come back, where some have lost their sessions.

    `online_share` is that at the end of the run, `whole_again_s` how long after the
    disturbance's start 99 % are online for good.
    """
    entries = list(run.header.measurement.get("logins", {}).values())
    if not entries:
        return {}
    platforms = sum(entry["platforms"] for entry in entries)
    online = np.sum([np.asarray(entry["online"]) for entry in entries], axis=0) / platforms
    numbers = run.intervals["replication"]
    edges_s = np.unique(run.intervals["end_s"][numbers == numbers[0]])
    share = online[:, -1]
    whole_s = np.array([_whole_s(each, edges_s, start_s) for each in online])
    missing = int(np.isinf(whole_s).sum())
    reason = f"unbounded: not whole at the end in {missing} of {len(whole_s)} replications"
    attempts = sum(entry["attempts"] for entry in entries)
    logins = sum(entry["logins"] for entry in entries)
    return {
        "online_share": Sample(float(share.mean()), share, 0.0),
        "whole_again_s": Sample(float(whole_s.mean()), whole_s, 0.0, reason if missing else ""),
        "attempts_per_login": Sample(
            attempts / logins if logins else np.nan, reason="over all replications"
        ),
    }


def _whole_s(share: FloatArray, edges_s: FloatArray, start_s: float) -> float:
    """From a disturbance's start until 99 % are online for good; infinite if never. [s]"""
    broken = np.flatnonzero(share < WHOLE)
    if not len(broken):
        return 0.0
    last = int(broken[-1]) + 1
    if last >= min(len(share), len(edges_s)):
        return np.inf
    return max(float(edges_s[last]) - start_s, 0.0)


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
        return ((middle_s >= window.start_s) & (middle_s < window.until_s)).astype(np.float64)

    parts = _by_replication(run, "timely", inside) / (window.until_s - window.start_s)
    return Sample(float(parts.mean()), parts, 0.0)


def _collateral(calm: Run, undefended: Run) -> Sample:
    """Share of the timely deliveries that the defence alone takes. [1]"""
    kept, all_of_them = (_by_replication(run, "timely", _all) for run in (calm, undefended))
    if not all_of_them.sum():
        return Sample(np.nan, reason="nothing is delivered in time even without attack")
    return Sample(float(1.0 - kept.sum() / all_of_them.sum()), 1.0 - kept / all_of_them)


def _amplification(attacked: Run, calm: Run) -> dict[str, Sample]:
    """What is more with the attack, per byte and per publication of the attacker."""
    hostile = _by_replication(attacked, "offered", _all) - _by_replication(
        attacked, "offered_legitimate", _all
    )
    if not hostile.all():
        return {}
    sent_bytes = np.array([_hostile_bytes(attacked, number) for number in range(len(hostile))])

    def per(column: str, units: FloatArray) -> Sample:
        more = _by_replication(attacked, column, _all) - _by_replication(calm, column, _all)
        return Sample(float(more.sum() / units.sum()), more / units)

    return {
        "amplification_bytes": per("egress_bytes", sent_bytes),
        "amplification_messages": per("delivered", hostile),
        "amplification_cpu_s": per("busy_s", hostile),
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
    first = 0
    for population in _described(run)["platforms"]:
        if population.get("role") == "adversary" and population["count"]:
            last_adversary = first
        first += int(population["count"])
    return last_adversary


def _described(run: Run) -> dict[str, Any]:
    """The topology of a run as its file has it."""
    import yaml

    return dict(yaml.safe_load(run.header.topology.text))
