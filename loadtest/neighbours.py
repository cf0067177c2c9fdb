"""Spells of the machine, as a light load showed them, in the grids that are predicted from it.

They are expected to go on as they were (`tempo`), of any length about their mean, at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from topologies.schema import Neighbours

if TYPE_CHECKING:
    from loadtest.tempo import Spells
    from results import Run
    from topologies.schema import Topology

SPELLS_MIN: Final = 8  # fewer say too little of the next ones
SHARE_MIN: Final = 0.005  # of the time: less is no more than a few late interrupts


def shown(run: Run, topology: Topology) -> dict[str, Neighbours]:
    """The neighbours of each Controller, where a measured run had enough of their spells."""
    controllers = {each.name for each in topology.controllers}
    known: Mapping[str, Spells | None] = run.header.measurement.get("server", {}).get("spells", {})
    return {
        name: neighbours(each["factor"], each["share"], each["mean_s"])
        for name, each in known.items()
        if name in controllers
        and each is not None
        and each["count"] >= SPELLS_MIN
        and each["share"] >= SHARE_MIN
    }


def neighbours(factor: float, share: float, mean_s: float) -> Neighbours:
    """Those of a Controller: factor [1], share of the time [1], mean length of a spell [s]."""
    return Neighbours.model_validate({"factor": factor, "share": share, "mean": f"{mean_s:.6f} s"})


def beside(topology: Topology, own: Mapping[str, Neighbours]) -> Topology:
    """The same grid on machines that have these neighbours, and the file's where none are known."""
    nodes = (
        node.model_copy(update={"neighbours": own.get(node.name, node.neighbours)})
        for node in topology.controllers
    )
    return topology.model_copy(update={"controllers": tuple(nodes)})
