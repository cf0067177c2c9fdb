"""Replications: the same topology with other draws, on as many processes as there is work for."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

import topologies
from results import Run, environment
from results.records import PUBLICATION_ROWS_MAX
from sim import phases
from sim.fetches import direct
from sim.grid import Grid, Watch
from sim.journeys import COPIES_MAX
from sim.keeping import keeps
from sim.platforms import require_supported
from sim.precision import (
    REPLICATIONS_MAX,
    replications_needed,
    require_steady,
    with_warning,
)
from sim.recording import Occasion, Outcome, draft
from sim.stations import Graph
from sim.study import Study
from sim.workers import cores, pool
from topologies import Plan, Profile, Topology

Engine = Literal["compiled", "reference"]
Progress = Callable[[float, str], None]

COPIES_FOLLOWED = 5_000  # copies of one publication, about, that are followed
DELIVERIES_PER_PROCESS = 20e6  # about a second's work: less does not pay for another process


@dataclass(frozen=True)
class Task:
    """One replication, as it is handed to a process."""

    topology: Topology
    profiles: Mapping[str, Profile]
    seed: int
    replication: int
    plan_replication: int
    load: float
    engine: Engine
    window_s: float | None
    row_stride: int
    stages: bool = True
    warm_up_s: float | None = None


def simulate(  # noqa: PLR0913
    topology: Topology,
    *,
    seed: int = 1,
    replications: int = 8,
    processes: int | None = None,
    profiles: Mapping[str, Profile] | None = None,
    engine: Engine = "compiled",
    load: float = 1.0,
    plan_replication: int | None = None,
    precision: float | None = None,
    window_s: float | None = None,
    stages: bool = True,
    warm_up_s: float | None = None,
    progress: Progress | None = None,
    door: str = "gridlab simulate",
) -> Run:
    """Simulate a topology; the same figures for the same seed, however the work is shared.

    Parameters
    ----------
    topology : Topology
        The grid and what happens to it.
    seed : int
        Key of the plan and of all draws.
    replications : int
        Independent repetitions; number r plays plan(seed, r).
    processes : int, optional
        Worker processes; as many as there are cores and work for by default. 1 works in place.
    profiles : mapping of str to Profile, optional
        Cost profile by Controller; those that the topology names by default.
    engine : {"compiled", "reference"}
        The kernels, or the per-stanza model that they are checked against.
    load : float
        Factor on legitimate rates. [1]
    plan_replication : int, optional
        Play this replication's plan in all replications; only the servers' draws differ then.
    precision : float, optional
        Add replications to a steady study until the half-width of the 99th percentile's interval is
        at most this share of it; `replications` are made in any case. [1]
    window_s : float, optional
        Longest stretch that the kernels carry in one go; the result does not depend on it. [s]
    stages : bool
        Split the latencies of some copies by stage; nothing else depends on it.
    warm_up_s : float, optional
        What to leave out at the beginning of a steady study; where MSER-5 says by default. [s]
    progress : callable, optional
        Called with the share that is done and a remark.
    door : str
        The command, for the record.

    Returns
    -------
    Run

    Raises
    ------
    TopologyError
        A field has no model yet, a trace or profile cannot be read, or `load` or a number of
        replications or processes is out of range.
    """
    started, created = time.perf_counter(), datetime.now(UTC)
    require_supported(topology)
    require_steady(topology, precision)
    _require(replications=replications, processes=1 if processes is None else processes)
    if profiles is None:
        profiles = {c.name: topologies.profile(topology, c.name) for c in topology.controllers}
    rows = Plan(topology, seed, plan_replication or 0, load).rows
    most = replications if precision is None else max(replications, REPLICATIONS_MAX)
    row_stride = max(1, -(-rows * most // int(0.97 * PUBLICATION_ROWS_MAX)))
    tasks = [
        Task(
            topology=topology,
            profiles=profiles,
            seed=seed,
            replication=replication,
            plan_replication=replication if plan_replication is None else plan_replication,
            load=load,
            engine=engine,
            window_s=window_s,
            row_stride=row_stride,
            stages=stages,
            warm_up_s=warm_up_s,
        )
        for replication in range(most)
    ]
    if processes is None:
        processes = _worthwhile(topology, load, replications, engine)
    outcomes: list[Outcome] = []
    while True:
        for outcome in _worked(tasks[len(outcomes) : replications], processes, progress):
            outcomes.append(outcome)
            if progress is not None:
                progress(len(outcomes) / replications, _remark(outcomes, started))
        peaks = {outcome.process: outcome.peak_rss_bytes for outcome in outcomes}
        peaks[os.getpid()] = environment.peak_rss_bytes()
        occasion = Occasion(
            topology, profiles, phases.timetable(topology, warm_up_s), seed, load, engine, door,
            row_stride, created, time.perf_counter() - started, sum(peaks.values()),
        )  # fmt: skip
        made = draft(occasion, outcomes)
        if precision is None:
            return Run(made)
        if (needed := replications_needed(Run(made), precision)) == replications:
            return Run(with_warning(made, precision))
        replications = needed


def _require(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            rule = "must be at least 1; write for example 8"
            raise topologies.TopologyError([f'{name}: "{count}": {rule}'])


def _worthwhile(topology: Topology, load: float, replications: int, engine: Engine) -> int:
    """Processes that the cores allow and the number of deliveries justifies."""
    deliveries = sum(
        rate * population.subscriber_count(topic)
        for topic, rate in topologies.offered(topology).items()
        for population in topology.platforms
    )
    deliveries *= max(load, 1.0) * topology.workload.duration * replications
    worth = deliveries / DELIVERIES_PER_PROCESS * (200 if engine == "reference" else 1)
    return max(1, min(cores(), replications, round(worth)))


def _worked(tasks: list[Task], processes: int, progress: Progress | None) -> Iterator[Outcome]:
    """Outcomes as they come."""
    if processes == 1:
        for done, task in enumerate(tasks):
            yield replicate(task, _watch(progress, done, len(tasks)))
        return
    with pool(min(processes, len(tasks))) as workers:
        for future in as_completed([workers.submit(replicate, task) for task in tasks]):
            yield future.result()


def _watch(progress: Progress | None, done: int, total: int) -> Watch | None:
    if progress is None:
        return None
    return lambda share: progress((done + share) / total, f"replication {done + 1} of {total}")


def _remark(outcomes: list[Outcome], started: float) -> str:
    deliveries = sum(tally.delivered for outcome in outcomes for tally in outcome.tallies)
    rate = deliveries / (time.perf_counter() - started)
    return f"{deliveries / 1e6:.3g} M deliveries, {rate / 1e6:.3g} M/s"


def _followed(task: Task, rows: int) -> tuple[int, int]:
    """Of every how many publications copies are followed through their stages, and of how many.

    Only in the first replication, and not where one fan-out alone is too large to follow, nor
    between stations or where copies are kept: a publication is then worked on more than once.
    """
    topology = task.topology
    again = any(keeps(node) for node in topology.controllers)
    again |= bool(direct(topology).any())
    if not task.stages or again or Graph(topology, task.profiles).lines:
        return 0, 1
    asked, fan_out = topologies.offered(topology), topology.fan_out()
    rate_per_s = sum(asked.values())
    widest = max((fan_out[topic] for topic in asked), default=0)
    if task.replication > 0 or rows == 0 or rate_per_s == 0.0 or widest > COPIES_MAX // 2:
        return 0, 1
    mean = sum(rate * fan_out[topic] for topic, rate in asked.items()) / rate_per_s
    copy_stride = max(1, widest // COPIES_FOLLOWED)
    return max(1, math.ceil(1.3 * rows * mean / copy_stride / COPIES_MAX)), copy_stride


def replicate(task: Task, watch: Watch | None = None) -> Outcome:
    """Work one replication."""
    plan = Plan(task.topology, task.seed, task.plan_replication, task.load)
    stage_stride, copy_stride = _followed(task, plan.rows)
    study = Study(
        task.topology, phases.timetable(task.topology, task.warm_up_s), task.seed, task.replication,
        plan.rows, task.row_stride, stage_stride=stage_stride, copy_stride=copy_stride,
    )  # fmt: skip
    if task.engine == "reference":
        from sim import reference

        tallies, plan_sha256 = reference.run(study, plan, task.profiles), plan.sha256
    else:
        grid = Grid(study, plan, task.profiles, window_s=task.window_s, watch=watch)
        tallies = grid.run()
        plan_sha256 = grid.plan_sha256
    tallies = [replace(tally, trace=tally.trace[:0]) for tally in tallies]
    return Outcome(
        task.replication,
        tuple(tallies),
        plan.rows,
        plan_sha256,
        os.getpid(),
        environment.peak_rss_bytes(),
    )
