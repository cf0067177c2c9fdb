"""How much of what publications cost a Prosody its collector takes, told before costs are fitted.

One factor for all costs knows nothing of it: what a cycle takes goes with all that lives in the
server, of which there was more when the profile was measured, and how often there is one with what
a publication leaves behind. Whole collections, one after another, do not tell it either: they find
warm caches. So a light load is played in which the server now and then lets its heap grow by more
(`mod_grid_collector`), and CPU time is laid on copies, bytes, publications and counted cycles: what
is saved where there were fewer of them is what they cost. A share of that load's CPU time is kept,
which holds on a machine that is as slow as any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

import topologies
from loadtest import collector, experiment
from loadtest.costs import RESAMPLES, resampled
from loadtest.observation import Observer
from loadtest.server import COLLECTOR_FILE
from results import pacing
from results.statistics import Estimate
from topologies.profiles import LoopTurns, Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.grid import Grid
    from results import Run
    from results.twin_documents import TwinCollections
    from topologies.schema import Topology

    Play = Callable[[Topology, Callable[[Mapping[str, Any]], None]], Run]

LOOK_S: Final = 24.0
OTHER_PERCENT: Final = 130  # of what lives, at which a cycle begins; Prosody's own is 105
SETTLED_S: Final = 0.2  # a cycle that was due under one threshold has begun by then
CYCLES_MIN: Final = 20  # counted under the server's own threshold
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What a Prosody's collector does under a light load.

    Attributes
    ----------
    share : Estimate
        Of the CPU time of publications. [1]
    cycles : float
        For a unit of allocation, as the costs count it. [1]
    sessions : int
        With so many logged in.
    cycle : Estimate, optional
        CPU time of one; not of a validation that is resumed. [s]
    """

    share: Estimate
    cycles: float
    sessions: int
    cycle: Estimate | None = field(default=None, compare=False)


def watched(topology: Topology) -> str | None:
    """The Controller whose collector can be looked at: a Prosody by itself, as it is by default."""
    if len(topology.controllers) > 1 or any(each.kind == "component" for each in topology.brokers):
        return None
    node = topology.controllers[0]
    costs = topologies.profile(topology, node.name).costs
    collects = isinstance(costs, LoopTurns) and costs.collection > 0.0
    return node.name if collects and node.collection is None else None


def seen(grid: Grid, light: Topology, play: Play) -> dict[str, Seen]:
    """Play a light load and look at the collector; empty where nothing is told.

    Parameters
    ----------
    grid : Grid
        Deployed with `Options(collector=True)`.
    light : Topology
        The load.
    play : callable
        Plays it and reports to what it is given, as `engine.play` does.
    """
    if (name := watched(light)) is None:
        return {}
    log = Path(grid.document()["controllers"][name]["server_directory"]) / COLLECTOR_FILE
    watch, observer = experiment.Watch(), Observer(grid.server_pid(name), experiment.SAMPLE_S)
    with alternating(log), observer:
        run = play(light, watch.tell)
        observed = observer.stop()
    if not run.header.verdict.valid or watch.start_s is None:
        return {}
    work = experiment.work(run, observed, watch.start_s)
    if (pace_per_s := pacing.paces_per_s(run).get(name)) is not None:
        work = work.at(pace_per_s, pace_per_s)
    costs = topologies.profile(light, name).costs
    assert isinstance(costs, LoopTurns)
    found = look(work, collector.read(log), costs, light.platform_count)
    return {} if found is None else {name: found}


@contextmanager
def alternating(log: Path) -> Iterator[None]:
    """The server lets its heap grow by more than usual half of the time, in turns of 1.5 s."""
    other = log.with_name(f"{log.name}.other")
    other.write_text(str(OTHER_PERCENT))
    try:
        yield
    finally:
        other.unlink(missing_ok=True)


def look(work: experiment.Work, log: collector.Log, costs: LoopTurns, sessions: int) -> Seen | None:
    """What cycles cost and how often they are; None where too few are seen, or no cost of them.

    Parameters
    ----------
    work : experiment.Work
        Stretches of a light load in which thresholds alternated, at equal pace.
    log : Log
        What the server wrote meanwhile.
    costs : LoopTurns
        By which allocation is counted.
    sessions : int
        How many were logged in.
    """
    from scipy.optimize import nnls

    cycles = _counted(log.cycle_s, work.begin_s, work.end_s)
    own = _own(log, work)
    if cycles[own].sum() < CYCLES_MIN or not (~own).any():
        return None
    weights = 1.0 / np.sqrt(np.maximum(work.recipients, 1.0))
    columns = np.column_stack(
        [work.recipients, work.copied_bytes / 1e3, work.count, cycles]
    ) * weights[:, None]  # fmt: skip

    def told(rows: npt.NDArray[np.int64]) -> tuple[float, float]:
        solved, _ = nnls(columns[rows], work.cpu_s[rows] * weights[rows])
        usual, cycle_s = rows[own[rows]], float(solved[-1])
        used_s = max(float(work.cpu_s[usual].sum()), 1e-9)
        return cycle_s * float(cycles[usual].sum()) / used_s, cycle_s

    every = np.arange(len(cycles))
    draws = np.random.default_rng(5)
    tries = np.array([told(draws.choice(every, len(every))) for _ in range(RESAMPLES)])
    share, cycle = (
        resampled(value, tries[:, place], len(every)) for place, value in enumerate(told(every))
    )
    if not share["low"]:  # it may be nothing
        return None
    units = _allocated(costs, work.recipients, work.copied_bytes, work.count)
    return Seen(share, float(cycles[own].sum() / units[own].sum()), sessions, cycle)


