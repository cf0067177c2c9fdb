"""Two grids side by side on one machine, played in turn: the real side of a performance gate.

Both are up all the time, pinned to the same core, and only the one that is played works: what the
machine does to one it does to the other. The generator has the other cores, and idle-priority loops
keep all of them awake.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest import deployment, engine, spinner
from loadtest.conduct import BY_HAND
from loadtest.cores import split_cores

if TYPE_CHECKING:
    from results import Run
    from topologies.schema import Topology

Play = Callable[[int], "Run"]
LIMIT_S = 3600.0


@contextmanager
def grids(
    base: Topology, head: Topology, *, seed: int, duration_s: float, out: Path, door: str
) -> Iterator[tuple[Play, Play]]:
    """Deploy both; what is given plays one run of a side, kept in `out`, on plan(seed, number).

    Raises
    ------
    DeploymentError, LoadError, rails.RailsError
        A grid cannot be deployed or driven.
    KeyboardInterrupt
        A play was stopped by hand; what it measured is kept.
    """
    server_cores, generator_cores = split_cores()
    settings = engine.Settings(cores=generator_cores)
    with contextlib.ExitStack() as held:
        held.enter_context(spinner.awake(LIMIT_S))

        def player(topology: Topology) -> Play:
            lasting = engine.lasting(topology, duration_s)
            grid = held.enter_context(deployment.ephemeral(lasting, cores=server_cores))

            def play(number: int) -> Run:
                run = engine.play(
                    lasting, grid, seed=seed, replication=number, door=door, settings=settings
                )
                run.save(out)
                if run.header.measurement["stopped"] == BY_HAND:
                    raise KeyboardInterrupt
                return run

            return play

        yield player(base), player(head)
