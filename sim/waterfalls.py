"""A picture of one fan-out: where the time of some of its copies went."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.platforms import Residents
from sim.state import Server
from topologies.schema import Topology

SHOWN = 40  # copies of one publication that a picture shows


def waterfall(server: Server, topology: Topology, home: Residents, kinds: int) -> dict[str, Any]:
    """One publication in the middle of the run whose copies were followed, a few of them.

    Parameters
    ----------
    server : Server
        Where they were followed.
    topology : Topology
        Its Topics.
    home : Residents
        The Platforms of the station.
    kinds : int
        A kind's stride among histograms.
    """
    copies = server.followed[: server.ledger[0]["followed"]]
    answers = home.pair_topics[copies["histogram"] % kinds] >= len(topology.topics)
    copies, instants_s = copies[~answers], server.instants_s[: len(copies)][~answers]
    if len(copies) == 0:
        return {}
    rows, counts = np.unique(copies["row"], return_counts=True)
    large = rows[counts >= 0.9 * counts.max()]
    row = large[len(large) // 2]
    chosen = instants_s[copies["row"] == row]
    chosen = chosen[np.argsort(chosen[:, -1], kind="stable")]
    few = chosen[np.unique(np.linspace(0, len(chosen) - 1, SHOWN).round().astype(int))]
    pair = int(copies["histogram"][copies["row"] == row][0]) % kinds
    topic = topology.topics[int(home.pair_topics[pair])].name
    since_s = few - few[:, :1]
    return {"publication": int(row), "topic": topic, "copies_s": since_s.tolist()}
