"""Waiting lines of the procedures: first come, first served, and weighted histograms of it."""

from __future__ import annotations

import heapq

import numpy as np

from results import histogram
from results.histogram import Counts
from sim.procedures.outcome import Floats


def departures_s(arrival_s: Floats, service_s: Floats, servers: int = 1) -> Floats:
    """When each of the jobs, in order of arrival, is done.

    One server: D[n] = max(A[n], D[n-1]) + S[n] (Lindley 1952), written as a running maximum. More:
    each job to the first that is free.
    """
    if servers == 1:
        worked_s = np.cumsum(service_s)
        return np.asarray(worked_s + np.maximum.accumulate(arrival_s - worked_s + service_s))
    free_s = [-np.inf] * servers
    done_s = np.empty_like(arrival_s)
    for number, (arrives_s, work_s) in enumerate(zip(arrival_s, service_s, strict=True)):
        done_s[number] = max(arrives_s, heapq.heappop(free_s)) + work_s
        heapq.heappush(free_s, done_s[number])
    return done_s


def poisson_s(draw: np.random.Generator, rate_per_s: float, start_s: float, end_s: float) -> Floats:
    """Instants of a Poisson process between two instants, in order. [s]"""
    count = draw.poisson(rate_per_s * max(end_s - start_s, 0.0))
    return np.sort(start_s + (end_s - start_s) * draw.random(count))


def weighted(latency_s: Floats, copies: int = 1) -> Counts:
    """Histogram of latencies that each count for so many copies."""
    return histogram.count(latency_s) * copies


def merged(*streams: tuple[Floats, Floats]) -> tuple[Floats, Floats, Floats]:
    """Streams of (arrivals, services) as one in order of arrival, and the stream of each job."""
    arrival_s = np.concatenate([each[0] for each in streams])
    service_s = np.concatenate([each[1] for each in streams])
    number = np.concatenate([np.full(len(each[0]), k) for k, each in enumerate(streams)])
    order = np.argsort(arrival_s, kind="stable")
    return arrival_s[order], service_s[order], number[order]
