"""Who goes first of the jobs that wait: one line for each rank, in order of arrival.

Topics may have priorities (`topics[].priority`); a server that heeds them (`fifo`, components)
takes the next job from the first line in which somebody stands. What it is at it finishes: a queue
with priorities that do not interrupt. Stations whose Topics are all alike have no lines.

References
----------
A. Cobham, "Priority assignment in waiting line problems," Operations Research 2, 1954.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiling import inlined
from sim.state import NOBODY, Server

HEAD, TAIL = 0, 1


@inlined
def stand_in_line(server: Server, slot: Any) -> None:
    """A job has arrived and waits."""
    ranks = server.ranks
    if ranks.shape[0] == 0:
        return
    rank = server.publications[slot].rank
    if ranks[rank, HEAD] == NOBODY:
        ranks[rank, HEAD] = slot
    else:
        server.publications[ranks[rank, TAIL]].next = slot
    ranks[rank, TAIL] = slot


@inlined
def next_waiting(server: Server) -> Any:
    """The job that is served next, of those that wait."""
    ranks = server.ranks
    if ranks.shape[0] == 0:
        return np.uint32(server.ledger[0].started & (server.publications.size - 1))
    rank = 0
    while ranks[rank, HEAD] == NOBODY:
        rank += 1
    slot = ranks[rank, HEAD]
    ranks[rank, HEAD] = server.publications[slot].next
    return slot
