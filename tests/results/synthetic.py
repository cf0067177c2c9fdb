"""Drafts of runs from a queue that fits on a page: one server, copies written one after another.

A publication takes the server for a set-up and its copies; copy j leaves after j + 1 copies. It is
M/G/1 by construction, so figures can be checked against closed forms, and it needs no simulator.
"""

from __future__ import annotations

import numpy as np

from results.histogram import count
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

SUBSCRIBERS = 40
COPY_S, SETUP_S = 0.6e-3, 1e-3
TOPICS = ("sessions", "alerts")
TEXT = """\
schema: 1
name: synthetic
controllers:
  - name: nac
    domain: nac.example
    profile: fifo
    provenance: {kind: assumed, source: a single server that writes copies in turn}
workload:
  duration: 2 min
  provenance: {kind: published, source: Deering and others 2019}
"""
CAMPAIGN = (Phase(name="before", start_s=0.0, end_s=40.0),
            Phase(name="flood", start_s=40.0, end_s=60.0),
            Phase(name="after", start_s=60.0, end_s=120.0))  # fmt: skip
STEADY = (Phase(name="warm-up", start_s=0.0, end_s=10.0, measured=False),
          Phase(name="steady", start_s=10.0, end_s=120.0))  # fmt: skip


def campaign(**changes: object) -> Draft:
    """Three phases, a flood of 40/s in the middle one: utilisation 0.5, 1.5, then 1 and 0.5."""
    return draft(CAMPAIGN, 40.0, "campaign", **changes)


def steady(**changes: object) -> Draft:
    """A warm-up and a steady phase at utilisation 0.5."""
    return draft(STEADY, 0.0, "steady", **changes)


def draft(
    phases: tuple[Phase, ...],
    flood_per_s: float,
    study: str,
    *,
    seed: int = 1,
    replications: int = 8,
    rate_per_s: float = 20.0,
    speed: float = 1.0,
    lost_share: float = 0.0,
    **header: object,
) -> Draft:
    """A finished run; `speed` scales service times, `lost_share` of the copies never arrive."""
    tables: dict[str, list[dict[str, np.ndarray]]] = {"intervals": [], "publications": []}
    histograms: dict[tuple[int, str, str, str, str, str], np.ndarray] = {}
    for replication in range(replications):
        draws = np.random.default_rng([seed, replication])
        plan = _plan(draws, phases, rate_per_s, flood_per_s)
        tables["publications"].append(_serve(draws, plan, replication, speed, lost_share))
        histograms |= _histograms(plan, tables["publications"][-1], phases, replication)
        tables["intervals"].append(_intervals(plan, phases, replication))
    merged = {
        name: {column: np.concatenate([t[column] for t in pieces]) for column in pieces[0]}
        for name, pieces in tables.items()
    }
    return Draft(
        _header(phases, study, seed, replications, merged["publications"], header),
        merged["intervals"],
        histograms,
        merged["publications"],
    )


def _plan(draws, phases, rate_per_s, flood_per_s):
    end_s = phases[-1].end_s
    legitimate = np.sort(draws.uniform(0.0, end_s, draws.poisson(rate_per_s * end_s)))
    flood = np.empty(0)
    if flood_per_s:
        start_s, stop_s = phases[1].start_s, phases[1].end_s
        flood = draws.uniform(start_s, stop_s, draws.poisson(flood_per_s * (stop_s - start_s)))
    intended_s = np.concatenate([legitimate, flood])
    order = np.argsort(intended_s)
    honest = (np.arange(len(order)) < len(legitimate))[order]
    topic = (draws.random(len(order)) < 0.1).astype(int)
    return {"intended_s": intended_s[order], "honest": honest, "topic": topic}


def _serve(draws, plan, replication, speed, lost_share):
    arrival = plan["intended_s"]
    copy_s = speed * COPY_S * draws.gamma(25.0, 1 / 25.0, len(arrival))
    service = speed * SETUP_S + SUBSCRIBERS * copy_s
    work = np.cumsum(service)
    departure = work + np.maximum.accumulate(arrival - (work - service))
    begun = departure - SUBSCRIBERS * copy_s
    plan["departure_s"], plan["service_s"] = departure, service
    plan["latency_s"] = begun[:, None] + copy_s[:, None] * np.arange(1, SUBSCRIBERS + 1)
    plan["latency_s"] -= arrival[:, None]
    plan["latency_s"][draws.random(plan["latency_s"].shape) < lost_share] = np.inf
    arrived = np.isfinite(plan["latency_s"])
    last = np.max(plan["latency_s"], axis=1, where=arrived, initial=-np.inf)
    first = np.min(plan["latency_s"], axis=1, where=arrived, initial=np.inf)
    rows = len(arrival)
    return {
        "replication": np.full(rows, replication),
        "publication": np.arange(rows),
        "publisher": np.where(plan["honest"], 0, 1),
        "topic": plan["topic"],
        "payload_bytes": np.full(rows, 547),
        "intended_s": arrival,
        "sent_s": arrival,
        "accepted_s": np.full(rows, np.nan),
        "first_s": arrival + first,
        "last_s": arrival + last,
        "expected": np.full(rows, SUBSCRIBERS),
        "delivered": arrived.sum(axis=1),
    }