def _allocated(costs: LoopTurns, copies: Floats, copied_bytes: Floats, count: Floats) -> Floats:
    """What publications allocate, in deliveries as the costs count them. [1]"""
    beyond = np.maximum(copied_bytes - collector.REFERENCE_BYTES * copies, 0.0)
    written = (1.0 + costs.allocation_write) * copies + costs.allocation_per_byte * beyond
    return np.asarray(written + costs.allocation_publish * count)


def _counted(instants_s: Floats, begin_s: Floats, end_s: Floats) -> Floats:
    """How many instants are in each stretch of time."""
    places = np.searchsorted(np.sort(instants_s), np.stack([begin_s, end_s]))
    return np.asarray(np.diff(places, axis=0)[0], np.float64)


def _own(log: collector.Log, work: experiment.Work) -> npt.NDArray[np.bool_]:
    """Which stretches lie within turns of the server's own threshold."""
    switches = np.concatenate([log.own_s, log.other_s])
    order = np.argsort(switches)
    to_own = np.append(True, np.arange(len(switches))[order] < len(log.own_s))
    edges = np.append(-np.inf, switches[order])
    first, last = (np.searchsorted(edges, each, "right") - 1 for each in (work.begin_s, work.end_s))
    settled = work.begin_s - edges[first] > SETTLED_S
    found: npt.NDArray[np.bool_] = (first == last) & to_own[first] & settled
    return found


def split(
    profiles: Mapping[str, Profile], seen: Mapping[str, Seen], costs_s: Mapping[str, float],
    light: Run,
) -> dict[str, Profile]:  # fmt: skip
    """Profiles whose collector takes the share that it was seen to take of a light load.

    Parameters
    ----------
    profiles : mapping
        By Controller.
    seen : mapping
        Those of whose collectors something is known.
    costs_s : mapping
        CPU time of a publication of the light load without any collection, as these predict. [s]
    light : Run
        That load.
    """
    found = dict(profiles)
    columns = light.publications
    copies = columns["delivered"].astype(np.float64)
    copied_bytes = copies * columns["payload_bytes"]
    for name, known in seen.items():
        profile = profiles[name]
        costs, share = profile.costs, known.share["value"]
        assert isinstance(costs, LoopTurns)
        assert share is not None
        units = float(_allocated(costs, copies, copied_bytes, np.ones(len(copies))).mean())
        rest_s = costs_s[name] / profile.speed  # on the profile's own machine
        cycle_s = share / (1.0 - share) * rest_s / (units * known.cycles)
        found[name] = _with(profile, cycle_s, known.cycles, known.sessions)
    return found


def _with(profile: Profile, cycle_s: float, cycles: float, sessions: int) -> Profile:
    changes = {
        "collection": cycle_s, "collection_every": 1.0 / cycles, "collection_sessions": sessions,
    }  # fmt: skip
    return profile.model_copy(update={"costs": profile.costs.model_copy(update=changes)})


def document(
    profiles: Mapping[str, Profile], seen: Mapping[str, Seen]
) -> dict[str, TwinCollections]:
    """What is known of collections, and the costs that follow from it."""
    found: dict[str, TwinCollections] = {}
    for name, known in seen.items():
        costs = profiles[name].costs
        assert isinstance(costs, LoopTurns)
        found[name] = {
            "share": known.share,
            "cycles": known.cycles,
            "sessions": known.sessions,
            "collection_s": costs.collection,
        }
    return found


def put(
    profiles: Mapping[str, Profile], known: Mapping[str, TwinCollections]
) -> dict[str, Profile]:
    """Profiles with the costs of collections that such a document says."""
    found = dict(profiles)
    for name, each in known.items():
        found[name] = _with(found[name], each["collection_s"], each["cycles"], each["sessions"])
    return found


def recalled(known: Mapping[str, TwinCollections]) -> dict[str, Seen]:
    """What a document says was seen."""
    return {
        name: Seen(each["share"], each["cycles"], each["sessions"]) for name, each in known.items()
    }
