"""Requests whose answer is a whole Topic, beside ordinary publications, on one server.

The server works first come, first served; an answer is built whole in memory and stays there until
its asker has taken it in. Small pages hold up others for less and take more round trips. A server
that works in turns (Prosody's event loop) reads all that has come by then and builds its answers
and copies; they are written in the next turn, after what has come meanwhile was read and built.
Who asks while another's answer is built is answered at the same instant as that one, asks again at
the same instant, and so askers fall into step, and hold up others for all of their answers at once.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from sim.procedures.outcome import Floats, Occasion, Outcome, curve
from sim.procedures.paced import Core
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
    latency_s = _serve(
        procedure, published_s, work_s, answers, occasion.stream("askers"), Core(occasion.slower),
        turns=occasion.profile.costs.discipline == "loop-turns",
    )  # fmt: skip
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
    draw: np.random.Generator, core: Core, *, turns: bool,
) -> Floats:  # fmt: skip
    """Latency of each publication's last copy, beside all requests, in order of arrival."""
    sizes = _pages(procedure)
    events = [(float(at_s), -1 - number, 0, 0.0) for number, at_s in enumerate(published_s)]
    begins_s = draw.random(procedure.askers) * procedure.think
    events += [(float(at_s), who, 0, float(at_s)) for who, at_s in enumerate(begins_s)]
    heapq.heapify(events)
    latency_s, free_s = np.empty(len(published_s)), 0.0
    built: list[tuple[float, int, int, float]] = []  # in the turn before, and not written yet
    while events or built:
        start_s = free_s = free_s if built else max(free_s, events[0][0])
        taken: list[tuple[float, int, int, float]] = []
        while events and events[0][0] <= start_s and (turns or not taken):
            now_s, who, page, _ = job = heapq.heappop(events)
            if who < 0:
                free_s = core.done_s(free_s, work_s)
            elif now_s < procedure.duration:
                free_s = _build(procedure, sizes[page], free_s, core, answers)
            else:
                continue
            taken.append(job)
        written, built = (built, taken) if turns else (taken, [])
        for job in written:
            if job[1] < 0:
                latency_s[-1 - job[1]] = free_s - job[0]
            else:
                heapq.heappush(events, _next(procedure, sizes, job, free_s, answers))
    return latency_s


def _build(
    procedure: LargeAnswers, items: int, start_s: float, core: Core, answers: Answers
) -> float:
    """When an answer is built on which work begins then. [s]"""
    done_s = core.done_s(start_s, procedure.answer + procedure.item * items)
    size_bytes = items * (procedure.size + ENVELOPE_BYTES)
    answers.held.append((start_s, size_bytes))
    answers.requests += 1
    answers.bytes_out += size_bytes
    answers.work_s += done_s - start_s
    return done_s


def _next(
    procedure: LargeAnswers, sizes: list[int], asked: tuple[float, int, int, float],
    written_s: float, answers: Answers,
) -> tuple[float, int, int, float]:  # fmt: skip
    """What an asker asks for after the answer that is written then, and when. [s]"""
    now_s, who, page, began_s = asked
    size_bytes = sizes[page] * (procedure.size + ENVELOPE_BYTES)
    taken_s = written_s + size_bytes / procedure.downlink
    answers.held.append((taken_s, -size_bytes))
    gap_s = 60.0 / procedure.per_minute if procedure.per_minute else 0.0
    again_s = max(taken_s + procedure.round_trip, now_s + gap_s)
    if page + 1 < len(sizes):
        return again_s, who, page + 1, began_s
    answers.syncs_s.append(taken_s - began_s)
    next_s = again_s + procedure.think
    return next_s, who, 0, next_s


def _memory(answers: Answers) -> tuple[Floats, Floats]:
    """Bytes of answers that the server holds, as they change."""
    if not answers.held:
        return np.zeros(1), np.zeros(1)
    changes = np.array(sorted(answers.held))
    return changes[:, 0], np.cumsum(changes[:, 1]).clip(0.0)
