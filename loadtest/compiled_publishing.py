"""Publications of a process that compiled code sends at their instants (`compiled_sending`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from loadtest import compiled_sending, compiled_tables
from loadtest.compiled_reading import CompiledReading
from loadtest.compiled_sending import NODE, PUBLICATION, SENDING, Sending
from loadtest.compiled_tables import NOBODY
from loadtest.pacer import EARLY_NS, TOGETHER
from loadtest.publications import BEGUN, WRITTEN, Publications
from loadtest.transport import TimedTransport

TURN_S: Final = 25e-3  # after that the event loop has its turn: all that it has are a few commands
OFTEN: Final = 50  # publications of a session, from which on its TLS buffers are kept

Parts = tuple[bytes, bytes, bytes, bytes, bytes, bytes, int]
"""Of the stanzas of a Topic: what stands around and between the numbers and the padding, what
fills the second number on its left, and the size of the smallest payload. [B]"""


class CompiledPublishing:
    """Sends all publications of a process.

    Parameters
    ----------
    reading : CompiledReading
        Which has the sessions.
    publications : Publications
        Those to send.
    nodes : sequence of Parts
        What the stanzas of each Topic are made of.
    columns : tuple of ndarray
        Of each publication: which login sends it, to which Topic, the size of its payload. [B]
    write : callable
        `write(place)` sends a publication by the interpreter.

    Attributes
    ----------
    sent : int
        How many compiled code has sent.
    """

    def __init__(
        self,
        reading: CompiledReading,
        publications: Publications,
        nodes: Sequence[Parts],
        columns: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]],
        write: Callable[[int], None],
    ) -> None:
        self._reading = reading
        self._publications = publications
        self._write = write
        self._parts = [[np.frombuffer(each, np.uint8) for each in parts[:5]] for parts in nodes]
        self._sealed = np.zeros(compiled_sending.SEALED_BYTES, np.uint8)
        self._sending = Sending(
            state=np.zeros(1, SENDING),
            publications=np.zeros(0, PUBLICATION),
            nodes=np.zeros(len(nodes), NODE),
            doors=np.full(int(columns[0].max(initial=0)) + 1, NOBODY, np.int64),
            dirty=np.zeros(TOGETHER, np.int64),
            stanza=np.zeros(compiled_tables.RECORD_BYTES, np.uint8),
        )
        state = self._sending.state[0]
        state["stanza"] = self._sending.stanza.ctypes.data
        state["sealed"] = self._sealed.ctypes.data
        state["early_ns"] = EARLY_NS
        for node, pieces, parts in zip(self._sending.nodes, self._parts, nodes, strict=True):
            names = ("opening", "middle", "begin", "inside", "end")
            for name, piece in zip(names, pieces, strict=True):
                node[name], node[f"{name}_bytes"] = piece.ctypes.data, len(piece)
            node["fill"], node["least_bytes"] = parts[5][0], parts[6]
        sessions = len(np.unique(columns[0]))
        reading.keeps_buffers = len(publications) >= OFTEN * sessions
        compiled_sending.publish(reading.tables, self._sending)  # which compiles it, or loads it
        rows = np.zeros(len(publications), PUBLICATION)
        for name, column in zip(("login", "node", "payload_bytes"), columns, strict=True):
            rows[name] = column
        self._sending = self._sending._replace(publications=rows)

    @property
    def sent(self) -> int:
        """How many compiled code has sent."""
        return int(self._sending.state[0]["compiled"])

    async def run(
        self, due_ns: npt.NDArray[np.int64], transports: Sequence[TimedTransport | None]
    ) -> None:
        """Send all; cancelling it leaves the rest unsent.

        Parameters
        ----------
        due_ns : ndarray of int64
            Deadlines on the monotonic clock, non-decreasing. [ns]
        transports : sequence of TimedTransport or None
            Of each session, in the order of logins.
        """
        self._sending.publications["due_ns"] = due_ns
        for login, transport in enumerate(transports[: len(self._sending.doors)]):
            if transport is not None and not transport.is_closing():
                self._sending.doors[login] = transport.get_extra_info("socket").fileno()
        # Others that are ready meanwhile have time until what has come is read again.
        self._reading.tables.turn[0]["again_from"] = compiled_tables.READY_MOST
        progress = self._publications.progress
        while self._turn() == compiled_tables.LATER:
            left_ns = int(due_ns[progress[BEGUN]]) - EARLY_NS - time.monotonic_ns()
            await asyncio.sleep(max(0, left_ns) / 1e9)

    def _turn(self) -> int:
        """Send what is due in the next milliseconds; whether more is due LATER, or all is DONE."""
        state = self._sending.state[0]
        now_ns = time.monotonic_ns()
        state["yield_ns"] = now_ns + int(TURN_S * 1e9)
        state["read_ns"] = max(state["read_ns"], now_ns)  # the event loop has read meanwhile
        self._reading.begin()
        while True:
            why: int = compiled_sending.publish(self._reading.tables, self._sending)
            if why in (compiled_tables.LATER, compiled_tables.DONE):
                self._reading.note()
                return why
            if why == compiled_tables.WRITE:
                self._write(int(self._publications.progress[WRITTEN]) - 1)
            elif why == compiled_tables.BLOCKED:
                rest = self._sealed[state["sealed_from"] : state["sealed_to"]].tobytes()
                self._reading.send_rest(int(state["session"]), rest)
            else:
                self._reading.hand_over(why)
