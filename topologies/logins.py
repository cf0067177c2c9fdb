"""How Platforms of a topology file log in, and what they do when that fails."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from topologies.model import Model, Sourced, Whole
from topologies.quantities import PositivePerSecond, PositiveSeconds, Seconds

Mechanism = Literal["plain", "scram-sha-1", "scram-sha-256", "external"]
Storage = Literal["hashed", "plain"]
Key = Literal["rsa-2048", "ecdsa-p256"]


def _as_text(value: object) -> object:
    """Versions look like numbers to YAML."""
    return str(value) if isinstance(value, float) else value


TlsVersion = Annotated[Literal["1.2", "1.3"], BeforeValidator(_as_text)]


class Login(Sourced):
    """How a Platform becomes available: TLS, SASL, bind, subscribe, one round trip after another.

    A population without it has its sessions from the start and never loses them.
    """

    mechanism: Mechanism = Field("scram-sha-1", description="SASL mechanism")
    storage: Storage = Field("hashed", description="how the server keeps passwords")
    tls: TlsVersion = Field("1.3", description="TLS version; 1.2 takes a round trip more")
    key: Key = Field("ecdsa-p256", description="key of the server's certificate")
    password: Literal["right", "wrong"] = Field(
        "right",
        description="wrong: every attempt fails as its password is checked; such Platforms are "
        "offline from the start, an outage's end makes them begin",
    )


class Retry(Sourced):
    """When a Platform without a session tries again, and when it gives up an attempt.

    With n failures since the session was lost and top = min(cap, base * 2^n), it waits base
    (fixed), top (exponential), uniform in [0, top] (full-jitter), uniform in [top / 2, top]
    (equal-jitter), min(cap, uniform in [base, 3 * the wait before]) (decorrelated), or an
    exponential time of mean base, at most cap (memoryless).
    """

    policy: Literal[
        "fixed", "exponential", "full-jitter", "equal-jitter", "decorrelated", "memoryless"
    ] = Field("full-jitter", description="how long it waits after a failed attempt")
    base: PositiveSeconds = Field(1.0, description="shortest measure of a wait [s]")
    cap: PositiveSeconds = Field(60.0, description="no wait is longer than this [s]")
    first: Seconds = Field(
        60.0,
        description="after a loss the first attempt comes uniformly within this (RFC 6120 section "
        "3.3) [s]",
    )
    timeout: PositiveSeconds = Field(30.0, description="an attempt is given up after this [s]")
    attempts: Whole = Field(
        1_000_000, ge=1, le=1_000_000, description="attempts after a loss; then it stays away"
    )


class Resumption(Model):
    """Sessions that a broken connection does not end (XEP-0198): they can be resumed for a while.

    After it, or when more has come for it, a Platform logs in anew and what was kept is lost.
    """

    window: PositiveSeconds = Field(
        description="how long a session waits for its Platform; Prosody 600 s, ejabberd 300 s [s]"
    )
    queue: Whole = Field(
        500,
        ge=1,
        le=1_000_000,
        description="stanzas kept for it at most; Prosody 500, ejabberd 5,000",
    )


class Offline(Model):
    """What a server stores for Platforms without a session (XEP-0160), and sends as they are back.

    Only notifications of kind normal are stored (`topics[].notification`).
    """

    messages: Whole | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="stored for one Platform at most, what comes beyond is bounced; absent: as its "
        "server: 100 at ejabberd, all at others",
    )


class Admission(Model):
    """What a Controller does about too many logins: it answers some with a cheap refusal.

    A refused Platform waits and tries again as its retry policy says.
    """

    rate: PositivePerSecond | None = Field(
        None, description="attempts taken in on average; absent: all [1/s]"
    )
    burst: Whole = Field(1, ge=1, le=1_000_000, description="attempts taken in at once")
    queue_wait: Seconds | None = Field(
        None, description="refuse what has waited longer when its turn comes; absent: nothing [s]"
    )
