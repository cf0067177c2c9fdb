"""What the model is told of the machine's pace in a measured run: when its cores were how fast.

On a shared machine a core is up to twice as slow for some seconds, and ten times for some tens of
milliseconds (`tempo`), and what queues meanwhile makes the tail of the latencies: a mean over the
run knows nothing of that. So the costs hold for the fastest pace of the run, and each slower step
is a slow-down of the Controller, instead of neighbours that it may have in the file. What a server
waited for its core, as the kernel and those who look on took it, lengthens all that it does.

Of a run that is still to come nobody knows it. It is expected that the machine goes on as in the
newest minute that was recorded, step by step: as often slow, as much, for as long, and in the same
order (`controllers[].slowness`), from any instant of that on.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from results import pacing
from topologies.schema import SlowDown, Slowness

if TYPE_CHECKING:
    from results import Run
    from topologies.profiles import Profile
    from topologies.schema import Topology

RECALLED_S: Final = 60.0  # of what was recorded, the newest
Steps = Sequence[tuple[float, float]]  # from when [s], pace [1/s]


def told(
    topology: Topology, profiles: Mapping[str, Profile], run: Run
) -> tuple[Topology, dict[str, Profile]] | None:
    """The grid and the costs on cores as fast as those of a run; None where one is not known.

    Step by step where each server is a Controller. Else at the mean pace of each, with neighbours
    that the file has: no slow-down strikes a component.
    """
    means = pacing.paces_per_s(run)
    controllers = {each.name for each in topology.controllers}
    steps = pacing.steps(run) if set(profiles) <= controllers else {}
    costs, faults = {}, []
    for name, profile in profiles.items():
        mean, reference = means.get(name), profile.pace_per_s
        if mean is None or reference is None:
            return None
        own = steps.get(name) or [(0.0, mean)]
        fastest = max(pace for _, pace in own)
        slower = pacing.slowdown(fastest, reference)
        at_pace = {"speed": profile.speed * slower, "pace_per_s": fastest}
        costs[name] = profile.model_copy(update=at_pace)
        faults += list(_slow_downs(name, own, fastest, topology.workload.duration))
    # A steady study has no faults in a file; these are no study of theirs, but the machine's.
    waits = pacing.waited_shares(run)
    nodes = []
    for node in topology.controllers:
        known: dict[str, object] = {"waits": waits.get(node.name, node.waits)}
        if steps.get(node.name):
            known |= {"slowness": None, "neighbours": None}
        nodes.append(node.model_copy(update=known))
    changes = {"faults": (*topology.faults, *faults), "controllers": tuple(nodes)}
    return topology.model_copy(update=changes), costs


def _slow_downs(
    controller: str, steps: Steps, fastest: float, duration_s: float
) -> Iterator[SlowDown]:
    """One for each step that is slower than the fastest."""
    edges_s = [0.0, *(min(begin_s, duration_s) for begin_s, _ in steps[1:]), duration_s]
    for number, (begin_s, end_s) in enumerate(pairwise(edges_s)):
        factor = pacing.slowdown(steps[number][1], fastest)
        if factor > 1.0 and end_s > begin_s:
            yield SlowDown.model_validate(
                {
                    "kind": "slow-down", "name": f"{controller}-{number}", "factor": factor,
                    "controller": controller, "start": f"{begin_s:.6f} s",
                    "duration": f"{end_s - begin_s:.6f} s",
                }
            )  # fmt: skip


def expected(topology: Topology, profiles: Mapping[str, Profile], seen: Sequence[Run]) -> Topology:
    """The grid on machines that go on as they were in measured runs, of which the last is newest.

    A Controller of which no pace is known is as it is in the file, and so are all of a grid with
    faults, of which some kinds have no model beside it.
    """
    waits = _waits(seen)
    waiting = tuple(
        node.model_copy(update={"waits": waits.get(node.name, node.waits)})
        for node in topology.controllers
    )
    topology = topology.model_copy(update={"controllers": waiting})
    if topology.faults:
        return topology
    nodes = []
    for node in topology.controllers:
        profile = profiles.get(node.name)
        steps = [] if profile is None else _recorded(node.name, profile.pace_per_s, seen)
        if not steps:
            nodes.append(node)
            continue
        slowness = Slowness.model_validate({"steps": steps})
        nodes.append(node.model_copy(update={"neighbours": None, "slowness": slowness}))
    return topology.model_copy(update={"controllers": tuple(nodes)})


def _recorded(
    controller: str, reference_per_s: float | None, seen: Sequence[Run]
) -> list[dict[str, str | float]]:
    """How long each step lasted and how much slower it was than costs hold for, in turn."""
    found: list[list[dict[str, str | float]]] = []
    left_s = RECALLED_S
    for run in reversed(seen):
        steps = pacing.steps(run).get(controller)
        if left_s <= 0.0 or reference_per_s is None:
            break
        if not steps:
            continue
        ends_s = [*(begin_s for begin_s, _ in steps[1:]), run.header.duration_s]
        found.append([
            {"lasts": f"{end_s - begin_s:.6f} s", "factor": pacing.slowdown(pace, reference_per_s)}
            for (begin_s, pace), end_s in zip(steps, ends_s, strict=True)
            if end_s - begin_s > 1e-6
        ])  # fmt: skip
        left_s -= run.header.duration_s
    return [step for record in reversed(found) for step in record]


def _waits(seen: Sequence[Run]) -> dict[str, float]:
    """How long each server waited for its core over what it ran, in the median of runs. [1]"""
    shares: dict[str, list[float]] = {}
    for run in seen:
        for name, share in pacing.waited_shares(run).items():
            shares.setdefault(name, []).append(share)
    return {name: statistics.median(found) for name, found in shares.items()}
