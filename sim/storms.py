"""A connection storm on one `fifo` server: Platforms that log in, each step after the last answer.

The smallest case of `sessions`, without publications, deadlines and retries, for studies of nothing
but the storm. Look-ahead windows as there; but since what a FIFO queue does to those that wait does
not depend on those that come later, a window reaches one round trip past the instant at which the
first core is free of all that waits. Under overload a few windows carry the whole storm.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from sim.state import Floats, Integers

CAUTION = 1.0 - 1e-12  # windows are shorter than the look-ahead by more than roundings

scanned = numba.njit(cache=True, nogil=True, error_model="numpy")


@scanned
def _serve(
    order: Integers, due_s: Floats, platform: npt.NDArray[np.int32], step: npt.NDArray[np.int8],
    round_trip_s: Floats, work_s: Floats, free_s: Floats, finish_s: Floats,
) -> None:  # fmt: skip
    """Serve arrivals in this order: first come, first served, by cores that are all alike.

    `free_s`, when each core is free, is kept sorted; the first takes the next arrival (Kiefer and
    Wolfowitz 1955). Each `due_s` becomes the Platform's next arrival, infinite after its last step.
    """
    cores, steps = free_s.size, work_s.shape[1]
    for place in order:
        who = platform[place]
        done_s = max(due_s[place], free_s[0]) + work_s[who, step[who]]
        moving_s = done_s
        for core in range(cores - 1):
            following_s = free_s[core + 1]
            free_s[core] = min(moving_s, following_s)
            moving_s = max(moving_s, following_s)
        free_s[cores - 1] = moving_s
        step[who] += 1
        if step[who] == steps:
            finish_s[who] = done_s + round_trip_s[who]
            due_s[place] = np.inf
        else:
            due_s[place] = done_s + round_trip_s[who]


def finish_times_s(
    start_s: Floats, round_trip_s: Floats, work_s: Floats, cores: int
) -> tuple[Floats, int]:
    """When each Platform has its last answer, and in how many windows that was found out.

    Parameters
    ----------
    start_s : ndarray, shape (n,)
        First arrival of each Platform at the server. [s]
    round_trip_s : ndarray, shape (n,)
        From the end of a step's work until the next step's arrival; more than 0. [s]
    work_s : ndarray, shape (n, steps)
        Service time of each step. [s]
    cores : int
        Identical cores, one queue.
    """
    order = np.argsort(start_s, kind="stable")
    first_s, first = start_s[order], order.astype(np.int32)
    due_s, platform = np.empty(0), np.empty(0, np.int32)
    step, finish_s = np.zeros(len(start_s), np.int8), np.empty(len(start_s))
    free_s, look_ahead_s = np.zeros(cores), float(round_trip_s.min()) * CAUTION
    taken = windows = 0
    while taken < len(first_s) or len(due_s):
        next_s = float(due_s.min(initial=np.inf))
        if taken < len(first_s):
            next_s = min(next_s, float(first_s[taken]))
        until_s = max(next_s, float(free_s[0])) + look_ahead_s
        end = int(np.searchsorted(first_s, until_s))
        near = due_s < until_s
        now_s = np.concatenate([due_s[near], first_s[taken:end]])
        who = np.concatenate([platform[near], first[taken:end]])
        taken = end
        _serve(np.argsort(now_s), now_s, who, step, round_trip_s, work_s, free_s, finish_s)
        more = now_s < np.inf
        due_s = np.concatenate([due_s[~near], now_s[more]])
        platform = np.concatenate([platform[~near], who[more]])
        windows += 1
    return finish_s, windows
