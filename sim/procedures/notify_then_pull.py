"""An item that makes all its receivers fetch: N requests within w at a server of capacity 1 / c.

The last answer of a herd is there max(w, N c) after its trigger, so that the longest wait is N c
- w where that is more than nothing. The same bytes inside the item are one fan-out instead.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from sim.fetches import EVERYBODY
from sim.procedures.outcome import Floats, Occasion, Outcome, curve
from sim.procedures.waiting import departures_s, merged, poisson_s, weighted
from sim.sharing import shared
from topologies.procedures import NotifyThenPull

AXES: Final = ("time since the item [s]", "requests answered [1]")
REASONS: Final = {"time_to_recover_s": "the herd passes by itself"}
NOTE_BYTES: Final = 200.0  # an item that only says what to fetch


def play(procedure: NotifyThenPull, occasion: Occasion) -> Outcome:
    """One replication."""
    draw = occasion.stream("items")
    items_s = poisson_s(draw, procedure.rate, 0.0, procedure.duration)
    bytes_each = procedure.size if procedure.pushed else NOTE_BYTES
    fan_out_s = occasion.fan_out_s(procedure.receivers, bytes_each)
    pulls = 0 if procedure.pushed else procedure.fetches
    fetched_s, owner = _requests(procedure, items_s, pulls, occasion.stream("spread"))
    work_s = procedure.fetch + procedure.fetch_byte * procedure.size
    items = (items_s, np.full(len(items_s), fan_out_s))
    fetches = (fetched_s, np.full(len(fetched_s), work_s))
    if procedure.beside:
        done_items_s = departures_s(*items)
        done_s = _answered_beside(procedure, *fetches)
    else:
        arrival_s, service_s, stream = merged(items, fetches)
        departed_s = departures_s(arrival_s, service_s)
        done_items_s, done_s = departed_s[stream == 0], departed_s[stream == 1]
    if pulls:
        latency_s = done_s - items_s[owner]
    else:
        latency_s = np.repeat(done_items_s - items_s, procedure.receivers)
    first = owner == 0 if pulls else slice(0, 0)
    answered_s = np.sort(latency_s[first]) if pulls else np.zeros(1)
    broker_bytes = procedure.receivers * bytes_each + (
        0.0 if procedure.beside else len(fetched_s) / max(len(items_s), 1) * procedure.size
    )
    peak = _peak_per_s(fetched_s)
    return Outcome(
        {
            "goodput_per_s": float((latency_s <= occasion.deadline_s).sum()) / procedure.duration,
            "peak_requests_per_s": peak,
            "broker_bytes": broker_bytes,
            "others_wait_s": float((done_items_s - items_s).mean()) if len(items_s) else np.nan,
            "longest_s": float(latency_s.max(initial=0.0)),
            "amplification_messages": float(procedure.receivers * (1 + pulls)),
        },
        weighted(latency_s),
        curve(answered_s, range(1, len(answered_s) + 1)),
    )


def _requests(
    procedure: NotifyThenPull, items_s: Floats, pulls: int, draw: np.random.Generator
) -> tuple[Floats, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """When each request comes, and the item that it answers, in order of arrival."""
    asking = round((1.0 - procedure.cached) * procedure.receivers) * pulls
    at_s = items_s[:, None] + draw.random((len(items_s), asking)) * procedure.spread
    owner = np.repeat(np.arange(len(items_s)), asking)
    order = np.argsort(at_s.ravel(), kind="stable")
    return at_s.ravel()[order], owner[order]


def _answered_beside(procedure: NotifyThenPull, fetched_s: Floats, work_s: Floats) -> Floats:
    """When each fetch from another server is answered: its uplink is that of direct flow."""
    if procedure.uplink is None:
        return departures_s(fetched_s, work_s)
    done_s = np.empty(len(fetched_s))
    shared(fetched_s, np.full(len(fetched_s), procedure.size / procedure.uplink), EVERYBODY, done_s)
    return done_s


def _peak_per_s(instants_s: Floats) -> float:
    """The most requests that come within 100 ms, as a rate. [1/s]"""
    if not len(instants_s):
        return 0.0
    later = np.searchsorted(instants_s, instants_s + 0.1, side="right")
    return float((later - np.arange(len(instants_s))).max()) / 0.1
