"""How many sessions one generator process holds on one core, and what they cost it.

Groups of `FAN_OUT` subscribers with a Topic each, so that a wanted number of deliveries per second
comes from a publication rate that a real server can fan out. Without deliveries, each gets but one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import TypedDict

from loadtest import deployment, engine, nullgrid, promises
from loadtest.engine import Settings
from loadtest.promises import Promise, promise

if TYPE_CHECKING:
    from results import Run
    from topologies.schema import Topology

FAN_OUT = 200
LOGINS_PER_S = 120.0
RSS_BYTES = 2.0**30  # of the process that holds the sessions
PROFILES = {"null": "prosody-0.12", "prosody": "prosody-0.12", "ejabberd": "ejabberd-23"}


class Holding(TypedDict):
    """Sessions that one process held, what it received, and what that cost it."""

    server: str
    sessions: int
    duration_s: float
    deliveries_per_s: float
    expected: int
    delivered: int
    balanced: bool
    valid: bool
    reasons: list[str]
    rss_bytes: int
    cpu_us: float | None
    latency_p50_s: float | None
    latency_p99_s: float | None
    limited_seconds: int
    claims: dict[str, Promise]


def topology(sessions: int, deliveries_per_s: float, duration_s: float, profile: str) -> Topology:
    """Groups of subscribers, a Topic and a publisher for each, and the rates they need."""
    import topologies

    groups = max(1, round(sessions / FAN_OUT))
    sizes = [sessions // groups + (k < sessions % groups) for k in range(groups)]
    lines = [
        "schema: 1",
        "name: holding",
        "controllers:",
        f"  - {{name: alpha, domain: grid.test, profile: {profile}}}",
        "brokers: [{name: broker, controller: alpha}]",
        "topics:",
        *(
            f"  - {{name: topic-{k}, broker: broker, payload: {{size: 700 B}}}}"
            for k in range(groups)
        ),
        "platforms:",
        f"  - {{name: sensor, count: {min(groups, 50)}, controller: alpha, "
        f"publishes: [{', '.join(f'topic-{k}' for k in range(groups))}]}}",
        *(
            f"  - {{name: group{k}, count: {size}, controller: alpha, subscribes: [topic-{k}]}}"
            for k, size in enumerate(sizes)
        ),
        "workload:",
        f"  duration: {duration_s:g} s",
        "  arrivals:",
        *(
            f"    - {{topic: topic-{k}, by: sensor, "
            f"{_arrivals(deliveries_per_s / sessions, duration_s, (k + 0.5) / groups)}}}"
            for k in range(groups)
        ),
    ]
    return topologies.parse("\n".join(lines), "holding")


def _arrivals(rate_per_s: float, duration_s: float, place: float) -> str:
    """The arrivals of a group; of one that idles a single publication, one group after another.

    That one shows that all its sessions are still there.
    """
    if rate_per_s * duration_s >= 1.0:
        return f"process: poisson, rate: {rate_per_s:.6g}/s"
    start_s = place * duration_s
    return f"process: deterministic, rate: {1.0 / duration_s:.6g}/s, start: {start_s:.6g} s"


def hold(
    server: Literal["null", "prosody", "ejabberd"],
    sessions: int,
    deliveries_per_s: float,
    duration_s: float,
    progress: Callable[[float, str], None],
) -> tuple[Holding, Run]:
    """Hold sessions on a fresh grid of their own; what it took, and the run's record."""
    described = topology(sessions, deliveries_per_s, duration_s, PROFILES[server])
    cores = tuple(sorted(os.sched_getaffinity(0)))

    def tell(news: Mapping[str, Any]) -> None:
        online = news["online"] / max(1, news["sessions"])
        played = min(1.0, news["elapsed_s"] / news["duration_s"])
        progress(0.3 * online + 0.7 * played, f"{news['online']} online, {news['state']}")

    place = (
        nullgrid.ephemeral(described, cores=cores[:1])
        if server == "null"
        else deployment.ephemeral(described, cores=cores[:1])
    )
    settings = Settings(logins_per_s=LOGINS_PER_S, cores=cores[-1:])
    with place as grid:
        run = engine.play(described, grid, progress=tell, settings=settings, door="gridlab bench")
    return _document(server, sessions, deliveries_per_s, run), run


def _document(server: str, sessions: int, asked_per_s: float, run: Run) -> Holding:
    header = run.header
    generator, ledger = (header.measurement[name] for name in ("generator", "ledger"))
    p50, p99 = (run.latency.quantile(share)["value"] for share in (0.5, 0.99))
    return Holding(
        server=server,
        sessions=sessions,
        duration_s=header.duration_s,
        deliveries_per_s=header.counts.delivered / header.duration_s,
        expected=header.counts.expected,
        delivered=header.counts.delivered,
        balanced=ledger["balanced"],
        valid=header.verdict.valid,
        reasons=list(header.verdict.reasons),
        rss_bytes=generator["peak_rss_bytes"][0],
        cpu_us=generator["cpu_per_delivery_s"] and generator["cpu_per_delivery_s"] * 1e6,
        latency_p50_s=p50,
        latency_p99_s=p99,
        limited_seconds=len(generator["limited_seconds"]),
        claims=_claims(asked_per_s, run),
    )


def _claims(asked_per_s: float, run: Run) -> dict[str, Promise]:
    """What is promised: all that was asked for, in so much memory.

    A plan's publications are Poisson, so that it may have three standard errors less than asked.
    """
    header, counts = run.header, run.header.counts
    generator = header.measurement["generator"]
    shares = [counts.delivered / counts.expected] if counts.expected else []
    memory_bytes = float(generator["peak_rss_bytes"][0])
    found = {
        "delivered": promise("share of the copies delivered", "at least", 1.0, shares),
        "lost": promise("sessions lost", "at most", 0.0, [float(len(generator["lost_sessions"]))]),
        "memory": promise("memory of the process in bytes", "at most", RSS_BYTES, [memory_bytes]),
    }
    if asked_per_s:
        least_per_s = asked_per_s * (1.0 - 3.0 / math.sqrt(max(counts.publications, 1)))
        rate_per_s = counts.delivered / header.duration_s
        found["rate"] = promise("deliveries per second", "at least", least_per_s, [rate_per_s])
    return found


def render(document: Holding) -> str:
    """The document for people."""
    lines = [
        f"{document['sessions']:,} sessions on {document['server']} in one process: "
        f"{document['rss_bytes'] / 2**20:,.0f} MiB at most",
        f"{document['delivered']:,} of {document['expected']:,} copies in "
        f"{document['duration_s']:g} s, {document['deliveries_per_s']:,.0f}/s; the ledger "
        f"{'balances' if document['balanced'] else 'does not balance'}",
        f"{document['limited_seconds']} seconds limited by the generator; "
        + ("valid" if document["valid"] else "invalid: " + "; ".join(document["reasons"])),
    ]
    if document["latency_p99_s"] is not None and document["latency_p50_s"] is not None:
        lines.append(
            f"latency p50 {document['latency_p50_s'] * 1e3:.1f} ms, "
            f"p99 {document['latency_p99_s'] * 1e3:.1f} ms"
        )
    lines += promises.lines(document["claims"])
    return "\n".join(lines)
