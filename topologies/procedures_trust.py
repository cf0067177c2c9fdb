"""Procedures about whom to believe: stolen rights, split views, false alarms, old data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topologies.model import Sourced, Whole
from topologies.quantities import Fraction, PositivePerSecond, PositiveSeconds, Seconds

Step = Literal["affiliation", "subscription", "session", "password"]


class Procedure(Sourced):
    """What all procedures have."""

    duration: PositiveSeconds = Field(3600.0, description="how long is looked at [s]")


class Equivocation(Procedure):
    """A Controller shows some Platforms other items than others (RFC 8600 section 8.2.3)."""

    model: Literal["equivocation"]
    platforms: Whole = Field(ge=2, le=1_000_000, description="who receive the Topic")
    rate: PositivePerSecond = Field(description="items on it per second [1/s]")
    manner: Literal["alter", "omit", "omit-for-all"] = Field(
        "alter", description="what it does: other items, or none, for a group or for all"
    )
    group: Fraction = Field(0.3, description="share of the Platforms that are deceived [1]")
    chance: Fraction = Field(0.1, description="share of the items that it does so with [1]")
    start: Seconds = Field(60.0, description="when it begins [s]")
    gossip: PositiveSeconds | None = Field(
        None, description="each Platform tells others what it has seen so often; absent: never [s]"
    )
    fan_out: Whole = Field(1, ge=1, le=100, description="whom it tells each time, at random")
    sequence_numbers: bool = Field(False, description="whether items are numbered by publishers")
    signatures: bool = Field(False, description="whether publishers sign items and all check")


class Harvest(Procedure):
    """A stolen account reads what it may until it is noticed and its rights are taken back."""

    model: Literal["harvest"]
    items: Whole = Field(ge=1, le=1_000_000, description="items kept on the Topics it may read")
    breadth: Fraction = Field(1.0, description="share of these that its template lets it read [1]")
    honeytokens: Whole = Field(
        0, ge=0, le=100_000, description="items that nobody has cause to read"
    )
    reads: PositivePerSecond = Field(description="items that it reads per second [1/s]")
    live: PositivePerSecond = Field(description="new items on all these Topics per second [1/s]")
    platforms: Whole = Field(ge=1, le=5_000_000, description="legitimate Platforms")
    audit: PositiveSeconds = Field(
        description="mean time until somebody who reads the logs sees it, exponential [s]"
    )
    decide: Seconds = Field(300.0, description="mean time to decide, exponential [s]")
    step: Seconds = Field(10.0, description="each step of taking rights back takes this [s]")
    steps: tuple[Step, ...] = Field(
        ("affiliation",), description="what is done: affiliation to outcast, subscription ended, "
        "session ended, password changed"
    )  # fmt: skip
    lifetime: PositiveSeconds | None = Field(
        None, description="credentials end by themselves within this; absent: never [s]"
    )
    whole_template: bool = Field(
        False, description="whether all Platforms of its template lose their rights with it"
    )
    template_share: Fraction = Field(0.1, description="share of the Platforms that have it [1]")
