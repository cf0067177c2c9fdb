"""One figure of a variant on both sides; and a model that is told what a play did cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from results import Run, pacing, statistics
from results.statistics import Median, Sample
from results.variants import Agreement, Measured
from sim.defences import GRIDS
from sim.procedures.one_to_one import publisher_s
from sim.replications import simulate
from topologies import Profile
from topologies.procedures import AnyProcedure, LargeAnswers, OneToOne
from topologies.schema import Topology

DOOR: Final = "gridlab attack"
COST_TURNS: Final = 2  # until a model that is told a CPU time uses it: saving depends on load


def agreement(name: str, predicted: Measured, played: Measured) -> Agreement:
    """One figure of one variant on both sides, and measured over predicted."""
    one, other = (side.sample(name).estimate() for side in (predicted, played))
    known = one["value"] and other["value"] is not None
    ratio = other["value"] / one["value"] if known else None  # type: ignore[operator]
    sides = predicted.sample(name), played.sample(name)
    several = isinstance(played.sample(name), Median)
    interval = _of_medians if several else _interval
    low, high = interval(*sides) if known else (None, None)
    return {
        "defence": predicted.defence,
        "figure": name,
        "predicted": one,
        "measured": other,
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
    }


def _of_medians(predicted: Sample, played: Sample) -> tuple[float | None, float | None]:
    """The same of several plays: by pairs where each has a prediction of its own."""
    paired = isinstance(predicted, Median) and len(predicted.parts) == len(played.parts)
    found = statistics.ratio(predicted, played, paired=paired)
    return found["low"], found["high"]


def _interval(predicted: Sample, played: Sample) -> tuple[float | None, float | None]:
    """The interval of measured over predicted: by pairs where each part has its own prediction."""
    replications = predicted.parts
    if not len(replications):
        return None, None
    if len(replications) == len(played.parts) > 1:
        found = statistics.ratio(predicted, played, paired=True)
    else:
        measured = played.value + replications - replications.mean()  # varies as the model does
        other = Sample(played.value, measured, 0.0)
        part = statistics.ratio(predicted, other, paired=False)
        if part["low"] is None or part["high"] is None:
            return None, None
        # One run, not the mean of as many: sqrt((1 + 1/n) / (2/n)) of Welch's half-width.
        wider = math.sqrt((len(replications) + 1) / 2.0)
        value = played.value / predicted.value
        half = wider * (part["high"] - value)
        return max(value - half, 0.0), value + half
    return found["low"], found["high"]


def told_the_cost(
    topology: Topology, profiles: Mapping[str, Profile], runs: tuple[Run, Run], seed: int
) -> Run:
    """A prediction by a model that is told how much CPU time the server used in the play.

    What is left of an error is then the model's way of queueing, and no longer a cost that was
    wrong or a machine that was slower than in the pilot. `runs` are simulated and played.
    """
    told, played_s, speed = runs[0], _busy_s(runs[1]), 1.0
    for _ in range(COST_TURNS):
        speed *= played_s / _busy_s(told)
        costs = {name: slowed(each, speed) for name, each in profiles.items()}
        told = simulate(topology, seed=seed, replications=GRIDS, profiles=costs, door=DOOR)
    return told


def told_its_pace(
    topology: Topology, profiles: Mapping[str, Profile], runs: tuple[Run, Run], seed: int
) -> Run | None:
    """The same of a model that is told how fast the servers' cores were; None: not known."""
    slower = at_pace(profiles, pacing.paces_per_s(runs[1]))
    if slower is None:
        return None
    return simulate(topology, seed=seed, replications=GRIDS, profiles=slower, door=DOOR)


def at_pace(
    profiles: Mapping[str, Profile], paces_per_s: Mapping[str, float | None]
) -> dict[str, Profile] | None:
    """The profiles on cores of these paces; None where one is not known. [1/s]"""
    found = {}
    for name, profile in profiles.items():
        pace_per_s, reference_per_s = paces_per_s.get(name), profile.pace_per_s
        if pace_per_s is None or reference_per_s is None:
            return None
        found[name] = slowed(profile, pacing.slowdown(pace_per_s, reference_per_s))
    return found


def slowed(profile: Profile, factor: float) -> Profile:
    """The profile of a server whose work takes so many times as long. [1]"""
    return profile.model_copy(update={"speed": profile.speed * factor})


def _busy_s(run: Run) -> float:
    """CPU time of the servers in one replication. [s]"""
    replications = len(np.unique(run.intervals["replication"]))
    return float(run.intervals["busy_s"].sum()) / replications


def at_its_cost(procedure: AnyProcedure, played: Measured) -> AnyProcedure | None:
    """A procedure with costs that add up to what the server used in the play.

    All costs of the server change by one factor, as a machine's speed does; None for procedures
    that are not told.
    """
    if isinstance(procedure, LargeAnswers) and procedure.publication is not None:
        return _large_answers(procedure, procedure.publication, played)
    if isinstance(procedure, OneToOne) and procedure.publication and procedure.relayed:
        return _one_to_one(procedure, procedure.publication, procedure.relayed, played)
    return None


def _large_answers(procedure: LargeAnswers, publication_s: float, played: Measured) -> LargeAnswers:
    items = min(procedure.items, procedure.kept or procedure.items)
    requests_per_s, answer_s = (
        played.sample(figure).value for figure in ("requests_per_s", "answer_cpu_s")
    )
    published = procedure.rate * publication_s  # of a second
    expected = requests_per_s * (procedure.answer + items * procedure.item) + published
    factor = (requests_per_s * answer_s + published) / expected
    costs = {name: factor * getattr(procedure, name) for name in ("item", "answer", "publication")}
    return procedure.model_copy(update=costs)


def _one_to_one(
    procedure: OneToOne, publication_s: float, relayed_s: float, played: Measured
) -> OneToOne:
    """The server's costs, and those of encryption by what the publisher used."""
    each_s = procedure.receivers * relayed_s
    match procedure.manner:
        case "messages":
            item_s = each_s
        case "relay":
            item_s = each_s + relayed_s  # its own copy comes first
        case "sealed" if procedure.key_items:
            item_s = publication_s + each_s / procedure.key_items
        case _:
            item_s = publication_s
    factor = played.sample("server_cpu_s").value / item_s
    costs = {"publication": factor * publication_s, "relayed": factor * relayed_s}
    own_s = publisher_s(procedure, procedure.receivers)
    if own_s > 0.0:
        times = played.sample("publisher_cpu_s").value / own_s
        for name in ("encrypt", "encrypt_alone", "cipher"):
            if (cost_s := getattr(procedure, name)) is not None:
                costs[name] = times * cost_s
    return procedure.model_copy(update=costs)
