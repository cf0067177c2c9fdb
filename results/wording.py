"""A summary in words: its headline and the cells of its phase table."""

from __future__ import annotations

from dataclasses import dataclass

from results import units
from results.documents import (
    QUANTILES,
    PhaseSummary,
    Prediction,
    PredictionError,
    Saturation,
    Summary,
)
from results.statistics import Estimate

LOAD_CAPTION = (
    "What was asked of the grid (above) and what it delivered (below): all copies, and the "
    "legitimate ones that came in time."
)
LATENCY_CAPTION = (
    "How late a delivery is, by the instant at which its publication was due. Dashed: the latency "
    "that half (p50) and 99 % (p99) of a phase's deliveries keep."
)
TAIL_CAPTION = (
    "How the lateness is spread: where a curve crosses the line of 1 %, 99 of 100 deliveries have "
    "arrived. Dots mark p50, p99 and p999."
)
COST_CAPTION = "What the load costs the server: processor, copies that wait in it, memory."
ONLINE_CAPTION = "Share of each population that is online, of those that lost sessions."
WATERFALL_CAPTION = "Where the time of one publication goes: a bar for each of some of its copies."
TOPICS_CAPTION = "How late each Topic is, the busiest first. Bars are 95 % intervals."
PREDICTION_CAPTION = (
    "The same spread as predicted and as measured. Where the curves lie on each other, the model "
    "speaks of this server; dots mark p50, p99 and p999."
)
_RESOURCES = {"cpu": "CPU", "link": "network link", "memory": "memory", "readers": "reading"}


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
    cause = "the fault" if summary["sessions"] else "the attack"
    stretch = cause if worst["name"] == "during" else worst["name"]
    saturation, goodput = saturated_text(worst["saturated"]), _goodput(calm, worst)
    return [
        f"During {stretch}, p99 latency rises from {before} to {during} and {goodput}",
        f"{saturation} saturates" if saturation else "nothing saturates",
        _recovery(disturbance["recovery_s"]),
        _lost(summary),
    ]


def _goodput(calm: PhaseSummary, worst: PhaseSummary) -> str:
    before, during = calm["goodput_per_s"]["value"], worst["goodput_per_s"]["value"]
    if before is None or during is None:
        return "there is no goodput to speak of"
    if during >= 0.95 * before:
        return f"goodput stays at {units.rate(during)}"
    return f"goodput falls from {units.rate(before)} to {units.rate(during)}"


def _recovery(recovery_s: Estimate) -> str:
    value = recovery_s["value"]
    if value is None:
        return "it has not recovered by the end"
    if value == 0.0:
        return "all is as before as soon as it ends"
    return f"all is as before {units.seconds(value)} after it ends"


def _lost(summary: Summary) -> str:
    deliveries = summary["deliveries"]
    missing = deliveries["lost"] + deliveries["rejected"] + deliveries["discarded"]
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
    return ", ".join(f"the {_RESOURCES[s['resource']]} of {s['name']}" for s in saturated)


@dataclass(frozen=True)
class Row:
    """A line of the phase table: a quantity and its value in each phase."""

    label: str
    unit: str
    cells: tuple[str, ...]
    alarming: bool = False


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
    saturated = tuple(saturated_text(p["saturated"]) or "–" for p in phases)
    return [*rows, Row("Saturates", "", saturated, alarming=True)]


def _plain(estimate: Estimate) -> str:
    return units.with_interval(estimate)


def _percent(estimate: Estimate) -> str:
    return units.with_interval(estimate, 0.01, " %")


def table_caption(summary: Summary) -> str:
    """What the phase table rests on."""
    replications = summary["replications"]
    times = f"{replications} replications" if replications > 1 else "one replication"
    return (
        f"{summary['origin'].capitalize()}: {times} of {summary['duration_s']:g} s, seed "
        f"{summary['seed']}. ± is a 95 % interval; throughput is what arrives in a phase, "
        "goodput the legitimate deliveries published in it that arrive within "
        f"{summary['deadline_s']:g} s."
    )


def verdict_text(summary: Summary) -> str:
    """Whether every copy is accounted for and the figures may be used."""
    deliveries = summary["deliveries"]
    usable = "The run is valid" if summary["verdict"]["valid"] else "The run is not valid"
    return (
        f"{usable}. Of {deliveries['expected']:,} expected deliveries {deliveries['delivered']:,} "
        f"arrived, {deliveries['rejected']:,} were rejected, {deliveries['discarded']:,} discarded "
        f"and {deliveries['lost']:,} lost."
    )


def load_text(summary: Summary) -> str:
    """The offered load over the measured phases: `6.02 publications/s`."""
    loads = [phase["offered_load_per_s"]["value"] or 0.0 for phase in summary["phases"]]
    return f"{units.number(max(loads, default=0.0))} publications/s"


def prediction_headline(prediction: Prediction) -> str:
    """How far the prediction is off, in one sentence."""
    p50, p99, cpu = prediction["p50"], prediction["p99"], prediction["cpu_per_publication"]
    parts = [
        f"Measured p99 latency is {_latency(p99['measured'])} where {_latency(p99['predicted'])} "
        f"was predicted ({error_text(p99)})",
        f"the median is {_latency(p50['measured'])} where {_latency(p50['predicted'])} was "
        f"predicted ({error_text(p50)})",
        f"CPU per publication is off by {error_text(cpu)}",
    ]
    return "; ".join(parts) + "."


def prediction_rows(prediction: Prediction) -> list[Row]:
    """The table of predicted and measured figures with their relative error."""

    def row(label: str, unit: str, pair: PredictionError, scale: float, suffix: str) -> Row:
        cells = [
            units.with_interval(pair[side], scale, suffix) for side in ("predicted", "measured")
        ]
        return Row(label, unit, (*cells, error_text(pair)))

    def duration(label: str, unit: str, pair: PredictionError) -> Row:
        largest = max(pair["predicted"]["value"] or 0.0, pair["measured"]["value"] or 0.0)
        length_s, name = units.seconds_scale(largest)
        return row(label, unit, pair, length_s, f" {name}")

    return [
        row("Throughput", "deliveries/s", prediction["throughput"], 1.0, ""),
        duration("Latency p50", "", prediction["p50"]),
        duration("Latency p95", "", prediction["p95"]),
        duration("Latency p99", "", prediction["p99"]),
        row("CPU", "busy", prediction["utilisation"], 0.01, " %"),
        duration("CPU", "per publication", prediction["cpu_per_publication"]),
    ]


def error_text(pair: PredictionError) -> str:
    """A relative error: `-12 %`."""
    error = pair["error"]
    return "–" if error is None else f"{100.0 * error:+.1f} %".replace("-", "−")
