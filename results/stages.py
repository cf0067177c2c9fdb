"""Where the time goes, and which resource is used up first: from a run's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results import histogram, statistics, units
from results.documents import StageFigures, Usage
from results.figures import Figures, measured_phases
from results.records import STAGES

if TYPE_CHECKING:
    from results.run import Run


def stages(run: Run) -> list[StageFigures]:
    """Mean and p99 of each stage by Topic and receiving population, of legitimate deliveries.

    From copies that were followed in the first replication; none where none was.
    """
    phases = measured_phases(run)
    pairs = {(key[2], key[3]) for key in run.latencies.keys if key[5] != "total"}
    found: list[StageFigures] = []
    for topic, population in sorted(pairs):
        for stage in STAGES:
            counts = run.latencies.counts(
                phases=phases, topic=topic, population=population, stage=stage
            )
            if counts.any():
                p99_s = statistics.quantile((counts,), 0.99).value
                found.append(
                    {
                        "topic": topic,
                        "population": population,
                        "stage": stage,
                        "copies": int(counts.sum()),
                        "mean_s": histogram.mean(counts),
                        "p99_s": p99_s,
                    }
                )
    return found


def usages(run: Run, figures: Figures) -> dict[tuple[str, str], float]:
    """Share in use of each resource: cores, link and memory of Controllers, readers. [1]"""
    shares = {
        (name, resource): share
        for name, controller in run.header.controllers.items()
        for resource, share in (
            ("cpu", figures.utilisation(name).value),
            ("link", figures.egress_share(name)),
            ("memory", figures.memory_bytes_max(name) / controller.memory_bytes),
        )
    }
    for population, used in run.header.measurement.get("readers", {}).items():
        shares[population, "readers"] = max(used.get(phase, 0.0) for phase in figures.phases)
    return shares


def busiest(run: Run) -> list[Usage]:
    """The resource that is used most in any measured phase, and the next one."""
    most: dict[tuple[str, str], float] = {}
    for phase in measured_phases(run):
        for key, share in usages(run, Figures([run], [phase])).items():
            most[key] = max(share, most.get(key, 0.0))
    first = sorted(most.items(), key=lambda item: -item[1])[:2]
    return [{"name": name, "resource": what, "share": share} for (name, what), share in first]


def stages_text(found: list[StageFigures]) -> str:
    """Mean stages over all copies in one line: `uplink 1 ms, broker 12 ms`."""
    total = {stage: 0.0 for stage in STAGES}
    copies = {stage: 0 for stage in STAGES}
    for each in found:
        total[each["stage"]] += each["copies"] * each["mean_s"]
        copies[each["stage"]] += each["copies"]
    parts = [
        f"{stage} {units.seconds(total[stage] / copies[stage])}"
        for stage in STAGES
        if copies[stage] and total[stage] > 0.0
    ]
    return ", ".join(parts)


def busiest_text(found: list[Usage]) -> str:
    """`controller cpu 43 %, then controller link 7 %`."""
    parts = [f"{each['name']} {each['resource']} {units.percent(each['share'])}" for each in found]
    return ", then ".join(parts)
