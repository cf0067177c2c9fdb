"""Platforms that hardly read, as a topology describes them, on a real grid.

A server's queues are its own: it is deployed as it comes, and what the topology says of queues and
windows is for the prediction alone. Readers are played: a bursty one leaves its connection unread
while it rests, so that first the kernel and then the server keeps what it does not take. All read
again when the run is over, and what was kept for them comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.script import Script

if TYPE_CHECKING:
    from topologies.schema import Topology

NAME = "bursty-readers"


def deployed(topology: Topology) -> Topology:
    """The topology without readers and queues, as servers are deployed for it."""
    return topology.model_copy(
        update={
            "platforms": tuple(p.model_copy(update={"reader": None}) for p in topology.platforms),
            "controllers": tuple(
                node.model_copy(update={"queue": None}) for node in topology.controllers
            ),
        }
    )


def script(topology: Topology, seed: int) -> Script | None:
    """Who reads when, for the receiving processes; None where all read as they can.

    Parameters
    ----------
    topology : Topology
        With bursty readers or without.
    seed : int
        Of the instant at which each of them first reads.
    """
    first, readers = 0, []
    for population in topology.platforms:
        if population.reader is not None and population.subscribes:
            reader = population.reader
            readers.append([first, population.count, reader.on, reader.off])
        first += population.count
    if not readers:
        return None
    return Script(
        scenario=NAME,
        seed=seed,
        receivers=NAME,
        end_s=topology.workload.duration,
        parameters={"readers": readers},
    )
