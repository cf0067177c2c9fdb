"""From what a run left to a run record: account, verdict, figures, header."""

from __future__ import annotations

import math
import resource
import secrets
import ssl
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from loadtest import verdict
from loadtest.columns import Floats, Histograms, Tables
from loadtest.ledger import NEVER, Ledger, Sent, account
from loadtest.payload import MINIMUM_BYTES
from results import environment, histogram
from results.records import (
    ControllerRecord,
    Counts,
    Draft,
    Header,
    Identity,
    Phase,
    TopologyText,
    Verdict,
)
from topologies import identity

if TYPE_CHECKING:
    from loadtest.engine import Played
    from results import Run
    from topologies.schema import Topology

WARM_UP_S = 3.0
WARM_UP_SHARE = 0.1
CLOCK = {
    "name": "CLOCK_MONOTONIC, one for all processes of the machine",
    "received": "by the kernel (SO_TIMESTAMPNS): now, less what it took until it was read",
    "offset_s_max": "0",
}


def record(played: Played, door: str) -> Run:
    """The record of a run that was played on a real grid."""
    from results import Run

    harvest = played.harvest
    sent = Sent(
        played.rows.publisher,
        played.rows.topic,
        harvest.sent_ns,
        harvest.answered_ns,
        harvest.refused,
    )
    ledger = account(sent, harvest.received, played.cast.subscribers)
    tables = Tables(played, ledger, phases(played), played.plan.replication)
    latency = tables.latency()
    header = _header(played, ledger, tables, latency, door)
    return Run(Draft(header, tables.intervals(), latency, tables.publications()))


def phases(played: Played) -> tuple[Phase, ...]:
    """Warm-up and steady part, or a campaign's parts, as far as they were played; the drain."""
    workload, end_s = played.topology.workload, played.played_s
    if workload.study == "steady":
        warm_up_s = played.settings.warm_up_s
        if warm_up_s is None:
            warm_up_s = min(WARM_UP_S, WARM_UP_SHARE * workload.duration)
        parts = [("warm-up", 0.0, warm_up_s), ("steady", warm_up_s, end_s)]
    else:
        parts = _campaign(played.topology, end_s)
    passed = [
        Phase(name=name, start_s=start_s, end_s=min(stop_s, end_s), measured=name != "warm-up")
        for name, start_s, stop_s in parts
        if start_s < min(stop_s, end_s)
    ]
    harvest = played.harvest
    last_ns = max(
        int(harvest.received.received_ns.max(initial=0)), int(harvest.answered_ns.max(initial=0))
    )
    drained_s = (last_ns - played.start_ns) / 1e9
    if drained_s > end_s:
        passed.append(Phase(name="drain", start_s=end_s, end_s=drained_s, measured=False))
    return tuple(passed)


def _campaign(topology: Topology, end_s: float) -> list[tuple[str, float, float]]:
    """Before, during and after the attacks, taken together."""
    if not topology.attacks:
        return [("whole", 0.0, end_s)]
    start_s = min(attack.start for attack in topology.attacks)
    stop_s = max(attack.start + attack.duration for attack in topology.attacks)
    return [("before", 0.0, start_s), ("during", start_s, stop_s), ("after", stop_s, math.inf)]


def _header(
    played: Played,
    ledger: Ledger,
    tables: Tables,
    latency: Histograms,
    door: str,
) -> Header:
    plan, topology = played.plan, played.topology
    generator, server = _generator(played, tables), _server(played, ledger)
    judgement = _verdict(played, ledger, latency, generator, server)
    laws = _identities(played, ledger)
    return Header(
        run_id=_run_id(played),
        origin="measured",
        door=door,
        created=played.created.isoformat(timespec="milliseconds"),
        topology=TopologyText(
            name=topology.name, text=identity.text(topology), sha256=identity.sha256(topology)
        ),
        plan_sha256=(plan.sha256,),
        seed=plan.seed,
        study=topology.workload.study,
        duration_s=played.played_s,
        replications=1,
        phases=tuple(tables.phases),
        deadline_s=topology.slo.deadline,
        controllers={each.name: _controller(played, each.name) for each in topology.controllers},
        counts=_counts(played, ledger),
        identities=laws,
        verdict=Verdict(
            valid=not judgement.reasons and all(law.holds for law in laws),
            reasons=tuple(judgement.reasons),
            warnings=tuple(judgement.warnings),
        ),
        wall_s=played.wall_s,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        + sum(facts["peak_rss_bytes"] for facts in played.harvest.facts),
        software=environment.software("numpy", "slixmpp", "locust")
        | {"openssl": ssl.OPENSSL_VERSION},
        environment=environment.machine(),
        clock=CLOCK,
        measurement={
            "load": plan.load,
            "stopped": played.stopped,
            "ledger": _ledger(played, ledger),
            "generator": generator,
            "server": server,
        },
    )


