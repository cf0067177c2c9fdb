"""Procedures about the wire, authorities, what spreads, and what is found in logs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topologies.model import Whole
from topologies.procedures_trust import Procedure
from topologies.quantities import (
    Bytes,
    Fraction,
    PositivePerSecond,
    PositiveSeconds,
    Ratio,
    Seconds,
)


class Wire(Procedure):
    """Somebody on the network reads, changes, repeats, adds or stops (RFC 8600 section 8.2.1)."""

    model: Literal["wire"]
    manner: Literal["read", "modify", "replay", "inject", "block", "intercept", "analyse"] = Field(
        description="what he does"
    )
    platforms: Whole = Field(ge=1, le=1_000_000, description="who receive the items")
    rate: PositivePerSecond = Field(description="items per second [1/s]")
    reach: Fraction = Field(0.2, description="share of their connections that he controls [1]")
    chance: Fraction = Field(0.05, description="share of the items that he touches there [1]")
    tls: Fraction = Field(0.0, description="share of the connections with TLS [1]")
    verify: Fraction = Field(0.0, description="share of Platforms that check certificates [1]")
    bound: bool = Field(False, description="SCRAM-PLUS: whether passwords are bound to the channel")
    numbered: bool = Field(False, description="whether items carry numbers that receivers check")
    heartbeat: PositiveSeconds | None = Field(
        None, description="an item at least so often on each Topic; absent: none [s]"
    )
    reconnect: Seconds = Field(5.0, description="a broken connection is back after this [s]")
    handshake: Seconds = Field(0.005, description="CPU time of a login on the server [s]")
    padding: Bytes = Field(0.0, description="sizes are rounded up to multiples of this [B]")


class Authorities(Procedure):
    """A certification authority lets somebody else in (RFC 8600 section 8.2.4)."""

    model: Literal["authorities"]
    platforms: Whole = Field(ge=1, le=1_000_000, description="who trust it")
    meets: PositiveSeconds = Field(
        3600.0, description="a Platform meets the false Controller after this, mean [s]"
    )
    pinned: Fraction = Field(0.0, description="share that accept one certificate alone [1]")
    watched: PositiveSeconds | None = Field(
        None, description="mean time until a log of certificates shows it; absent: never [s]"
    )
    told_after: PositiveSeconds = Field(
        864_000.0, description="the authority itself finds and tells after this, mean [s]"
    )
    unknown_to_it: bool = Field(False, description="its key was stolen: it cannot tell")
    remove: bool = Field(False, description="whether Platforms then stop trusting it altogether")
    push: PositiveSeconds = Field(
        7200.0, description="a new trust list arrives after this, mean [s]"
    )
    renewed: Fraction = Field(0.5, description="share of Controllers that have another one's [1]")
    renewal: PositiveSeconds = Field(
        14_400.0, description="the others have it after this, mean [s]"
    )
    rotation: PositiveSeconds | None = Field(
        None, description="the Controller's own certificate changes then; absent: never [s]"
    )
    consulted: PositiveSeconds = Field(
        1800.0, description="an administrator admits a new certificate after this, mean [s]"
    )


class Infection(Procedure):
    """An item that takes over who reads it (RFC 8600 section 8.2.2)."""

    model: Literal["infection"]
    platforms: Whole = Field(ge=2, le=1_000_000, description="who subscribe")
    vulnerable: Fraction = Field(0.3, description="share with the flaw [1]")
    publishers: Fraction = Field(0.1, description="share that may publish, too [1]")
    topics: Whole = Field(10, ge=1, le=10_000, description="Topics; each Platform receives one")
    pace: PositivePerSecond = Field(
        1.0 / 60.0, description="items of each that is taken over [1/s]"
    )
    validated: Fraction = Field(0.0, description="share of such items that a Broker refuses [1]")
    first_few: Fraction = Field(
        1.0, description="share of a Topic's Platforms that have an item first [1]"
    )
    held: Seconds = Field(0.0, description="and how long the others wait for it [s]")
    alarm: PositiveSeconds = Field(
        300.0, description="a Platform that is taken over is noticed after this, mean [s]"
    )
    patch: PositivePerSecond | None = Field(
        None, description="each vulnerable Platform is mended at this rate; absent: none [1/s]"
    )
    read_only: bool = Field(False, description="whether those exposed may not publish")


class Breaches(Procedure):
    """How often Platforms and Controllers are taken over, and what is lost by it."""

    model: Literal["breaches"]
    accounts: Whole = Field(ge=1, le=5_000_000, description="whose credentials a Controller sees")
    yearly: Ratio = Field(
        4.0, description="attempts a year that would succeed on stock systems [1]"
    )
    hardening: Fraction = Field(0.0, description="share of these that minimised systems stop [1]")
    screening: Fraction = Field(0.0, description="share that vetting and locks stop [1]")
    plain: Fraction = Field(1.0, description="share of logins that show the server a password [1]")
    dwell: PositiveSeconds = Field(1_814_400.0, description="mean time until it is found [s]")
    sensors: Fraction = Field(
        0.0, description="share of that time that intrusion detection saves [1]"
    )
    logins: PositivePerSecond = Field(0.1, description="logins per second meanwhile [1/s]")
    reused: Fraction = Field(
        0.5, description="chance that an administrator's credentials work again afterwards [1]"
    )
    one_time: bool = Field(False, description="whether administrators' credentials work once")
    reissued_per_hour: Ratio = Field(500.0, description="accounts that get new passwords [1/h]")


class Logs(Procedure):
    """A Controller that writes false logs, and those who compare (RFC 8600 section 8.2.3)."""

    model: Literal["logs"]
    rate: PositivePerSecond = Field(description="events per second [1/s]")
    falsified: Fraction = Field(0.001, description="share of them that it logs falsely [1]")
    rewritten: bool = Field(False, description="whether it rewrites old entries instead")
    receipts: bool = Field(False, description="whether Platforms keep their own record")
    compared: Fraction = Field(0.01, description="share of the events that are compared [1]")
    every: PositiveSeconds = Field(3600.0, description="how often [s]")
    chained: bool = Field(False, description="whether entries are chained by hashes kept elsewhere")
    entry: Bytes = Field(200.0, description="of one event in a log [B]")
    write: Seconds = Field(20e-6, description="server's work for it [s]")
