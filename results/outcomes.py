"""What is kept of a run when thousands are made: counts and sparse histograms, as plain data.

An outcome is a JSON document that says the same, to the byte, wherever it was made: it holds no
clock, no path, no machine. Figures are computed from it as from a run: quantiles of merged
histograms, intervals over the replications.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from results import figures, histogram, statistics, units
from results.run import Run
from results.statistics import Estimate, FloatArray, Sample

if TYPE_CHECKING:
    from rich.console import RenderableType

Outcome = Mapping[str, Any]
QUANTILES = (0.5, 0.99, 0.999)


def distilled(run: Run) -> dict[str, Any]:
    """The outcome of a run."""
    header = run.header
    return {
        "plan_sha256": list(header.plan_sha256),
        "valid": header.verdict.valid,
        "warnings": [*header.verdict.reasons, *header.verdict.warnings],
        "deadline_s": header.deadline_s,
        "phases": [
            {
                "name": phase.name,
                "start_s": phase.start_s,
                "end_s": phase.end_s,
                "replications": [
                    _counts(run, phase.name, replication) for _, replication in figures.units([run])
                ],
            }
            for phase in header.phases
            if phase.name in figures.measured_phases(run)
        ],
    }


def _counts(run: Run, phase: str, replication: int) -> dict[str, Any]:
    """What one replication counted in one phase."""
    table = run.intervals
    chosen = (table["replication"] == replication) & (table["phase"] == phase)
    bins, counts = histogram.sparse(run.latencies.counts(replication=replication, phases=[phase]))
    controllers = {}
    for name, controller in run.header.controllers.items():
        own = chosen & (table["controller"] == name)
        span_s = float((table["end_s"][own] - table["start_s"][own]).sum())
        controllers[name] = {
            "busy_s": float(table["busy_s"][own].sum()),
            "core_s": controller.usable_cores * span_s,
            "egress_bytes": float(table["egress_bytes"][own].sum()),
            "link_bytes": controller.nic_bytes_per_s * span_s,
            "memory_bytes_max": float(table["memory_bytes_max"][own].max(initial=0.0)),
            "memory_bytes": controller.memory_bytes,
        }
    return {
        **{
            name: int(table[name][chosen].sum())
            for name in ("offered", "offered_legitimate", "delivered", "timely", "rejected")
        },
        "bins": bins.tolist(),
        "counts": counts.tolist(),
        "controllers": controllers,
    }


class OutcomeFigures:
    """Figures of an outcome over its measured phases, or over one of them.

    Parameters
    ----------
    outcome : Outcome
        One that was not refused.
    phase : str, optional
        Name of a phase; all of them by default.
    """

    def __init__(self, outcome: Outcome, phase: str | None = None) -> None:
        self._phases = [each for each in outcome["phases"] if phase in (None, each["name"])]
        self._span_s = sum(each["end_s"] - each["start_s"] for each in self._phases)
        self._count = len(self._phases[0]["replications"]) if self._phases else 0

    def _of(self, replication: int) -> list[Mapping[str, Any]]:
        return [phase["replications"][replication] for phase in self._phases]

    def _sample(self, upper: FloatArray, lower: FloatArray) -> Sample:
        if lower.sum() <= 0.0:
            return Sample(np.nan, reason="no data")
        filled = lower > 0.0
        return Sample(float(upper.sum() / lower.sum()), upper[filled] / lower[filled], 0.0)

    def latency(self, q: float) -> Sample:
        """The q-quantile of the latency of legitimate deliveries. [s]"""
        return statistics.quantile(self.histograms(), q)

    def histograms(self) -> list[histogram.Counts]:
        """Latencies of legitimate deliveries, one histogram for each replication."""
        parts = []
        for replication in range(self._count):
            merged = histogram.empty()
            for each in self._of(replication):
                np.add.at(merged, each["bins"], each["counts"])
            parts.append(merged)
        return parts

    def rate(self, column: str) -> Sample:
        """A column's counts per second. [1/s]"""
        totals = [
            float(sum(each[column] for each in self._of(replication)))
            for replication in range(self._count)
        ]
        return self._sample(np.array(totals), np.full(self._count, self._span_s))

    def share(self, controller: str, used: str, there: str) -> Sample:
        """What a Controller used of what there is, e.g. busy_s of core_s. [1]"""
        upper, lower = (
            np.array(
                [
                    float(sum(each["controllers"][controller][name] for each in self._of(k)))
                    for k in range(self._count)
                ]
            )
            for name in (used, there)
        )
        return self._sample(upper, lower)

    @property
    def controllers(self) -> list[str]:
        """Names of the Controllers."""
        if not self._count:
            return []
        return list(self._of(0)[0]["controllers"])

    def memory_bytes_max(self, controller: str) -> float:
        """Most memory that a Controller held. [B]"""
        return max(
            (
                float(each["controllers"][controller]["memory_bytes_max"])
                for replication in range(self._count)
                for each in self._of(replication)
            ),
            default=0.0,
        )

    def estimates(self) -> dict[str, Estimate]:
        """The figures of a row of a sweep."""
        busiest = max(
            (self.share(name, "busy_s", "core_s") for name in self.controllers),
            key=lambda sample: sample.value,
        )
        names = {f"latency_{statistics.name(q)}_s": self.latency(q).estimate() for q in QUANTILES}
        return {
            "offered_load_per_s": self.rate("offered").estimate(),
            "throughput_per_s": self.rate("delivered").estimate(),
            "goodput_per_s": self.rate("timely").estimate(),
            **names,
            "utilisation": busiest.estimate(),
        }


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row for each outcome: its settings and figures, as `gridlab sweep --json` prints them."""
    found = []
    for outcome in outcomes:
        row: dict[str, Any] = {"key": outcome["key"], "settings": dict(outcome["settings"])}
        refused = outcome.get("refused")
        row |= {"refused": refused, "figures": None} if refused else {
            "refused": None,
            "figures": OutcomeFigures(outcome).estimates(),
        }  # fmt: skip
        found.append(row)
    return found


_SHOWN = (
    ("offered/s", "offered_load_per_s", "rate"),
    ("goodput/s", "goodput_per_s", "rate"),
    ("p50", "latency_p50_s", "latency"),
    ("p99", "latency_p99_s", "latency"),
    ("CPU", "utilisation", "share"),
)
ROWS_MAX = 40


def render(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """The rows as a table: a column for each varied field, then the figures."""
    from rich.console import Group
    from rich.text import Text

    from results.terminal import sheet

    table = sheet()
    paths = list(rows[0]["settings"]) if rows else []
    for path in paths:
        table.add_column(Text(path), justify="right", overflow="fold")
    for title, _, _ in _SHOWN:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows[:ROWS_MAX]:
        settings = [Text(row["settings"][path]) for path in paths]
        if row["figures"] is None:
            table.add_row(*settings, Text(f"refused: {row['refused'][0]}", style="red"))
            continue
        table.add_row(*settings, *(_cell(row["figures"][name], form) for _, name, form in _SHOWN))
    hidden = len(rows) - ROWS_MAX
    more = [Text(f"… and {hidden:,} more; --json prints all", style="dim")] if hidden > 0 else []
    return Group(table, *more)


def _cell(estimate: Estimate, form: str) -> str:
    match form:
        case "latency":
            return units.latency(estimate)
        case "share":
            return units.with_interval(estimate, 0.01, " %")
        case _:
            return units.with_interval(estimate)
