"""A run in figures: recomputed from its tables, never stored."""

from __future__ import annotations

import math
from typing import cast

from results import offline, sessions, timeline
from results.answers import answers
from results.documents import (
    ControllerFigures,
    Disturbance,
    PhaseSummary,
    Quantiles,
    Saturation,
    Summary,
    rounded,
)
from results.figures import Figures
from results.latencies import Latency
from results.records import Phase
from results.run import Run
from results.stages import busiest, stages, usages
from results.wording import headline

SATURATED = 0.95  # share of a resource from which it counts as used up
DISTURBED = 2.0  # a phase is disturbed whose p99 is this many times the first's, or
UNTIMELY = 0.95  # whose timely share is below this part of the first's


def summary(run: Run) -> Summary:
    """The document of `gridlab simulate --json`; floats have 12 significant digits.

    Latencies are those of legitimate deliveries of the measured phases, goodput counts those within
    the deadline. Intervals are 95 %, over the replications; over ten stretches of time where a
    steady study has one replication only.
    """
    header, figures = run.header, Figures([run])
    phases = [_phase(run, phase) for phase in header.phases if phase.measured]
    counts = header.counts
    document: Summary = {
        "run_id": header.run_id,
        "origin": header.origin,
        "topology": header.topology.name,
        "seed": header.seed,
        "study": header.study,
        "duration_s": header.duration_s,
        "replications": header.replications,
        "deadline_s": header.deadline_s,
        "wall_s": header.wall_s,
        "peak_rss_bytes": header.peak_rss_bytes,
        "headline": "",
        "publications": counts.publications,
        "deliveries": {
            "expected": counts.expected,
            "delivered": counts.delivered,
            "rejected": counts.rejected,
            "discarded": counts.discarded,
            "lost": counts.lost,
        },
        "latency_s": _quantiles(figures.latency()),
        "goodput_per_s": figures.rate("timely").estimate(),
        "controllers": _controllers(run, figures),
        "stations": dict(header.stations),
        "phases": phases,
        "topics": {
            topic: {
                "p50": (latency := figures.latency(topic)).quantile(0.5),
                "p99": latency.quantile(0.99),
            }
            for topic in run.latencies.topics()
        },
        "stages": stages(run),
        "busiest": busiest(run),
        "saturated": _union([phase["saturated"] for phase in phases]),
        "disturbance": _disturbance(run, phases),
        "sessions": sessions.session_figures(header, timeline.timeline(run).end_s),
        "answers": answers(run),
        "offline": offline.figures(header),
        "identities": [identity.model_dump() for identity in header.identities],  # type: ignore[misc]
        "verdict": {
            "valid": header.verdict.valid,
            "reasons": list(header.verdict.reasons),
            "warnings": list(header.verdict.warnings),
        },
    }
    document["headline"] = headline(document)
    return cast(Summary, rounded(document))


def _phase(run: Run, phase: Phase) -> PhaseSummary:
    figures = Figures([run], [phase.name])
    return {
        "name": phase.name,
        "start_s": phase.start_s,
        "end_s": phase.end_s,
        "offered_load_per_s": figures.rate("offered").estimate(),
        "throughput_per_s": figures.rate("delivered").estimate(),
        "goodput_per_s": figures.rate("timely").estimate(),
        "timely_share": figures.timely_share().estimate(),
        "latency_s": _quantiles(figures.latency()),
        "controllers": _controllers(run, figures),
        "saturated": _saturated(run, figures),
    }


def _quantiles(latency: Latency) -> Quantiles:
    return {
        "p50": latency.quantile(0.5),
        "p99": latency.quantile(0.99),
        "p999": latency.quantile(0.999),
    }


def _controllers(run: Run, figures: Figures) -> dict[str, ControllerFigures]:
    return {
        name: {
            "utilisation": figures.utilisation(name).estimate(),
            "memory_bytes_max": figures.memory_bytes_max(name),
        }
        for name in run.header.controllers
    }


def _saturated(run: Run, figures: Figures) -> list[Saturation]:
    return [
        {"name": name, "resource": resource}
        for (name, resource), share in usages(run, figures).items()
        if share >= SATURATED
    ]


def _union(lists: list[list[Saturation]]) -> list[Saturation]:
    union: list[Saturation] = []
    for saturated in lists:
        union += [item for item in saturated if item not in union]
    return union


def _disturbance(run: Run, phases: list[PhaseSummary]) -> Disturbance | None:
    """The first phase that is notably worse than the one it began with; its effects may last."""
    for calm, phase in zip(phases[:1] * len(phases), phases[1:], strict=False):
        slower = _p99_s(phase) >= DISTURBED * _p99_s(calm)
        if slower or _timely(phase) < UNTIMELY * _timely(calm):
            recovery_s = timeline.recovery(run, phase["name"]).estimate()
            return {"phase": phase["name"], "recovery_s": recovery_s}
    return None


def _p99_s(phase: PhaseSummary) -> float:
    value = phase["latency_s"]["p99"]["value"]
    return math.inf if value is None else value


def _timely(phase: PhaseSummary) -> float:
    value = phase["timely_share"]["value"]
    return 1.0 if value is None else value
