"""Requests whose answer is a whole Topic, beside ordinary publications, on one server.

The server works first come, first served; an answer is built whole in memory and stays there until
its asker has taken it in. Small pages hold up others for less and take more round trips.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from sim.procedures.outcome import Floats, Occasion, Outcome, curve
from sim.procedures.waiting import poisson_s, weighted
from topologies.procedures import LargeAnswers

AXES: Final = ("time [s]", "bytes of answers in memory [B]")
REQUEST_BYTES: Final = 200.0
ENVELOPE_BYTES: Final = 90.0  # around one item in an answer
REASONS: Final = {"time_to_recover_s": "askers go on to the end"}


@dataclass
class Answers:
    """Work and memory of answers."""

    held: list[tuple[float, float]] = field(default_factory=list)  # instant, change [B]
    syncs_s: list[float] = field(default_factory=list)
    requests: int = 0
    bytes_out: float = 0.0
    work_s: float = 0.0


def play(procedure: LargeAnswers, occasion: Occasion) -> Outcome:
    """One replication."""
    work_s = _publication_s(procedure, occasion)
    published_s = poisson_s(
        occasion.stream("publications"), procedure.rate, 0.0, procedure.duration
    )
    answers = Answers()
    latency_s = _serve(procedure, published_s, work_s, answers, occasion.stream("askers"))
    instants, level = _memory(answers)
    sent_bytes = answers.requests * REQUEST_BYTES
    figures = {
        "goodput_per_s": float((latency_s <= occasion.deadline_s).sum())
        * procedure.receivers
        / procedure.duration,
        "peak_memory_bytes": float(level.max(initial=0.0)),
        "sync_s": float(np.mean(answers.syncs_s)) if answers.syncs_s else np.inf,
        "requests_per_s": answers.requests / procedure.duration,
    }
    if answers.requests:
        figures["answer_cpu_s"] = answers.work_s / answers.requests
        figures["amplification_bytes"] = answers.bytes_out / sent_bytes
        figures["amplification_cpu_s"] = answers.work_s / answers.requests
        figures["amplification_messages"] = 1.0
    return Outcome(figures, weighted(latency_s, procedure.receivers), curve(instants, level))


def _publication_s(procedure: LargeAnswers, occasion: Occasion) -> float:
    """CPU time of one publication with its copies on this server. [s]"""
    if procedure.publication is not None:
        return procedure.publication
    return occasion.fan_out_s(procedure.receivers, procedure.size)


def _pages(procedure: LargeAnswers) -> list[int]:
    """Items in each answer until an asker has all that the Topic keeps."""
    items = min(procedure.items, procedure.kept or procedure.items)
    page = min(procedure.page or items, items)
    whole, rest = divmod(items, page)
    return [page] * whole + ([rest] if rest else [])


def _serve(
    procedure: LargeAnswers, published_s: Floats, work_s: float, answers: Answers,
    draw: np.random.Generator,
) -> Floats:  # fmt: skip
    """Latency of each publication's last copy, beside all requests, in order of arrival."""
    pages = _pages(procedure)
    events = [(float(at_s), 0, -1 - number, 0.0) for number, at_s in enumerate(published_s)]
    begins_s = draw.random(procedure.askers) * procedure.think
    events += [(float(at_s), 0, who, float(at_s)) for who, at_s in enumerate(begins_s)]
    heapq.heapify(events)
    latency_s, free_s = np.empty(len(published_s)), 0.0
    gap_s = 60.0 / procedure.per_minute if procedure.per_minute else 0.0
    while events:
        now_s, page, who, began_s = heapq.heappop(events)
        if who < 0:
            free_s = max(free_s, now_s) + work_s
            latency_s[-1 - who] = free_s - now_s
            continue
        if now_s >= procedure.duration:
            continue
        size_bytes = pages[page] * (procedure.size + ENVELOPE_BYTES)
        own_s = procedure.answer + procedure.item * pages[page]
        start_s = max(free_s, now_s)
        free_s = start_s + own_s
        taken_s = free_s + size_bytes / procedure.downlink
        answers.held += [(start_s, size_bytes), (taken_s, -size_bytes)]
        answers.requests += 1
        answers.bytes_out += size_bytes
        answers.work_s += own_s
        again_s = max(taken_s + procedure.round_trip, now_s + gap_s)
        if page + 1 < len(pages):
            heapq.heappush(events, (again_s, page + 1, who, began_s))
        else:
            answers.syncs_s.append(taken_s - began_s)
            next_s = again_s + procedure.think
            heapq.heappush(events, (next_s, 0, who, next_s))
    return latency_s


def _memory(answers: Answers) -> tuple[Floats, Floats]:
    """Bytes of answers that the server holds, as they change."""
    if not answers.held:
        return np.zeros(1), np.zeros(1)
    changes = np.array(sorted(answers.held))
    return changes[:, 0], np.cumsum(changes[:, 1]).clip(0.0)
