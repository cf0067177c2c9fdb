"""A scenario's own figures: who was away, who was slow, where the knee is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from loadtest.columns import Tables
from loadtest.ledger import Ledger
from loadtest.phases import LIMITED

if TYPE_CHECKING:
    from loadtest.engine import Played

DELIVERED_SHARE = 0.99


def figures(played: Played, ledger: Ledger, tables: Tables) -> dict[str, Any]:
    """What there is to say beside the actions; empty where there is nothing."""
    script = played.script
    assert script is not None
    facts = played.harvest.facts
    away = [tuple(each) for told in facts for each in told.get("away", ())]
    slow = [number for told in facts for number in told.get("slow", ())]
    found: dict[str, Any] = {}
    if away:
        found["away"] = _away(played, away)
    if slow:
        found["slow"] = _slow(tables, np.array(slow))
    if script.act is None and script.phases and not script.receivers:
        found["knee"] = _knee(played, tables)
    elif script.phases:
        found["phases"] = _phases(tables)
    return found


def _away(played: Played, away: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    """What was published for those who were away, and what came of it in the end."""
    received = played.harvest.received
    intended_ns = played.start_ns + (played.rows.intended_s * 1e9).astype(np.int64)
    owed = came = replayed = 0
    lengths_s = []
    for number, from_ns, until_ns in away:
        topics = [
            topic for topic, who in enumerate(played.cast.subscribers) if (who == number).any()
        ]
        missed = (intended_ns >= from_ns) & (intended_ns < until_ns)
        missed &= np.isin(played.rows.topic, topics)
        mine = received.session == number
        got = np.unique(received.publication[mine])
        again = np.unique(received.publication[mine & received.replayed])
        rows = np.flatnonzero(missed)
        owed += len(rows)
        came += int(np.isin(rows, got).sum())
        replayed += int(np.isin(rows, again).sum())
        if until_ns < 1 << 61:
            lengths_s.append((until_ns - from_ns) / 1e9)
    return {
        "sessions": len(away),
        "returned": len(lengths_s),
        "away_s": _quantiles(np.array(lengths_s)),
        "owed": owed,
        "delivered": came,
        "replayed": replayed,
        "lost": owed - came,
    }


def _slow(tables: Tables, slow: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Slow readers beside the others: the delay before they read, the latency up to the kernel."""
    harvest = tables.played.harvest
    session = harvest.received.session[tables.ledger.first]
    delay_s = harvest.delay_ns[tables.ledger.first] / 1e9
    chosen = np.isin(session, slow)
    return {
        name: {
            "sessions": len(np.unique(session[mask])),
            "latency_s": _quantiles(tables.latency_s[mask]),
            "reading_s": _quantiles(delay_s[mask]),
        }
        for name, mask in (("slow", chosen), ("others", ~chosen))
    }


def _phases(tables: Tables) -> list[dict[str, Any]]:
    """Offered load, deliveries and latency of each phase, all its stretches together."""
    phase_of_delivery = tables.phase_of[tables.publication]
    rows = []
    for name in dict.fromkeys(phase.name for phase in tables.phases):
        places = [place for place, phase in enumerate(tables.phases) if phase.name == name]
        lasting_s = sum(tables.phases[at].end_s - tables.phases[at].start_s for at in places)
        offered = np.isin(tables.phase_of, places)
        mine = np.isin(phase_of_delivery, places)
        if not offered.any():
            continue
        expected = int(tables.ledger.expected_of[offered].sum())
        rows.append(
            {
                "phase": name,
                "offered_per_s": int(offered.sum()) / lasting_s,
                "delivered_share": int(mine.sum()) / expected if expected else 1.0,
                "latency_s": _quantiles(tables.latency_s[mine]),
            }
        )
    return rows


def _knee(played: Played, tables: Tables) -> dict[str, Any]:
    """Between which two loads the server ceased to follow: in time, and with nearly all copies."""
    rows = [row for row in _phases(tables) if row["phase"] != LIMITED]
    deadline_s = played.topology.slo.deadline
    follows = [
        row["delivered_share"] >= DELIVERED_SHARE
        and row["latency_s"] is not None
        and row["latency_s"]["p99"] <= deadline_s
        for row in rows
    ]
    first_bad = follows.index(False) if False in follows else len(rows)
    return {
        "deadline_s": deadline_s,
        "highest_followed": rows[first_bad - 1]["phase"] if first_bad else None,
        "lowest_not_followed": rows[first_bad]["phase"] if first_bad < len(rows) else None,
        "steps": rows,
    }


def _quantiles(seconds: npt.NDArray[np.float64]) -> dict[str, float] | None:
    if not len(seconds):
        return None
    p50, p99 = (float(each) for each in np.quantile(seconds, [0.5, 0.99]))
    return {"p50": p50, "p99": p99, "max": float(seconds.max())}
