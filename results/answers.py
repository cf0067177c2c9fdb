"""Answers of a run in figures: how long those waited who asked a Broker, or had just logged in.

Retracts are among them, which a Broker sends to all subscribers unasked, and what a server stored
for whoever was offline and sent late.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from results import histogram, units
from results.documents import AnswerFigures
from results.figures import measured_phases
from results.latencies import Latency

if TYPE_CHECKING:
    from results.run import Run

DELAYED = "delayed"
ROLES = ("query", "last-item", "retract", DELAYED)  # in the place of a publisher's role


def answers(run: Run) -> list[AnswerFigures]:
    """Figures of each kind of answer and population, over the measured phases.

    Latency runs from the request to the end of the answer's reading; of last items and of what is
    asked upon a login, from the instant at which the Platform knows that it is online; of
    retracts, from that at which the publication was intended that pushed the item out; of what was
    stored, from that at which it was intended.
    """
    phases = measured_phases(run)
    kinds = {(key[4], key[2], key[3]) for key in run.latencies.keys if key[4] in ROLES}
    return [_figures(run, phases, *kind) for kind in sorted(kinds)]


def _figures(
    run: Run, phases: tuple[str, ...], role: str, answer: str, population: str
) -> AnswerFigures:
    parts = tuple(
        run.latencies.counts(
            replication=replication, phases=phases, topic=answer, population=population, role=role
        )
        for replication in range(run.header.replications)
    )
    counts = np.sum(parts, axis=0)
    latency, lost = Latency(counts, parts), int(counts[histogram.UNDELIVERED])
    return {
        "answer": answer,
        "role": role,
        "population": population,
        "answered": int(counts.sum()) - lost,
        "lost": lost,
        "p50": latency.quantile(0.5),
        "p99": latency.quantile(0.99),
    }


def answers_text(found: list[AnswerFigures]) -> Iterator[str]:
    """`items of alerts to analysts: 1,200 answers, p50 12 ms, p99 80 ms.`"""
    for each in found:
        p50, p99 = (
            "–" if value is None else units.seconds(value)
            for value in (each["p50"]["value"], each["p99"]["value"])
        )
        lost = f", {each['lost']:,} lost" if each["lost"] else ""
        what = "delivered late" if each["role"] == DELAYED else "answers"
        yield (
            f"{each['answer']} to {each['population']}: {each['answered']:,} {what}{lost}, "
            f"p50 {p50}, p99 {p99}."
        )
