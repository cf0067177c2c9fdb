"""CPU time at equal pace: what a machine's drift does to a cost, apart from what the model does.

On a shared machine another guest on the same physical core makes a CPU second worth less, from
second to second. A measured run tells the *pace* of its servers' cores: the rounds that an idle
loop made in a CPU second of its own, when and where the server worked, less in spells in which
pulses say that all work takes several times as long (`loadtest/tempo.py`); of a run it is the pace
at which its work would have taken as long. Costs hold for the pace at which they were measured, and
take longer where it is lower: by the ratio of the paces to the power of `EXPONENT`.

What a neighbour takes is above all the core's own caches. A Prosody of 50 sessions at a constant
load of 20/s made 4.2 collections a publication throughout, and one took from 2.7 to 7.2 ms within
40 s; after a restart it was the same. An empty loop had 1.7 times less pace then, one that walks
through half a megabyte 3.2 times less (2026-11-26, two servers of 40 s). So the idle loop walks
(`loadtest/spinner.py`). Of log(CPU time per copy) in log(pace), over windows of 0.5 s with the
windows before and after as instruments, the slope was -0.70 [-0.77, -0.59] for that Prosody and
-0.57 [-0.86, -0.46] for an ejabberd with 200 sessions at 25/s, and -1.06 and -0.93 with the empty
loop, which leaves a fifth more unexplained of Prosody's cost. One exponent within both intervals is
a choice; `gridlab calibrate` tells it anew of its light run (`pace_exponent`). All rounds counted
then; since, those beside a turn of the server do not, as it takes the caches, too: with them an
ejabberd's core seemed a tenth slower at 65 % of its capacity than at 20 %. The exponent was not
measured again since, and that one drift of Prosody's collections alone had 0.85.

The pace is told by a loop that knows nothing of the server, so that correcting by it leaves a wrong
cost wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt

from results.statistics import Sample

if TYPE_CHECKING:
    from results.run import Run
    from results.twin_documents import TwinSpells

EXPONENT: Final = 0.65
EXPONENT_BEFORE: Final = 0.8  # until it was kept with what was told by it, of an empty loop


Pace = TypeVar("Pace", float, npt.NDArray[np.float64])


def slowdown(pace_per_s: Pace, reference_per_s: float, exponent: float = EXPONENT) -> Pace:
    """How many times as long the same work takes at a pace than at that of reference. [1]"""
    slower: Pace = (reference_per_s / pace_per_s) ** exponent
    return slower


def waited_shares(run: Run) -> dict[str, float]:
    """How long each server was ready and had no core, over the CPU time that it used. [1]"""
    server: Mapping[str, Mapping[str, float]] = run.header.measurement.get("server", {})
    waited_s = server.get("waited_s", {})
    return {
        name: waited_s[name] / used_s
        for name, used_s in server.get("cpu_s", {}).items()
        if used_s > 0.0 and name in waited_s
    }


def paces_per_s(run: Run) -> dict[str, float | None]:
    """The pace of each server's core in a measured run; None where it is not known. [1/s]"""
    known: Mapping[str, float | None] = run.header.measurement.get("server", {}).get(
        "pace_per_s", {}
    )
    return dict(known)


def pace_per_s(run: Run) -> float | None:
    """Rounds of an idle loop in a CPU second of the servers' cores, if that was measured. [1/s]

    The mean over the servers, weighted by their CPU time.
    """
    server = run.header.measurement.get("server", {})
    paces, used_s = server.get("pace_per_s", {}), server.get("cpu_s", {})
    if not paces or None in paces.values() or not sum(used_s.values()):
        return None
    return float(sum(paces[name] * used_s[name] for name in paces) / sum(used_s.values()))


def steps(run: Run) -> dict[str, list[tuple[float, float]]]:
    """The pace of each server's core over time, each until the next: (s, 1/s); {} if not kept."""
    known = run.header.measurement.get("server", {}).get("paces", {})
    return {name: [(begin_s, pace) for begin_s, pace in kept] for name, kept in known.items()}


def spells(run: Run) -> dict[str, TwinSpells]:
    """What pulses saw of spells on each server's machine: how many, their share of the time, how
    many times as long work takes in them, and how long one is.
    """
    known: Mapping[str, TwinSpells | None] = run.header.measurement.get("server", {}).get(
        "spells", {}
    )
    return {name: each for name, each in known.items() if each is not None}


def reference_per_s(
    paces: Mapping[str, float | None], weights: Mapping[str, float]
) -> float | None:
    """One pace for all servers: the mean by weight; None where one is not known. [1/s]"""
    known = [(pace, weights.get(name, 0.0)) for name, pace in paces.items() if pace is not None]
    total = sum(weight for _, weight in known)
    if len(known) < len(paces) or total <= 0.0:
        return None
    return sum(pace * weight for pace, weight in known) / total


def scaled(sample: Sample, factor: float) -> Sample:
    """A figure and its parts, times a factor."""
    return Sample(
        sample.value * factor, sample.parts * factor, 0.0, sample.reason, sample.resolution * factor
    )
