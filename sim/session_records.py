"""What happened to sessions, and for want of them, in all replications, as a record keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from results import histogram
from sim.session_books import SessionTally
from sim.study import Tally
from topologies.schema import Topology


def session_record(
    topology: Topology, tallies: Sequence[Sequence[SessionTally]]
) -> dict[str, dict[str, Any]]:
    """Counts by population that lost sessions, summed over replications.

    Parameters
    ----------
    topology : Topology
        How many Platforms there are.
    tallies : sequence of sequence of SessionTally
        Those of each replication.

    Returns
    -------
    dict
        For each population: `platforms`, totals `attempts`, `logins`, `given_up`, `refused`,
        `away`; `online`, one list of counts at the ends of the run's intervals for each
        replication; `login_latency`, bins of `results.histogram` with their counts.
    """
    counts = {each.name: each.count for each in topology.platforms}
    found: dict[str, dict[str, Any]] = {}
    for replication in tallies:
        for tally in replication:
            for place, name in enumerate(tally.populations):
                _add(found, name, counts[name], tally, place)
    return {
        name: {**entry, "login_latency": _sparse(entry["login_latency"])}
        for name, entry in found.items()
        if entry["attempts"] or any(min(each) < entry["platforms"] for each in entry["online"])
    }


def _add(
    found: dict[str, dict[str, Any]], name: str, platforms: int, tally: SessionTally, place: int
) -> None:
    entry = found.setdefault(
        name,
        {
            "platforms": platforms, "attempts": 0, "logins": 0, "given_up": 0, "refused": 0,
            "away": 0, "online": [], "login_latency": histogram.empty(),
        },
    )  # fmt: skip
    for column in ("attempts", "logins", "given_up", "refused"):
        entry[column] += int(getattr(tally, column)[:, place].sum())
    entry["away"] += int(tally.away[place])
    entry["online"].append(tally.online[:-1, place].tolist())
    entry["login_latency"] = entry["login_latency"] + tally.latency[place]


def _sparse(counts: histogram.Counts) -> dict[str, list[int]]:
    bins = np.flatnonzero(counts)
    return {"bins": bins.tolist(), "counts": counts[bins].tolist()}


def offline_record(tallies: Iterable[Tally]) -> dict[str, dict[str, float]]:
    """What Controllers stored for Platforms that were offline, over all replications.

    Parameters
    ----------
    tallies : iterable of Tally
        Those of all replications.

    Returns
    -------
    dict
        By Controller that stores: copies `stored`, `bounced`, delivered late (`delayed`) and still
        `waiting` at the end, summed, and the bytes of payload stored at most at once (`bytes_max`).
    """
    found: dict[str, dict[str, float]] = {}
    for tally in tallies:
        for name, figure in tally.offline.items():
            own = found.setdefault(tally.controller, {})
            known = own.get(name, 0)
            own[name] = max(known, figure) if name == "bytes_max" else known + figure
    return found
