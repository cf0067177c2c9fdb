"""An attack and the defences against it, simulated: every variant with and without the attack.

All runs have the same seed, so they play the same legitimate publications with the same draws: what
differs is the attack's or the defence's doing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from results import Run
from results.impact import PICTURES, Window, variant
from results.variants import Attack, Measured
from sim.replications import simulate
from topologies.overlays import Scenario
from topologies.schema import Topology

Progress = Callable[[float, str], None]
GRIDS: Final = 4
PROCEDURES: Final = 16


@dataclass(frozen=True)
class Trial:
    """What came of an attack: its document, the samples behind it, the runs with the attack."""

    document: Attack
    measured: dict[str, Measured]
    runs: tuple[Run, ...] = ()


def attack(
    scenario: Scenario,
    *,
    seed: int = 1,
    replications: int | None = None,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Trial:
    """Simulate every variant of a scenario.

    Parameters
    ----------
    scenario : Scenario
        From `topologies.overlays.scenario`.
    seed : int
        As `sim.simulate` takes it, alike for all variants.
    replications : int, optional
        Repetitions; `GRIDS` of a grid's traffic, `PROCEDURES` of the control plane by default.
    out : Path, optional
        Where runs are kept.
    progress : callable, optional
        Gets the share done and a remark.
    """
    overlay = scenario.overlay
    runs: list[Run] = []
    if scenario.procedures:
        from sim.procedures import playing

        measured = playing.play(scenario, seed, replications or PROCEDURES, progress)
        axes = playing.axes(scenario)
    else:
        measured, runs = _played(scenario, seed, replications or GRIDS, out, progress)
        axes = ("time [s]", PICTURES[overlay.picture])
    document = described(scenario, measured, axes)
    return Trial(document, {each.defence: each for each in measured}, tuple(runs))


def described(scenario: Scenario, measured: list[Measured], axes: tuple[str, str]) -> Attack:
    """The variants with what the file says of them."""
    overlay = scenario.overlay
    return {
        "id": overlay.id,
        "title": overlay.title,
        "reference": overlay.reference,
        "hypothesis": overlay.hypothesis,
        "topology": scenario.base,
        "headline": overlay.headline,
        "axes": {"x": axes[0], "y": axes[1]},
        "variants": [each.document() for each in measured],
    }


def _played(
    scenario: Scenario, seed: int, replications: int, out: Path | None, progress: Progress | None
) -> tuple[list[Measured], list[Run]]:
    """Every variant with and without the attack; the runs with it."""
    total, done, attacked_runs = 2 * len(scenario.attacked), 0, []
    variants: list[Measured] = []
    undefended: Run | None = None
    descriptions = {each.name: each.description for each in scenario.overlay.defences}
    for name, attacked in scenario.attacked.items():
        runs = []
        for topology in (attacked, scenario.calm[name]):
            told = _told(progress, done, total, name)
            run = simulate(
                topology, seed=seed, replications=replications, progress=told, door="gridlab attack"
            )
            if out is not None:
                run.save(out)
            runs.append(run)
            done += 1
        undefended = undefended or runs[1]
        attacked_runs.append(runs[0])
        variants.append(
            variant(
                name,
                descriptions[name],
                (runs[0], runs[1]),
                undefended,
                window(attacked),
                scenario.overlay.picture,
            )
        )
    return variants, attacked_runs


def window(topology: Topology) -> Window:
    """From the first attack's or fault's start to the last one's end. [s]"""
    troubles = (*topology.attacks, *topology.faults)
    if not troubles:
        return Window(0.0, topology.workload.duration, topology.workload.duration)
    spans = [(each.start, each.start + each.duration) for each in troubles]
    start_s, end_s = min(start for start, _ in spans), max(end for _, end in spans)
    return Window(start_s, end_s, topology.workload.duration if topology.faults else end_s)


def _told(progress: Progress | None, done: int, total: int, name: str) -> Progress | None:
    if progress is None:
        return None
    return lambda share, remark: progress((done + share) / total, f"{name}: {remark}")
