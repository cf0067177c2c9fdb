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


def shown(run: Run) -> dict[str, Neighbours]:
    """The neighbours of each server, where a measured run had enough of their spells."""
    known: Mapping[str, Spells | None] = run.header.measurement.get("server", {}).get("spells", {})
    return {
        name: neighbours(each["factor"], each["share"], each["mean_s"])
        for name, each in known.items()
        if each is not None and each["count"] >= SPELLS_MIN
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
