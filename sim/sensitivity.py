"""Which inputs decide a figure: Morris screening of many, then Sobol indices of the strongest.

Inputs vary on a logarithmic scale within the spread of their provenance. Every point is a short
simulation with the same draws, so that the figure moves with the inputs and not with the dice.

References
----------
.. [1] M. D. Morris, "Factorial sampling plans for preliminary computational experiments,"
   Technometrics 33(2), 1991.
.. [2] A. Saltelli et al., "Variance based sensitivity analysis of model output," Computer Physics
   Communications 181, 2010.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from results.outcomes import OutcomeFigures
from results.statistics import Estimate
from sim.axes import Settings
from sim.executors import executor, prepare
from sim.inputs import Input, inputs, strongest
from sim.scenarios import Base, Scenario, work
from sim.trials import windowed

Figure = Literal["p99", "p50", "utilisation"]
Floats = npt.NDArray[np.float64]
Progress = Callable[[float, str], None]
DELIVERIES = 1e5  # of one point
WINDOW_S = (5.0, 60.0)
LEVELS = 4  # of Morris' grid


@dataclass(frozen=True)
class Effort:
    """How much is spent: inputs that are screened, trajectories, inputs of the indices, points."""

    screened: int = 12
    trajectories: int = 8
    indexed: int = 4
    points: int = 64

    @property
    def runs(self) -> int:
        """Simulations in all."""
        return self.trajectories * (self.screened + 1) + self.points * (self.indexed + 2)


def sensitivity(
    base: Base,
    *,
    figure: Figure = "p99",
    effort: Effort | None = None,
    processes: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Screen the inputs that matter on paper, then index the strongest of them.

    Returns
    -------
    dict
        `screened`: Morris' mu* (mean absolute effect on the figure's decadic logarithm, from one
        end of the input to the other) with sigma; `indices`: first-order and total Sobol indices
        of the strongest. Each with a 95 % interval by bootstrap.

    Raises
    ------
    TopologyError
        The topology cannot be simulated.
    """
    prepare(processes, cluster)
    from SALib.analyze import morris as morris_analysis
    from SALib.analyze import sobol as sobol_analysis
    from SALib.sample import morris as morris_sample
    from SALib.sample import sobol as sobol_sample

    started, effort = time.perf_counter(), effort or Effort()
    topology = windowed(base.topology.model_copy(update={"attacks": ()}), DELIVERIES, WINDOW_S)
    base = Base(topology, base.profiles, base.seed, base.replications, base.load, base.code)
    known = inputs(topology, base.profiles)
    chosen = strongest(base, known, effort.screened)
    shown = _Shown(progress, effort)
    with executor(processes, cluster) as workers:

        def figures(points: Floats, of: Sequence[Input]) -> Floats:
            scenarios = [
                Scenario(base, number, _settings(of, row))
                for number, row in enumerate(points.tolist())
            ]
            values: dict[str, float] = {}
            for outcome in workers.map(work, scenarios):
                values[outcome["key"]] = _figure(outcome, figure)
                shown.one_more()
            return np.array([values[each.key] for each in scenarios])

        problem = _problem(chosen)
        points = morris_sample.sample(
            problem, effort.trajectories, num_levels=LEVELS, seed=_seed(base.seed)
        )
        effects = morris_analysis.analyze(
            problem, points, figures(points, chosen), num_levels=LEVELS, seed=_seed(base.seed)
        )
        order = np.argsort(-np.asarray(effects["mu_star"]))
        few = [chosen[k] for k in order[: effort.indexed]]
        problem = _problem(few)
        points = sobol_sample.sample(
            problem, effort.points, calc_second_order=False, seed=_seed(base.seed)
        )
        indices = sobol_analysis.analyze(
            problem, figures(points, few), calc_second_order=False, seed=_seed(base.seed)
        )
    return {
        "topology": topology.name,
        "figure": figure,
        "seed": base.seed,
        "inputs": len(known),
        "runs": shown.done,
        "window_s": topology.workload.duration,
        "screened": [_screened(chosen[k], effects, int(k)) for k in order],
        "indices": [_indexed(each, indices, k, effort.points) for k, each in enumerate(few)],
        "wall_s": time.perf_counter() - started,
    }


class _Shown:
    """Counts the runs and tells of them."""

    def __init__(self, progress: Progress | None, effort: Effort) -> None:
        self._progress, self._effort, self.done = progress, effort, 0

    def one_more(self) -> None:
        self.done += 1
        if self._progress is not None:
            share = min(self.done / self._effort.runs, 1.0)
            self._progress(share, f"run {self.done:,} of {self._effort.runs:,}")


def _seed(seed: int) -> int:
    return seed % 2**32


def _settings(of: Sequence[Input], shares: Sequence[float]) -> Settings:
    return tuple((each.path, each.text(share)) for each, share in zip(of, shares, strict=True))


def _problem(chosen: Sequence[Input]) -> dict[str, Any]:
    """SALib's form of the inputs, each as a share of its range."""
    names = [each.path for each in chosen]
    return {"num_vars": len(chosen), "names": names, "bounds": [[0.0, 1.0]] * len(chosen)}


def _figure(outcome: dict[str, Any], figure: Figure) -> float:
    """The figure of a point, latencies by their decadic logarithm; the run's length at least."""
    if "refused" in outcome:
        return 2.0
    figures = OutcomeFigures(outcome)
    if figure == "utilisation":
        return max(figures.share(c, "busy_s", "core_s").value for c in figures.controllers)
    value_s = figures.latency(0.5 if figure == "p50" else 0.99).value
    return math.log10(value_s) if 0.0 < value_s < math.inf else 2.0


def _interval(value: float, half: float, n: int) -> Estimate:
    if not math.isfinite(value):
        return {"value": None, "low": None, "high": None, "n": n, "reason": "nothing varies"}
    half = half if math.isfinite(half) else 0.0
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def _named(each: Input) -> dict[str, Any]:
    return {"input": each.path, "range": each.ends(), "provenance": each.kind}


def _screened(each: Input, effects: Any, k: int) -> dict[str, Any]:
    value, half = float(effects["mu_star"][k]), float(effects["mu_star_conf"][k])
    effect = _interval(value, half, 0)
    if effect["low"] is not None:
        effect["low"] = max(effect["low"], 0.0)
    return {**_named(each), "effect": effect, "sigma": float(effects["sigma"][k])}


def _indexed(each: Input, indices: Any, k: int, points: int) -> dict[str, Any]:
    return {
        **_named(each),
        "first": _interval(float(indices["S1"][k]), float(indices["S1_conf"][k]), points),
        "total": _interval(float(indices["ST"][k]), float(indices["ST_conf"][k]), points),
    }
