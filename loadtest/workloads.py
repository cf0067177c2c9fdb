"""Workloads that scenarios make of a topology's own: steps, a ramp, bursts, more Platforms.

Each yields topologies, one for each run, with the phases into which that run is cut (none: the
study's own). What attacks a file describes is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from loadtest.problems import LoadError

if TYPE_CHECKING:
    from topologies.schema import Topology

Phases = tuple[tuple[str, float, float], ...]
Variant = tuple["Topology", Phases]


def as_it_is(topology: Topology, parameters: Mapping[str, Any]) -> Iterator[Variant]:
    """The file's own workload."""
    yield _calm(topology), ()


def steps(topology: Topology, parameters: Mapping[str, Any]) -> Iterator[Variant]:
    """Equal parts of the run, each with a higher load than the one before."""
    count, highest = int(parameters["steps"]), float(parameters["highest"])
    if count < 1:
        raise LoadError("--with steps: at least one is needed")
    loads = [highest * (k + 1) / count for k in range(count)]
    changed = _with_arrivals(
        topology,
        lambda rate: {"process": "step", "rates": tuple(per_s(rate * load) for load in loads)},
    )
    width_s = topology.workload.duration / count
    yield (
        changed,
        tuple((f"load {load:.3g}", k * width_s, (k + 1) * width_s) for k, load in enumerate(loads)),
    )


def ramp(topology: Topology, parameters: Mapping[str, Any]) -> Iterator[Variant]:
    """From a low load to a high one, evenly."""
    lowest, highest = float(parameters["lowest"]), float(parameters["highest"])
    if not lowest or not highest:
        raise LoadError("--with lowest, highest: must be more than 0")
    changed = _with_arrivals(
        topology,
        lambda rate: {
            "process": "ramp",
            "rate": per_s(rate * lowest),
            "final_rate": per_s(rate * highest),
        },
    )
    yield changed, ()


def bursts(topology: Topology, parameters: Mapping[str, Any]) -> Iterator[Variant]:
    """The same publications per second, so many at a time."""
    size = max(1, int(parameters["size"]))
    changed = _with_arrivals(
        topology,
        lambda rate: {"process": "batch", "rate": per_s(rate / size), "mean_size": size},
    )
    yield changed, ()


def fan_outs(topology: Topology, parameters: Mapping[str, Any]) -> Iterator[Variant]:
    """Runs with 1/n, 2/n, ... of every subscribing population, at the same load."""
    runs = max(1, int(parameters["runs"]))
    calm = _calm(topology)
    for k in range(1, runs + 1):
        platforms = tuple(
            each.model_copy(update={"count": max(1, math.ceil(each.count * k / runs))})
            if each.subscribes
            else each
            for each in calm.platforms
        )
        yield calm.model_copy(update={"platforms": platforms}), ()


def zipf(topology: Topology, parameters: Mapping[str, Any]) -> Iterator[Variant]:
    """The total load on the Topics that the file publishes to, the k-th of them by k^-exponent."""
    arrivals = topology.workload.arrivals
    if len({each.topic for each in arrivals}) < 2:
        raise LoadError(
            f"{topology.name}: publishes on one Topic only; mixed-topics needs several, "
            "for example campus-nac"
        )
    exponent = float(parameters["exponent"])
    topics = list(dict.fromkeys(each.topic for each in arrivals))
    weights = {topic: (rank + 1.0) ** -exponent for rank, topic in enumerate(topics)}
    total = sum(mean_rate(each) for each in arrivals)
    # A Topic's share is dealt out to those who publish on it, as the file has it.
    of_topic = {
        topic: sum(mean_rate(each) for each in arrivals if each.topic == topic) for topic in topics
    }
    scale = total / sum(weights.values())
    changed = tuple(
        _poisson(each, scale * weights[each.topic] * mean_rate(each) / of_topic[each.topic])
        for each in arrivals
    )
    yield _with(topology, changed), ()


def across_controllers(topology: Topology, parameters: Mapping[str, Any]) -> Iterator[Variant]:
    """The file's own workload, which must cross from one Controller to another."""
    home = {each.name: each.controller for each in topology.brokers}
    of_topic = {each.name: home[each.broker] for each in topology.topics}
    crossing = any(
        of_topic[wish.topic] != population.controller
        for population in topology.platforms
        for wish in population.subscribes
    )
    if not crossing:
        raise LoadError(
            f"{topology.name}: nobody subscribes to a Topic of another Controller; "
            "use a topology like federation"
        )
    yield _calm(topology), ()


def mean_rate(arrivals: Any) -> float:
    """Publications per second of one arrival process, on average. [1/s]"""
    match arrivals.process:
        case "on-off":
            share = arrivals.mean_on / (arrivals.mean_on + arrivals.mean_off)
            return float(arrivals.rate * share)
        case "batch":
            return float(arrivals.rate * arrivals.mean_size)
        case "ramp":
            return float(arrivals.rate + arrivals.final_rate) / 2.0
        case "step":
            return float(sum(arrivals.rates)) / len(arrivals.rates)
        case "deterministic" | "poisson" | "sine":
            return float(arrivals.rate)
    raise LoadError(
        f'arrivals on "{arrivals.topic}": have no rate that a scenario could change '
        f"({arrivals.process}); use deterministic, poisson, on-off, batch, sine, ramp or step"
    )


def per_s(rate: float) -> str:
    """A rate as a topology file writes it. [1/s]"""
    return f"{rate!r}/s"


def _with_arrivals(topology: Topology, process: Callable[[float], Mapping[str, Any]]) -> Topology:
    """Every arrival process exchanged for another of a rate made from its mean one."""
    changed = tuple(_become(each, process(mean_rate(each))) for each in topology.workload.arrivals)
    return _with(topology, changed)


def _poisson(arrivals: Any, rate: float) -> Any:
    return _become(arrivals, {"process": "poisson", "rate": per_s(rate)})


def _become(arrivals: Any, process: Mapping[str, Any]) -> Any:
    from pydantic import TypeAdapter

    from topologies.workload import ArrivalProcess

    common = {"topic": arrivals.topic, "by": arrivals.by, "start": f"{arrivals.start!r} s"}
    if arrivals.end is not None:
        common["end"] = f"{arrivals.end!r} s"
    return TypeAdapter(ArrivalProcess).validate_python({**common, **process})


def _with(topology: Topology, arrivals: tuple[Any, ...]) -> Topology:
    workload = topology.workload.model_copy(update={"arrivals": arrivals})
    return _calm(topology.model_copy(update={"workload": workload}))


def _calm(topology: Topology) -> Topology:
    return topology.model_copy(update={"attacks": ()})
