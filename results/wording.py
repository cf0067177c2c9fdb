"""A summary in words: its headline and the cells of its phase table."""

from __future__ import annotations

from dataclasses import dataclass

from results import units
from results.documents import QUANTILES, PhaseSummary, Saturation, Summary
from results.statistics import Estimate

_RESOURCES = {"cpu": "CPU", "link": "network link", "memory": "memory"}


def headline(summary: Summary) -> str:
    """What the run says, in one sentence."""
    verdict, phases = summary["verdict"], summary["phases"]
    if not verdict["valid"]:
        return f"This run is not valid: {'; '.join(verdict['reasons'])}."
    if not phases:
        return "The run has no measured phase."
    clauses = _disturbed(summary) if summary["disturbance"] else _steady(summary)
    return "; ".join(clause for clause in clauses if clause) + "."


def _steady(summary: Summary) -> list[str]:
    phase = max(summary["phases"], key=lambda phase: phase["offered_load_per_s"]["value"] or 0.0)
    busiest, figures = max(
        phase["controllers"].items(), key=lambda item: item[1]["utilisation"]["value"] or 0.0
    )
    load = _rate(phase["offered_load_per_s"], "publications/s")
    copies = _rate(phase["throughput_per_s"], "deliveries/s")
    p50, p99 = _latency(summary["latency_s"]["p50"]), _latency(summary["latency_s"]["p99"])
    utilisation = figures["utilisation"]["value"]
    saturation = saturated_text(summary["saturated"])
    return [
        f"At {load} ({copies}) half of the deliveries arrive within {p50} and 99 % within {p99}",
        f"{busiest} is {units.percent(utilisation)} busy" if utilisation is not None else "",
        f"{saturation} saturates" if saturation else "",
        _lost(summary),
    ]


def _disturbed(summary: Summary) -> list[str]:
    disturbance = summary["disturbance"]
    assert disturbance is not None
    calm = summary["phases"][0]
    worst = next(p for p in summary["phases"] if p["name"] == disturbance["phase"])
    before, during = (_latency(phase["latency_s"]["p99"]) for phase in (calm, worst))
    saturation = saturated_text(worst["saturated"])
    return [
        f"During {worst['name']} p99 latency goes from {before} to {during}",
        _goodput(calm, worst),
        f"{saturation} saturates" if saturation else "",
        _recovery(disturbance["recovery_s"]),
        _lost(summary),
    ]


def _goodput(calm: PhaseSummary, worst: PhaseSummary) -> str:
    before, during = calm["goodput_per_s"]["value"], worst["goodput_per_s"]["value"]
    if before is None or during is None:
        return ""
    verb = "falls" if during < 0.95 * before else "stays"
    if verb == "stays":
        return f"goodput stays at {units.rate(during)}"
    return f"goodput falls from {units.rate(before)} to {units.rate(during)}"


def _recovery(recovery_s: Estimate) -> str:
    value = recovery_s["value"]
    if value is None:
        return "it has not recovered by the end"
    return "it recovers at once" if value == 0.0 else f"it recovers {units.seconds(value)} after"


def _lost(summary: Summary) -> str:
    deliveries = summary["deliveries"]
    missing = deliveries["lost"] + deliveries["rejected"]
    if not missing or not deliveries["expected"]:
        return ""
    return f"{units.percent(missing / deliveries['expected'])} of the deliveries never arrive"


def _rate(estimate: Estimate, unit: str) -> str:
    value = estimate["value"]
    return f"{units.number(value) if value is not None else '–'} {unit}"


def _latency(estimate: Estimate) -> str:
    value = estimate["value"]
    return units.seconds(value) if value is not None else "∞"


def saturated_text(saturated: list[Saturation]) -> str:
    """What is used up: `the CPU of nac`; empty for nothing."""
    return ", ".join(f"the {_RESOURCES[s['resource']]} of {s['controller']}" for s in saturated)


@dataclass(frozen=True)
class Row:
    """A line of the phase table: a quantity and its value in each phase."""

    label: str
    unit: str
    cells: tuple[str, ...]


def phase_rows(summary: Summary) -> list[Row]:
    """The phase table: what is offered, what comes out, how late, what it costs, what gives."""
    phases = summary["phases"]

    def row(label: str, unit: str, cells: list[str]) -> Row:
        return Row(label, unit, tuple(cells))

    rows = [
        row("Offered load", "publications/s", [_plain(p["offered_load_per_s"]) for p in phases]),
        row("Throughput", "deliveries/s", [_plain(p["throughput_per_s"]) for p in phases]),
        row("Goodput", "deliveries/s", [_plain(p["goodput_per_s"]) for p in phases]),
        row("Timely", "of the expected", [_percent(p["timely_share"]) for p in phases]),
    ]
    for q in QUANTILES:
        rows.append(row(f"Latency {q}", "", [units.latency(p["latency_s"][q]) for p in phases]))
    for name in summary["controllers"]:
        controllers = [phase["controllers"][name] for phase in phases]
        rows.append(row(f"CPU {name}", "busy", [_percent(c["utilisation"]) for c in controllers]))
        held = [units.size(c["memory_bytes_max"]) for c in controllers]
        rows.append(row(f"Memory {name}", "at most", held))
    rows.append(row("Saturates", "", [saturated_text(p["saturated"]) or "–" for p in phases]))
    return rows


def _plain(estimate: Estimate) -> str:
    return units.with_interval(estimate)


def _percent(estimate: Estimate) -> str:
    return units.with_interval(estimate, 0.01, " %")
