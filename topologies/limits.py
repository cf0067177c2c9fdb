"""Limits of a topology file: what a Controller takes in at most and keeps for a session."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topologies.model import Model, Sourced, Whole
from topologies.quantities import (
    Bytes,
    BytesPerSecond,
    PositiveBytes,
    PositivePerSecond,
    PositiveSeconds,
)


class ByteRate(Model):
    """An inbound rate of one connection, in bytes of decrypted XML."""

    rate: BytesPerSecond = Field(description="long-run rate [B/s]")
    burst: Bytes = Field(
        0.0, description="bytes that may come at once; without effect on Prosody [B]"
    )


class AddressLimit(Model):
    """New connections from one source address: a token bucket, or Prosody's count by windows."""

    connections: Whole = Field(ge=1, le=1_000_000, description="so many at once")
    per: PositiveSeconds = Field(description="in which so many more are allowed [s]")


class AccountLimit(Model):
    """What one account may do."""

    sessions: Whole | None = Field(
        None, ge=1, le=10_000, description="sessions at a time; a further one ends the oldest"
    )
    rate: PositivePerSecond | None = Field(
        None, description="publications per second; those beyond it are refused [1/s]"
    )
    burst: Whole = Field(1, ge=1, le=1_000_000, description="publications that may come at once")


class FailedLogins(Model):
    """Source addresses are shut out after failed logins."""

    count: Whole = Field(ge=1, le=1_000_000, description="failures in a row that lead to it")
    ban: PositiveSeconds = Field(description="how long after the last one [s]")


class Limits(Sourced):
    """What a Controller takes in at most; absent: no limit."""

    client: ByteRate | None = Field(None, description="of each client's connection")
    server: ByteRate | None = Field(None, description="of each connection from another Controller")
    shape: Literal["server", "delay", "drop"] = Field(
        "server",
        description="how client rates are kept: as the profile's server does, or by an ideal "
        "shaper or policer",
    )
    client_stanza: PositiveBytes | None = Field(
        None, description="largest stanza of a client: larger ones are refused [B]"
    )
    server_stanza: PositiveBytes | None = Field(
        None, description="largest stanza from another Controller [B]"
    )
    address: AddressLimit | None = Field(None, description="of each source address")
    account: AccountLimit = Field(AccountLimit(), description="of each account")
    failed_logins: FailedLogins | None = Field(None, description="what wrong passwords lead to")


class SessionQueue(Sourced):
    """What a server keeps for a session that does not read: its outbound queue."""

    policy: Literal["grow", "disconnect", "drop-oldest", "drop-newest", "coalesce"] = Field(
        "grow",
        description="when full: nothing is bounded, the session is cut, the oldest or the new copy "
        "is dropped; `coalesce`: a new copy replaces one of its Topic that waits",
    )
    bytes: PositiveBytes | None = Field(
        None, description="bytes that it holds at most, stanzas as they go on the wire [B]"
    )
    stanzas: Whole | None = Field(None, ge=1, le=10_000_000, description="copies that it holds")
    window: PositiveBytes = Field(
        256e3,
        description="bytes on their way or unread at the Platform before the server must keep "
        "copies: the socket buffers of both [B]",
    )
    send_timeout: PositiveSeconds | None = Field(
        None, description="a session that has taken nothing for so long is cut [s]"
    )
