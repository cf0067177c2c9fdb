"""An attack and the defences against it, simulated: every variant with and without the attack.

All runs have the same seed, so they play the same legitimate publications with the same draws: what
differs is the attack's or the defence's doing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from results import Run
from results.impact import Attack, Variant, Window, variant
from sim.replications import simulate
from topologies.overlays import Scenario
from topologies.schema import Topology

Progress = Callable[[float, str], None]


def attack(
    scenario: Scenario,
    *,
    seed: int = 1,
    replications: int = 4,
    out: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Attack, list[Run]]:
    """Simulate every variant of a scenario.

    Parameters
    ----------
    scenario : Scenario
        From `topologies.overlays.scenario`.
    seed, replications
        As `sim.simulate` takes them, alike for all variants.
    out : Path, optional
        Where runs are kept.
    progress : callable, optional
        Gets the share done and a remark.

    Returns
    -------
    document : Attack
    runs : list of Run
        Those with the attack, in the order of the variants.
    """
    total, done, attacked_runs = 2 * len(scenario.attacked), 0, []
    variants: list[Variant] = []
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
            variant(name, descriptions[name], (runs[0], runs[1]), undefended, window(attacked))
        )
    overlay = scenario.overlay
    document: Attack = {
        "id": overlay.id,
        "title": overlay.title,
        "reference": overlay.reference,
        "hypothesis": overlay.hypothesis,
        "topology": scenario.base,
        "variants": variants,
    }
    return document, attacked_runs


def window(topology: Topology) -> Window:
    """From the first attack's start to the last one's end. [s]"""
    spans = [(each.start, each.start + each.duration) for each in topology.attacks]
    return Window(min(start for start, _ in spans), max(end for _, end in spans))


def _told(progress: Progress | None, done: int, total: int, name: str) -> Progress | None:
    if progress is None:
        return None
    return lambda share, remark: progress((done + share) / total, f"{name}: {remark}")
