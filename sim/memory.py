"""What copies that wait take of a server's memory.

Each takes its own notification around the payload. The payload's bytes are each copy's own as well,
or, where a server keeps text once and lets copies refer to it (Erlang's binaries), there once as
long as one of them waits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiling import inlined
from sim.state import Server


@inlined
def payload_bytes(server: Server, publication: Any) -> float:
    """Size of a publication's payload. [B]"""
    return publication.wire_bytes - server.setting[0].envelope_bytes


@inlined
def own_bytes(server: Server, publication: Any) -> float:
    """What each copy has of the payload for itself. [B]"""
    return 0.0 if server.setting[0].shares else payload_bytes(server, publication)


@inlined
def share(server: Server, slot: int, copies: int) -> None:
    """So many more copies of a publication wait, or fewer, that have its payload in common."""
    if server.setting[0].shares:
        publication = server.publications[slot]
        before = publication.held
        publication.held += copies
        there = np.int64(publication.held > 0) - np.int64(before > 0)
        server.ledger[0].held_bytes += there * payload_bytes(server, publication)


@inlined
def hold(server: Server, slot: int, copies: int) -> None:
    """So many more copies of a publication wait, or fewer."""
    now = server.ledger[0]
    now.held += copies
    now.held_bytes += copies * own_bytes(server, server.publications[slot])
    share(server, slot, copies)
