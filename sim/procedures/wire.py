"""Somebody on the network between Platforms and Controller, with and without what stops him.

TLS turns what he reads into nothing and what he changes into a broken connection, which costs a
login; numbers show what is missing or comes twice. TLS hides neither size nor time: a classifier
that knows the mean size of each Topic's items names the Topic of a record as often as their sizes
differ by more than padding hides.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from sim.procedures.outcome import Floats, Occasion, Outcome, curve, since
from sim.procedures.waiting import poisson_s
from topologies.procedures import Wire

AXES: Final = ("time [s]", "items that he had his way with [1]")
REASONS: Final = {"p99_s": "nothing waits in this procedure", "collateral": "nobody is hurt by it"}
RECORD_BYTES: Final = 22.0  # of TLS around a stanza
Mask = npt.NDArray[np.bool_]
LEARNED: Final = 4_000  # records that the classifier is tried on


def play(procedure: Wire, occasion: Occasion) -> Outcome:
    """One replication."""
    draw = occasion.stream("wire")
    n = procedure.platforms
    reached = draw.random(n) < procedure.reach
    verify, tls = draw.random(n) < procedure.verify, draw.random(n) < procedure.tls
    items_s = poisson_s(occasion.stream("items"), procedure.rate, 0.0, procedure.duration)
    own_s, secret = _touches(procedure, items_s, reached, tls, occasion)
    manner = procedure.manner
    plain_s, broken = own_s[~secret], int(secret.sum())
    figures = {
        "exposed_share": 0.0,
        "false_items": 0.0,
        "reconnects_per_h": 0.0,
        "login_cpu_share": 0.0,
    }
    lost, first_s = 0.0, None
    if manner == "read":
        figures["exposed_share"] = float((reached & ~tls).mean())
    elif manner in ("modify", "inject"):
        figures["false_items"] = len(plain_s) / n
        figures["reconnects_per_h"] = broken / n / (procedure.duration / 3600.0)
        figures["login_cpu_share"] = broken * procedure.handshake / procedure.duration
        lost = broken * (1.0 + procedure.rate * procedure.reconnect)
        first_s = float(own_s[secret].min()) if broken else None
    elif manner == "replay":
        figures["false_items"] = 0.0 if procedure.numbered else len(plain_s) / n
        first_s = float(plain_s.min()) if procedure.numbered and len(plain_s) else None
    elif manner == "block":
        lost, first_s = float(len(own_s)), _gap_seen_s(procedure, own_s, items_s)
        figures["lost_items"] = lost / n
    elif manner == "intercept":
        figures |= _intercepted(procedure, reached, verify)
    else:
        figures |= _analysed(procedure, occasion)
    counted = plain_s if manner in ("modify", "inject", "replay", "block") else own_s
    if manner == "read":
        counted = own_s[~secret]
    return Outcome(
        {
            "goodput_per_s": (len(items_s) * n - lost) / procedure.duration,
            "time_to_detect_s": since(0.0, first_s),
            **figures,
        },
        curve=curve([0.0, *np.sort(counted)], range(len(counted) + 1)),
    )


def _touches(
    procedure: Wire, items_s: Floats, reached: Mask, tls: Mask, occasion: Occasion
) -> tuple[Floats, Mask]:
    """Instants at which he touches an item of a connection, and which of these TLS protects."""
    draw = occasion.stream("touches")
    who = np.flatnonzero(reached)
    chance = 1.0 if procedure.manner == "read" else procedure.chance
    count = int(draw.binomial(len(items_s) * len(who), chance)) if len(who) else 0
    count = min(count, 2_000_000)
    instants_s = items_s[draw.integers(0, max(len(items_s), 1), count)] if len(items_s) else (
        np.zeros(0)
    )  # fmt: skip
    hit = who[draw.integers(0, max(len(who), 1), len(instants_s))] if len(who) else (
        np.zeros(0, np.int64)
    )  # fmt: skip
    return instants_s, tls[hit]


def _gap_seen_s(procedure: Wire, blocked_s: Floats, items_s: Floats) -> float | None:
    """When somebody sees that something is missing: by the next number, or by a late heartbeat."""
    if not len(blocked_s):
        return None
    first_s = float(blocked_s.min())
    found = []
    if procedure.numbered:
        after = items_s[items_s > first_s]
        found += [float(after[0])] if len(after) else []
    if procedure.heartbeat is not None:
        found.append(first_s + procedure.heartbeat)
    return min(found, default=None)


def _intercepted(procedure: Wire, reached: Mask, verify: Mask) -> dict[str, float]:
    """Platforms that log in at his server: those who do not check, unless the password is bound."""
    fooled = reached & ~verify
    return {
        "impersonated_share": float(fooled.mean()) if not procedure.bound else 0.0,
        "refused_share": float((reached & verify).mean()),
    }


def _analysed(procedure: Wire, occasion: Occasion) -> dict[str, float]:
    """How often the size of a record names its Topic, and what padding costs."""
    draw, topics = occasion.stream("sizes"), occasion.topology.topics
    means = np.array([topic.payload.size for topic in topics])
    spreads = np.sqrt(np.log1p(np.array([max(topic.payload.cv, 0.05) for topic in topics]) ** 2))
    topic = draw.integers(0, len(topics), LEARNED)
    drawn = draw.standard_normal(LEARNED)
    sizes = means[topic] * np.exp(spreads[topic] * drawn - 0.5 * spreads[topic] ** 2)
    seen = _padded(sizes, procedure.padding)
    known = _padded(means, procedure.padding)
    guess = np.abs(np.log(seen[:, None]) - np.log(known[None, :])).argmin(axis=1)
    grown = float(seen.sum() / (sizes + RECORD_BYTES).sum())
    return {"topic_accuracy_share": float((guess == topic).mean()), "bytes_factor": grown}


def _padded(sizes: Floats, multiple: float) -> Floats:
    whole = sizes + RECORD_BYTES
    return np.asarray(np.ceil(whole / multiple) * multiple) if multiple > 0.0 else whole


def accuracy_without_padding(ratio: float, cv: float) -> float:
    """Chance to name the right one of two Topics whose mean sizes have this ratio. [1]

    Log-normal sizes of one spread s and equal chances: the border lies between the logarithms.
    """
    spread = math.sqrt(math.log1p(cv**2))
    shift = 0.5 * spread**2  # means are known, medians lie below them
    half = 0.5 * math.log(ratio)
    right = [0.5 * (1.0 + math.erf((half + sign * shift) / spread / math.sqrt(2.0)))
             for sign in (1.0, -1.0)]  # fmt: skip
    return sum(right) / 2.0
