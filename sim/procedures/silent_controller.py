"""A Controller falls silent: who notices when, and how Platforms come through at another one.

A heartbeat every h with answers within a finds it between a and h + a after the last answer,
times the misses that it takes; with chance p that an answer is lost, one gives up for nothing
with p^k per heartbeat. Without heartbeats only the end of the idle time is left. What was
published meanwhile ages until the Platform is online again.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from sim.procedures.outcome import Floats, Occasion, Outcome, curve
from sim.procedures.waiting import departures_s
from topologies.procedures import SilentController

AXES: Final = ("time [s]", "share of the Platforms that receive [1]")
REASONS: Final = {"p99_s": "see the age of what is held"}
PING_BYTES: Final = 150.0  # a ping and its answer, each


def play(procedure: SilentController, occasion: Occasion) -> Outcome:
    """One replication."""
    n = procedure.platforms
    draw = occasion.stream("heartbeats")
    noticed_s = procedure.start + _notice_s(procedure, draw)
    online_s = _online_s(procedure, noticed_s, occasion)
    away_s = online_s - procedure.start
    lasting_s = procedure.duration - procedure.start
    ends = np.linspace(0.0, procedure.duration, 400)
    back = np.searchsorted(np.sort(online_s), ends, side="right") / n
    receiving = np.where(ends < procedure.start, 1.0, back)
    missed = procedure.rate * np.minimum(away_s, lasting_s)
    beats = 0.0 if procedure.heartbeat is None else 1.0 / procedure.heartbeat
    gone_s = float(np.quantile(away_s, 0.95))
    back_s = procedure.start + procedure.silence
    figures = {
        "goodput_per_s": procedure.rate * n * (1.0 - missed.mean() / procedure.rate / lasting_s),
        "lost_items": float(missed.mean()),
        "age_p99_s": float(np.quantile(away_s, 0.99)),
        "time_to_detect_s": float(noticed_s.min() - procedure.start),
        "time_to_mitigate_s": gone_s if gone_s < lasting_s else math.inf,
        "time_to_recover_s": max(float(np.quantile(online_s, 0.99)) - back_s, 0.0),
        "heartbeat_bytes_per_s": n * beats * 2.0 * PING_BYTES,
        "false_per_h": n * beats * 3600.0 * procedure.loss**procedure.misses,
        "alerts_peak_per_s": _alerts_per_s(procedure, noticed_s),
    }
    return Outcome(figures, curve=curve(ends, receiving))


def _notice_s(procedure: SilentController, draw: np.random.Generator) -> Floats:
    """From the silence until each Platform gives the Controller up. [s]"""
    n, phase = procedure.platforms, draw.random(procedure.platforms)
    if procedure.closes:
        return np.full(n, 1e-3)
    idle_s = procedure.idle * (0.9 + 0.1 * phase)  # the last traffic was a while ago
    if procedure.heartbeat is None:
        return np.asarray(idle_s)
    first_s = phase * procedure.heartbeat
    seen_s = first_s + (procedure.misses - 1) * procedure.heartbeat + procedure.answer_within
    return np.minimum(seen_s, idle_s)


def _online_s(procedure: SilentController, noticed_s: Floats, occasion: Occasion) -> Floats:
    """When each receives again: from another Controller, or from this one once it speaks. [s]"""
    back_s = procedure.start + procedure.silence
    if not procedure.second:
        return np.maximum(noticed_s, back_s) if procedure.closes else np.full(
            len(noticed_s), back_s
        )  # fmt: skip
    jitter_s = occasion.stream("jitter").random(len(noticed_s)) * procedure.jitter
    starts_s = noticed_s + jitter_s
    order = np.argsort(starts_s, kind="stable")
    login_s = np.full(len(starts_s), procedure.login_work or occasion.login_s())
    done_s = np.empty(len(starts_s))
    done_s[order] = departures_s(starts_s[order], login_s, procedure.cores)
    if procedure.closes:
        return done_s
    return np.where(noticed_s > back_s, back_s, done_s)  # who had not noticed goes on


def _alerts_per_s(procedure: SilentController, noticed_s: Floats) -> float:
    """The most notices to administrators in a second, of Platforms that tell of it. [1/s]"""
    if not procedure.alerts:
        return 0.0
    seconds = np.floor(noticed_s - noticed_s.min()).astype(np.int64)
    busiest = int(np.bincount(seconds).max()) if len(seconds) else 0
    return float(procedure.administrators * (min(busiest, 1) if procedure.merged else busiest))
