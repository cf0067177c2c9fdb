"""Small grids whose figures are known: closed forms, bounds, published figures, another program.

Symbols as in `verification_worlds`. A job is a publication with
one subscriber; the link takes a nanosecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from results.run import Run
from sim import draws, queues
from sim.draws import Purpose
from sim.queues import Flow, Moments
from sim.verification_herds import herds_for_ever
from sim.verification_rarities import rare_backlogs
from sim.verification_retrials import retrials
from sim.verification_storms import retry_storms
from sim.verification_worlds import (
    SERVICE_S,
    UTILISATIONS,
    WARM_UP,
    Effort,
    Figure,
    Floats,
    World,
    by_replication,
)  # fmt: skip
from topologies.plan import Plan

JOBS = {0.3: 100_000, 0.7: 200_000, 0.9: 300_000, 0.95: 600_000}
NARROW = {0.3: 0.01, 0.7: 0.02, 0.9: 0.05, 0.95: 0.08}


def _settled(run: Run, column: str, topic: int = 0) -> Floats:
    """Mean latency of first or last copies of a Topic, after the warm-up. [s]"""
    warm_s = WARM_UP * run.header.duration_s

    def mean(rows: Mapping[str, Any]) -> float:
        kept = (rows["intended_s"] >= warm_s) & (rows["topic"] == topic)
        return float((rows[column] - rows["intended_s"])[kept].mean())

    return by_replication(run, mean)


def _mean_latency_s(run: Run) -> Floats:
    """Mean latency of all copies of each replication, after the warm-up. [s]"""
    rows = run.intervals
    late = rows["start_s"] >= WARM_UP * run.header.duration_s - 1e-9
    means = []
    for replication in range(run.header.replications):
        own = late & (rows["replication"] == replication)
        means.append(rows["latency_sum_s"][own].sum() / rows["latency_count"][own].sum())
    return np.array(means)


def _seconds(value: float) -> str:
    return f"{value!r} s"


def _per_second(value: float) -> str:
    return f"{value!r}/s"


def single_queues(effort: Effort) -> Iterator[Figure]:
    """M/D/1, M/M/1, M/G/1 with a log-normal service, and M/M/4: mean time in the system."""
    shapes: list[tuple[str, dict[str, Any], float, int, float]] = [
        ("M/D/1", {"copy": _seconds(SERVICE_S)}, 0.0, 1, 1.0),
        ("M/M/1", {"copy": _seconds(SERVICE_S), "copy_distribution": "exponential"}, 1.0, 1, 1.3),
        ("M/G/1, log-normal of cv 1.2",
         {"publish": _seconds(SERVICE_S), "copy": "0 s", "cv": 1.2}, 1.44, 1, 1.6),
        ("M/M/4", {"copy": _seconds(SERVICE_S), "copy_distribution": "exponential"}, 1.0, 4, 1.2),
    ]  # fmt: skip
    for name, costs, scv, cores, wider in shapes:
        for rho in UTILISATIONS:
            rate_per_s = cores * rho / SERVICE_S
            service = Moments(SERVICE_S, (1.0 + scv) * SERVICE_S**2)
            wait_s = queues.mgc_wait_s(rate_per_s, service, cores)
            jobs = JOBS[rho] * effort.jobs
            arrivals = {"process": "poisson", "rate": _per_second(rate_per_s)}
            world = World((arrivals,), jobs / rate_per_s, costs, cores=cores)
            found = _mean_latency_s(world.play(effort))
            narrow = effort.widened(wider * NARROW[rho])
            yield Figure(f"{name}: mean", SERVICE_S + wait_s, found, narrow, rho)


def fan_outs(effort: Effort) -> Iterator[Figure]:
    """A publication to 25 is a batch of 25 in M^X/M/1: first, mean and last of the batch."""
    copies, copy_s = 25, SERVICE_S / 25
    for rho in UTILISATIONS:
        square = copies * copy_s**2 + SERVICE_S**2
        wait_s = rho / SERVICE_S * square / (2.0 * (1.0 - rho))
        jobs = JOBS[rho] * effort.jobs
        arrivals = {"process": "poisson", "rate": _per_second(rho / SERVICE_S)}
        costs = {"copy": _seconds(copy_s), "copy_distribution": "exponential"}
        run = World((arrivals,), jobs * SERVICE_S / rho, costs, copies).play(effort)
        narrow = effort.widened(1.4 * NARROW[rho])
        for name, theory_s, values in (
            ("first", wait_s + copy_s, _settled(run, "first_s")),
            ("mean", wait_s + 0.5 * (copies + 1) * copy_s, _mean_latency_s(run)),
            ("last", wait_s + SERVICE_S, _settled(run, "last_s")),
        ):
            yield Figure(f"M^X/M/1, fan-out of 25: {name}", theory_s, values, narrow, rho)


def batches(effort: Effort) -> Iterator[Figure]:
    """Geometric batches of mean 4 in M^X/D/1: mean time in the system."""
    for rho in UTILISATIONS:
        rate_per_s = rho / SERVICE_S / 4.0
        flow = Flow(rho / SERVICE_S, queues.geometric(4.0), queues.constant(SERVICE_S))
        jobs = JOBS[rho] * effort.jobs
        arrivals = {
            "process": "batch", "rate": _per_second(rate_per_s), "mean_size": 4,
            "distribution": "geometric",
        }  # fmt: skip
        world = World((arrivals,), jobs / rate_per_s / 4.0, {"copy": _seconds(SERVICE_S)})
        theory_s = queues.batch_wait_s([flow]) + SERVICE_S
        values = _mean_latency_s(world.play(effort))
        narrow = effort.widened(2.2 * NARROW[rho])
        yield Figure("M^X/D/1, geometric batches of 4: mean", theory_s, values, narrow, rho)


def priorities(effort: Effort) -> Iterator[Figure]:
    """Three classes of M/D/1 and M/M/1 without interruption: W_k = R / ((1 - s_<k) (1 - s_<=k)).

    A fifth of the jobs are urgent, three tenths normal, half of them bulk (Cobham 1954). At high
    load bulk is what waits, and its mean over a run is skew, so that Student's interval would be
    too narrow on one side. So the same jobs are served once more as they come, by Lindley's
    recursion, and what their mean wait is off Pollaczek and Khinchine's is taken from that of bulk,
    `slope_ratio` times: a control variate whose mean is known [1]_. At 0.95 that is 1.99 times,
    since the work in the queue is the same in any order [2]_ and half of the jobs bear nearly all
    of it. What is left is hardly skew, and its law that of the order in which the server works.

    References
    ----------
    .. [1] S. S. Lavenberg, P. D. Welch, "A perspective on the use of control variables to increase
           the efficiency of Monte Carlo simulations," Management Science 27(3), 1981.
    .. [2] L. Kleinrock, "A conservation law for a wide class of queueing disciplines," Naval
           Research Logistics Quarterly 12(2), 1965.
    """
    shares = {"urgent": 0.2, "normal": 0.3, "bulk": 0.5}
    topics = {name: 1 - place for place, name in enumerate(shares)}
    for kind, scv, distribution in (("M/D/1", 0.0, "constant"), ("M/M/1", 1.0, "exponential")):
        for rho in UTILISATIONS:
            arrivals = tuple(
                {"topic": name, "process": "poisson", "rate": _per_second(share * rho / SERVICE_S)}
                for name, share in shares.items()
            )
            costs = {"copy": _seconds(SERVICE_S), "copy_distribution": distribution}
            jobs = JOBS[rho] * effort.jobs
            world = World(arrivals, jobs * SERVICE_S / rho, costs, topics=topics)
            run, before = world.play(effort), 0.0
            residual_s = 0.5 * rho * SERVICE_S * (1.0 + scv)
            for place, (name, share) in enumerate(shares.items()):
                wait_s = residual_s / ((1.0 - before) * (1.0 - before - share * rho))
                values = _settled(run, "first_s", place)
                if name == "bulk":
                    more_s = _waits_in_order_s(world, effort) - residual_s / (1.0 - rho)
                    values = values - slope_ratio(rho, before) * more_s
                before += share * rho
                narrow = effort.widened(0.015)
                of = f"{kind} with priorities, {name}: mean"
                yield Figure(of, SERVICE_S + wait_s, values, narrow, rho)


def slope_ratio(rho: float, before: float) -> float:
    """How many times as steeply the last class's mean wait grows with load as that of all jobs. [1]

    Waits of a run are off above all as its load happens to be more or less than rho. With R the
    mean residual work, proportional to rho, all jobs together wait W = R / (1 - rho) in order and
    those of the last class W / (1 - b), where b = `before` is the load of those before them, a
    share of rho. The ratio of the slopes in rho is

        (1 + b (1 - rho) / (1 - b)) / (1 - b).
    """
    return (1.0 + before * (1.0 - rho) / (1.0 - before)) / (1.0 - before)


def _waits_in_order_s(world: World, effort: Effort) -> Floats:
    """Mean wait of all jobs of each replication if they are served as they come. [s]"""
    topology, means = world.topology(), []
    for replication in range(effort.replications):
        plan = Plan(topology, effort.seed, replication).columns()
        service_s = np.full(len(plan), SERVICE_S)
        if world.costs["copy_distribution"] == "exponential":
            key = (effort.seed, int(Purpose.COPY), replication)
            service_s *= [draws.exponential_at(*key, row, 0) for row in range(len(plan))]
        waits_s = waiting_times(plan.intended_s, service_s)
        means.append(waits_s[plan.intended_s >= WARM_UP * world.duration_s].mean())
    return np.array(means)


def waiting_times(arrival_s: Floats, service_s: Floats) -> Floats:
    """Waiting time of each job in a single-server FIFO queue.

    Lindley's recursion, W[0] = 0, W[n + 1] = max(0, W[n] + S[n] - (A[n + 1] - A[n])), as the
    distance of a sum from its least value so far.

    Parameters
    ----------
    arrival_s, service_s : ndarray, shape (n,)
        Arrival times, non-decreasing, and service times. [s]

    Returns
    -------
    ndarray, shape (n,)
        [s]
    """
    ahead_s = np.concatenate([[0.0], np.cumsum(service_s[:-1] - np.diff(arrival_s))])
    return np.asarray(ahead_s - np.minimum.accumulate(ahead_s))


KAUL = "Kaul, Yates, Gruteser 2012: real-time status, how often should one update?"


def ages(effort: Effort) -> Iterator[Figure]:
    """Age of information of M/M/1: (1 + 1 / rho + rho^2 / (1 - rho)) S, least near 0.53."""
    published = {0.53: (3.484 * SERVICE_S, KAUL)}
    for rho in (0.3, 0.53, 0.7, 0.9, 0.95):
        theory_s = SERVICE_S * (1.0 + 1.0 / rho + rho**2 / (1.0 - rho))
        arrivals = {"process": "poisson", "rate": _per_second(rho / SERVICE_S)}
        costs = {"copy": _seconds(SERVICE_S), "copy_distribution": "exponential"}
        jobs = JOBS.get(rho, 200_000) * effort.jobs
        world = World((arrivals,), jobs * SERVICE_S / rho, costs)
        narrow = effort.widened(1.4 * NARROW.get(rho, 0.015))
        values = np.array([by_replication(run, _age_s)[0] for run in world.play_whole(effort)])
        name = "age of information, M/M/1: mean"
        yield Figure(name, theory_s, values, narrow, rho, published=published.get(rho))


def _age_s(rows: Mapping[str, Any]) -> float:
    """Time average of the age of the newest item held: it grows and falls at each receipt. [s]"""
    received_s, intended_s = rows["first_s"], rows["intended_s"]
    span_s = np.diff(received_s)
    start_s = received_s[:-1] - intended_s[:-1]
    return float((span_s * (start_s + 0.5 * span_s)).sum() / span_s.sum())


def herds(effort: Effort) -> Iterator[Figure]:
    """N jobs of 5 ms within a minute: the last is done at max(w, N c / k), as a fluid would be."""
    for jobs, cores in ((20_000, 1), (40_000, 2), (10_000, 1)):
        arrivals = {"process": "poisson", "rate": _per_second(jobs / 60.0)}
        run = World((arrivals,), 60.0, {"copy": "5 ms"}, cores=cores).play(effort)

        def last(rows: Mapping[str, Any], cores: int = cores) -> float:
            return float(rows["last_s"].max() / max(60.0, len(rows["last_s"]) * 0.005 / cores))

        name = f"herd of {jobs:,} within 60 s on {cores} core(s): last done over max(w, N c / k)"
        yield Figure(name, 1.0, by_replication(run, last), 0.01, fluid_error=0.002)


def recoveries(effort: Effort) -> Iterator[Figure]:
    """Twice the capacity for 20 s: from its end until a job finds the server idle.

    On average V / (1 - rho) for the work V that is left (a random walk's passage time), and
    1 / lambda until that job comes.
    """
    overload_s, found = 20.0, {}
    for rho in UTILISATIONS:
        rate_per_s = rho / SERVICE_S
        flood = {"process": "poisson", "rate": "200/s", "end": _seconds(overload_s)}
        calm = {
            "process": "poisson",
            "rate": _per_second(rate_per_s),
            "start": _seconds(overload_s),
        }
        length_s = overload_s + 5.0 * overload_s / (1.0 - rho)
        world = World((flood, calm), length_s, {"copy": _seconds(SERVICE_S)})

        def recovery(rows: Mapping[str, Any], rho: float = rho) -> float:
            intended_s, latency_s = rows["intended_s"], rows["first_s"] - rows["intended_s"]
            before = intended_s < 20.0
            left_s = float(latency_s[before][-1] - (20.0 - intended_s[before][-1]))
            idle = ~before & (latency_s < SERVICE_S * 1.000001)
            expected_s = left_s / (1.0 - rho) + SERVICE_S / rho
            return float(intended_s[idle][0] - 20.0) / expected_s

        found[rho] = np.array(
            [by_replication(run, recovery)[0] for run in world.play_whole(effort)]
        )
        name = "recovery from overload over V / (1 - rho) + 1 / lambda"
        narrow = 0.18 * (16 / effort.replications) ** 0.5
        yield Figure(name, 1.0, found[rho], narrow, rho)
    source = "IBM QRadar: a host of 10,000 events/s drains 500/s at 9,500 and 3,000/s at 7,000"
    ratio = 6.0 * found[0.95] / found[0.7]
    narrow = 0.25 * (16 / effort.replications) ** 0.5
    yield Figure("recovery at 0.95 over that at 0.7", 6.0, ratio, narrow, published=(6.0, source))


def token_buckets(effort: Effort) -> Iterator[Figure]:
    """A shaper of rate r and burst b lets b + r d through in any d seconds, and no more."""
    rate, burst = 20_000.0, 8_000.0
    client = {"rate": f"{rate!r} B/s", "burst": f"{burst!r} B"}
    limits = {"limits": {"client": client, "shape": "delay"}}
    for rho in UTILISATIONS:
        arrivals = {"process": "batch", "mean_size": 5, "distribution": "geometric"}
        world = World((arrivals,), 300.0, {"copy": "1 us"}, more=limits)
        size_bytes = 1000.0 + world.profile().publication_bytes
        arrivals["rate"] = _per_second(rho * rate / (5.0 * size_bytes))

        def most(rows: Mapping[str, Any], size_bytes: float = size_bytes) -> float:
            accepted_s = np.sort(rows["accepted_s"])
            passed = size_bytes * np.arange(len(accepted_s)) - rate * accepted_s
            return float((passed + size_bytes - np.minimum.accumulate(passed)).max())

        values = by_replication(world.play(effort), most)
        name = "token bucket: most bytes beyond r d in any d seconds"
        yield Figure(name, burst, values, 0.05, rho, at_most=True)


def other_program(effort: Effort) -> Iterator[Figure]:
    """Two exponential cores, then a reader of constant time, beside ciw; nobody has a formula."""
    rate_per_s, read_s = 140.0, 0.005
    arrivals = {"process": "poisson", "rate": _per_second(rate_per_s)}
    costs = {"copy": _seconds(SERVICE_S), "copy_distribution": "exponential"}
    reader = {"read_rate": _per_second(1.0 / read_s)}
    jobs = JOBS[0.7] * effort.jobs
    world = World((arrivals,), jobs / rate_per_s, costs, cores=2, reader=reader)
    ours = _mean_latency_s(world.play(effort))
    theirs = _ciw(rate_per_s, read_s, effort)
    yield Figure(
        "M/M/2, then a constant reader: mean", float(theirs.mean()), ours,
        0.1 if effort.jobs == 1.0 else 0.2, 0.7,
        other=(theirs, "ciw"),
    )  # fmt: skip


def _ciw(rate_per_s: float, read_s: float, effort: Effort) -> Floats:
    """The same network in ciw: mean time in it, from replications of its own draws. [s]"""
    import ciw

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate_per_s), None],
        service_distributions=[
            ciw.dists.Exponential(1.0 / SERVICE_S), ciw.dists.Deterministic(read_s),
        ],
        number_of_servers=[2, 1],
        routing=[[0.0, 1.0], [0.0, 0.0]],
    )  # fmt: skip
    length_s, means = 40.0 * max(effort.jobs, 0.5), []
    for replication in range(effort.replications):
        ciw.seed(1000 * effort.seed + replication)
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_time(length_s)
        records = simulation.get_all_records()
        came_s = {each.id_number: each.arrival_date for each in records if each.node == 1}
        stays_s = [
            each.exit_date - came_s[each.id_number]
            for each in records
            if each.node == 2 and came_s[each.id_number] > WARM_UP * length_s
        ]
        means.append(sum(stays_s) / len(stays_s))
    return np.array(means)


CASES: tuple[Callable[[Effort], Iterator[Figure]], ...] = (
    single_queues, fan_outs, batches, priorities, retrials, ages, herds, herds_for_ever,
    recoveries, token_buckets, retry_storms, rare_backlogs, other_program,
)  # fmt: skip
