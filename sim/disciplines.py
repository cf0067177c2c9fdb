"""Disciplines: how a profile's costs become the figures that a kernel works with.

Every cost is CPU seconds of the profile's machine times its speed factor. A publication's own cost
(its intake, and what it builds or routes) carries its log-normal factor; writes do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from results import histogram
from results.records import StationMode
from sim import fanout_process, fifo, loop_turns
from sim.state import Floats, Integers, Server
from topologies.profiles import FanoutProcess, Fifo, LoopTurns, Profile

Column = Floats | float


@dataclass(frozen=True)
class Discipline:
    """A server's way of working, with its costs on this machine.

    `settings` are fields of `state.SETTING`, `per_publication` gives fields of `state.PUBLICATION`
    from payload sizes and numbers of copies, `warmth` is the cost of a write by the histogram bin
    of the time since the session's last one. `mode` is how the record calls its station.
    """

    advance: Callable[[Server, float], None]
    mode: StationMode
    settings: dict[str, float]
    per_publication: Callable[[Floats, Integers], dict[str, Column]]
    warmth: Floats
    parallel: bool = True
    events_max: int = 1


def discipline(profile: Profile) -> Discipline:
    """The discipline of a profile."""
    match profile.costs:
        case LoopTurns() as costs:
            return _loop_turns(costs, profile.speed)
        case FanoutProcess() as costs:
            return _fanout_process(costs, profile.speed)
        case Fifo() as costs:
            return _fifo(costs, profile.speed)


def _loop_turns(costs: LoopTurns, speed: float) -> Discipline:
    def per_publication(payload_bytes: Floats, copies: Integers) -> dict[str, Column]:
        return {
            "intake_s": speed * (costs.publish + costs.publish_per_byte * payload_bytes),
            "copy_s": speed * (costs.build + costs.build_per_byte * payload_bytes),
            "write_s": speed * costs.write_per_byte * payload_bytes,
        }

    settings = {
        "wake_s": costs.wake,
        "cold_s": speed * costs.cold,
        "cold_after_s": costs.cold_after,
        "write_s": speed * costs.write,
        "coalesced_s": speed * costs.coalesced,
        "result_s": speed * costs.acknowledge,
        "events_max": costs.events_max,
        "read_bytes": costs.read_bytes,
        "accepts": costs.accepts,
        "publish_envelope": costs.publish_envelope,
        "collection_s": speed * costs.collection,
        "collection_step_s": speed * costs.collection_step,
        "collection_cv": costs.collection_cv,
        "collection_every": costs.collection_every,
        "collection_step_every": costs.collection_step_every,
        "allocation_per_byte": costs.allocation_per_byte,
        "allocation_write": costs.allocation_write,
        "allocation_publish": costs.allocation_publish,
        "cv": costs.cv,
    }
    advance, cold = loop_turns.advance, np.ones(1)
    events = costs.events_max
    return Discipline(advance, "event", settings, per_publication, cold, False, events)


def _fanout_process(costs: FanoutProcess, speed: float) -> Discipline:
    def per_publication(payload_bytes: Floats, copies: Integers) -> dict[str, Column]:
        setup_s = costs.setup + costs.setup_per_subscriber * copies
        return {
            "intake_s": speed * (setup_s + costs.setup_per_byte * payload_bytes),
            "copy_s": speed * (costs.route + costs.route_per_byte * payload_bytes),
            "write_s": speed * (costs.write + costs.write_per_byte * payload_bytes),
        }

    settings = {
        "wake_s": costs.wake,
        "cold_s": speed * costs.cold,
        "cold_after_s": costs.cold_after,
        "route_s": speed * costs.route,
        "finish_s": speed * costs.finish,
        "slice_recipients": costs.slice_recipients,
        "cv": costs.cv,
    }
    advance, warmth = fanout_process.advance, warmth_by_bin(costs)
    return Discipline(advance, "event", settings, per_publication, warmth)


def warmth_by_bin(costs: FanoutProcess) -> Floats:
    """Relative cost of a write by the histogram bin of the session's age: linear in log age."""
    if not costs.warmth_after:
        return np.ones(histogram.SIZE)
    age_s = np.maximum(histogram.representative_s(), histogram.LOWEST_S)
    return np.interp(np.log(age_s), np.log(costs.warmth_after), costs.warmth_factor)


def _fifo(costs: Fifo, speed: float) -> Discipline:
    def per_publication(payload_bytes: Floats, copies: Integers) -> dict[str, Column]:
        return {
            "intake_s": speed * (costs.publish + costs.publish_per_byte * payload_bytes),
            "copy_s": speed * (costs.copy_ + costs.copy_per_byte * payload_bytes),
        }

    settings = {"exponential": costs.copy_distribution == "exponential", "cv": costs.cv}
    return Discipline(fifo.advance, "batched", settings, per_publication, np.ones(1))
