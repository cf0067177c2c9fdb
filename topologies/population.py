"""The Platforms of a topology file: populations, what they subscribe to, and their network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from topologies.logins import Login, Retry
from topologies.model import NODE, Model, Name, Node, Sourced, Whole
from topologies.quantities import (
    BytesPerSecond,
    Fraction,
    PositivePerSecond,
    PositiveSeconds,
    Seconds,
)


class Subscription(Model):
    """A Topic and the share of the population that subscribes to it; a bare name means all."""

    topic: Node = Field(description="Topic")
    fraction: Fraction = Field(1.0, description="seeded choice of this share of the Platforms [1]")

    def platforms_of(self, count: int) -> int:
        """That share of so many Platforms, rounded to whole ones."""
        return math.floor(count * self.fraction + 0.5)

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: object) -> object:
        return {"topic": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        reference = handler(core_schema)
        resolved = handler.resolve_ref_schema(reference)
        section = dict(resolved)
        resolved.clear()
        resolved.update(anyOf=[{"type": "string", "pattern": NODE}, section])
        return reference


class Network(Model):
    """The path between a Platform and its Controller."""

    delay: Seconds = Field(0.0, description="one-way delay, constant [s]")
    uplink: BytesPerSecond | None = Field(
        None, description="a Platform's own rate to its Controller; absent: no limit [B/s]"
    )
    downlink: BytesPerSecond | None = Field(
        None, description="a Platform's own rate from its Controller; absent: no limit [B/s]"
    )


class BurstyReader(Model):
    """A Platform that takes items in for a while, then does not, over and over."""

    on: PositiveSeconds = Field(description="length of a stretch of reading [s]")
    off: PositiveSeconds = Field(description="length of a stretch without reading [s]")


class Template(Sourced):
    """A named set of rights (RFC 8600: a Platform's function), for example of a DHCP server."""

    name: Name = Field(description="what populations call it")
    publishes: tuple[Node, ...] = Field((), description="Topics that those of it may publish on")
    subscribes: tuple[Subscription, ...] = Field((), description="Topics that they receive")


def with_rights(platform: Any, templates: Mapping[str, Any]) -> Any:
    """A population's section with what its template, if any, adds to its own rights."""
    wish = platform.get("template") if isinstance(platform, dict) else None
    template = templates.get(wish) if isinstance(wish, str) else None
    if template is None:
        return platform
    merged = dict(platform)
    for key in ("publishes", "subscribes"):
        own, added = platform.get(key, ()), template.get(key, ())
        if isinstance(own, list | tuple) and isinstance(added, list | tuple):
            known = [_topic_of(each) for each in own]
            merged[key] = [*own, *(each for each in added if _topic_of(each) not in known)]
    return merged


def _topic_of(wish: Any) -> Any:
    return wish.get("topic") if isinstance(wish, dict) else wish


class Population(Sourced):
    """A group of like Platforms (RFC 8600 section 2: Platform)."""

    name: Name = Field(description="first part of its Platforms' accounts")
    count: Whole = Field(ge=1, le=5_000_000, description="how many Platforms")
    controller: Name = Field(description="Controller that they log in to")
    failover: tuple[Name, ...] = Field(
        (),
        max_length=15,
        description="further Controllers: after a failed attempt, or when its own dies, a Platform "
        "turns to the next one, in turn",
    )
    role: Literal["legitimate", "adversary"] = Field(
        "legitimate", description="whose side it is on"
    )
    template: Name | None = Field(None, description="a set of rights that it has beside its own")
    publishes: tuple[Node, ...] = Field((), description="Topics that it may publish on")
    subscribes: tuple[Subscription, ...] = Field((), description="Topics that it receives")
    network: Network = Field(Network(), description="its path to the Controller")
    addresses: Whole | None = Field(
        None,
        ge=1,
        le=5_000_000,
        description="source addresses that it shares evenly (NAT); absent: one each",
    )
    read_rate: PositivePerSecond | None = Field(
        None, description="items per second that one Platform can take in; absent: no limit [1/s]"
    )
    login: Login | None = Field(
        None, description="how it logs in; absent: it is online all the time"
    )
    retry: Retry = Field(Retry(), description="when it tries again after a loss or failure")

    reader: BurstyReader | None = Field(
        None, description="reads in bursts, each Platform with a phase of its own"
    )

    @property
    def ring(self) -> tuple[str, ...]:
        """The Controllers that its Platforms turn to, one after another, and then anew."""
        return (self.controller, *self.failover)

    def subscriber_count(self, topic: str) -> int:
        """Platforms of it that subscribe to the Topic."""
        wishes = (each for each in self.subscribes if each.topic == topic)
        return next((each.platforms_of(self.count) for each in wishes), 0)
