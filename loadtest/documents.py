"""Documents of `gridlab grid counters`, `revoke` and `log`: their keys, for `gridlab schema`."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class Counters(TypedDict):
    """What each Controller's server counts of itself, by the names that it gives the figures."""

    controllers: dict[str, dict[str, float]]


class Revoked(TypedDict):
    """What was taken from an account: see `revocation.Revocation`."""

    topics: int
    subscriptions: int
    sessions_ended: bool


class Deed(TypedDict):
    """One thing that a Platform did: the instant (RFC 3339, UTC), what, who, and how it ended.

    `outcome` is `ok`, `pending`, `unanswered` or the condition of an error. `address` is there for
    logins and logouts; `broker`, `topic`, `item`, `account` and `state` (an affiliation or
    subscription) where a request names them.
    """

    at: str
    action: str
    jid: str
    outcome: str
    address: NotRequired[str]
    broker: NotRequired[str]
    topic: NotRequired[str]
    item: NotRequired[str]
    account: NotRequired[str]
    state: NotRequired[str]


class Log(TypedDict):
    """What Platforms did on a grid, the earliest first."""

    entries: list[Deed]
