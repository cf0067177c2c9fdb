"""Direct flow: what subscribers fetch from a Publisher that a Topic only refers to."""

from __future__ import annotations

from pydantic import Field

from topologies.model import Model, Whole
from topologies.quantities import Bytes, PositiveBytes, Seconds


class Fetch(Model):
    """How a payload is had that an item refers to (XEP-0447): over HTTPS, from its Publisher.

    The Publisher's `network.uplink` carries it; fetches under way share that evenly.
    """

    reference: PositiveBytes = Field(
        400.0, description="what the item holds instead: address, size, hash [B]"
    )
    overhead: Bytes = Field(4e3, description="certificates and headers around the payload [B]")
    round_trips: Whole = Field(
        3, ge=1, le=20, description="of a fetch: to connect, for TLS 1.3, for the request"
    )
    connections: Whole | None = Field(
        None, ge=1, le=100_000, description="fetches that one Publisher serves at a time, others "
        "wait in turn; absent: all"
    )  # fmt: skip
    spread: Seconds = Field(
        0.0, description="each subscriber waits at most so long before it fetches, drawn evenly [s]"
    )