def _histograms(plan, publications, phases, replication):
    found = {}
    for phase in phases:
        inside = (plan["intended_s"] >= phase.start_s) & (plan["intended_s"] < phase.end_s)
        for index, topic in enumerate(TOPICS):
            for role, honest in (("legitimate", True), ("adversary", False)):
                chosen = inside & (plan["topic"] == index) & (plan["honest"] == honest)
                if chosen.any():
                    key = (replication, phase.name, topic, "tools", role, "total")
                    found[key] = count(plan["latency_s"][chosen])
    return found


def _intervals(plan, phases, replication):
    edges = np.linspace(0.0, phases[-1].end_s, 61)
    place = np.digitize(plan["intended_s"], edges) - 1
    arrived = plan["intended_s"][:, None] + plan["latency_s"]
    finite = np.isfinite(plan["latency_s"])
    honest = plan["honest"]
    times = np.stack([plan["departure_s"] - plan["service_s"], plan["departure_s"]], 1).ravel()
    worked = np.repeat(np.cumsum(plan["service_s"]), 2)
    worked[::2] -= plan["service_s"]
    busy = np.diff(np.interp(edges, times, worked))
    waiting = [
        ((plan["intended_s"] < edge) & (plan["departure_s"] > edge)).sum() for edge in edges[1:]
    ]
    delivered = np.histogram(arrived[finite], edges)[0]
    sums = np.where(finite, plan["latency_s"], 0.0).sum(axis=1) * honest
    middle = 0.5 * (edges[1:] + edges[:-1])
    names = np.array([next(p.name for p in phases if p.start_s <= m < p.end_s) for m in middle])

    def total(weights):
        return np.bincount(place, weights=weights, minlength=60)

    return {
        "replication": np.full(60, replication),
        "interval": np.arange(60),
        "phase": names,
        "controller": np.full(60, "nac"),
        "start_s": edges[:-1],
        "end_s": edges[1:],
        "offered": np.bincount(place, minlength=60),
        "offered_legitimate": total(honest),
        "accepted": np.bincount(place, minlength=60),
        "rejected": np.zeros(60),
        "delivered": delivered,
        "timely": total((plan["latency_s"] <= 1.0).sum(axis=1) * honest),
        "busy_s": busy,
        "backlog_copies_max": np.array(waiting) * SUBSCRIBERS,
        "memory_bytes_max": 60e6 + np.array(waiting) * SUBSCRIBERS * 1200.0,
        "egress_bytes": delivered * 950.0,
        "latency_sum_s": total(sums),
        "latency_count": total(finite.sum(axis=1) * honest),
    }


def _header(phases, study, seed, replications, publications, changes):
    expected, delivered = (int(publications[name].sum()) for name in ("expected", "delivered"))
    fields = {
        "run_id": f"synthetic-{study}-{seed}",
        "origin": "simulated",
        "door": "gridlab simulate",
        "created": "2026-11-23T00:00:00Z",
        "topology": TopologyText(name="synthetic", text=TEXT, sha256="0" * 64),
        "plan_sha256": tuple(f"{seed:032x}{r:032x}" for r in range(replications)),
        "seed": seed,
        "study": study,
        "duration_s": phases[-1].end_s,
        "replications": replications,
        "phases": phases,
        "deadline_s": 1.0,
        "controllers": {
            "nac": ControllerRecord(
                cores=1,
                memory_bytes=4e9,
                nic_bytes_per_s=125e6,
                profile="fifo",
                discipline="fifo",
                speed=1.0,
                server="none",
            )
        },
        "stations": {"nac": "batched"},
        "counts": Counts(
            publications=len(publications["publication"]),
            expected=expected,
            delivered=delivered,
            rejected=0,
            lost=expected - delivered,
        ),
        "identities": (
            Identity(
                name="flow conservation", left=expected, right=expected, tolerance=0.0, holds=True
            ),
        ),
        "verdict": Verdict(valid=True),
        "wall_s": 1.5,
        "peak_rss_bytes": 200_000_000,
        "software": {"xmpp-grid-lab": "0.1.0"},
        "environment": {"machine": "two cores"},
    }
    return Header(**(fields | changes))
