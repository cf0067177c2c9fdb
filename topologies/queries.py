"""Queries in a topology file: requests that a Broker answers to the one who asks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topologies.model import Name, Node, Sourced, Whole
from topologies.quantities import PositivePerSecond, PositiveSeconds, Seconds


class Query(Sourced):
    """What the Platforms of a population ask a Broker for, at random or after every login."""

    kind: Literal["items", "page", "pages", "disco"] = Field(
        description="all items that the Topic keeps, one page of them (XEP-0059), all pages one "
        "after another, or the list of the Topics that its Broker keeps (XEP-0030)"
    )
    by: Name = Field(description="population that asks")
    topic: Node = Field(description="Topic")
    rate: PositivePerSecond | None = Field(
        None,
        description="Poisson, the whole population together; absent: each Platform asks once after "
        "each of its logins [1/s]",
    )
    page: Whole | None = Field(None, ge=1, le=1_000_000, description="items on a page")
    start: Seconds = Field(0.0, description="first instant at which it may ask [s]")
    end: PositiveSeconds | None = Field(None, description="last instant; absent: the run's end [s]")