def _run_id(played: Played) -> str:
    """Readable, sortable by time, and different for each run."""
    token = f"{played.created:%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}"
    return f"{played.topology.name}-measured-{token}"


def _counts(played: Played, ledger: Ledger) -> Counts:
    return Counts(
        publications=len(played.rows),
        expected=ledger.expected,
        delivered=ledger.delivered,
        rejected=ledger.rejected,
        lost=ledger.lost + ledger.in_flight + ledger.dropped,
        duplicated=ledger.duplicated,
        reordered=ledger.reordered,
        replayed=ledger.replayed,
        dropped=int(np.count_nonzero(played.harvest.sent_ns == NEVER)),
    )


def _identities(played: Played, ledger: Ledger) -> tuple[Identity, ...]:
    harvest = played.harvest
    unsent = harvest.sent_ns == NEVER
    unanswered = ~unsent & (harvest.answered_ns == NEVER)
    fates = [harvest.refused, unsent, unanswered, ~harvest.refused & ~unsent & ~unanswered]
    published = (len(played.rows), sum(int(np.count_nonzero(fate)) for fate in fates))
    sides = {
        "copies expected = delivered + rejected + dropped + in flight + lost": (
            ledger.copies_balance
        ),
        "copies received = delivered + duplicated + replayed + unexpected": ledger.receipts_balance,
        "publications = accepted + refused + unanswered + unsent": published,
    }
    return tuple(
        Identity(name=name, left=left, right=right, tolerance=0.0, holds=left == right)
        for name, (left, right) in sides.items()
    )


def _ledger(played: Played, ledger: Ledger) -> dict[str, Any]:
    names = (
        *("expected", "delivered", "rejected", "dropped", "in_flight", "lost"),
        *("received", "duplicated", "replayed", "reordered", "unexpected"),
    )
    minimum = np.array([MINIMUM_BYTES[topic.payload.kind] for topic in played.topology.topics])
    raised = played.rows.payload_bytes < minimum[played.rows.topic]
    facts = played.harvest.facts
    return {
        **{name: getattr(ledger, name) for name in names},
        "balanced": ledger.balanced,
        "foreign": sum(each["foreign"] for each in facts),
        "checked": sum(each["checked"] for each in facts),
        "mismatches": sum(each["mismatches"] for each in facts),
        "refused_because": played.harvest.conditions,
        "payloads_raised": int(np.count_nonzero(raised)),
    }


def _generator(played: Played, tables: Tables) -> dict[str, Any]:
    harvest = played.harvest
    receiving = [w for w in harvest.windows if w["role"] == "receive"]
    deliveries = sum(window["deliveries"] for window in receiving)
    own_s = sum(window["cpu_s"] for window in receiving)
    delay_s = harvest.delay_ns[tables.ledger.first] / 1e9
    logins_s = np.diff(harvest.logins_ns, axis=1) / 1e9
    steps = ("connect", "secure", "authenticate", "bind")
    return {
        "processes": len(harvest.facts),
        "sessions": sum(facts["sessions"] for facts in harvest.facts),
        "lateness_s": _spread(tables.lateness_s),
        "transit_s": _spread(tables.transit_s),
        "reading_s": _spread(delay_s),
        "login_s": _spread(logins_s.sum(axis=1))
        | {name: float(np.median(logins_s[:, k])) for k, name in enumerate(steps)},
        "cpu_per_delivery_s": own_s / deliveries if deliveries else None,
        "loop_lag_s_max": max((window["lag_s"] for window in harvest.windows), default=0.0),
        "peak_rss_bytes": [facts["peak_rss_bytes"] for facts in harvest.facts],
        "lost_sessions": [lost for facts in harvest.facts for lost in facts["lost_sessions"]],
        "scheduling": harvest.scheduling,
        "settings": asdict(played.settings),
    }


