"""Where the time goes: instants on the way of a sample of copies.

Of every `stage_stride`-th publication some copies are followed: when it was intended, reached the
Controller, passed its limits, was begun, and read; when the copy was written, left the session's
queue, the egress link and the Platform's own link, and was read. What lies between two of them is a
stage, so the stages of a copy sum to its latency. Sampling costs nothing where it does not look.
"""

from __future__ import annotations

import numpy as np

from results.records import STAGES
from sim.compiling import compiled, inlined
from sim.state import Floats, Server

COPIES_MAX = 200_000  # copies that are followed at most
TOLERANCE_S = 1e-12  # of a sum of instants


@inlined
def followed(server: Server, slot: int) -> bool:
    """Whether copies of this publication are followed."""
    if server.journeys.size == 0:
        return False
    publication = server.publications[slot]
    return publication.job == 0 and publication.row % server.setting[0].stage_stride == 0


@compiled
def begin(server: Server, slot: int, begun_s: float) -> None:
    """The server begins with a publication."""
    row = server.publications[slot].row // server.setting[0].stage_stride
    server.journeys[row].begun_s = begun_s


@compiled
def read(server: Server, slot: int, read_s: float) -> None:
    """The server has read a publication and turns to its copies."""
    row = server.publications[slot].row // server.setting[0].stage_stride
    server.journeys[row].read_s = read_s


@compiled
def follow(server: Server, slot: int, number: int, row: int, received_s: float) -> None:
    """A copy has been received: note its instants, if it is one of those that are followed."""
    now, setting, publication = server.ledger[0], server.setting[0], server.publications[slot]
    if number % setting.copy_stride != 0 or now.followed == server.followed.size:
        return
    journey, copy = server.journeys[publication.row // setting.stage_stride], now.followed
    entry = server.followed[copy]
    entry.row, entry.platform, entry.histogram = publication.row, number, row
    instants_s = server.instants_s
    instants_s[copy, 0], instants_s[copy, 1] = publication.intended_s, journey.reached_s
    instants_s[copy, 2], instants_s[copy, 3] = publication.arrival_s, journey.begun_s
    instants_s[copy, 4], instants_s[copy, 5] = journey.read_s, now.written_s
    instants_s[copy, 6], instants_s[copy, 7] = now.sent_s, now.left_s
    instants_s[copy, 8], instants_s[copy, 9] = now.down_s, received_s
    now.followed += 1


def stages_s(instants_s: Floats) -> Floats:
    """What each stage of each copy took, shape (copies, stages); rows sum to the latency. [s]"""
    lengths_s: Floats = np.diff(instants_s, axis=1)
    latency_s = instants_s[:, -1] - instants_s[:, 0]
    assert lengths_s.shape[1] == len(STAGES)
    scale_s = np.abs(instants_s).max(initial=1.0)
    assert (lengths_s >= -TOLERANCE_S * scale_s).all(), "an instant lies before the one before it"
    assert np.allclose(lengths_s.sum(axis=1), latency_s, rtol=1e-9, atol=TOLERANCE_S * scale_s)
    return np.maximum(lengths_s, 0.0)
