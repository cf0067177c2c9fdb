"""The document of `gridlab bench load --json`: its keys, and the JSON Schema made from them."""

from __future__ import annotations

from typing_extensions import TypedDict

from loadtest.promises import Promise


class Bout(TypedDict):
    """One contender on one server: CPU time a delivery of both, and what it is over ours.

    `cpu_us` is that of the round in the middle, `least_us` and `most_us` those of the extremes.
    """

    server: str
    sessions: int
    contender: str
    cpu_us: float
    least_us: float
    most_us: float
    rounds: int
    server_cpu_us: float
    over_ours: float | None
    busy: float
    deliveries: int
    login_cpu_ms: float | None
    session_rss_bytes: int | None


class Delivery(TypedDict):
    """CPU time of a delivery, 200 counting sessions on the null server; null: not measured."""

    cpu_us: float
    tsung_over_ours: float | None
    ours_over_c: float | None
    interpreted_over_ours: float | None
    stock_over_ours: float | None
    at: list[Bout]


class Login(TypedDict):
    """CPU time of a login through slixmpp, with a subscription and presence.

    `ours_over_c` compares with the C program, which does the same with SASL PLAIN.
    """

    cpu_ms: float | None
    mechanism: str
    ours_over_c: float | None


class Publisher(TypedDict):
    """One publisher at one pace: CPU time a publication, and what it is over ours.

    `lateness_ms` is the p99 of sent minus intended, null where nothing was intended.
    """

    pace: str
    sessions: int
    contender: str
    cpu_us: float
    least_us: float
    most_us: float
    rounds: int
    over_ours: float | None
    busy: float
    lateness_ms: float | None


class Publish(TypedDict):
    """CPU time of a publication of one session, one to a write, its answer included.

    `ours_over_c` compares with the C program at the same deadlines, which counts answers.
    """

    cpu_us: float | None
    tsung_over_ours: float | None
    ours_over_c: float | None
    at: list[Publisher]


class Session(TypedDict):
    """Memory of one more session."""

    full_rss_bytes: int | None
    counting_rss_bytes: int | None


class BenchLoad(TypedDict):
    """What the load engine costs."""

    delivery: Delivery
    login: Login
    publish: Publish
    session: Session
    missing: dict[str, str]
    claims: dict[str, Promise]
