"""A plan rehearsed: what this machine costs, and how a planned part behaves on a real server.

The plan's side comes from the simulator; this side is handed topologies and hands back profiles and
runs. A part is the busiest Controller of a design, so that a design of several machines is tried on
one: the server gets one core, the generator the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest import deployment, engine, pulling, reading, spinner
from loadtest.calibration import Measure, Predict, fit, light_rate_per_s
from loadtest.cores import split_cores
from loadtest.problems import LoadError
from loadtest.terms import PILOT_S

if TYPE_CHECKING:
    from loadtest.adversaries import Reenactment
    from loadtest.script import Script
    from results import Run
    from topologies.profiles import Profile
    from topologies.schema import Topology

DOOR = "gridlab plan"
Progress = Callable[[float, str], None]


class Rehearsal:
    """Real grids for a plan, one after another.

    Parameters
    ----------
    predict : callable
        `sim.simulate`.
    out : Path
        Where the measured runs are kept.
    seed : int
        Of the plans that are played.
    progress : callable
        Gets the share of a step that is done and a remark.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        out: Path,
        seed: int,
        progress: Progress = lambda share, remark: None,
    ) -> None:
        self._predict, self._out, self._seed, self._progress = predict, out, seed, progress

    def fit(self, topology: Topology) -> dict[str, Profile]:
        """The topology's profiles with the speed of this machine, from a pilot on a real grid.

        Raises
        ------
        DeploymentError, LoadError, rails.RailsError
            The grid cannot be deployed or driven.
        """
        self._progress(0.0, "fitting the costs of this machine")
        topology = pulling.deployed(reading.deployed(topology))
        with deployment.ephemeral(topology, cores=split_cores()[0]) as grid:
            on_grid: Measure = partial(self._measure, grid)
            fitted = fit(
                topology, self._predict, on_grid, seed=self._seed, duration_s=PILOT_S,
                rate_per_s=light_rate_per_s(topology, self._predict, self._seed),
            )  # fmt: skip
        return fitted.profiles

    def reenactment(self) -> Reenactment:
        """The same for the variants of an attack, within the caps of adversaries."""
        from loadtest.adversaries import Reenactment
        from loadtest.enactment import Enactment
        from loadtest.performance import Performance

        enactment = Enactment(self._predict, seed=self._seed, progress=self._progress)
        performance = Performance(seed=self._seed, progress=self._progress)
        return Reenactment(self, enactment, performance)

    def play(self, topology: Topology, duration_s: float) -> Run:
        """The run of a part on a fresh grid, over so many seconds.

        Raises
        ------
        DeploymentError, LoadError, rails.RailsError
            The grid cannot be deployed or driven.
        """
        wide = [node.name for node in topology.controllers if node.cores > 1]
        if wide:
            raise LoadError(
                f"controllers[{wide[0]}].cores: a rehearsal gives the server one core; plan with "
                "--cores-max 1"
            )
        topology = engine.lasting(topology, duration_s)
        plain = reading.deployed(topology)
        with deployment.ephemeral(plain, cores=split_cores()[0]) as grid:
            return self._measure(
                grid, plain, seed=self._seed, load=1.0, script=reading.script(topology, self._seed)
            )

    def _measure(
        self,
        grid: deployment.Grid,
        played: Topology,
        *,
        seed: int,
        load: float,
        script: Script | None = None,
    ) -> Run:
        settings = engine.Settings(cores=split_cores()[1])
        with spinner.awake():
            run = engine.play(
                played, grid, seed=seed, load=load, door=DOOR, settings=settings, script=script,
                progress=lambda news: self._progress(
                    min(news["elapsed_s"] / news["duration_s"], 1.0), str(news["state"])
                ),
            )  # fmt: skip
        kept = run.save(self._out)
        if why := run.header.measurement["stopped"]:
            raise LoadError(f"{why}; what was played is kept in {kept}")
        return run
