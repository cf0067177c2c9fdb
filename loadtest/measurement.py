"""What a measured run says beside its tables: ledger, generator, server, and whether it counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from loadtest import capabilities, verdict
from loadtest.columns import Tables
from loadtest.figures import figures
from loadtest.harvest import Ended
from loadtest.histograms import Floats
from loadtest.ledger import Ledger
from loadtest.payload import MINIMUM_BYTES
from results import histogram

if TYPE_CHECKING:
    from loadtest.engine import Played, Settings


def facts(played: Played, ledger: Ledger, tables: Tables) -> dict[str, Any]:
    """The `measurement` of a record's header."""
    return {
        "load": played.plan.load,
        "stopped": played.stopped,
        "ledger": _ledger(played, ledger),
        "generator": _generator(played, tables),
        "server": _server(played, ledger),
    } | _scenario(played, ledger, tables)


def _ledger(played: Played, ledger: Ledger) -> dict[str, Any]:
    names = (
        *("expected", "delivered", "rejected", "dropped", "in_flight", "lost", "unobserved"),
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
        "receive_path": _path("receive_path", harvest.facts),
        "publish_path": _path("publish_path", harvest.facts),
        "loop_lag_s_max": max((window["lag_s"] for window in harvest.windows), default=0.0),
        "peak_rss_bytes": [facts["peak_rss_bytes"] for facts in harvest.facts],
        "lost_sessions": [lost for facts in harvest.facts for lost in facts["lost_sessions"]],
        "scheduling": harvest.scheduling,
        "workers": list(played.workers),
        "ended": [_ended(each) for each in harvest.ended],
        "settings": asdict(played.settings),
    }


