"""Two grids side by side on one machine, played in pairs: the real side of a performance gate.

Both are up all the time, pinned to the same cores; the generator has the others, and idle-priority
loops keep all of them awake. A machine's speed may change from one second to the next, so both
sides are played *at once* where the cores have room for it, the publications of one half way
between those of the other: what the machine does to one it does to the other, and the ratio of
their costs hardly knows of it [1]_. Where two of them would be too much, they are played in turn.

References
----------
.. [1] L. Bulej et al., "Duet Benchmarking: Improving Measurement Accuracy in the Cloud," ICPE 2020.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadtest import conduct, deployment, engine, rails, spinner
from loadtest.cores import split_cores
from loadtest.problems import LoadError, RailsError

if TYPE_CHECKING:
    from loadtest.deployment import Grid
    from results import Run
    from topologies.schema import Topology

LIMIT_S: Final = 3600.0
BUSY_MAX: Final = 0.8  # of the servers' cores, by both sides together, if they are played at once
WARM_UP: Final = 2**16 - 1  # number of the pair that is not counted, the largest there is
_ONLINE_WITHIN_S: Final = 600.0  # more than any side's own limit


@contextmanager
def grids(
    base: Topology, head: Topology, *, seed: int, duration_s: float, out: Path, door: str
) -> Iterator[Pairs]:
    """Deploy both; what is given plays pairs of runs, kept in `out`, on plan(seed, number).

    Raises
    ------
    DeploymentError, LoadError, rails.RailsError
        A grid cannot be deployed or driven.
    KeyboardInterrupt
        A play was stopped by hand; what it measured is kept.
    """
    server_cores, generator_cores = split_cores()
    with contextlib.ExitStack() as held:
        held.enter_context(spinner.awake(LIMIT_S))
        sides = []
        for topology in (base, head):
            lasting = engine.lasting(topology, duration_s)
            grid = held.enter_context(deployment.ephemeral(lasting, cores=server_cores))
            sides.append(Side(lasting, grid, seed, door))
        yield Pairs(sides[0], sides[1], generator_cores, max(len(server_cores), 1), out)


@dataclass(frozen=True)
class Side:
    """A grid, and what is played on it."""

    topology: Topology
    grid: Grid
    seed: int
    door: str

    def play(self, number: int, settings: engine.Settings, start: conduct.Start) -> Run:
        """One run of the plan of this number."""
        return engine.play(
            self.topology,
            self.grid,
            seed=self.seed,
            replication=number,
            door=self.door,
            settings=settings,
            start=start,
        )

    def gap_s(self, number: int) -> float:
        """Mean time between the publications of a plan. [s]"""
        from topologies.plan import Plan

        plan = Plan(self.topology, self.seed, number, 1.0)
        return plan.duration_s / max(len(plan.columns()), 1)


class Pairs:
    """Plays base and head on the same plan, pair after pair.

    The first call plays a pair first that is not counted: a server's first sessions are unlike all
    later ones, and it tells whether both fit on the cores at once.

    Attributes
    ----------
    together : bool
        Whether pairs are played at once; False until the first was asked for.
    """

    def __init__(self, base: Side, head: Side, cores: tuple[int, ...], usable: int, out: Path):
        self._sides = base, head
        self._settings = engine.Settings(cores=cores)
        self._usable, self._out = usable, out
        self._warm = self.together = False

    def __call__(self, number: int) -> tuple[Run, Run]:
        """Base's run and head's of the pair with this number; their order changes with it."""
        if not self._warm:
            busy_s = [_cpu_s(run) for run in self._in_turn(WARM_UP)]
            played_s = self._sides[0].topology.workload.duration * self._usable
            self.together = sum(busy_s) <= BUSY_MAX * played_s
            self._warm = True
        if self.together:
            try:
                return self._kept(self._at_once(number))
            except RailsError:  # both together would be more than the caps allow
                self.together = False
        return self._kept(self._in_turn(number))

    def _in_turn(self, number: int) -> tuple[Run, Run]:
        order = (0, 1) if number % 2 == 0 else (1, 0)
        runs = {}
        for place in order:
            runs[place] = self._sides[place].play(number, self._settings, conduct.soon_ns)
            if runs[place].header.measurement["stopped"] == conduct.BY_HAND:
                runs[place].save(self._out)
                raise KeyboardInterrupt
        return runs[0], runs[1]

    def _at_once(self, number: int) -> tuple[Run, Run]:
        settings = replace(self._settings, beside=1)
        late_s = 0.5 * self._sides[0].gap_s(number)
        start = _Start()
        with ThreadPoolExecutor(2, thread_name_prefix="play") as threads:
            playing = [
                threads.submit(
                    start.shared, side.play, number, settings, late_s * ((place + number) % 2)
                )
                for place, side in enumerate(self._sides)
            ]
            try:
                return _results(playing)
            except KeyboardInterrupt:
                self._stop(playing)
                raise

    def _stop(self, playing: list[Future[Run]]) -> None:
        """End the plays and keep what they measured."""
        marks = [side.grid.directory / rails.STOP_NAME for side in self._sides]
        for mark in marks:
            mark.touch()
        for future in playing:
            with contextlib.suppress(LoadError, RailsError):
                future.result().save(self._out)

    def _kept(self, runs: tuple[Run, Run]) -> tuple[Run, Run]:
        for run in runs:
            run.save(self._out)
        return runs


class _Start:
    """One instant for two plays, once both are online."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2, action=self._set)
        self._instant_ns = 0

    def _set(self) -> None:
        self._instant_ns = conduct.soon_ns()

    def shared(
        self,
        play: Callable[[int, engine.Settings, conduct.Start], Run],
        number: int,
        settings: engine.Settings,
        late_s: float,
    ) -> Run:
        """Play from the shared instant on, or so much later [s]; if it fails, none waits for it."""

        def start() -> int:
            try:
                self._barrier.wait(_ONLINE_WITHIN_S)
            except threading.BrokenBarrierError:
                raise _Alone from None
            return self._instant_ns + int(late_s * 1e9)

        try:
            return play(number, settings, start)
        except BaseException:
            self._barrier.abort()
            raise


class _Alone(LoadError):
    """The other side's play has failed."""

    def __init__(self) -> None:
        super().__init__("the other side could not be played")


def _results(playing: list[Future[Run]]) -> tuple[Run, Run]:
    """Both runs; where one failed, its own problem and not that the other was left alone."""
    while not all(future.done() for future in playing):
        time.sleep(0.05)  # a future's own wait would not be left by Ctrl-C before it has ended
    problems = [each for future in playing if (each := future.exception()) is not None]
    for problem in sorted(problems, key=lambda each: isinstance(each, _Alone)):
        raise problem
    return playing[0].result(), playing[1].result()


def _cpu_s(run: Run) -> float:
    """Core time that the servers used from the start until all was delivered. [s]"""
    used: dict[str, float] = run.header.measurement["server"]["cpu_s"]
    return sum(used.values())
