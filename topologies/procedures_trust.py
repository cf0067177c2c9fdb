"""Procedures about whom to believe: stolen rights, split views, false alarms, old data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from topologies.draws import generator
from topologies.model import Sourced, Whole
from topologies.quantities import Fraction, PositivePerSecond, PositiveSeconds, Seconds

Step = Literal["affiliation", "subscription", "session", "password"]


class Procedure(Sourced):
    """What all procedures have."""

    duration: PositiveSeconds = Field(3600.0, description="how long is looked at [s]")

    def _before_the_end(self, *names: str) -> None:
        """Refuse instants that are not within what is looked at.

        Raises
        ------
        ValueError
            One of these is not before `duration`.
        """
        for name in names:
            instant_s = getattr(self, name)
            if instant_s is not None and instant_s >= self.duration:
                raise ValueError(
                    f"{name} ({instant_s:g} s) must be before the end ({self.duration:g} s): "
                    f"make duration longer or {name} less"
                )


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

    @model_validator(mode="after")
    def _instants(self) -> Self:
        self._before_the_end("start")
        return self


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

    @property
    def readable(self) -> int:
        """How many items its template lets it read."""
        return max(1, round(self.breadth * self.items))

    def honey_reads(self, seed: int, theft: int) -> frozenset[int]:
        """Which reads of a theft, from 0, are of honey: alike where it is predicted and played."""
        honey = min(round(self.breadth * self.honeytokens), self.readable)
        draws = generator(seed, "theft", theft)
        return frozenset(draws.permutation(self.readable)[:honey].tolist())


class Duel(Procedure):
    """Owner and thief of one account log in over each other (RFC 8600 section 8.2.2)."""

    model: Literal["duel"]
    rate: PositivePerSecond = Field(description="items per second for the account [1/s]")
    retry: PositiveSeconds = Field(5.0, description="who was thrown out is back after this [s]")
    arrival: Seconds = Field(60.0, description="when the thief first logs in [s]")
    resource: Literal["same", "own"] = Field(
        "same",
        description="whether the thief's session has the owner's resource, or one of its own",
    )
    conflict: Literal["end-old", "refuse-new"] = Field(
        "end-old", description="which of two sessions of one resource lives"
    )
    lock_after: Whole | None = Field(
        None, ge=1, le=1_000_000, description="so many conflicts lock the account; absent: never"
    )
    window: PositiveSeconds = Field(600.0, description="conflicts within this count together [s]")
    unlock: PositiveSeconds = Field(
        900.0, description="owner has new credentials after this, mean, exponential [s]"
    )
    external: bool = Field(False, description="whether a password alone does not let anybody in")
    stolen_session_id: bool = Field(
        False, description="whether the thief has an account of its own and the session's id only"
    )
    bound_session_id: bool = Field(
        True, description="whether an id resumes a session for the account it belongs to alone"
    )
    id_bits: Whole = Field(128, ge=1, le=256, description="random bits of a session's id")
    guesses: PositivePerSecond | None = Field(
        None, description="ids that it tries per second; absent: none [1/s]"
    )
    rotate: PositiveSeconds | None = Field(
        None, description="the password is changed then; absent: never [s]"
    )
    survives: bool = Field(True, description="whether open sessions outlive a changed password")

    @model_validator(mode="after")
    def _instants(self) -> Self:
        self._before_the_end("arrival")
        return self


class Skew(Procedure):
    """Platforms whose clocks are wrong ignore what seems old (RFC 8600 section 8.2.2)."""

    model: Literal["skew"]
    rate: PositivePerSecond = Field(description="items per second [1/s]")
    receivers: Whole = Field(ge=1, le=1_000_000, description="Platforms that judge each item")
    offset: Seconds = Field(2.0, description="standard deviation of a clock's offset [s]")
    delay: PositiveSeconds = Field(0.2, description="mean delay of an item, log-normal [s]")
    delay_cv: Fraction = Field(1.0, description="its coefficient of variation [1]")
    window: PositiveSeconds | None = Field(
        None, description="older items are ignored; absent: none [s]"
    )
    stamp: Literal["publisher", "broker"] = Field(
        "publisher", description="whose clock an item's age is reckoned by"
    )
    broker_offset: Seconds = Field(0.01, description="standard deviation of the Broker's clock [s]")
    replays: Fraction = Field(0.05, description="share of the items that come a second time [1]")
    replay_delay: PositiveSeconds = Field(30.0, description="and how much later, mean [s]")
    known_ids: bool = Field(False, description="whether receivers remember ids of items")


class FalseAlarms(Procedure):
    """Sensors that lie, and others that act on what they say (RFC 8600 section 8.2.2)."""

    model: Literal["false-alarms"]
    sensors: Whole = Field(ge=1, le=10_000, description="who report what they see")
    liars: Whole = Field(0, ge=0, le=10_000, description="of these, how many lie")
    events: PositivePerSecond = Field(description="true events [1/s]")
    seen: Fraction = Field(0.6, description="chance that a sensor sees an event [1]")
    delay: PositiveSeconds = Field(5.0, description="mean delay of a report, exponential [s]")
    lies: PositivePerSecond = Field(description="false reports of all liars together [1/s]")
    collude: bool = Field(False, description="whether all liars tell the same lie")
    silent: bool = Field(False, description="whether liars say nothing instead of something false")
    agree: Whole = Field(
        1, ge=1, le=1000, description="sensors that must agree before anybody acts"
    )
    patience: PositiveSeconds = Field(60.0, description="within this time [s]")
    approvers: Whole | None = Field(
        None, ge=1, le=10_000, description="people who approve each action; absent: none is asked"
    )
    approval: PositiveSeconds = Field(1200.0, description="mean time of one, exponential [s]")
    judgement: Fraction = Field(0.9, description="chance that a person sees through a lie [1]")
    dismissed_after: PositiveSeconds | None = Field(
        None, description="liars lose the right to publish after this; absent: never [s]"
    )

    @model_validator(mode="after")
    def _so_many_lie(self) -> Self:
        if self.liars > self.sensors:
            raise ValueError(
                f"liars ({self.liars}) are some of the sensors ({self.sensors}): "
                "make sensors more or liars fewer"
            )
        return self


class CertificateChecks(Procedure):
    """Whether certificates are revoked is asked of a service that may be slow or down."""

    model: Literal["certificate-checks"]
    platforms: Whole = Field(ge=1, le=1_000_000, description="who log in again at the beginning")
    spread: PositiveSeconds = Field(60.0, description="their first attempts come within this [s]")
    retry: PositiveSeconds = Field(30.0, description="who is refused tries again after this [s]")
    policy: Literal[
        "none", "soft-fail", "hard-fail", "stapled", "cached", "list", "short-lived"
    ] = Field("none", description="what is done to know, and without an answer")
    answer: PositiveSeconds = Field(0.002, description="work of one answer of the service [s]")
    latency: PositiveSeconds = Field(0.02, description="way to the service and back [s]")
    timeout: PositiveSeconds = Field(5.0, description="an answer is waited for so long [s]")
    down_from: Seconds = Field(0.0, description="the service is down from then on [s]")
    down_for: Seconds = Field(0.0, description="and for this long [s]")
    kept: PositiveSeconds = Field(
        600.0, description="a cached or stapled answer, a list or a certificate holds so long [s]"
    )
    revoked_at: Seconds = Field(300.0, description="when a certificate is revoked [s]")
    told_after: Seconds = Field(0.0, description="and when the authority says so [s]")

    @model_validator(mode="after")
    def _instants(self) -> Self:
        self._before_the_end("spread", "revoked_at")
        return self