def _path(name: str, facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What compiled code read or sent, and what the interpreter did, with the reasons."""
    paths = [each[name] for each in facts if name in each]
    because = sorted({path["because"] for path in paths if path["because"]})
    return {
        "compiled": sum(path["compiled"] for path in paths),
        "interpreted": sum(path["interpreted"] for path in paths),
        "because": because,
    }


def _scenario(played: Played, ledger: Ledger, tables: Tables) -> dict[str, Any]:
    """What was done beside the plan; nothing where there was no scenario."""
    script = played.script
    if script is None:
        return {}
    facts = played.harvest.facts
    unsupported = {what: why for each in facts for what, why in each.get("unsupported", {}).items()}
    return {
        "scenario": {
            "name": script.scenario,
            "workload": "closed" if script.closed else "open",
            "parameters": script.parameters,
            "start_s": script.start_s,
            "end_s": script.end_s,
            "unsupported": unsupported,
            "actions": played.harvest.actions.summary(),
            **figures(played, ledger, tables),
        }
    }


def _ended(ended: Ended) -> dict[str, Any]:
    """A process that ended too early, and how many sessions with it."""
    return {
        **{name: getattr(ended, name) for name in ("role", "worker", "after_s", "why")},
        "sessions": len(ended.platforms),
    }


def _spread(seconds: Floats) -> dict[str, float | None]:
    """Median, p99 and maximum of what is known, None without data. [s]"""
    seconds = seconds[~np.isnan(seconds)]
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
    total_s, start_s = sum(used.values()), played.start_ns / 1e9
    courses = {name: seen.course(start_s) for name, seen in seen_of.items()}
    return {
        "cpu_s": used,
        "waited_s": {name: since_start(name, "waited_s") for name in seen_of},
        "pace_per_s": {name: each and each.mean_per_s for name, each in courses.items()},
        "paces": {name: each.rows(start_s) if each else [] for name, each in courses.items()},
        "spells": {name: seen.spells(start_s) for name, seen in seen_of.items()},
        "cpu_per_publication_s": total_s / len(played.rows) if total_s else None,
        "cpu_per_delivery_s": total_s / ledger.delivered if total_s and ledger.delivered else None,
        "rss_bytes_max": {name: int(seen.rss_bytes.max()) for name, seen in seen_of.items()},
        "counters": dict(played.counters),
    }


def stamped(settings: Settings) -> bool:
    """Whether deliveries are timed by the kernel's receipt, before they wait for the generator."""
    return settings.receivers != "stock"


def seconds(played: Played, latency: histogram.Counts) -> tuple[list[verdict.Second], float]:
    """The run's seconds, judged; and the p99 of its latency that they were judged by [s].

    Parameters
    ----------
    played : Played
        The run.
    latency : Counts
        Histogram of all its deliveries.
    """
    p99_s = histogram.quantile(latency, 0.99)
    p99_s = p99_s if math.isfinite(p99_s) else 1.0
    windows = [w for w in played.harvest.windows if w["second"] < math.ceil(played.played_s)]
    bounds = verdict.limits(p99_s, stamped(played.settings))
    return verdict.seconds(windows, bounds), p99_s


def judge(
    played: Played, ledger: Ledger, judged: Sequence[verdict.Second], facts: dict[str, Any]
) -> verdict.Judgement:
    """Whether the run may be used; notes the limited seconds among the generator's facts.

    Parameters
    ----------
    played, ledger
        The run and its account.
    judged : sequence of Second
        Its seconds.
    facts : dict
        What `facts` says of it.
    """
    generator, server = facts["generator"], facts["server"]
    costs = [each["cpu_per_delivery_s"] or math.nan for each in (generator, server)]
    judgement = verdict.judge(judged, costs[0], costs[1], stamped(played.settings))
    judgement.reasons += verdict.starved(
        server["cpu_s"], server["waited_s"], played.settings.beside + played.settings.sharing
    )
    generator["limited_seconds"] = [
        {"second": each.second, "exceeded": list(each.exceeded)} for each in judged if each.exceeded
    ]
    judgement.reasons += _broken(played, ledger)
    judgement.warnings += _remarkable(played, ledger, facts["ledger"]["payloads_raised"])
    return judgement


def _broken(played: Played, ledger: Ledger) -> list[str]:
    """What makes the account itself doubtful."""
    facts = played.harvest.facts
    mismatches = sum(each["mismatches"] for each in facts)
    lost = [session for each in facts for session in each["lost_sessions"]]
    reasons = []
    if not ledger.balanced:
        reasons.append("the ledger does not balance")
    for ended in played.harvest.ended:
        reasons.append(
            f"{ended.why.splitlines()[0].rstrip(':')} after {ended.after_s:.1f} s, and "
            f"{len(ended.platforms)} sessions with it"
        )
    for each in facts:
        reasons += [f"the scenario could not be played: {why}" for why in each.get("problems", ())]
    if ledger.unobserved:
        reasons.append(f"{ledger.unobserved} copies went unobserved with them")
    if mismatches:
        reasons.append(f"{mismatches} notifications read differently by a full parse")
    if ledger.dropped:
        reasons.append(f"{ledger.dropped} copies were never sent: the generator was too slow")
    if any(seen.ended for seen in played.observations.values()):
        reasons.append("a server ended during the run; look at its log")
    if lost:
        reasons.append(f"{len(lost)} sessions were lost, the first because: {lost[0][1]}")
    return reasons


def _remarkable(played: Played, ledger: Ledger, raised: int) -> list[str]:
    warnings = []
    if played.stopped:
        warnings.append(
            f"{played.stopped}: {played.played_s:.1f} s of "
            f"{played.topology.workload.duration:g} s were played"
        )
    if absent := capabilities.not_emulated(played.topology):
        warnings.append(
            f"described, but no part of a grid on loopback: {', '.join(absent)}; "
            "latencies do not have it in them"
        )
    for each in played.harvest.facts:
        for what, why in each.get("unsupported", {}).items():
            warnings.append(f"the server does not support {what}: {why}")
    for count, what in (
        (ledger.lost, "copies were lost by the server"),
        (ledger.in_flight, "copies were in flight when waiting for them was given up"),
        (ledger.unexpected, "copies came that nobody expected"),
    ):
        if count:
            warnings.append(f"{count} {what}")
    if raised:
        warnings.append(f"{raised} payloads are larger than planned: their kind has a least size")
    return warnings
