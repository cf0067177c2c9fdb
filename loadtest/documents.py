"""Documents of `gridlab grid counters`, `revoke` and `log`: their keys, for `gridlab schema`."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from results.statistics import Estimate


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


class ConfiguredLimit(TypedDict):
    """What the topology asks for. [B/s], [B]"""

    rate_bytes_per_s: float
    burst_bytes: float


class NeighbourFigures(TypedDict):
    """How long a ping of another session takes, before and while the limit is tried. [s]"""

    calm_p50: float | None
    meanwhile_p50: float | None
    meanwhile_p99: float | None


class PredictedLimit(TypedDict):
    """What the model makes of it, told the server's CPU time for each stanza of the trains. [s]"""

    rate_bytes_per_s: float
    burst_bytes: float
    ping_s: float


class LimitFigures(TypedDict):
    """The document of `gridlab limits --json`: an inbound byte limit as it is and as it should."""

    server: str
    configured: ConfiguredLimit
    predicted: PredictedLimit
    rate_bytes_per_s: Estimate
    burst_bytes: Estimate
    rate_error: float | None
    burst_error_bytes: float | None
    shape: str
    answered: int
    sent: int
    neighbour_s: NeighbourFigures
    findings: list[str]


class CalibrationCheck(TypedDict):
    """A CPU time that was measured [s], and how far off the model now is; both relative errors."""

    measured_s: float
    error: float
    p50_error: NotRequired[float]


class CalibratedServer(TypedDict):
    """A server's profile: what was measured of it, and what could not be pinned down."""

    controller: str
    profile: str
    server: str
    version: str
    path: str | None
    figures: dict[str, Estimate]
    not_pinned_down: dict[str, str]
    paces_per_s: NotRequired[dict[str, float | None]]  # of its core, in each experiment [1/s]
    checks: dict[str, CalibrationCheck]
    runs: list[str]
    took_s: float
    valid: bool
    reasons: list[str]


class Calibration(TypedDict):
    """The document of `gridlab calibrate --json`."""

    servers: list[CalibratedServer]
