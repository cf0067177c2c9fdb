"""A publisher that encrypts for each receiver and sends each its own message.

N messages of s bytes go up one connection that the server reads at r bytes a second: the last of
them is there about N s / r later, whatever encryption costs; how exactly is the server's own way
of keeping its limit (`sim.limiters`). A Prosody reads 4,096 B and then nothing for as long as those
are worth, so that b bytes take ceil(b / 4096) - 1 pauses. What arrives is relayed one by one. A
relay lifts the limit, not the work: it encrypts for each receiver and the server passes on N
messages all the same. A message with a list of receivers is encrypted once, under a key that they
share, and so is an item that is published sealed: the Broker makes its copies without being able to
read them. That key goes to each receiver one by one, now and then.

Each message passes publisher, limit, relay and server in turn, first come, first served: a stage
that has N messages of work w at once is through with the last after N w, and the others overlap.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from results import histogram
from sim import inbound, limiters
from sim.procedures.outcome import Floats, Occasion, Outcome, curve
from sim.procedures.waiting import poisson_s
from topologies.procedures import OneToOne
from topologies.schema import Limits

AXES: Final = ("receivers [1]", "time until the last has it [s]")
REASONS: Final = {"time_to_recover_s": "nothing fails"}
ADDRESS_BYTES: Final = 60.0  # of one receiver in a list (XEP-0033)
KEY_BYTES: Final = 108.0  # of a key in a message: X25519 (32 B), AES-GCM (32 + 16 B), base64
NUMBERS_MAX: Final = 100_000  # of receivers in the picture


def uplink_bytes(procedure: OneToOne, receivers: int) -> float:
    """What the publisher sends for one item, its share of the keys among it. [B]"""
    message = _item_bytes(procedure) + procedure.envelope
    match procedure.manner:
        case "publish" | "relay":
            return message
        case "messages":
            return receivers * message
        case "addressed":
            return message + receivers * ADDRESS_BYTES
        case "sealed":
            keys_bytes = receivers * (KEY_BYTES + procedure.envelope)
            return message + (keys_bytes / procedure.key_items if procedure.key_items else 0.0)


def publisher_s(procedure: OneToOne, receivers: int) -> float:
    """The publisher's CPU time of encryption for one item. [s]"""
    match procedure.manner:
        case "publish":
            return 0.0
        case "messages":
            return receivers * procedure.encrypt
        case "relay":
            return _alone_s(procedure)
        case "addressed":
            return procedure.cipher
        case "sealed":
            keys_s = receivers * procedure.encrypt
            return procedure.cipher + (keys_s / procedure.key_items if procedure.key_items else 0.0)


def _alone_s(procedure: OneToOne) -> float:
    """The publisher's CPU time of one encryption where nothing was encrypted just before. [s]"""
    alone_s = procedure.encrypt_alone
    return procedure.encrypt if alone_s is None else alone_s


def _item_bytes(procedure: OneToOne) -> float:
    """Size of an item as the server sees it. [B]"""
    encrypted = procedure.manner != "publish"
    return procedure.size * (1.0 + procedure.expansion * encrypted)


def last_s(procedure: OneToOne, receivers: int, occasion: Occasion) -> float:
    """From an item until its last receiver has it, when nothing else waits. [s]"""
    return float(Courier(procedure, receivers, occasion).carry(0.0)[-1])


