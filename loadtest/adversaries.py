"""An attack file's traffic on a real grid: within the caps of adversaries, and only once predicted.

Adversaries here are legal XMPP users with bad manners: Platforms of the topology whose publications
are in the plan, or who try passwords, through the one dialler like everybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadtest.problems import LoadError, RailsError
from loadtest.rehearsal import Rehearsal
from topologies.returns import instants

if TYPE_CHECKING:
    from loadtest.enactment import Enactment
    from loadtest.performance import Performance
    from results import Run
    from results.variants import AbandonedStep, Measured
    from topologies.procedures import AnyProcedure
    from topologies.profiles import Profile
    from topologies.schema import Topology


@dataclass(frozen=True)
class AdversaryCaps:
    """The most that adversaries may do in one run; files can only ask for less."""

    sessions: int = 2_000
    attack_s: float = 300.0
    connections_per_s: float = 200.0


CAPS: Final = AdversaryCaps()


def check(topology: Topology) -> None:
    """Refuse adversaries that exceed a cap, naming all that do.

    Raises
    ------
    RailsError
        Too many of them, or for too long.
    """
    sessions = sum(each.count for each in topology.platforms if each.role == "adversary")
    guess_s = instants(topology).guess_s
    lasting_s = [each.duration for each in topology.attacks]
    lasting_s += [topology.workload.duration - guess_s] if guess_s is not None else []
    attack_s = max(lasting_s, default=0.0)
    found = []
    if sessions > CAPS.sessions:
        found.append(f"{sessions:,} adversaries: at most {CAPS.sessions:,}; use fewer with --set")
    if attack_s > CAPS.attack_s:
        found.append(
            f"an attack of {attack_s:g} s: at most {CAPS.attack_s:g} s; shorten it with --set"
        )
    if found:
        raise RailsError("\n".join(found))


class Reenactment:
    """Variants of an attack on real grids, one fresh grid each.

    Parameters
    ----------
    rehearsal : Rehearsal
        Deploys, plays and keeps runs of traffic.
    enactment : Enactment
        The same for sessions that are lost, and passwords that are guessed.
    performance : Performance
        The same for what people and programs do.
    """

    def __init__(
        self, rehearsal: Rehearsal, enactment: Enactment, performance: Performance
    ) -> None:
        self._rehearsal, self._enactment = rehearsal, enactment
        self._performance = performance
        self._predicted = set[str]()
        self.fit = rehearsal.fit

    def fit_logins(self, topology: Topology, share: float) -> dict[str, Profile]:
        """Profiles with what logins cost on this machine, on a share of a core."""
        check(topology)
        return self._enactment.fit(topology, share)

    def predicted(self, topology: Topology) -> None:
        """Somebody has simulated this topology, and it is within the caps."""
        from topologies import sha256

        check(topology)
        self._predicted.add(sha256(topology))

    def play(self, topology: Topology) -> Run:
        """The run of a topology that was predicted before.

        Raises
        ------
        RailsError
            It is beyond the caps of adversaries.
        LoadError
            It was never predicted, has faults, or cannot be played.
        """
        self._expected(topology)
        if topology.faults:
            raise LoadError(f"{topology.name}: faults beside traffic are not driven by an attack")
        return self._rehearsal.play(topology, topology.workload.duration)

    def come_back(self, topology: Topology, defence: str, share: float) -> Measured:
        """What becomes of the Platforms of a topology that was predicted before.

        Raises
        ------
        RailsError
            It is beyond the caps of adversaries.
        LoadError
            It was never predicted, or cannot be played.
        """
        self._expected(topology)
        return self._enactment.play(topology, defence, share)

    def fit_procedure(self, procedure: AnyProcedure, topology: Topology) -> AnyProcedure:
        """The procedure with what its steps cost on this machine."""
        check(topology)
        self._within(procedure)
        return self._performance.fit(procedure, topology)

    def perform(self, procedure: AnyProcedure, topology: Topology, defence: str) -> Measured:
        """What becomes of what people and programs do, where it was predicted before.

        Raises
        ------
        RailsError
            It is beyond the caps of adversaries.
        LoadError
            It was never predicted, or cannot be played.
        """
        self._within(procedure)
        self._expected(topology)
        return self._performance.play(procedure, topology, defence)

    def pull(self, topology: Topology, defence: str) -> Measured:
        """What becomes of items that all fetch, of a topology that was predicted before.

        Raises
        ------
        RailsError
            It is beyond the caps of adversaries.
        LoadError
            It was never predicted, or cannot be played.
        """
        if topology.workload.duration > CAPS.attack_s:
            raise RailsError(f"workload.duration: at most {CAPS.attack_s:g} s for adversaries")
        self._expected(topology)
        return self._performance.pull(topology, defence)

    def series(self, topologies: Sequence[Topology], share: float) -> list[Measured]:
        """The same of several, one after another on one grid, on a share of a core."""
        for each in topologies:
            self._expected(each)
        return self._enactment.series(topologies, share)

    def noticed(self) -> list[AbandonedStep]:
        """What abandoned logins cost where logins were fitted first."""
        return [each.total for each in self._enactment.notices[:1]]

    def _within(self, procedure: AnyProcedure) -> None:
        if procedure.duration > CAPS.attack_s:
            raise RailsError(f"procedure.duration: at most {CAPS.attack_s:g} s for adversaries")

    def _expected(self, topology: Topology) -> None:
        """Refuse what nobody has predicted, or what exceeds a cap."""
        from topologies import sha256

        check(topology)
        if sha256(topology) not in self._predicted:
            raise LoadError(f"{topology.name}: is to be simulated first; predict, then play")
