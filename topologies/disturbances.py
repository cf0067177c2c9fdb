"""What disturbs a grid in a topology file: attacks by adversaries."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topologies.model import Name, Node, Sourced
from topologies.quantities import PositiveBytes, PositivePerSecond, PositiveSeconds, Seconds


class PublishFlood(Sourced):
    """An adversary that publishes as fast as it likes (RFC 8600 section 8.2.2)."""

    kind: Literal["publish-flood"]
    name: Name = Field(description="what reports call it")
    by: Name = Field(description="an adversary population")
    topic: Node = Field(description="Topic that is flooded")
    start: Seconds = Field(description="first instant [s]")
    duration: PositiveSeconds = Field(description="how long it lasts [s]")
    rate: PositivePerSecond = Field(description="Poisson, the whole population together [1/s]")
    size: PositiveBytes | None = Field(None, description="payload size; absent: the Topic's [B]")


Attack = PublishFlood
