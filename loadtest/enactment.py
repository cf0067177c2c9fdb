"""A topology's losses, returns and guesses on a real grid: piloted, predicted elsewhere, played.

The server is deployed without what it has no settings for (how Platforms log in and try again, what
fails, how long the path is): that is played. A pilot finds what logins and wrong guesses cost
(`login_pilot`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import topologies
from loadtest import adversaries, burden, deployment, login_pilot, notice, rails, spinner
from loadtest.calibration import Predict
from loadtest.casting import PILOT_GUESSES, PILOT_S, bare, guessing, herd_on, options, pilot
from loadtest.cores import split_cores
from loadtest.herd import Herd, piloted, unless_stopped
from loadtest.observation import Observer, cpu_s
from loadtest.processes import pinned
from loadtest.returns import measured
from results.variants import Measured

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from topologies.profiles import Profile
    from topologies.schema import AnyFault, Topology

DOOR: Final = "gridlab attack --real"
PILOT_WITHIN_S: Final = 180.0
Progress = Callable[[float, str], None]


class Enactment:
    """Losses and returns on real grids, a fresh one for each.

    Parameters
    ----------
    predict : callable
        `sim.simulate`.
    seed : int
        Of all waits.
    progress : callable
        Gets the share of a step that is done and a remark.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        seed: int = 1,
        progress: Progress = lambda share, remark: None,
    ) -> None:
        self._predict, self._seed, self._progress = predict, seed, progress
        self._cores = split_cores()  # of the server, and our own
        self._fitted: dict[str, dict[str, Profile]] = {}
        self.notices: list[notice.Notice] = []

    def fit(self, topology: Topology, share: float = 1.0) -> dict[str, Profile]:
        """The topology's profiles with this machine's speed and what abandoned logins cost here.

        Parameters
        ----------
        topology : Topology
            Its first legitimate population with a login is the pilot's.
        share : float
            Of its core that the server gets. [1]

        Raises
        ------
        DeploymentError, LoadError, rails.RailsError
            The grid cannot be deployed or driven.
        """
        played, patient = pilot(topology), _patient(topology)
        guesses = [guessing(topology, times) for times in (1, PILOT_GUESSES)]
        asked = [each.model_dump_json() for each in (played, *guesses) if each is not None]
        key = f"{share} {patient} {asked}"
        if key not in self._fitted:
            self._progress(0.0, "fitting what a login costs on this machine")
            taken = self._piloted(played, [each for each in guesses if each], share, patient)
            self._fitted[key] = self._predicted(played, guesses[-1], taken)
        fitted = self._fitted[key]
        return {
            name: profile.model_copy(update={"speed": profile.speed / share})
            for name, profile in fitted.items()
        }

    def _piloted(
        self, played: Topology, guesses: Sequence[Topology], share: float, patient: bool
    ) -> login_pilot.Found:
        largest = max((played, *guesses), key=lambda each: each.platform_count)
        planned = rails.Caps(
            sessions=largest.platform_count,
            connections_per_s=rails.CAPS.connections_per_s,
            stanzas_per_s=0.0,
            duration_s=PILOT_WITHIN_S,
        )
        rails.check(planned)
        what = f"{DOOR} {played.name}: pilot; the server is halted and woken"
        with (
            self._stage(largest) as (grid, herd_of),
            rails.audited(what, vars(planned)) as ending,
        ):
            crowd, *hostile = (herd_of(each, self._seed) for each in (played, *guesses))
            faults = guesses[-1].faults if guesses else ()
            piloting = self._pilot(grid, crowd, (hostile, faults), share, patient)
            timely = piloted(piloting, PILOT_WITHIN_S)
            taken = asyncio.run(unless_stopped(grid, timely))
            ending.why = "played to the end"
        if taken.noticed is not None:
            self.notices.append(taken.noticed)
        return taken

    def _predicted(
        self, played: Topology, guesses: Topology | None, taken: login_pilot.Found
    ) -> dict[str, Profile]:
        """The profile by which the model has what a pilot took."""
        name = played.controllers[0].name
        shipped = topologies.profile(played, name)
        guess_s = None if guesses is None else self._work_s(guesses, "refused")
        return {name: taken.fitted(shipped, self._work_s(played, "logins"), guess_s)}

    def _work_s(self, topology: Topology, what: str) -> float:
        """Predicted CPU time for each login or refusal. [s]"""
        run = self._predict(
            topology, seed=self._seed, profiles=None, load=1.0, plan_replication=0, door=DOOR
        )
        count: int = sum(each[what] for each in run.header.measurement["logins"].values())
        return float(run.intervals["busy_s"].sum()) / count

    async def _pilot(
        self,
        grid: Grid,
        crowd: Herd,
        guessers: tuple[Sequence[Herd], Sequence[AnyFault]],
        share: float,
        patient: bool,
    ) -> login_pilot.Found:
        """A crowd, who guesses where somebody does, and where somebody gives up what that costs."""
        pid = grid.server_pid(next(iter(grid.document()["controllers"])))
        stage = login_pilot.Stage(pid, share, self._cores[1])
        guess_s, seen = None, None
        try:
            login_s, pace_per_s = await login_pilot.logins(stage, crowd)
            if guessers[0]:
                guess_s, pace_per_s = await login_pilot.guesses(stage, *guessers)
            if not patient:
                accounts = [each.account for each in crowd.members]
                seen = await notice.measure(pid, crowd.door, accounts, self._progress)
        finally:
            crowd.leave()
        return login_pilot.Found(login_s, guess_s, pace_per_s, seen)

    def play(self, topology: Topology, defence: str, share: float = 1.0) -> Measured:
        """What becomes of a topology's Platforms on a fresh grid; who calls has predicted it.

        Raises
        ------
        DeploymentError, LoadError, rails.RailsError
            The grid cannot be deployed or driven.
        """
        with self._stage(topology) as (grid, herd_of):
            return self._held(grid, herd_of(topology, self._seed), topology, defence, share)

    def series(self, topologies: Sequence[Topology], share: float) -> list[Measured]:
        """The same of several that differ in counts and policies, one after another on one grid."""
        largest = max(topologies, key=lambda each: each.platform_count)
        with self._stage(largest) as (grid, herd_of):
            return [
                self._held(grid, herd_of(each, self._seed), each, f"point {number}", share)
                for number, each in enumerate(topologies, start=1)
            ]

    def _held(
        self, grid: Grid, herd: Herd, topology: Topology, defence: str, share: float
    ) -> Measured:
        pid = grid.server_pid(topology.controllers[0].name)
        with burden.held(share, pid, self._cores[1]):
            return self._audited(grid, herd, topology, defence, share)

    def _audited(
        self, grid: Grid, herd: Herd, topology: Topology, defence: str, share: float
    ) -> Measured:
        adversaries.check(topology)
        planned = rails.Caps(
            sessions=topology.platform_count,
            connections_per_s=rails.CAPS.connections_per_s,
            stanzas_per_s=0.0,
            duration_s=topology.workload.duration,
        )
        rails.check(planned)
        with rails.audited(f"{DOOR} {topology.name}: {defence}", vars(planned)) as ending:
            used = asyncio.run(unless_stopped(grid, self._play(grid, herd, topology, defence)))
            ending.why = "played to the end"
        return measured(topology, defence, herd.books, used, share)

    async def _play(
        self, grid: Grid, herd: Herd, topology: Topology, defence: str
    ) -> dict[str, float]:
        """Bring the honest ones online, let it happen; shares of their cores that both sides used.

        A server that is killed begins to count anew.
        """
        controller = next(iter(grid.document()["controllers"]))
        duration_s = topology.workload.duration

        def tell(elapsed_s: float, online: int) -> None:
            remark = f"{defence}: {online:,} online"
            self._progress(min(elapsed_s / duration_s, 1.0), remark)

        self._progress(0.0, f"{defence}: logging in")
        try:
            await herd.enter([each for each in herd.members if not each.hostile])
            await notice.settled_s(grid.server_pid(controller))
            if topology.controllers[0].limits.address is not None:
                await _whole_second()
            before_pid = grid.server_pid(controller)
            before_s, own_s, begun_s = cpu_s(before_pid), time.process_time(), time.monotonic()
            with Observer(before_pid, login_pilot.SAMPLE_S) as observer:
                await herd.play(topology.faults, duration_s, tell)
                pace_per_s = observer.stop().pace_per_s(0.0)
            pid, elapsed_s = grid.server_pid(controller), time.monotonic() - begun_s
            there_s = duration_s  # once all are in it rests until the end
            if pid != before_pid and herd.books.back_s is not None:
                before_s, there_s = 0.0, duration_s - herd.books.back_s
            if pid != before_pid:  # the one whose pace was seen rested until it was killed
                pace_per_s = None
            used = {
                "server_cpu_share": (cpu_s(pid) - before_s) / there_s,
                "generator_cpu_share": (time.process_time() - own_s) / elapsed_s,
            }
            return used if pace_per_s is None else {**used, "pace_per_s": pace_per_s}
        finally:
            herd.leave()

    @contextlib.contextmanager
    def _stage(self, topology: Topology) -> Iterator[tuple[Grid, Callable[[Topology, int], Herd]]]:
        """A fresh grid for the topology, this thread on the generator's cores, all kept awake."""
        server, own = self._cores
        with (
            deployment.ephemeral(bare(topology), cores=server, options=options(topology)) as grid,
            spinner.awake(),
            pinned(own),
        ):
            yield grid, lambda played, seed: herd_on(grid, played, seed)


def _patient(topology: Topology) -> bool:
    """Whether nobody gives up a login sooner than a pilot's crowd would."""
    own = [each.retry for each in topology.platforms if each.login is not None]
    return all(each.timeout >= PILOT_S for each in own)


async def _whole_second() -> None:
    """Wait until a second of the wall clock begins: Prosody's limit of addresses counts in them."""
    await asyncio.sleep(1.0 - time.time() % 1.0)