def _spread(seconds: Floats) -> dict[str, float | None]:
    """Median, p99 and maximum, None without data. [s]"""
    if not len(seconds):
        return {"p50": None, "p99": None, "max": None}
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    return {"p50": float(p50), "p99": float(p99), "max": float(seconds.max())}


def _server(played: Played, ledger: Ledger) -> dict[str, Any]:
    """CPU time of each server from the start until everything was delivered."""
    seen_of = played.observations

    def since_start(name: str, column: str) -> float:
        seen, series = seen_of[name], getattr(seen_of[name], column)
        return float(series[-1] - np.interp(played.start_ns / 1e9, seen.time_s, series))

    used = {name: since_start(name, "cpu_s") for name in seen_of}
    total_s = sum(used.values())
    return {
        "cpu_s": used,
        "waited_s": {name: since_start(name, "waited_s") for name in seen_of},
        "cpu_per_publication_s": total_s / len(played.rows) if len(played.rows) else None,
        "cpu_per_delivery_s": total_s / ledger.delivered if ledger.delivered else None,
        "rss_bytes_max": {name: int(seen.rss_bytes.max()) for name, seen in seen_of.items()},
    }


def _verdict(
    played: Played,
    ledger: Ledger,
    latency: Histograms,
    generator: dict[str, Any],
    server: dict[str, Any],
) -> verdict.Judgement:
    total = sum((counts for key, counts in latency.items() if key[5] == "total"), histogram.empty())
    p99_s = histogram.quantile(total, 0.99)
    windows = [w for w in played.harvest.windows if w["second"] < math.ceil(played.played_s)]
    judged = verdict.seconds(windows, verdict.limits(p99_s if math.isfinite(p99_s) else 1.0))
    costs = [each["cpu_per_delivery_s"] or math.nan for each in (generator, server)]
    judgement = verdict.judge(judged, costs[0], costs[1])
    judgement.reasons += verdict.starved(server["cpu_s"], server["waited_s"])
    generator["limited_seconds"] = [
        {"second": each.second, "exceeded": list(each.exceeded)} for each in judged if each.exceeded
    ]
    judgement.reasons += _broken(played, ledger)
    judgement.warnings += _remarkable(played, ledger)
    return judgement


def _broken(played: Played, ledger: Ledger) -> list[str]:
    """What makes the account itself doubtful."""
    facts = played.harvest.facts
    mismatches = sum(each["mismatches"] for each in facts)
    lost = [session for each in facts for session in each["lost_sessions"]]
    reasons = []
    if not ledger.balanced:
        reasons.append("the ledger does not balance")
    if mismatches:
        reasons.append(f"{mismatches} notifications read differently by a full parse")
    if ledger.dropped:
        reasons.append(f"{ledger.dropped} copies were never sent: the generator was too slow")
    if any(seen.ended for seen in played.observations.values()):
        reasons.append("a server ended during the run; look at its log")
    if lost:
        reasons.append(f"{len(lost)} sessions were lost, the first because: {lost[0][1]}")
    return reasons


def _remarkable(played: Played, ledger: Ledger) -> list[str]:
    warnings = []
    if played.stopped:
        warnings.append(
            f"{played.stopped}: {played.played_s:.1f} s of "
            f"{played.topology.workload.duration:g} s were played"
        )
    for count, what in (
        (ledger.lost, "copies were lost by the server"),
        (ledger.in_flight, "copies were in flight when waiting for them was given up"),
        (ledger.unexpected, "copies came that nobody expected"),
    ):
        if count:
            warnings.append(f"{count} {what}")
    raised = _ledger(played, ledger)["payloads_raised"]
    if raised:
        warnings.append(f"{raised} payloads are larger than planned: their kind has a least size")
    return warnings


def _controller(played: Played, name: str) -> ControllerRecord:
    import topologies

    described = next(each for each in played.topology.controllers if each.name == name)
    profile = topologies.profile(played.topology, name)
    served = played.grid["controllers"][name]
    return ControllerRecord(
        cores=described.cores,
        memory_bytes=described.memory,
        nic_bytes_per_s=described.nic,
        profile=described.profile,
        discipline=profile.costs.discipline,
        speed=1.0,
        server=" ".join(str(served[key]) for key in ("server", "version") if key in served),
    )
