"""The designed experiment of a calibration: what is published, and what each publication did cost.

One run publishes to few, more and many subscribers, small and large items, all mixed, at a light
load; a second one keeps the server busy beyond what it can do. The server's CPU clock is read every
few milliseconds: publications that were in flight together share what was used until the next one
came, a lone publication has its own figure.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loadtest import tempo
from results import pacing
from topologies.schema import Topology

if TYPE_CHECKING:
    from loadtest.observation import Observation
    from results import Run

FAN_OUTS = (50, 200, 400)
SIZES_BYTES = (400, 4000)
LIGHT_S = 75.0
SATURATED_S = 10.0
RATES_PER_S = (1.6, 0.5, 0.3)  # of each cell, by fan-out: small ones are cheap and tell of pauses
REST_S = 12e-3  # without a delivery: the server has ended what it did
SAMPLE_S = 4e-3
BESIDE_S = 40e-3  # before and after a publication, in which its core's pace is told
Floats = npt.NDArray[np.float64]


def designed(topology: Topology, controller: str) -> Topology:
    """One Controller of the topology with a Topic for each fan-out and size of the experiment.

    Sizes and fan-outs are the experiment's own; the kind of payload is that of its first Topic, and
    no fan-out is larger than the topology's Platforms.
    """
    described = next(each for each in topology.controllers if each.name == controller)
    kind = topology.topics[0].payload.kind if topology.topics else "opaque"
    fan_outs = _fan_outs(topology)
    names = {(n, size): f"to-{n}-of-{size}" for n in fan_outs for size in SIZES_BYTES}
    rates = dict(zip(fan_outs, RATES_PER_S, strict=True))
    sizes = [0, *fan_outs]
    populations = [
        {
            "name": f"group-{place}",
            "count": sizes[place + 1] - sizes[place],
            "controller": controller,
            "subscribes": [name for (n, _), name in names.items() if n > sizes[place]],
        }
        for place in range(len(fan_outs))
    ]
    publisher = {
        "name": "publisher", "count": 2, "controller": controller,
        "publishes": list(names.values()),
    }  # fmt: skip
    return Topology.model_validate(
        {
            "schema": 1,
            "name": f"calibration-{described.profile}"[:60],
            "controllers": [
                {"name": controller, "domain": described.domain, "profile": described.profile}
            ],
            "brokers": [{"name": "broker", "controller": controller}],
            "topics": [
                {"name": name, "broker": "broker", "payload": {"kind": kind, "size": f"{size} B"}}
                for (_, size), name in names.items()
            ],
            "platforms": [publisher, *populations],
            "workload": {
                "duration": f"{LIGHT_S} s",
                "arrivals": [
                    {"topic": name, "by": "publisher", "process": "poisson",
                     "rate": f"{rates[n]}/s"}
                    for (n, _), name in names.items()
                ],
            },
        }
    )  # fmt: skip


def _fan_outs(topology: Topology) -> tuple[int, ...]:
    """Few, more and many, the last no more than there are Platforms."""
    most = min(FAN_OUTS[-1], max(12, topology.platform_count))
    scale = most / FAN_OUTS[-1]
    return tuple(max(3, round(n * scale)) for n in FAN_OUTS)


def saturated(light: Topology, rate_per_s: float) -> Topology:
    """The same grid, all its publications on the middle Topic of small items, at such a rate."""
    middle = light.topics[2]
    workload = {
        "duration": f"{SATURATED_S} s",
        "arrivals": [
            {"topic": middle.name, "by": "publisher", "process": "poisson",
             "rate": f"{rate_per_s:.6g}/s"}
        ],
    }  # fmt: skip
    kept = light.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return Topology.model_validate({**kept, "workload": workload})


@dataclass(frozen=True)
class Work:
    """What the light run's publications did cost, by stretches between which the server rested.

    Attributes
    ----------
    count, recipients, size_bytes, copied_bytes : ndarray, shape (stretches,)
        Publications, copies, payload bytes, and payload bytes copied, of each stretch.
    cpu_s : ndarray, shape (stretches,)
        CPU time that the server used in it. [s]
    fan_out, payload_bytes, first_s, last_s : ndarray, shape (stretches,)
        Of the publication that was alone in it, else nan.
    paces_per_s : ndarray, shape (2, stretches)
        Pace of the server's core just before and just after each, nan where idle loops had too
        little time to tell. [1/s]
    pulses : sequence of ndarray
        How many times as long the pulses during each took, see `tempo.slower`; empty without any.
    begin_s, end_s : ndarray, shape (stretches,)
        When each began, and when the next one did. [s, monotonic]
    """

    count: Floats
    recipients: Floats
    size_bytes: Floats
    copied_bytes: Floats
    cpu_s: Floats
    fan_out: Floats
    payload_bytes: Floats
    first_s: Floats
    last_s: Floats
    paces_per_s: Floats
    pulses: Sequence[Floats]
    begin_s: Floats = field(default_factory=lambda: np.zeros(0))
    end_s: Floats = field(default_factory=lambda: np.zeros(0))

    def at(self, reference_per_s: float, otherwise_per_s: float) -> Work:
        """What each did cost, and when its copies left, on a core of that pace. [1/s]

        A stretch beside which the pace is not known has the other one.
        """
        known = ~np.isnan(self.paces_per_s).any(axis=0)
        near_per_s = np.where(known, self.paces_per_s.mean(axis=0), otherwise_per_s)
        slower = pacing.slowdown(near_per_s, reference_per_s)
        return replace(
            self, cpu_s=self.cpu_s / slower, first_s=self.first_s / slower,
            last_s=self.last_s / slower,
        )  # fmt: skip

    def cell(self, fan_out: float, payload_bytes: float) -> npt.NDArray[np.bool_]:
        """Stretches of one publication of that kind."""
        near = np.abs(self.payload_bytes - payload_bytes) < 0.1 * payload_bytes
        found: npt.NDArray[np.bool_] = (self.fan_out == fan_out) & near
        return found


class Watch:
    """Reads a server's CPU clock while a run is played, and knows when the run began."""

    def __init__(self) -> None:
        self.start_s: float | None = None
        self.logged_in: tuple[float, int] | None = None

    def tell(self, news: Mapping[str, Any]) -> None:
        """What `engine.play` tells: the first news of playing date the run's origin."""
        if self.start_s is None and news["elapsed_s"] > 0.0:
            self.start_s = time.monotonic() - news["elapsed_s"]


