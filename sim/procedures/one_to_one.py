"""A publisher that encrypts for each receiver and sends each its own message.

N messages of s bytes go up one connection that the server reads at r bytes a second: the last of
them is there N s / r later, whatever encryption costs. What arrives is relayed one by one.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from sim.procedures.outcome import Occasion, Outcome, curve
from sim.procedures.waiting import departures_s, poisson_s, weighted
from topologies.procedures import OneToOne

AXES: Final = ("receivers [1]", "time until the last has it [s]")
REASONS: Final = {"time_to_recover_s": "nothing fails"}
ADDRESS_BYTES: Final = 60.0  # of one receiver in a list (XEP-0033)


def uplink_bytes(procedure: OneToOne, receivers: int) -> float:
    """What the publisher sends for one item. [B]"""
    message = procedure.size * (1.0 + procedure.expansion) + procedure.envelope
    match procedure.manner:
        case "publish":
            return procedure.size + procedure.envelope
        case "messages":
            return receivers * message
        case "relay":
            return message
        case "addressed":
            return message + receivers * ADDRESS_BYTES


def last_s(procedure: OneToOne, receivers: int, occasion: Occasion) -> float:
    """From an item until its last receiver has it, when nothing else waits. [s]"""
    return (
        _encrypt_s(procedure, receivers)
        + _way_s(procedure, receivers)
        + (_server_s(procedure, receivers, occasion))
    )


def _encrypt_s(procedure: OneToOne, receivers: int) -> float:
    return 0.0 if procedure.manner == "publish" else receivers * procedure.encrypt


def _way_s(procedure: OneToOne, receivers: int) -> float:
    """Time in the server's limit on the publisher's connection. [s]"""
    return 0.0 if procedure.limit is None else uplink_bytes(procedure, receivers) / procedure.limit


def _server_s(procedure: OneToOne, receivers: int, occasion: Occasion) -> float:
    """CPU time of the server: one fan-out, or a message in and out for each receiver. [s]"""
    if procedure.manner == "publish":
        return occasion.fan_out_s(receivers, procedure.size)
    if procedure.manner == "messages":
        return receivers * occasion.fan_out_s(1, procedure.size)
    return occasion.fan_out_s(receivers, procedure.size)


def play(procedure: OneToOne, occasion: Occasion) -> Outcome:
    """One replication."""
    n = procedure.receivers
    sent_s = poisson_s(occasion.stream("items"), procedure.rate, 0.0, procedure.duration)
    up_s = _encrypt_s(procedure, n) + _way_s(procedure, n)
    arrived_s = departures_s(sent_s, np.full(len(sent_s), up_s))
    done_s = departures_s(arrived_s, np.full(len(sent_s), _server_s(procedure, n, occasion)))
    latency_s = np.where(done_s <= procedure.duration, done_s - sent_s, np.inf)
    numbers = np.unique(np.geomspace(1, max(2 * n, 10), 60).round())
    ideal_s = [last_s(procedure, int(each), occasion) for each in numbers]
    return Outcome(
        {
            "goodput_per_s": float((latency_s <= 1.0).sum()) * n / procedure.duration,
            "last_receiver_s": float(np.median(latency_s)) if len(latency_s) else np.nan,
            "uplink_bytes": uplink_bytes(procedure, n),
            "server_cpu_s": _server_s(procedure, n, occasion),
            "amplification_bytes": n * procedure.size / uplink_bytes(procedure, n),
        },
        weighted(latency_s, n),
        curve(numbers, ideal_s),
    )
