"""A scenario's procedures at work: every variant on the same draws, figures with intervals."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from results import statistics
from results.statistics import Sample
from results.variants import Measured
from sim.procedures.outcome import Occasion, Outcome
from topologies.overlays import Scenario
from topologies.procedures import AnyProcedure

Progress = Callable[[float, str], None]

REASONS: Final = {
    "goodput_per_s": "the traffic of others is not touched",
    "p99_s": "nothing waits in this procedure",
    "collateral": "the defence strikes no legitimate Platform",
    "time_to_recover_s": "the traffic of others is not touched",
}


def play(
    scenario: Scenario, seed: int, replications: int, progress: Progress | None
) -> list[Measured]:
    """Every variant of a scenario, replication r on the same draws in all."""
    descriptions = {each.name: each.description for each in scenario.overlay.defences}
    total, found = len(scenario.procedures), []
    for done, (name, procedure) in enumerate(scenario.procedures.items()):
        module = _module(procedure.model)
        outcomes = []
        for replication in range(replications):
            occasion = Occasion(scenario.attacked[name], seed, replication)
            outcomes.append(module.play(procedure, occasion))
            if progress is not None:
                progress((done + (replication + 1) / replications) / total, name)
        reasons = {**REASONS, **getattr(module, "REASONS", {})}
        found.append(
            Measured(name, descriptions[name], samples(outcomes), outcomes[0].curve, reasons)
        )
    return found


def outcomes(procedure: AnyProcedure, occasions: Sequence[Occasion]) -> list[Outcome]:
    """A procedure on each of some occasions."""
    module = _module(procedure.model)
    return [module.play(procedure, occasion) for occasion in occasions]


def reasons(procedure: AnyProcedure) -> dict[str, str]:
    """Why a procedure has no figure of some names."""
    return dict(getattr(_module(procedure.model), "REASONS", {}))


def axes(scenario: Scenario) -> tuple[str, str]:
    """What the curves of a scenario show."""
    first = next(iter(scenario.procedures.values()))
    names: tuple[str, str] = _module(first.model).AXES
    return names


def _module(model: str) -> Any:
    """The module that plays a model is called like it; it has `play` and its curve's `AXES`."""
    return importlib.import_module(f"sim.procedures.{model.replace('-', '_')}")


def samples(outcomes: Sequence[Outcome]) -> dict[str, Sample]:
    """Each figure over the replications; quantiles of latency from the merged histogram."""
    names = list(dict.fromkeys(name for each in outcomes for name in each.figures))
    found = {name: mean([each.figures.get(name, np.nan) for each in outcomes]) for name in names}
    histograms = [each.latency for each in outcomes if each.latency is not None]
    if histograms:
        found["p99_s"] = statistics.quantile(histograms, 0.99)
    return found


def mean(values: Sequence[float]) -> Sample:
    """The mean of the replications that have the figure; unbounded if one of them is."""
    parts = np.array(values)
    parts = parts[~np.isnan(parts)]
    if not len(parts):
        return Sample(np.nan, reason="it never comes to that")
    endless = int(np.isinf(parts).sum())
    reason = f"unbounded: never within the run in {endless} of {len(parts)} replications"
    return Sample(float(parts.mean()), parts, -np.inf, reason if endless else "")
