"""The figures of Platforms that come back: foretold, and by a model that is told a play's pace."""

from __future__ import annotations

from typing import Final

import numpy as np

from results import Run, comebacks
from results.statistics import Sample
from results.variants import Measured, thinned
from sim.agreements import DOOR, at_pace, slowed
from sim.logins import steps
from sim.replications import simulate
from topologies import Profile
from topologies.returns import instants
from topologies.schema import Topology

HERDS: Final = 8  # replications of a herd that may never drain


def foretold(name: str, topology: Topology, run: Run, share: float = 1.0) -> Measured:
    """The figures of a simulated run's sessions, on a share of a core."""
    logins = run.header.measurement.get("logins", {})
    numbers = run.intervals["replication"]
    edges_s = np.unique(run.intervals["end_s"][numbers == numbers[0]])
    hostile = [each.name for each in topology.platforms if each.role == "adversary"]
    due = instants(topology)
    samples = comebacks.figures(logins, edges_s, hostile, back_s=due.back_s, guess_s=due.guess_s)
    samples["server_cpu_share"] = _used(run, topology, share)
    if due.guess_s is not None:
        used_s = float(share * run.intervals["busy_s"].sum())
        samples |= comebacks.work_per_answer(logins, hostile, used_s)
    honest = [entry for name, entry in logins.items() if name not in hostile]
    count = min(len(edges_s), *(len(entry["online"][0]) for entry in honest), len(edges_s))
    total = sum(entry["platforms"] for entry in honest) or 1
    online = np.sum([entry["online"][0][:count] for entry in honest], axis=0) / total
    curve = thinned([float(t) for t in edges_s[:count]], np.atleast_1d(online).tolist())
    return Measured(name, "", samples, curve, {}, {"attacked": run.header.run_id})


def _used(run: Run, topology: Topology, share: float) -> Sample:
    """Share of its core that the server used while it was there, from the first fault on. [1]"""
    table = run.intervals
    down_s = sum(each.duration for each in topology.faults if hasattr(each, "controller"))
    begin_s = min((each.start for each in topology.faults), default=0.0) if down_s else 0.0
    late = table["start_s"] >= begin_s
    used_s = np.bincount(table["replication"], weights=share * table["busy_s"] * late)
    parts = used_s / (topology.workload.duration - begin_s - down_s)
    return Sample(float(parts.mean()), parts, 0.0)


def told_the_pace(
    topology: Topology, played: Measured, profiles: dict[str, Profile], seed: int, share: float,
    replications: int = HERDS,
) -> Measured | None:  # fmt: skip
    """What the model says of a play when told how fast the cores were; None if that is not known.

    A neighbour on the same physical core is no wrong cost, nor a wrong cost a neighbour.
    """
    pace = played.samples.get("pace_per_s")
    if pace is None or not profiles:
        return None
    slower = at_pace(profiles, dict.fromkeys(profiles, pace.value))
    if slower is None:
        return None
    run = simulate(topology, seed=seed, replications=replications, profiles=slower, door=DOOR)
    return foretold(played.defence, topology, run, share)


def told_the_cost(
    topology: Topology, played: Measured, profiles: dict[str, Profile], seed: int, share: float,
    ratio: float, replications: int,
) -> Measured:  # fmt: skip
    """What the model says of a play in which messages cost the server so many times as much."""
    dearer = {name: slowed(each, ratio) for name, each in profiles.items()}
    run = simulate(topology, seed=seed, replications=replications, profiles=dearer, door=DOOR)
    return foretold(played.defence, topology, run, share)


def cost_ratio(
    topology: Topology, played: Measured, profiles: dict[str, Profile], login_s: float, share: float
) -> float | None:
    """CPU time that a play's server used, over what the model takes its messages to cost. [1]

    A login that nobody gives up takes this server `login_s` [s] of its `share` of a core; an
    attempt is paid for up to the last message that was sent. None where that is not known.
    """
    used = played.samples.get("server_cpu_share")
    herd = max(topology.platforms, key=lambda each: each.count)
    if used is None or herd.login is None or not any(played.messages):
        return None
    (profile,) = profiles.values()
    works_s = [each.work_s for each in steps(herd, herd.login, profile)]
    if len(works_s) != len(played.messages):
        return None
    logins = float(np.dot(played.messages, works_s)) / sum(works_s)
    return used.value * topology.workload.duration / (share * login_s * logins)
