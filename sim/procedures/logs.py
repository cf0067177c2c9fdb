"""A Controller that writes what was not so, or rewrites what it wrote, and who finds it.

Comparing a share q of the events with the Platforms' own records finds one of n false entries with
chance 1 - (1 - q)^n per round. Chained hashes that are kept elsewhere show every rewritten entry at
the next round, but say nothing about what was written falsely in the first place.
"""

from __future__ import annotations

import math
from typing import Final

from sim.procedures.outcome import Occasion, Outcome, curve, since
from topologies.procedures import Logs

AXES: Final = ("time [s]", "false entries so far [1]")
REASONS: Final = {"p99_s": "nothing waits", "goodput_per_s": "traffic goes on"}
RECEIPT_BYTES: Final = 80.0
HASH_BYTES: Final = 32.0


def play(procedure: Logs, occasion: Occasion) -> Outcome:
    """One replication."""
    draw = occasion.stream("rounds")
    seen_s, false, counts = None, 0, []
    rounds = int(procedure.duration / procedure.every)
    falsified = draw.poisson(procedure.rate * procedure.every * procedure.falsified, rounds)
    luck = draw.random(rounds)
    kept = procedure.entry > 0.0  # without a log nothing is false in it, nor can it be compared
    for number in range(rounds if kept else 0):
        now_s = (number + 1) * procedure.every
        false += int(falsified[number])
        counts.append(float(false))
        shown = procedure.receipts and luck[number] < found(procedure, int(falsified[number]))
        shown |= procedure.chained and procedure.rewritten and falsified[number] > 0
        if shown:
            seen_s = now_s
            break
    each_bytes = (procedure.entry + HASH_BYTES * procedure.chained) * kept
    return Outcome(
        {
            "false_entries": float(false),
            "time_to_detect_s": since(0.0, seen_s),
            "log_bytes_per_s": procedure.rate * each_bytes,
            "receipt_bytes_per_s": procedure.rate * RECEIPT_BYTES * procedure.receipts,
            "log_cpu_share": procedure.rate * procedure.write * kept,
        },
        curve=curve([procedure.every * (k + 1) for k in range(len(counts))], counts),
    )


def found(procedure: Logs, false: int) -> float:
    """Chance that comparing finds one of so many false entries. [1]"""
    return -math.expm1(false * math.log1p(-procedure.compared)) if procedure.compared < 1 else (
        float(false > 0)
    )  # fmt: skip


def detection_s(procedure: Logs) -> float:
    """Mean time until it is found by comparing: rounds are geometric. [s]"""
    per_round = procedure.rate * procedure.every * procedure.falsified * procedure.compared
    return procedure.every / -math.expm1(-per_round) if per_round else math.inf
