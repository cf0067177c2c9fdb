"""An attack file's traffic on a real grid: within the caps of adversaries, and only once predicted.

Adversaries here are legal XMPP users with bad manners: Platforms of the topology whose publications
are in the plan, sent through the one dialler like everybody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadtest.problems import LoadError, RailsError
from loadtest.rehearsal import Rehearsal

if TYPE_CHECKING:
    from results import Run
    from topologies.schema import Topology


@dataclass(frozen=True)
class AdversaryCaps:
    """The most that adversaries may do in one run; files can only ask for less."""

    sessions: int = 2_000
    attack_s: float = 300.0


CAPS: Final = AdversaryCaps()


def check(topology: Topology) -> None:
    """Refuse adversaries that exceed a cap, naming all that do.

    Raises
    ------
    RailsError
        Too many of them, or for too long.
    """
    sessions = sum(each.count for each in topology.platforms if each.role == "adversary")
    attack_s = max((each.duration for each in topology.attacks), default=0.0)
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
        Deploys, plays and keeps runs.
    """

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal, self._predicted = rehearsal, set[str]()
        self.fit = rehearsal.fit

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
        from topologies import sha256

        check(topology)
        if sha256(topology) not in self._predicted:
            raise LoadError(f"{topology.name}: is to be simulated first; predict, then play")
        if topology.faults:
            raise LoadError(f"{topology.name}: faults are not driven on real grids by an attack")
        return self._rehearsal.play(topology, topology.workload.duration)
