"""Light loads beside the runs of a validation, and what is predicted from them.

A shared machine is up to twice as slow for seconds or minutes: what a publication did cost minutes
ago tells little of the next run. So a light load can be played on the same servers before each run;
the model, whose costs are scaled to it, predicts that one run, and the prediction is on disk, with
its digest and the instant, before the run is played. It knows the machine as it was some seconds
ago (how slow, from all runs of the last minute), and of the run only the plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import results
from loadtest import book, paces
from loadtest.agreement import Ahead, prediction, reference_per_s
from loadtest.calibration import (
    DOOR,
    PILOT_SEED_SHIFT,
    Fit,
    Measure,
    Predict,
    counted,
    pilot,
    refitted,
)
from loadtest.problems import LoadError
from results import evidence, pacing, statistics
from results.bracketing import PUBLICATIONS_MIN
from results.figures import Figures
from results.statistics import Estimate
from results.twin_documents import BracketingLoad

if TYPE_CHECKING:
    from pathlib import Path

    from results import Run
    from topologies.profiles import Profile
    from topologies.schema import Topology


AHEAD_S_MIN = 2.0


@dataclass(frozen=True)
class Light:
    """The light load of a validation: on which grid, how many publications a second, which plans.

    Parameters
    ----------
    topology : Topology
        The grid.
    rate_per_s : float
        Publications, see `calibration.light_rate_per_s`. [1/s]
    seed : int
        Of the validation: plans of light loads are none of its points'.
    """

    topology: Topology
    rate_per_s: float
    seed: int

    def play(self, measure: Measure, duration_s: float, number: int = 0) -> Run:
        """Play it until it counts; each number has a plan of its own. [s]"""
        light = pilot(self.topology, duration_s, self.rate_per_s)
        return counted(measure, light, self._key(number))

    def predicted(self, predict: Predict, fitted: Fit, measured: Run, number: int) -> Run:
        """What the model says of the same, told when its cores were how fast, if that is known."""
        light = pilot(self.topology, measured.header.duration_s, self.rate_per_s)
        told = paces.told(light, fitted.profiles, measured)
        topology, costs = told or (fitted.expected(light), fitted.profiles)
        return predict(
            topology, seed=self._key(number), profiles=costs, load=1.0, plan_replication=0,
            door=DOOR,
        )  # fmt: skip

    def _key(self, number: int) -> int:
        return self.seed + PILOT_SEED_SHIFT + number


def told(
    light: Light, measure: Measure, predict: Predict, fitted: Fit, duration_s: float, number: int
) -> tuple[BracketingLoad, dict[str, Profile], Run] | None:  # fmt: skip
    """Play a light load, and scale the costs to it; None where it does not count.

    It does not count where other work spoiled it every time, or it has too few publications. Where
    the pace of the cores is known, costs are scaled at equal pace, and hold for the same as before.

    Parameters
    ----------
    light : Light
        Which.
    measure, predict : callable
        A run on the grid that is up, and the model.
    fitted : Fit
        Costs before.
    duration_s : float
        How long. [s]
    number : int
        Of the run that follows: from 1.
    """
    measured = light.play(measure, duration_s, number)
    header = measured.header
    if not header.verdict.valid or header.counts.publications < PUBLICATIONS_MIN:
        return None
    expected = light.predicted(predict, fitted, measured, number)
    costs = refitted(fitted.profiles, expected, measured)
    sides = [Figures([run]) for run in (measured, expected)]
    used, expected_used = (
        {name: side.utilisation(name).value for name in side.controllers} for side in sides
    )
    found: BracketingLoad = {
        "run": header.run_id,
        "created": header.created,
        "seconds": header.duration_s,
        "valid": header.verdict.valid,
        "publications": header.counts.publications,
        "used": used,
        "offered_per_s": sides[0].rate("offered").value,
        "predicted_used": expected_used,
        "predicted_per_s": sides[1].rate("offered").value,
        "speeds": {name: profile.speed for name, profile in costs.items()},
    }
    return found, costs, measured


def kept(run: Run, light: BracketingLoad, profiles: Mapping[str, Profile], out: Path) -> Ahead:
    """A prediction put on disk, with its digest and the instant."""
    run.save(out)
    pace_per_s = reference_per_s(run, profiles)
    sha256 = evidence.digest(prediction(run, pace_per_s))
    return Ahead(run, light, book.now(), sha256, pace_per_s)


def entry(ahead: Ahead) -> dict[str, Any]:
    """What the book of a validation has of it."""
    return {
        "run": ahead.predicted.header.run_id, "light": ahead.light, "stored": ahead.stored,
        "sha256": ahead.sha256, "pace_per_s": ahead.pace_per_s,
    }  # fmt: skip


def recalled(entry: Mapping[str, Any], out: Path) -> Ahead:
    """The prediction of an entry."""
    run = results.open_run(out / entry["run"])
    return Ahead(run, entry["light"], entry["stored"], entry["sha256"], entry["pace_per_s"])


def check(ahead_s: float, rate_per_s: float) -> None:
    """Refuse light loads that would tell nothing. [s], [1/s]

    Raises
    ------
    LoadError
        They are too short, or have too few publications.
    """
    if ahead_s < AHEAD_S_MIN:
        raise LoadError(f"--ahead: {ahead_s:g} s: give 0 for none, or at least {AHEAD_S_MIN:g} s")
    if ahead_s * rate_per_s < PUBLICATIONS_MIN:
        needed_s = math.ceil(1.5 * PUBLICATIONS_MIN / rate_per_s)
        raise LoadError(
            f"--ahead: {ahead_s:g} s of this grid's light load ({rate_per_s:.2g}/s) have fewer "
            f"than {PUBLICATIONS_MIN} publications, which tell no cost; give {needed_s} s"
        )


def drift(runs: list[Run]) -> tuple[Estimate | None, Estimate | None]:
    """What the same light load cost in the last of some runs, over the first; and at equal pace.

    None where there is one alone that counts, or a pace is not known. [1]
    """
    runs = [run for run in runs if run.header.verdict.valid]
    if len(runs) < 2:
        return None, None
    ends = runs[0], runs[-1]
    before, after = (Figures([run]).busy_per_publication() for run in ends)
    found = statistics.ratio(before, after, paired=False)
    paces = [pacing.pace_per_s(run) for run in ends]
    if paces[0] is None or paces[1] is None:
        return found, None
    after = pacing.scaled(after, 1.0 / pacing.slowdown(paces[1], paces[0]))
    return found, statistics.ratio(before, after, paired=False)
