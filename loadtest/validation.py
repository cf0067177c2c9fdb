"""Predict first, then measure: how far the model is off a real server, point by point.

In this order, so that no prediction can know its measurement: deploy a grid and fit the costs of
this machine on a pilot; take the grid down; simulate every point on the plan that it will play and
store the prediction; deploy a fresh grid; play the points; compare. The two sides come together
only here, and each is given as a function.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import results
from loadtest import deployment, engine, spinner
from loadtest.agreement import Outcome, Point, render
from loadtest.calibration import Fit, Measure, Predict, fit
from loadtest.conduct import BY_HAND
from loadtest.problems import LoadError

if TYPE_CHECKING:
    from results import Run
    from topologies.schema import Topology

DOOR = "gridlab validate"
PILOT_S = 10.0
POINT_S = 10.0
NEAR_SATURATION = 0.85
Progress = Callable[[float, str], None]


def validate(
    topology: Topology,
    *,
    predict: Predict,
    points: Sequence[float] | None = None,
    duration_s: float | None = None,
    seed: int = 1,
    out: Path,
    progress: Progress = lambda share, remark: None,
) -> Outcome:
    """Fit, predict, measure and compare a topology at one or more loads.

    Parameters
    ----------
    topology : Topology
        What is deployed; its attacks are not part of a validation.
    predict : callable
        `sim.simulate`.
    points : sequence of float, optional
        Loads as multiples of the file's; by default the file's own, and the one at which the fitted
        model says that the server is used at 0.85.
    duration_s : float, optional
        Length of each point; 10 s by default. [s]
    seed : int
        Of the plans and of the model's draws.
    out : Path
        Where the runs are kept: each prediction before its measurement begins.
    progress : callable
        Gets the share done and a remark.

    Raises
    ------
    DeploymentError, LoadError, rails.RailsError
        The grid cannot be deployed or driven.
    """
    duration_s = duration_s or POINT_S
    server_cores, generator_cores = split_cores()
    settings = engine.Settings(cores=generator_cores)
    loads = list(points or ())
    total_s = PILOT_S + duration_s * (len(loads) or 2) + 12.0
    told = _Told(progress, total_s)

    def measure(grid: deployment.Grid, played: Topology, *, seed: int, load: float) -> Run:
        with spinner.awake():
            run = engine.play(
                played, grid, seed=seed, load=load, door=DOOR, settings=settings, progress=told.play
            )
        kept = run.save(out)
        if why := run.header.measurement["stopped"]:
            if why == BY_HAND:
                raise KeyboardInterrupt
            raise LoadError(f"{why}; what was played is kept in {kept}")
        return run

    told.next("fitting costs", PILOT_S + 4.0)
    with deployment.ephemeral(topology, cores=server_cores) as grid:
        on_grid: Measure = partial(measure, grid)
        fitted = fit(topology, predict, on_grid, seed=seed, duration_s=PILOT_S)

    topology = engine.lasting(topology.model_copy(update={"attacks": ()}), duration_s)
    told.next("predicting", 2.0)
    loads = loads or [1.0, _near_saturation(topology, fitted, predict, seed)]
    predictions = [_predict(topology, fitted, predict, seed, load) for load in loads]
    for prediction in predictions:
        prediction.save(out)

    outcome = Outcome(topology, fitted)
    with deployment.ephemeral(topology, cores=server_cores) as grid:
        for load, prediction in zip(loads, predictions, strict=True):
            told.next(f"playing load {load:.3g}", duration_s + 3.0)
            measured = measure(grid, topology, seed=seed, load=load)
            error = results.prediction_error(prediction, measured)
            outcome.points.append(Point(load, prediction, measured, error))
    return outcome


def read_points(text: str | None) -> list[float] | None:
    """The loads of `--points 0.5,1,2`.

    Raises
    ------
    LoadError
        Not a list of positive numbers.
    """
    if text is None:
        return None
    try:
        loads = [float(part) for part in text.split(",")]
    except ValueError:
        loads = [math.nan]
    if not all(0.0 < load < math.inf for load in loads):
        raise LoadError(f'--points: "{text}": must be positive numbers; write for example 0.5,1,2')
    return loads


def _predict(topology: Topology, fitted: Fit, predict: Predict, seed: int, load: float) -> Run:
    """The model's answer on the very plan that will be played, over draws of its own."""
    return predict(
        topology, seed=seed, profiles=fitted.profiles, load=load, plan_replication=0, door=DOOR
    )


def _near_saturation(topology: Topology, fitted: Fit, predict: Predict, seed: int) -> float:
    """The load at which the fitted model has its busiest Controller at `NEAR_SATURATION`."""
    used = max(
        figures["utilisation"]["value"] or 0.0
        for figures in _predict(topology, fitted, predict, seed, 1.0)
        .summary()["controllers"]
        .values()
    )
    return round(NEAR_SATURATION / max(used, 1e-6), 2)


def split_cores() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """One core for the server, the others for the generator; all for both where there is one."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    return ((), ()) if len(cores) < 2 else (cores[:1], cores[1:])


class _Told:
    """Turns what the steps report into one share of the whole."""

    def __init__(self, progress: Progress, total_s: float) -> None:
        self._progress, self._total_s = progress, total_s
        self._before_s = self._step_s = 0.0
        self._remark = ""

    def next(self, remark: str, step_s: float) -> None:
        """A step begins that takes about so long. [s]"""
        self._before_s += self._step_s
        self._step_s, self._remark = step_s, remark
        self._progress(min(self._before_s / self._total_s, 1.0), remark)

    def play(self, news: Mapping[str, Any]) -> None:
        """A run on the grid is this far: what `engine.play` tells."""
        share = min(news["elapsed_s"] / news["duration_s"], 1.0)
        done_s = self._before_s + share * self._step_s
        remark = f"{self._remark}: {news['state']}"
        self._progress(min(done_s / self._total_s, 1.0), remark)


__all__ = ["read_points", "render", "validate"]
