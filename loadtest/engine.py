"""A run on a real grid: everybody online, one start, the plan played, drained, accounted for.

The generator's work is done by processes of their own (`loadtest.share`); this one shares it out,
gives the common start on the monotonic clock, watches the servers, and puts the pieces together.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from loadtest import processes, rails, shares
from loadtest.conduct import Conduct, Progress, Start, soon_ns
from loadtest.generator import Generator
from loadtest.harvest import Harvest, gather
from loadtest.observation import Observation
from loadtest.problems import LoadError
from loadtest.script import Script
from loadtest.spool import Spool

if TYPE_CHECKING:
    from loadtest.deployment import Grid
    from results import Run
    from topologies.plan import Block, Plan
    from topologies.schema import Topology

LOGINS_PER_S = 100.0
DRAIN_S = 60.0


@dataclass(frozen=True)
class Settings:
    """How a run is played, beside the plan.

    Parameters
    ----------
    logins_per_s : float
        New sessions per second, all processes together. [1/s]
    warm_up_s : float or None
        Cut from a steady study; None: a tenth of the run, at most `phases.WARM_UP_S`. [s]
    cores : tuple of int
        Processors that the generator may use; empty: all.
    tls : {"direct", "starttls"}
        How sessions are secured.
    drain_s : float
        Longest wait for deliveries after the last publication. [s]
    receivers : {"counting", "interpreted", "full", "stock"}
        What receiving sessions are once online, see `shares.Receivers`.
    beside : int
        How many other grids are played at the same time on the same processors.
    sharing : int
        How many more servers a grid has than processors for them.
    """

    logins_per_s: float = LOGINS_PER_S
    warm_up_s: float | None = None
    cores: tuple[int, ...] = ()
    tls: Literal["direct", "starttls"] = "direct"
    drain_s: float = DRAIN_S
    receivers: shares.Receivers = "counting"
    beside: int = 0
    sharing: int = 0


class Hands:
    """Who starts the generator's processes: here, the process that plays.

    Attributes
    ----------
    parents : tuple of int
        Process ids of those who start them; empty: this one.
    """

    parents: tuple[int, ...] = ()

    def generator(self, directory: Path, specs: Sequence[shares.Spec]) -> Generator:
        """The processes for these specs, not yet started."""
        return Generator(directory, specs)

    def told(self, own: Mapping[int, Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        """What the record says of each of them, from what they said, by place of the process."""
        return ()


@dataclass(frozen=True)
class Played:
    """All that a run left: what was intended, what the processes saw, what the servers used."""

    topology: Topology
    plan: Plan
    rows: Block
    cast: shares.Cast
    settings: Settings
    grid: Mapping[str, Any]
    created: datetime
    start_ns: int
    played_s: float
    stopped: str | None
    harvest: Harvest
    observations: Mapping[str, Observation]
    wall_s: float
    workers: tuple[Mapping[str, Any], ...] = ()
    script: Script | None = None
    counters: Mapping[str, Any] = field(default_factory=dict)


def play(  # noqa: PLR0913 (the keyword arguments are the run)
    topology: Topology,
    grid: Grid,
    *,
    seed: int = 1,
    replication: int = 0,
    load: float = 1.0,
    duration_s: float | None = None,
    progress: Progress | None = None,
    door: str = "gridlab load",
    settings: Settings | None = None,
    hands: Hands | None = None,
    script: Script | None = None,
    start: Start = soon_ns,
) -> Run:
    """Play one replication of a topology's plan on a real grid.

    Ctrl-C and the STOP file end it within two seconds and keep what was measured; such a run is
    valid for the part that was played.

    Parameters
    ----------
    topology : Topology
        The description; the grid must have been deployed for it, or for a larger one like it.
    grid : Grid
        Where to.
    seed, replication, load
        Which plan: `Plan(topology, seed, replication, load)`, the same as the simulator's.
    duration_s : float, optional
        Instead of the topology's own duration. [s]
    progress : callable, optional
        Gets a small mapping several times a second: `state` (`logging in`, `playing`, `draining`),
        `elapsed_s` of `duration_s`, `online` of `sessions`, and what is new: `windows` of the
        processes and `logins` (`login`, `query`), with latencies as [bins, counts] of
        `results.histogram`.
    door : str
        The command that asked, for the record.
    settings : Settings, optional
        How to play it.
    hands : Hands, optional
        Who starts the generator's processes; default: this process.
    script : Script, optional
        What happens beside the plan; see `loadtest.scenarios`.
    start : callable
        Asked once all are online: the instant of the plan's beginning, on the monotonic clock
        [ns]; by default it is near. It may wait for those who are to start at the same time.

    Returns
    -------
    Run
        Origin `measured`.

    Raises
    ------
    LoadError, rails.RailsError, DeploymentError
        It cannot be played, or nothing was played; the message says why.
    """
    from loadtest.recorder import record
    from topologies.plan import Plan

    settings, hands = settings or Settings(), hands or Hands()
    begun_s = time.monotonic()
    topology = lasting(topology, duration_s)
    plan = Plan(topology, seed, replication, load)
    rows = plan.columns()
    cast = shares.cast(topology, rows, seed)
    planned = _planned(cast, rows, plan.duration_s, settings, script)
    grid.check()
    rails.check(planned)
    if not cast.sessions:
        raise LoadError(f"{topology.name}: nobody publishes or subscribes; lengthen the run")
    with (
        rails.audited(f"{door} {topology.name} on grid {grid.name}", vars(planned)) as ending,
        # In the grid's own directory: whatever is killed, this goes when the grid goes.
        tempfile.TemporaryDirectory(
            prefix="load-", dir=grid.directory, ignore_cleanup_errors=True
        ) as directory,
    ):
        conduct = Conduct(topology, grid, rows, cast, settings, Path(directory), progress, script)
        with (
            processes.pinned(settings.cores),  # the server does not wait for those who look on
            hands.generator(Path(directory), conduct.specs(hands.parents)) as generator,
        ):
            conduct.run(generator, plan.duration_s, start)
            spools = [Spool(spec.result) for spec in generator.specs]
            harvest = gather(spools, len(rows), conduct.windows, conduct.ended)
        played = int(np.searchsorted(rows.intended_s, conduct.played_s))
        ending.why = conduct.stopped or "played to the end"
    return record(
        Played(
            topology=topology,
            plan=plan,
            rows=_first(rows, played),
            cast=cast,
            settings=settings,
            grid=grid.document(),
            created=conduct.created,
            start_ns=conduct.start_ns,
            played_s=conduct.played_s,
            stopped=conduct.stopped,
            harvest=harvest.first(played),
            observations=conduct.observations,
            counters=conduct.counters,
            wall_s=time.monotonic() - begun_s,
            workers=hands.told(conduct.own),
            script=script,
        ),
        door,
    )


def lasting(topology: Topology, duration_s: float | None) -> Topology:
    """The topology with another duration.

    Raises
    ------
    LoadError
        The duration is not positive and finite.
    """
    if duration_s is None or duration_s == topology.workload.duration:
        return topology
    if not 0.0 < duration_s < float("inf"):
        raise LoadError(f"duration: {duration_s!r} s: must be more than 0; write for example 30")
    workload = topology.workload.model_copy(update={"duration": float(duration_s)})
    return topology.model_copy(update={"workload": workload})


def _planned(
    cast: shares.Cast,
    rows: Block,
    duration_s: float,
    settings: Settings,
    script: Script | None,
) -> rails.Caps:
    """What the run asks for, at its peak."""
    by_second = np.bincount(rows.intended_s.astype(np.int64), minlength=1)
    sessions = cast.sessions + (script.users if script else 0)
    logins_per_s = max(settings.logins_per_s, script.connections_per_s if script else 0.0)
    grids = 1 + settings.beside  # one generator plays them all
    return rails.Caps(
        grids * sessions, grids * logins_per_s, grids * int(by_second.max()), duration_s
    )


def _first(rows: Block, count: int) -> Block:
    """The first rows of a plan."""
    return replace(
        rows,
        intended_s=rows.intended_s[:count],
        publisher=rows.publisher[:count],
        topic=rows.topic[:count],
        payload_bytes=rows.payload_bytes[:count],
    )
