"""The links of a topology file: how stanzas get from one Controller to another."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topologies.model import Name, Sourced
from topologies.quantities import BytesPerSecond, Delay


class Link(Sourced):
    """The way between two Controllers (server to server, RFC 6120), alike in both directions.

    Each direction is one serial connection. Controllers that no entry names are linked by the
    defaults.
    """

    from_: Name = Field(alias="from", description="one Controller")
    to: Name = Field(description="the other Controller")
    delay: Delay = Field(1e-3, description="one-way delay, constant [s]")
    rate: BytesPerSecond | None = Field(
        None, description="what one direction carries; absent: no limit [B/s]"
    )
    copies: Literal["subscriber", "domain"] = Field(
        "subscriber",
        description="a copy for each remote subscriber, as servers do, or one for each domain, "
        "which a repeater there hands out",
    )

    def joins(self, one: str, other: str) -> bool:
        """Whether it is the link between these two Controllers."""
        return {one, other} == {self.from_, self.to}