class Courier:
    """One publisher's items on their way, one after another.

    Parameters
    ----------
    procedure : OneToOne
        How they are sent.
    receivers : int
        To how many.
    occasion : Occasion
        What a server's work costs.
    """

    def __init__(self, procedure: OneToOne, receivers: int, occasion: Occasion) -> None:
        self._procedure, self._receivers = procedure, receivers
        item_bytes = _item_bytes(procedure)
        self._message_s = procedure.relayed or occasion.fan_out_s(1, item_bytes)
        self._fan_out_s = procedure.publication or occasion.fan_out_s(receivers, item_bytes)
        self._key_s = procedure.relayed or occasion.fan_out_s(1, KEY_BYTES)
        self._free_s: dict[str, float] = {}
        self._limit = None
        if procedure.limit is not None:
            wanted = {"client": {"rate": f"{procedure.limit} B/s", "burst": f"{procedure.burst} B"}}
            self._limit = inbound.rule(Limits.model_validate(wanted), occasion.profile)
            self._connection = np.zeros(1, limiters.CLIENT)
            self._connection["credit_bytes"] = procedure.burst
        self._items = 0
        self.server_s = 0.0

    def carry(self, sent_s: float) -> Floats:
        """When each receiver has an item that is sent then, after all before it. [s]"""
        procedure, n, number = self._procedure, self._receivers, self._items
        self._items += 1
        message_bytes = _item_bytes(procedure) + procedure.envelope
        match procedure.manner:
            case "messages":
                return self._pass(sent_s, n, procedure.encrypt, message_bytes, self._message_s)
            case "relay":
                alone_s = _alone_s(procedure)
                there_s = self._pass(sent_s, 1, alone_s, message_bytes, self._message_s)
                again_s = self._stage("relay", np.repeat(there_s, n), procedure.encrypt)
                return self._serve(again_s, self._message_s)
            case "addressed":
                message_bytes += n * ADDRESS_BYTES
            case "sealed" if procedure.key_items and number % procedure.key_items == 0:
                key_bytes = KEY_BYTES + procedure.envelope
                self._pass(sent_s, n, procedure.encrypt, key_bytes, self._key_s)
        work_s = 0.0 if procedure.manner == "publish" else procedure.cipher
        done_s = self._pass(sent_s, 1, work_s, message_bytes, self._fan_out_s)
        return np.repeat(done_s, n)

    def _pass(
        self, sent_s: float, count: int, work_s: float, size_bytes: float, server_s: float
    ) -> Floats:
        """So many messages through publisher, limit and server; when each is through. [s]"""
        written_s = self._stage("publisher", np.full(count, sent_s), work_s)
        return self._serve(self._limited(written_s, size_bytes), server_s)

    def _limited(self, written_s: Floats, size_bytes: float) -> Floats:
        """When the server has read them, by its own way of keeping the limit."""
        if self._limit is None:
            return written_s
        read_s, count = written_s.copy(), len(written_s)
        limiters.scan(
            self._limit, self._connection, np.zeros(count, np.int64),
            np.full(count, size_bytes), read_s, np.zeros(count, np.uint8),
        )  # fmt: skip
        return read_s

    def _serve(self, arrived_s: Floats, work_s: float) -> Floats:
        self.server_s += len(arrived_s) * work_s
        return self._stage("server", arrived_s, work_s)

    def _stage(self, name: str, arrived_s: Floats, work_s: float) -> Floats:
        """D[k] = (k + 1) w + max(free, max over j <= k of A[j] - j w), work w for each."""
        before_s = np.arange(len(arrived_s)) * work_s
        free_s = self._free_s.get(name, -np.inf)
        done_s = before_s + work_s + np.maximum.accumulate(np.maximum(arrived_s - before_s, free_s))
        self._free_s[name] = float(done_s[-1])
        return np.asarray(done_s)


def play(procedure: OneToOne, occasion: Occasion) -> Outcome:
    """One replication."""
    n, courier = procedure.receivers, Courier(procedure, procedure.receivers, occasion)
    latency, timely, last_latency_s = histogram.empty(), 0, []
    for instant_s in _instants_s(procedure, occasion):
        done_s = courier.carry(float(instant_s))
        latency_s = np.where(done_s <= procedure.duration, done_s - instant_s, np.inf)
        latency = latency + histogram.count(latency_s)
        timely += int((latency_s <= occasion.deadline_s).sum())
        last_latency_s.append(float(latency_s[-1]))
    items = len(last_latency_s)
    up_bytes = uplink_bytes(procedure, n)
    numbers = np.unique(np.geomspace(1, min(max(2 * n, 10), NUMBERS_MAX), 60).round())
    ideal_s = [last_s(procedure, int(each), occasion) for each in numbers]
    return Outcome(
        {
            "goodput_per_s": timely / procedure.duration,
            "last_receiver_s": float(np.median(last_latency_s)) if items else np.nan,
            "uplink_bytes": up_bytes,
            "publisher_cpu_s": publisher_s(procedure, n),
            "server_cpu_s": courier.server_s / items if items else np.nan,
            "exposed_share": float(procedure.manner == "publish"),
            "amplification_bytes": n * _item_bytes(procedure) / up_bytes,
        },
        latency,
        curve(numbers, ideal_s),
    )


def _instants_s(procedure: OneToOne, occasion: Occasion) -> Floats:
    """When items are sent. [s]"""
    if procedure.evenly:
        return np.array(procedure.even_s)
    return poisson_s(occasion.stream("items"), procedure.rate, 0.0, procedure.duration)
