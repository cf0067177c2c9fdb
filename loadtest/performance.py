"""What people and programs do in an attack, performed on real grids: a fresh one each time.

Stolen accounts read (`theft`), owner and thief log in over each other (`contest`), Platforms ask
for everything (`asking`), fetch what an item refers to (`pulling`), must find another Controller
(`failover`), have items that nobody else can read (`dispatch`), or are new and ask for
subscriptions (`onboarding`). Who calls has predicted it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final

import topologies
from loadtest import (
    asking,
    casting,
    contest,
    deployment,
    dispatch,
    failover,
    files,
    onboarding,
    pulling,
    rails,
    references,
    spinner,
    theft,
)  # fmt: skip
from loadtest.caller import Account
from loadtest.casting import bare, door_of
from loadtest.cores import split_cores
from loadtest.herd import piloted, unless_stopped
from loadtest.problems import LoadError
from loadtest.processes import pinned
from loadtest.server import Options
from topologies import plan
from topologies.procedures import (
    MORNINGS,
    THIEVES,
    Approvals,
    Duel,
    Harvest,
    LargeAnswers,
    OneToOne,
    SilentController,
)

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from results.variants import Measured
    from topologies.procedures import AnyProcedure
    from topologies.schema import Topology

DOOR: Final = "gridlab attack --real"
PILOT_S: Final = 150.0
Progress = Callable[[float, str], None]


class Performance:
    """Procedures on real grids.

    Parameters
    ----------
    seed : int
        Of all that is drawn.
    progress : callable
        Gets the share of a step that is done and a remark.
    """

    def __init__(self, *, seed: int = 1, progress: Progress = lambda share, remark: None) -> None:
        self._seed, self._progress = seed, progress
        self._cores = split_cores()  # of the server, and our own
        self._costs: dict[str, asking.Costs] = {}
        self._logins_s: dict[str, float] = {}
        self._posts: dict[str, dispatch.Costs] = {}

    def fit(self, procedure: AnyProcedure, topology: Topology) -> AnyProcedure:
        """The procedure with what its steps cost on this machine, where it says what they cost.

        Raises
        ------
        DeploymentError, LoadError, rails.RailsError
            The grid cannot be deployed or driven.
        """
        if isinstance(procedure, SilentController):
            return self._fit_failover(procedure, topology)
        if isinstance(procedure, OneToOne):
            return self._fit_dispatch(procedure, topology)
        if not isinstance(procedure, LargeAnswers):
            return procedure
        key = _asked(procedure, topology)
        if key not in self._costs:
            self._progress(0.0, "fitting what an answer costs on this machine")
            self._costs[key] = self._pilot(procedure, topology)
        costs = self._costs[key]
        return procedure.model_copy(
            update={
                "item": costs.item_s,
                "answer": costs.answer_s,
                "publication": costs.publication_s,
            }
        )

    def _pilot(self, procedure: LargeAnswers, topology: Topology) -> asking.Costs:
        found = []

        async def pilot(hall: asking.Hall) -> None:
            found.append(await piloted(hall.pilot(), PILOT_S))

        self._inquire(procedure, topology, "pilot", pilot)
        return found[0]

    def play(self, procedure: AnyProcedure, topology: Topology, defence: str) -> Measured:
        """What becomes of it on a fresh grid.

        Raises
        ------
        DeploymentError, LoadError, rails.RailsError
            The grid cannot be deployed or driven.
        """
        self._progress(0.0, defence)
        match procedure:
            case Harvest():
                return self._steal(procedure, topology, defence)
            case Duel():
                return self._duel(procedure, topology, defence)
            case SilentController():
                failed = self._fail(procedure, topology, defence, failover.Failover.play)
                return failover.measured(failed, procedure, defence, topology.slo.deadline)
            case Approvals():
                return self._onboard(procedure, topology, defence)
            case OneToOne():
                sent = self._dispatch(procedure, topology, defence, dispatch.Dispatch.play)
                return dispatch.measured(sent.found, procedure, defence, topology.slo.deadline)
            case LargeAnswers():
                hall = self._inquire(procedure, topology, defence, asking.Hall.play)
                return asking.measured(
                    hall.found, procedure, defence, topology.slo.deadline,
                    self._costs[_asked(procedure, topology)].pace_per_s,
                )  # fmt: skip
        raise LoadError(f"procedure.model: {procedure.model}: is not driven on real grids")

    def pull(self, topology: Topology, defence: str) -> Measured:
        """What becomes of items that all subscribers fetch, on a fresh grid.

        Raises
        ------
        DeploymentError, LoadError, rails.RailsError
            The grid cannot be deployed or driven.
        """
        self._progress(0.0, defence)
        pulling.require(topology)
        plain, options = pulling.deployed(topology), Options(scram="SHA-1", files=files.ADDRESS)
        with self._grid(plain, options) as grid:
            pull = pulling.Pull(grid, topology, door_of(grid, topology), self._seed)
            offered_per_s = sum(plan.offered(topology).values())
            herd = len(pull.subscribers)
            planned = rails.Caps(
                herd + 2, float(herd), offered_per_s * (herd + 1),
                topology.workload.duration + references.FETCH_WITHIN_S,
            )  # fmt: skip
            self._perform(grid, topology, defence, planned, pull.play())
        return pulling.measured(pull, topology, defence)

    def _steal(self, procedure: Harvest, topology: Topology, defence: str) -> Measured:
        with self._grid(topology, Options(activity=True, administration=True)) as grid:
            accounts = _accounts(grid)[-THIEVES:]
            burglary = theft.Burglary(grid, procedure, accounts, self._seed)
            rate_per_s = len(accounts) * (2.0 * procedure.reads + procedure.live)
            planned = rails.Caps(len(accounts) + 1, 10.0, rate_per_s, procedure.duration)
            self._perform(grid, topology, defence, planned, burglary.play())
        return theft.measured(burglary.thefts, defence, procedure.duration)

    def _duel(self, procedure: Duel, topology: Topology, defence: str) -> Measured:
        kind = topologies.profile(topology, topology.controllers[0].name).server
        with self._grid(topology, contest.options(procedure, kind)) as grid:
            names = _accounts(grid)[: 2 * contest.CONTESTS]
            pairs = list(zip(names[::2], names[1::2], strict=False))
            arena = contest.Arena(grid, procedure, pairs, self._seed)
            planned = rails.Caps(
                2 * len(pairs) + 1, 3.0 * len(pairs) / procedure.retry, procedure.rate,
                procedure.duration,
            )  # fmt: skip
            self._perform(grid, topology, defence, planned, arena.play())
        return contest.measured(arena.contests, procedure, defence)

    def _fit_failover(self, procedure: SilentController, topology: Topology) -> SilentController:
        key = topology.controllers[1].profile
        if key not in self._logins_s:

            async def pilot(failing: failover.Failover) -> None:
                self._logins_s[key] = await piloted(failing.pilot(), PILOT_S)

            self._progress(0.0, "fitting what a login costs on this machine")
            self._fail(procedure, topology, "pilot", pilot)
        return procedure.model_copy(update={"login_work": self._logins_s[key]})

    def _fail(
        self,
        procedure: SilentController,
        topology: Topology,
        defence: str,
        part: Callable[[failover.Failover], Coroutine[Any, Any, None]],
    ) -> failover.Failover:
        if len(topology.controllers) != 2:
            raise LoadError("controllers: two are played, one that falls silent and another")
        with self._grid(topology, Options(scram="SHA-1")) as grid:
            pairs, doors = casting.pairs_on(grid, topology)
            failing = failover.Failover(grid, procedure, pairs, doors, self._seed)
            beats_per_s = 0.0 if procedure.heartbeat is None else 1.0 / procedure.heartbeat
            each_per_s = procedure.rate + beats_per_s
            planned = rails.Caps(
                2 * procedure.platforms + 2, float(procedure.platforms),
                procedure.platforms * each_per_s, max(procedure.duration, PILOT_S),
            )  # fmt: skip
            self._perform(grid, topology, defence, planned, part(failing))
        return failing

    def _onboard(self, procedure: Approvals, topology: Topology, defence: str) -> Measured:
        kind = topologies.profile(topology, topology.controllers[0].name).server
        onboarding.require(procedure, topology, kind)
        options = Options(scram="SHA-1", creation=procedure.creators)
        with self._grid(topology, options) as grid:
            coming = onboarding.Onboarding(grid, procedure, topology, self._seed)
            people = MORNINGS * (procedure.platforms + procedure.spammers)
            asked = procedure.platforms * procedure.topics + procedure.spammers * procedure.spam
            planned = rails.Caps(
                people + 2, float(people), MORNINGS * asked / procedure.spread,
                procedure.duration + onboarding.HEARD_WITHIN_S,
            )  # fmt: skip
            self._perform(grid, topology, defence, planned, coming.play())
        return onboarding.measured(coming, procedure, defence)

    def _fit_dispatch(self, procedure: OneToOne, topology: Topology) -> OneToOne:
        key = " ".join(
            map(str, (topology.controllers[0].profile, procedure.receivers, procedure.size,
                      procedure.manner))
        )  # fmt: skip
        if key not in self._posts:

            async def pilot(sending: dispatch.Dispatch) -> None:
                self._posts[key] = await piloted(sending.pilot(), PILOT_S)

            self._progress(0.0, "fitting what messages and encryption cost on this machine")
            keyless = procedure.model_copy(update={"key_items": None})
            self._dispatch(keyless, topology, "pilot", pilot)
        costs = self._posts[key]
        return procedure.model_copy(
            update={
                "encrypt": costs.encrypt_s,
                "encrypt_alone": costs.alone_s,
                "cipher": costs.cipher_s,
                "relayed": costs.relayed_s,
                "publication": costs.publication_s,
            }
        )

    def _dispatch(
        self,
        procedure: OneToOne,
        topology: Topology,
        defence: str,
        part: Callable[[dispatch.Dispatch], Coroutine[Any, Any, None]],
    ) -> dispatch.Dispatch:
        dispatch.require(procedure, topology)
        listed = procedure.manner == "addressed"
        options = Options(scram="SHA-1", reader=True, unlimited=True, multicast=listed)
        with self._grid(topology, options) as grid:
            sending = dispatch.Dispatch(grid, procedure, topology, door_of(grid, topology))
            burst = float(procedure.receivers)
            planned = rails.Caps(
                procedure.receivers + 3, burst, burst / dispatch.PILOT_GAP_S,
                max(procedure.duration + dispatch.ITEMS_READ * dispatch.HAD_WITHIN_S, PILOT_S),
            )  # fmt: skip
            self._perform(grid, topology, defence, planned, part(sending))
        return sending

    def _inquire(
        self,
        procedure: LargeAnswers,
        topology: Topology,
        defence: str,
        part: Callable[[asking.Hall], Coroutine[Any, Any, None]],
    ) -> asking.Hall:
        with self._grid(topology, Options(scram="SHA-1")) as grid:
            passwords, domain = grid.credentials(), topology.controllers[0].domain
            accounts = [Account(each, passwords[f"{each}@{domain}"]) for each in _accounts(grid)]
            hall = asking.Hall(grid, procedure, door_of(grid, topology), accounts, self._seed)
            paces = procedure, asking.stretch(procedure)
            rate_per_s = max(each.rate + each.askers / each.think for each in paces)
            sessions = procedure.askers + procedure.receivers + 1
            planned = rails.Caps(
                sessions, 50.0, rate_per_s, max(procedure.duration, PILOT_S),
            )  # fmt: skip
            self._perform(grid, topology, defence, planned, part(hall))
        return hall

    def _perform(
        self,
        grid: Grid,
        topology: Topology,
        defence: str,
        planned: rails.Caps,
        playing: Coroutine[Any, Any, None],
    ) -> None:
        """Within the caps, audited, and ended at once if somebody asks the grid to stop."""
        try:
            rails.check(planned)
        except BaseException:
            playing.close()
            raise
        with rails.audited(f"{DOOR} {topology.name}: {defence}", vars(planned)) as ending:
            asyncio.run(unless_stopped(grid, playing))
            ending.why = "played to the end"

    @contextlib.contextmanager
    def _grid(self, topology: Topology, options: Options) -> Iterator[Grid]:
        """A fresh grid on the server's cores, this thread on ours; all are kept awake.

        A pinned thread knows of no other cores than its own, so that is the last step.
        """
        server, own = self._cores
        with (
            deployment.ephemeral(bare(topology), cores=server, options=options) as grid,
            spinner.awake(),
            pinned(own),
        ):
            yield grid


def _asked(procedure: LargeAnswers, topology: Topology) -> str:
    """What one pilot of answers holds for."""
    duty = procedure.askers, procedure.think, procedure.rate, procedure.duration
    return f"{topology.controllers[0].profile} {procedure.receivers} {procedure.size} {duty}"


def _accounts(grid: Grid) -> list[str]:
    """Localparts of the Platforms."""
    names = [jid.partition("@")[0] for jid in grid.credentials()]
    return [each for each in names if each != theft.OWNER]
