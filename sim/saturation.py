"""Throughput and latency over load, the knee, and how capacity grows with Controllers.

Loads are fractions of what the busiest Controller can do on paper. Capacity of several Controllers
is that of closed forms: each takes in every publication, so that they do not scale for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from results import histogram
from results.knee import knee, scaling
from results.outcomes import OutcomeFigures
from results.saturations import LoadPoint, SaturationDocument, ScalingFigures
from sim.arrangements import arrangements
from sim.bounds import shares
from sim.designs import Arrangement, Design, parallel, part
from sim.executors import executor, prepare
from sim.inputs import on_paper
from sim.scenarios import Base, Scenario, work
from sim.services import demands
from sim.trials import windowed
from topologies.profiles import Profile
from topologies.schema import Topology

FRACTIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.05, 1.2)
SIZES = (1, 2, 3, 4, 6, 8, 12, 16)
DELIVERIES = 4e5
WINDOW_S = (10.0, 60.0)
Progress = Callable[[float, str], None]


def saturation(
    base: Base,
    *,
    processes: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> SaturationDocument:
    """The document of `gridlab knee`: a curve over load, its knee, and the scaling law.

    Raises
    ------
    TopologyError
        The topology cannot be simulated.
    """
    started = time.perf_counter()
    prepare(processes, cluster)
    calm = base.topology.model_copy(update={"attacks": ()})
    base = replace(base, topology=windowed(calm, DELIVERIES, WINDOW_S))
    asked = on_paper(base, ())
    nodes = {node.name: node for node in base.topology.controllers}
    usable = {name: nodes[name].cores if parallel(base.profiles[name]) else 1 for name in asked}
    busiest = max(asked, key=lambda name: asked[name] / usable[name])
    full = usable[busiest] / asked[busiest]  # multiple of the load at which it is busy throughout
    loads = [float(f"{fraction * full:.4g}") for fraction in FRACTIONS]
    chosen = [Scenario(base, number, (("load", repr(load)),)) for number, load in enumerate(loads)]
    found: dict[str, dict[str, Any]] = {}
    with executor(processes, cluster) as workers:
        for outcome in workers.map(work, chosen):
            found[outcome["key"]] = outcome
            if progress is not None:
                progress(len(found) / len(chosen), f"load {len(found)} of {len(chosen)}")
    kept = [
        (load, OutcomeFigures(found[each.key]))
        for load, each in zip(loads, chosen, strict=True)
        if "refused" not in found[each.key]
    ]
    throughputs = np.array([figures.rate("delivered").parts for _, figures in kept])
    means_s = np.array(
        [[histogram.mean(counts) for counts in figures.histograms()] for _, figures in kept]
    )
    subject = (base.topology, busiest, base.profiles[busiest], usable[busiest])
    return {
        "topology": base.topology.name,
        "controller": busiest,
        "points": [_point(load, figures) for load, figures in kept],
        "knee": knee([load for load, _ in kept], throughputs, means_s).estimate(),
        "saturation": full,
        "scaling": _scaling(*subject, "subscribers"),
        "cluster": _scaling(*subject, "cluster")
        if "cluster" in arrangements(base.profiles[busiest])
        else None,
        "seed": base.seed,
        "replications": base.replications,
        "window_s": base.topology.workload.duration,
        "wall_s": time.perf_counter() - started,
    }


def _point(load: float, figures: OutcomeFigures) -> LoadPoint:
    estimates = figures.estimates()
    return {
        "load": load,
        "offered_load_per_s": estimates["offered_load_per_s"],
        "throughput_per_s": estimates["throughput_per_s"],
        "goodput_per_s": estimates["goodput_per_s"],
        "latency_p50_s": estimates["latency_p50_s"],
        "latency_p99_s": estimates["latency_p99_s"],
        "utilisation": estimates["utilisation"],
    }


def _scaling(
    topology: Topology, controller: str, profile: Profile, cores: int, arrangement: Arrangement
) -> ScalingFigures:
    """Publications a second that k Controllers can do in an arrangement. [1/s]"""
    offered = demands(topology, controller, 1.0, attacks=False)
    rate_per_s = sum(demand.rate_per_s for demand in offered)
    capacities = []
    for controllers in SIZES:
        own = part(topology, controller, profile, Design(controllers, cores, arrangement))
        capacities.append(rate_per_s / shares(own, controller, profile, 1.0)[0].mean)
    fit = scaling(SIZES, capacities)
    return {
        "sizes": list(SIZES),
        "capacity_per_s": capacities,
        "one_per_s": fit.one,
        "contention": fit.contention,
        "coherency": fit.coherency,
        "peak": fit.peak,
    }
