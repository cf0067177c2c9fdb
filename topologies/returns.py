"""When Platforms that lost their sessions could be back, and when others begin to guess."""

from __future__ import annotations

from dataclasses import dataclass

from topologies.schema import Topology


@dataclass(frozen=True)
class Instants:
    """Ends of faults, from which on what they struck comes back. [s]

    Attributes
    ----------
    back_s : float
        All legitimate Platforms and servers: from then on everybody can be online.
    guess_s : float or None
        The first of the adversary's populations; None where none is struck.
    """

    back_s: float
    guess_s: float | None


def instants(topology: Topology) -> Instants:
    """The instants of a topology, from its faults."""
    hostile = {each.name for each in topology.platforms if each.role == "adversary"}
    ends = [(getattr(f, "population", None), f.start + f.duration) for f in topology.faults]
    guessing = [end_s for name, end_s in ends if name in hostile]
    others = [end_s for name, end_s in ends if name not in hostile]
    return Instants(max(others, default=0.0), min(guessing, default=None))
