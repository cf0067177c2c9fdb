"""A server that is slower for a while: whatever it begins then costs more CPU time.

What it is at when its pace changes is finished at the old one: one copy of `fifo` (the first with
its publication), one slice of `fanout-process`, a read or write of `loop-turns`, where a read ends
with the first copy that it builds. Waking up, the network and readers keep their pace.
"""

from __future__ import annotations

from typing import Final

from sim.state import UNTOUCHED, Server

COSTS: Final = ("intake_s", "copy_s", "write_s")  # of a publication
OWN_COSTS: Final = (
    "write_s", "coalesced_s", "result_s", "collection_s", "collection_step_s", "route_s",
    "finish_s", "refuse_s", "cold_s",
)  # fmt: skip


def slow_down(server: Server, factor: float) -> None:
    """Let all that has not begun take `factor` times as long."""
    for cost in OWN_COSTS:
        server.setting[cost] *= factor
    now, ring = server.ledger[0], server.publications
    first, known = int(now["oldest"]) % len(ring), int(now["fed"] - now["oldest"])
    for part in (ring[first : first + known], ring[: max(first + known - len(ring), 0)]):
        for cost in COSTS:
            part[cost] *= factor
    server.ledger["collecting_s"] *= factor
    for begun in (server.processes, server.cores):  # what is left of a set-up
        left_s = begun["setup_s"]
        left_s[left_s != UNTOUCHED] *= factor