def work(run: Run, seen: Observation, start_s: float) -> Work:
    """What each stretch of a run did cost.

    Parameters
    ----------
    run : Run
        A light run.
    seen : Observation
        The server's clock while it was played.
    start_s : float
        The run's origin on the monotonic clock. [s]
    """
    columns = run.publications
    order = np.argsort(columns["sent_s"])
    complete = columns["delivered"][order] >= columns["expected"][order]
    order = order[complete & (columns["expected"][order] > 0)]
    sent_s, first_s = columns["sent_s"][order], columns["first_s"][order]
    last_s, intended_s = columns["last_s"][order], columns["intended_s"][order]
    done_s = np.maximum.accumulate(last_s)
    begins = np.flatnonzero(np.append(True, sent_s[1:] > done_s[:-1] + REST_S))
    instants_s = np.append(sent_s[begins], done_s[-1] + REST_S) + start_s
    ends = np.append(begins[1:], len(order)) - 1
    beside_s = np.stack([instants_s[:-1] - BESIDE_S, done_s[ends] + start_s])
    paces_per_s = _pace_per_s(seen, beside_s, beside_s + BESIDE_S)
    # The server rests at these instants: the last reading before each is that of the instant.
    place = np.searchsorted(seen.time_s, instants_s, side="right") - 1
    used_s = np.diff(seen.cpu_s[np.maximum(place, 0)])
    copies = columns["expected"][order].astype(np.float64)
    payload = columns["payload_bytes"][order].astype(np.float64)
    count = np.diff(np.append(begins, len(order))).astype(np.float64)
    alone = count == 1.0

    def total(values: Floats) -> Floats:
        return np.add.reduceat(values, begins)

    def lone(values: Floats) -> Floats:
        return np.where(alone, values[begins], np.nan)

    return Work(
        count, total(copies), total(payload), total(copies * payload), used_s,
        lone(copies), lone(payload), lone(first_s - intended_s), lone(last_s - intended_s),
        paces_per_s, _pulses(seen, instants_s[:-1], done_s[ends] + start_s),
        instants_s[:-1], instants_s[1:],
    )  # fmt: skip


def _pulses(seen: Observation, begin_s: Floats, end_s: Floats) -> list[Floats]:
    """Those between two instants each. [1]"""
    times = tempo.slower(seen.pulses)
    firsts, lasts = (np.searchsorted(seen.pulses[0], each) for each in (begin_s, end_s))
    return [times[first:last] for first, last in zip(firsts, lasts, strict=True)]


def _pace_per_s(seen: Observation, begin_s: Floats, end_s: Floats) -> Floats:
    """The pace of the core between two instants each; nan where it is not told. [1/s]"""
    told = tempo.steps(seen.spun, seen.pulses, float(seen.time_s[0]), float(seen.time_s[-1]))
    if told is None:
        return np.full(begin_s.shape, np.nan)
    edges_s, paces, known = told
    lasts_s = np.where(known, np.diff(edges_s), 0.0)
    each = np.array([lasts_s, lasts_s * paces**-pacing.EXPONENT])  # time known, and at equal pace
    totals = np.insert(np.cumsum(each, axis=1), 0, 0.0, axis=1)
    known_s, cost_s = (
        np.interp(end_s, edges_s, total) - np.interp(begin_s, edges_s, total) for total in totals
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (cost_s / known_s) ** (-1.0 / pacing.EXPONENT)
    return np.where(known_s > 0.5 * (end_s - begin_s), mean, np.nan)


def light_cells(light: Topology) -> Sequence[tuple[int, int]]:
    """Fan-out and size [B] of every Topic, in the topology's order."""
    return [(light.fan_out()[topic.name], round(topic.payload.size)) for topic in light.topics]
