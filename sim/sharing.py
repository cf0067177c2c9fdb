"""A server that its jobs share evenly, so many at a time: uplinks under fetches.

It is worked in virtual time: V grows by 1/n of real time with n jobs under way, so that one that
begins at V is served at V + its work, whoever comes and goes meanwhile [1]_.

References
----------
.. [1] A. Parekh and R. Gallager, "A generalized processor sharing approach to flow control in
   integrated services networks," IEEE/ACM Transactions on Networking 1(3), 1993.
"""

from __future__ import annotations

import heapq

import numba
import numpy as np

from sim import draws
from sim.draws import Purpose
from sim.state import Floats, Integers

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_FETCH = int(Purpose.FETCH)


@compiled
def shared(asked_s: Floats, work_s: Floats, connections: int, done_s: Floats) -> None:
    """When fetches have left, of which `connections` share a server evenly; in order of asking."""
    count, following, time_s, virtual_s = len(asked_s), 0, 0.0, 0.0
    active = [(0.0, np.int64(0))]
    active.pop()
    while following < count or len(active) > 0:
        begin_s = end_s = np.inf
        if following < count and len(active) < connections:
            begin_s = max(time_s, asked_s[following])
        if len(active) > 0:
            end_s = time_s + max(active[0][0] - virtual_s, 0.0) * len(active)
        if begin_s <= end_s:
            if len(active) > 0:
                virtual_s += (begin_s - time_s) / len(active)
            else:
                virtual_s = 0.0
            time_s = begin_s
            heapq.heappush(active, (virtual_s + work_s[following], np.int64(following)))
            following += 1
        else:
            virtual_s, place = heapq.heappop(active)
            time_s = end_s
            done_s[place] = time_s


@compiled
def shares_of_waits(
    seed: int, replication: int, platform: Integers, row: Integers, out: Floats
) -> None:
    """Of how long each subscriber waits at most before it fetches, the share that it does. [1]"""
    for i in range(len(row)):
        out[i] = draws.uniform_at(seed, _FETCH, replication, platform[i], row[i])
