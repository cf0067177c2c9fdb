"""Lines between stations at work: a serial connection, a delay, and the limit at its far end."""

from __future__ import annotations

import numba
import numpy as np

from sim import limiters
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
    envelopes_bytes : (float, float)
        What is around a payload on the wire, and what of it limits count. [B]
    rule : Records, optional
        The limit that its target puts on it; see `sim.limiters`.
    """

    def __init__(
        self, line: Line, socket: int, envelopes_bytes: tuple[float, float],
        rule: Records | None = None,
    ) -> None:  # fmt: skip
        self.line, self._socket, self._envelopes_bytes = line, socket, envelopes_bytes
        self._rule, self._connection = rule, np.zeros(1, limiters.CLIENT)
        if rule is not None:
            self._connection["credit_bytes"] = rule["burst_bytes"]
        self._free_s = self._read_s = -np.inf
        self.carried = 0

    def carry(self, dispatches: Records, kinds: int) -> Jobs:
        """Copies sent on, in order, as jobs of the line's target; `kinds` is a kind's stride."""
        wire_bytes = dispatches["payload_bytes"] + self._envelopes_bytes[0]
        left_s = serial(
            np.ascontiguousarray(dispatches["left_s"]), wire_bytes / self.line.bytes_per_s,
            self._free_s,
        )  # fmt: skip
        self._free_s = float(left_s[-1])
        self.carried += len(dispatches)
        arrival_s = left_s + self.line.delay_s
        self._limit(arrival_s, dispatches["payload_bytes"] + self._envelopes_bytes[1])
        return Jobs(
            row=dispatches["row"].copy(),
            arrival_s=arrival_s,
            intended_s=dispatches["intended_s"].copy(),
            payload_bytes=dispatches["payload_bytes"].copy(),
            topic=dispatches["topic"].copy(),
            kind=dispatches["segment"].astype(np.int64) // kinds,
            socket=np.full(len(dispatches), self._socket),
            target=dispatches["target"].copy(),
        )

    def _limit(self, instants_s: Floats, sizes_bytes: Floats) -> None:
        """Turn instants of arrival into those at which the target has read, in place."""
        if self._rule is not None:
            outcomes = np.zeros(len(instants_s), np.uint8)
            first = np.zeros(len(instants_s), np.int64)
            limiters.scan(self._rule, self._connection, first, sizes_bytes, instants_s, outcomes)
            instants_s[0] = max(instants_s[0], self._read_s)  # one read's stanzas, but for rounding
            np.maximum.accumulate(instants_s, out=instants_s)
            self._read_s = instants_s[-1]
