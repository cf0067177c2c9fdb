"""A publisher that encrypts for each receiver and sends each its own message.

N messages of s bytes go up one connection that the server reads at r bytes a second: the last of
them is there N s / r later, whatever encryption costs. What arrives is relayed one by one. A relay
lifts the limit, not the work: it encrypts for each receiver and the server passes on N messages all
the same. A message with a list of receivers is encrypted once, under a key that they share.
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
    message = _item_bytes(procedure) + procedure.envelope
    match procedure.manner:
        case "publish":
            return message
        case "messages":
            return receivers * message
        case "relay":
            return message
        case "addressed":
            return message + receivers * ADDRESS_BYTES


def _item_bytes(procedure: OneToOne) -> float:
    """Size of an item as the server sees it. [B]"""
    encrypted = procedure.manner != "publish"
    return procedure.size * (1.0 + procedure.expansion * encrypted)


def last_s(procedure: OneToOne, receivers: int, occasion: Occasion) -> float:
    """From an item until its last receiver has it, when nothing else waits. [s]"""
    return (
        _encrypt_s(procedure, receivers)
        + _way_s(procedure, receivers)
        + _relay_s(procedure, receivers)
        + _server_s(procedure, receivers, occasion)
    )


def _encrypt_s(procedure: OneToOne, receivers: int) -> float:
    """Work of the publisher. [s]"""
    match procedure.manner:
        case "publish":
            return 0.0
        case "messages":
            return receivers * procedure.encrypt
        case "relay" | "addressed":
            return procedure.encrypt


def _relay_s(procedure: OneToOne, receivers: int) -> float:
    """Work of the relay, which encrypts for each receiver in the publisher's stead. [s]"""
    return receivers * procedure.encrypt if procedure.manner == "relay" else 0.0


def _way_s(procedure: OneToOne, receivers: int) -> float:
    """Time in the server's limit on the publisher's connection. [s]"""
    return 0.0 if procedure.limit is None else uplink_bytes(procedure, receivers) / procedure.limit


def _server_s(procedure: OneToOne, receivers: int, occasion: Occasion) -> float:
    """CPU time of the server: one fan-out, or a message in and out for each receiver. [s]"""
    item_bytes = _item_bytes(procedure)
    match procedure.manner:
        case "publish" | "addressed":
            return occasion.fan_out_s(receivers, item_bytes)
        case "messages":
            return receivers * occasion.fan_out_s(1, item_bytes)
        case "relay":  # one to the relay besides
            return (receivers + 1) * occasion.fan_out_s(1, item_bytes)


def play(procedure: OneToOne, occasion: Occasion) -> Outcome:
    """One replication."""
    n = procedure.receivers
    sent_s = poisson_s(occasion.stream("items"), procedure.rate, 0.0, procedure.duration)
    up_s = _encrypt_s(procedure, n) + _way_s(procedure, n)
    arrived_s = departures_s(sent_s, np.full(len(sent_s), up_s))
    relayed_s = departures_s(arrived_s, np.full(len(sent_s), _relay_s(procedure, n)))
    done_s = departures_s(relayed_s, np.full(len(sent_s), _server_s(procedure, n, occasion)))
    latency_s = np.where(done_s <= procedure.duration, done_s - sent_s, np.inf)
    numbers = np.unique(np.geomspace(1, max(2 * n, 10), 60).round())
    ideal_s = [last_s(procedure, int(each), occasion) for each in numbers]
    return Outcome(
        {
            "goodput_per_s": float((latency_s <= occasion.deadline_s).sum())
            * n
            / procedure.duration,
            "last_receiver_s": float(np.median(latency_s)) if len(latency_s) else np.nan,
            "uplink_bytes": uplink_bytes(procedure, n),
            "server_cpu_s": _server_s(procedure, n, occasion),
            "amplification_bytes": n * _item_bytes(procedure) / uplink_bytes(procedure, n),
        },
        weighted(latency_s, n),
        curve(numbers, ideal_s),
    )
