"""Lines between stations at work: a serial connection, a delay, and the limit at its far end."""

from __future__ import annotations

import numba
import numpy as np

from sim import limiters
from sim.jobs import Jobs
from sim.state import Floats, Records
from sim.stations import Line
from topologies.schema import Partition, Topology

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@compiled
def serial(ready_s: Floats, service_s: Floats, free_s: float, closed_s: Floats) -> Floats:
    """Instants at which jobs leave a FIFO server that is free from `free_s` on. [s]

    Lindley's recursion as departures: D[n] = max(A[n], D[n-1]) + S[n]. A row of `closed_s` has the
    start and the end of a time in which no job begins, and the longest that one waits for that end:
    who would wait longer never leaves (nan).
    """
    left_s = np.empty_like(ready_s)
    for i in range(len(ready_s)):
        begin_s, stays = max(ready_s[i], free_s), False
        for row in range(len(closed_s)):
            if closed_s[row, 0] <= begin_s < closed_s[row, 1]:
                begin_s = closed_s[row, 1]
                stays = stays or begin_s - ready_s[i] > closed_s[row, 2]
        if stays:
            left_s[i] = np.nan
        else:
            left_s[i] = free_s = begin_s + service_s[i]
    return left_s


def closures(topology: Topology, one: str, other: str) -> Floats:
    """When the link between two Controllers is cut, and how long a stanza waits then. [s]"""
    rows = sorted(
        (
            fault.start,
            fault.start + fault.duration,
            np.inf if fault.timeout is None else fault.timeout,
        )
        for fault in topology.faults
        if isinstance(fault, Partition) and set(fault.link) == {one, other}
    )
    return np.array(rows, np.float64).reshape(-1, 3)


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
    closed_s : ndarray, shape (n, 3)
        When it carries nothing; see `closures`.
    rule : Records, optional
        The limit that its target puts on it; see `sim.limiters`.
    stanza_bytes : float
        The largest stanza that its target takes: larger ones are lost. [B]
    """

    def __init__(
        self, line: Line, socket: int, envelopes_bytes: tuple[float, float], closed_s: Floats,
        rule: Records | None = None, stanza_bytes: float = np.inf,
    ) -> None:  # fmt: skip
        self.line, self._socket, self._envelopes_bytes = line, socket, envelopes_bytes
        self._closed_s, self._stanza_bytes = closed_s, stanza_bytes
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
            self._free_s, self._closed_s,
        )  # fmt: skip
        if len(self._closed_s):
            kept = ~np.isnan(left_s)
            dispatches, left_s = dispatches[kept], left_s[kept]
        if len(left_s):
            self._free_s = float(left_s[-1])
        self.carried += len(dispatches)
        fits = dispatches["payload_bytes"] + self._envelopes_bytes[1] <= self._stanza_bytes
        if not fits.all():
            dispatches, left_s = dispatches[fits], left_s[fits]
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
        if self._rule is not None and len(instants_s):
            outcomes = np.zeros(len(instants_s), np.uint8)
            first = np.zeros(len(instants_s), np.int64)
            limiters.scan(self._rule, self._connection, first, sizes_bytes, instants_s, outcomes)
            instants_s[0] = max(instants_s[0], self._read_s)  # one read's stanzas, but for rounding
            np.maximum.accumulate(instants_s, out=instants_s)
            self._read_s = instants_s[-1]
