"""Lines between stations at work: a serial connection, then a delay."""

from __future__ import annotations

import numba
import numpy as np

from sim.jobs import Jobs
from sim.state import Floats, Records
from sim.stations import Line

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@compiled
def serial(ready_s: Floats, service_s: Floats, free_s: float) -> Floats:
    """Instants at which jobs leave a FIFO server that is free from `free_s` on. [s]

    Lindley's recursion as departures: D[n] = max(A[n], D[n-1]) + S[n].
    """
    left_s = np.empty_like(ready_s)
    for i in range(len(ready_s)):
        free_s = max(ready_s[i], free_s) + service_s[i]
        left_s[i] = free_s
    return left_s


class Carrier:
    """One line: what it carries, and when it is free again.

    Parameters
    ----------
    line : Line
        Its ends, rate and delay.
    socket : int
        Session of the line on its target station.
    envelope_bytes : float
        What is around a payload. [B]
    """

    def __init__(self, line: Line, socket: int, envelope_bytes: float) -> None:
        self.line, self._socket, self._envelope_bytes = line, socket, envelope_bytes
        self._free_s = -np.inf
        self.carried = 0

    def carry(self, dispatches: Records, kinds: int) -> Jobs:
        """Copies sent on, in order, as jobs of the line's target; `kinds` is a kind's stride."""
        wire_bytes = dispatches["payload_bytes"] + self._envelope_bytes
        left_s = serial(
            np.ascontiguousarray(dispatches["left_s"]), wire_bytes / self.line.bytes_per_s,
            self._free_s,
        )  # fmt: skip
        self._free_s = float(left_s[-1])
        self.carried += len(dispatches)
        return Jobs(
            row=dispatches["row"].copy(),
            arrival_s=left_s + self.line.delay_s,
            intended_s=dispatches["intended_s"].copy(),
            payload_bytes=dispatches["payload_bytes"].copy(),
            topic=dispatches["topic"].copy(),
            kind=dispatches["segment"].astype(np.int64) // kinds,
            socket=np.full(len(dispatches), self._socket),
            target=dispatches["target"].copy(),
        )
