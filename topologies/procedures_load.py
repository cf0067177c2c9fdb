"""Procedures about work: what is asked of a server, an approver or a line, and how it waits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from topologies.draws import generator
from topologies.logins import Login
from topologies.model import Whole
from topologies.procedures_trust import Procedure
from topologies.quantities import (
    Bytes,
    BytesPerSecond,
    Fraction,
    PositiveBytes,
    PositivePerSecond,
    PositiveSeconds,
    Seconds,
)


@dataclass(frozen=True)
class Request:
    """A subscription that is asked for.

    Attributes
    ----------
    at_s : float
        When. [s]
    account, topic : int
        By whom, among the honest or the spammers, and for which.
    honest, prepared, lured : bool
        Whether for a good reason, on a whitelist already, or of a Topic that is somebody else's.
    work_s, delay_s : float
        Of who answers it; until a wrong name is set right, 0 for the right one. [s]
    alike : bool
        Whether its wrong name is one that somebody else wants to make a Topic of.
    """

    at_s: float
    account: int
    topic: int
    honest: bool
    prepared: bool
    lured: bool
    work_s: float
    delay_s: float
    alike: bool


class Approvals(Procedure):
    """New Platforms ask for subscriptions that somebody must approve (RFC 8600 section 8.3.3)."""

    model: Literal["approvals"]
    platforms: Whole = Field(ge=1, le=100_000, description="new Platforms")
    topics: Whole = Field(2, ge=1, le=1000, description="subscriptions that each asks for")
    spread: PositiveSeconds = Field(3600.0, description="they come within this [s]")
    approvers: Whole | None = Field(
        None, ge=1, le=10_000, description="people who approve; absent: a program"
    )
    approval: PositiveSeconds = Field(60.0, description="mean time of one, exponential [s]")
    spammers: Whole = Field(0, ge=0, le=100_000, description="accounts that ask for no good reason")
    spam: Whole = Field(50, ge=1, le=100_000, description="requests of each of these")
    pending: Whole | None = Field(
        None, ge=1, le=100_000, description="requests of one account that wait; absent: no limit"
    )
    prepared: Fraction = Field(0.0, description="share that is on a whitelist already [1]")
    misnamed: Fraction = Field(0.0, description="share of requests for a Topic of a wrong name [1]")
    correction: PositiveSeconds = Field(1800.0, description="and until it is set right, mean [s]")
    answer: Seconds = Field(0.05, description="a program's time for one [s]")
    squatted: Fraction = Field(
        0.0, description="share of wrong names that somebody else makes a Topic of, if he may [1]"
    )
    creators: Literal["owner", "anyone"] = Field("owner", description="who may make Topics")

    @model_validator(mode="after")
    def _instants(self) -> Self:
        self._before_the_end("spread")
        return self

    def requests(self, seed: int, morning: int) -> list[Request]:
        """All that is asked for: alike where it is predicted and played; honest ones first."""
        found = []
        for honest, accounts, each in (
            (True, self.platforms, self.topics),
            (False, self.spammers, self.spam),
        ):
            draw = generator(seed, "requests" if honest else "spam", morning)
            instants_s = np.sort(draw.random(accounts) * self.spread)
            for account, at_s in enumerate(instants_s.tolist()):
                chances = draw.random((each, 3)).tolist()
                works_s = draw.exponential(self.approval, each).tolist()
                delays_s = draw.exponential(self.correction, each).tolist()
                for topic, (ready, name, squat) in enumerate(chances):
                    prepared = honest and ready < self.prepared
                    wrong = honest and not prepared and name < self.misnamed
                    lured = wrong and self.creators == "anyone" and squat < self.squatted
                    work_s = self.answer if self.approvers is None else works_s[topic]
                    delay_s = delays_s[topic] if wrong else 0.0
                    found.append(
                        Request(at_s, account, topic, honest, prepared, lured, work_s, delay_s,
                                wrong and squat < self.squatted)
                    )  # fmt: skip
        return found


class PolicyGrowth(Procedure):
    """Each publication looks through what is kept about rights (RFC 8600 section 8.3.2)."""

    model: Literal["policy-growth"]
    rate: PositivePerSecond = Field(description="publications per second [1/s]")
    platforms: Whole = Field(ge=1, le=5_000_000, description="Platforms that have rights")
    topics: Whole = Field(ge=1, le=1_000_000, description="Topics that they have rights on")
    rights: Whole = Field(10, ge=1, le=1000, description="Topics that each may use")
    templates: Whole | None = Field(
        None, ge=1, le=100_000, description="sets of rights that they share; absent: own lists"
    )
    base: PositiveSeconds = Field(0.001, description="work of a publication apart from that [s]")
    row: Seconds = Field(description="work for each row that is looked at [s]")


class LargeAnswers(Procedure):
    """Platforms ask for all items of a Topic at once (RFC 8600 section 8.2.2)."""

    model: Literal["large-answers"]
    rate: PositivePerSecond = Field(description="publications per second meanwhile [1/s]")
    receivers: Whole = Field(ge=1, le=1_000_000, description="copies of each")
    askers: Whole = Field(ge=0, le=10_000, description="Platforms that ask")
    think: PositiveSeconds = Field(5.0, description="each again so long after its last answer [s]")
    items: Whole = Field(ge=1, le=1_000_000, description="items of the Topic")
    size: PositiveBytes = Field(description="of one [B]")
    page: Whole | None = Field(
        None, ge=1, le=1_000_000, description="items in one answer (XEP-0059); absent: all"
    )
    kept: Whole | None = Field(
        None, ge=1, le=1_000_000, description="items that the Topic keeps at most; absent: all"
    )
    item: PositiveSeconds = Field(30e-6, description="work of one item in an answer [s]")
    answer: Seconds = Field(0.0, description="and of an answer apart from its items [s]")
    publication: PositiveSeconds | None = Field(
        None, description="work of a publication with its copies; absent: as the profile says [s]"
    )
    downlink: BytesPerSecond = Field(1e6, description="rate at which an asker takes it in [B/s]")
    round_trip: PositiveSeconds = Field(0.02, description="between an answer and a request [s]")
    per_minute: Whole | None = Field(
        None, ge=1, le=100_000, description="requests of one account; absent: no limit [1/min]"
    )


class OneToOne(Procedure):
    """Encrypted for each receiver instead of published (RFC 8600 section 8.3.7)."""

    model: Literal["one-to-one"]
    rate: PositivePerSecond = Field(description="items per second of the publisher [1/s]")
    evenly: bool = Field(False, description="whether items are evenly spaced, not at random")
    receivers: Whole = Field(ge=1, le=1_000_000, description="who shall have each")
    size: PositiveBytes = Field(description="of an item [B]")
    manner: Literal["publish", "messages", "relay", "addressed", "sealed"] = Field(
        "messages", description="published; a message for each from the publisher, or from a relay "
        "without limit beside the server; one message with a list of receivers; published under a "
        "key that the receivers share"
    )  # fmt: skip
    key_items: Whole | None = Field(
        None, ge=1, le=1_000_000, description="sealed: each receiver is sent a new key before so "
        "many items; absent: they have it"
    )  # fmt: skip
    envelope: PositiveBytes = Field(250.0, description="around an item in a message [B]")
    expansion: Fraction = Field(0.35, description="of an item by encryption and base64 [1]")
    limit: BytesPerSecond | None = Field(
        None, description="what the server reads of one connection; absent: no limit [B/s]"
    )
    burst: Bytes = Field(0.0, description="what it reads at once after a pause [B]")
    encrypt: Seconds = Field(0.0002, description="publisher's work for one receiver [s]")
    encrypt_alone: Seconds | None = Field(
        None, description="the same where nothing was encrypted just before; absent: as any [s]"
    )
    cipher: Seconds = Field(20e-6, description="and for one item under a shared key [s]")
    relayed: PositiveSeconds | None = Field(
        None, description="server's work for one message; absent: as the profile says [s]"
    )
    publication: PositiveSeconds | None = Field(
        None, description="and for one item with its copies; absent: as the profile says [s]"
    )

    @property
    def even_s(self) -> list[float]:
        """When items are sent that are evenly spaced. [s]"""
        count = math.ceil(self.duration * self.rate - 1e-9)
        return [number / self.rate for number in range(count)]


class NotifyThenPull(Procedure):
    """One item makes each subscriber fetch something (RFC 8600 section 8.2.3)."""

    model: Literal["notify-then-pull"]
    rate: PositivePerSecond = Field(description="such items [1/s]")
    receivers: Whole = Field(ge=1, le=1_000_000, description="who receive it")
    fetches: Whole = Field(1, ge=0, le=1000, description="requests of each")
    spread: PositiveSeconds = Field(0.1, description="within this [s]")
    size: PositiveBytes = Field(description="of what is fetched [B]")
    fetch: PositiveSeconds = Field(0.0005, description="server's work for a request [s]")
    fetch_byte: Seconds = Field(2e-9, description="and for each byte [s]")
    pushed: bool = Field(False, description="whether it is in the item itself")
    beside: bool = Field(False, description="whether another server answers (direct flow)")
    uplink: BytesPerSecond | None = Field(
        None, description="of that server, shared evenly by all fetches; absent: work as here [B/s]"
    )
    cached: Fraction = Field(0.0, description="share that has it already [1]")


class SharedAddresses(Procedure):
    """Limits on source addresses, and many Platforms behind one (RFC 8600 section 8.3.1)."""

    model: Literal["shared-addresses"]
    offices: Whole = Field(ge=1, le=1000, description="addresses that Platforms share")
    behind: Whole = Field(ge=1, le=100_000, description="Platforms behind each")
    rate: PositivePerSecond = Field(description="items per second for each Platform [1/s]")
    first: PositiveSeconds = Field(60.0, description="all log in again within this [s]")
    cap: PositiveSeconds = Field(60.0, description="full jitter up to this after a refusal [s]")
    attackers: Whole = Field(0, ge=0, le=100_000, description="addresses of the adversary")
    attempts: PositivePerSecond = Field(5.0, description="connections of each of these [1/s]")
    accounts: Whole = Field(
        10, ge=1, le=100_000, description="accounts that it tries, nobody's own"
    )
    key: Literal["none", "address", "account", "server"] = Field(
        "none", description="what a limit goes by; `account` after the password is checked"
    )
    connections: Whole = Field(3, ge=1, le=1_000_000, description="so many are let through")
    per: PositiveSeconds = Field(
        60.0, description="in any stretch of this length; Prosody counts addresses by windows [s]"
    )
    allow_listed: bool = Field(False, description="whether known offices are not limited")
    login: Login = Field(Login.model_validate({}), description="how Platforms log in")

    @model_validator(mode="after")
    def _instants(self) -> Self:
        self._before_the_end("first")
        return self


class PasswordWork(Procedure):
    """Login attempts with wrong passwords, each of which makes work (RFC 8600 section 8.3.1)."""

    model: Literal["password-work"]
    rate: PositivePerSecond = Field(description="publications per second [1/s]")
    receivers: Whole = Field(ge=1, le=1_000_000, description="copies of each")
    attempts: PositivePerSecond = Field(description="attempts per second [1/s]")
    addresses: Whole = Field(10, ge=1, le=1_000_000, description="that they come from")
    logins: PositivePerSecond = Field(1.0, description="of honest Platforms meanwhile [1/s]")
    login: Login = Field(Login.model_validate({}), description="mechanism and storage")
    ban_after: Whole | None = Field(
        None, ge=1, le=1_000_000, description="failures that shut an address out; absent: none"
    )
    ban: PositiveSeconds = Field(3600.0, description="for this long [s]")
    start: Seconds = Field(60.0, description="when they begin [s]")
    attack: PositiveSeconds = Field(120.0, description="how long they last [s]")
    deadline: PositiveSeconds = Field(1.0, description="of a delivery that counts [s]")

    @model_validator(mode="after")
    def _instants(self) -> Self:
        self._before_the_end("start")
        if self.start + self.attack > self.duration:
            raise ValueError(
                f"attack ({self.attack:g} s from {self.start:g} s on) must be over before the end "
                f"({self.duration:g} s): make duration longer or attack shorter"
            )
        return self


class SilentController(Procedure):
    """A Controller passes nothing any more, and Platforms go to another (RFC 8600, 8.2.3)."""

    model: Literal["silent-controller"]
    platforms: Whole = Field(ge=1, le=1_000_000, description="of this Controller")
    rate: PositivePerSecond = Field(description="items per second for each [1/s]")
    start: Seconds = Field(120.0, description="when it falls silent [s]")
    silence: PositiveSeconds = Field(600.0, description="for how long [s]")
    closes: bool = Field(False, description="whether connections are reset, so that all notice")
    idle: PositiveSeconds = Field(
        840.0, description="a connection without any traffic is given up after this [s]"
    )
    heartbeat: PositiveSeconds | None = Field(
        None, description="how often each Platform asks whether it is there; absent: never [s]"
    )
    answer_within: PositiveSeconds = Field(5.0, description="or else it counts as missed [s]")
    misses: Whole = Field(1, ge=1, le=100, description="missed in a row before it is given up")
    loss: Fraction = Field(0.001, description="chance that an answer is lost for no reason [1]")
    second: bool = Field(True, description="whether there is another Controller to go to")
    jitter: Seconds = Field(0.0, description="Platforms go there within this [s]")
    cores: Whole = Field(1, ge=1, le=256, description="of that other Controller")
    login_work: PositiveSeconds | None = Field(
        None, description="that Controller's work for a login; absent: as its profile has it [s]"
    )
    alerts: bool = Field(False, description="whether each Platform tells when it gives one up")
    administrators: Whole = Field(5, ge=1, le=10_000, description="who receive such alerts")
    merged: bool = Field(False, description="whether like alerts are merged within a minute")

    @model_validator(mode="after")
    def _instants(self) -> Self:
        self._before_the_end("start")
        return self
