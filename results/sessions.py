"""Sessions of a run in figures: who was online, how logins went, how long until all were back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from results import histogram, timeline
from results.documents import SessionFigures
from results.records import Header
from results.run import Run
from results.statistics import FloatArray, Sample

WHOLE = 0.99  # share of its Platforms with which a population counts as whole again


def session_figures(header: Header, edges_s: FloatArray) -> list[SessionFigures]:
    """Figures of each population that lost sessions.

    Parameters
    ----------
    header : Header
        The run's.
    edges_s : ndarray
        Ends of the run's intervals. [s]
    """
    found = header.measurement.get("logins", {})
    return [_figures(name, entry, edges_s) for name, entry in found.items()]


def whole_again(units: Sequence[tuple[Run, int]], since_s: float) -> Sample:
    """When the last population is whole again, from an instant on: by run and replication. [s]

    Parameters
    ----------
    units : sequence of (Run, int)
        Replications of runs in which sessions were lost.
    since_s : float
        The instant from which it is counted. [s]
    """
    parts, resolution_s = [], 0.0
    for run, replication in units:
        edges_s = timeline.timeline(run).end_s
        resolution_s = max(resolution_s, float(np.diff(edges_s).max(initial=0.0)))
        latest_s = 0.0
        for entry in run.header.measurement.get("logins", {}).values():
            share = np.asarray(entry["online"][replication]) / entry["platforms"]
            if not share.any():
                continue  # never were there, and guess passwords
            back_s = _whole_again_s(share, edges_s)
            latest_s = max(latest_s, np.inf if back_s is None else back_s - since_s)
        parts.append(latest_s)
    values = np.array(parts)
    return Sample(float(values.mean()), values, 0.0, resolution=resolution_s)


def online_share(entry: dict[str, Any]) -> FloatArray:
    """Share of a population that is online at the end of each interval, mean over replications."""
    return np.asarray(np.mean(entry["online"], axis=0) / entry["platforms"])


def _figures(name: str, entry: dict[str, Any], edges_s: FloatArray) -> SessionFigures:
    latency = entry["login_latency"]
    counts = histogram.dense(np.array(latency["bins"], np.int32), np.array(latency["counts"]))
    share = online_share(entry)
    logins = entry["logins"]
    return {
        "population": name,
        "platforms": entry["platforms"],
        "attempts": entry["attempts"],
        "logins": logins,
        "given_up": entry["given_up"],
        "refused": entry["refused"],
        "away": entry["away"],
        "attempts_per_login": entry["attempts"] / logins if logins else None,
        "login_p50_s": _quantile(counts, 0.5),
        "login_p99_s": _quantile(counts, 0.99),
        "online_share_min": float(share.min()),
        "whole_again_s": _whole_again_s(share, edges_s),
    }


def _quantile(counts: histogram.Counts, q: float) -> float | None:
    return float(histogram.quantile(counts, q)) if counts.sum() else None


def _whole_again_s(share: FloatArray, edges_s: FloatArray) -> float | None:
    """End of the first interval from which on the population stays whole; none if it never is."""
    broken = np.flatnonzero(share < WHOLE)
    if len(broken) == 0:
        return 0.0
    last = int(broken[-1])
    return float(edges_s[last + 1]) if last + 1 < len(share) else None
