"""The retrial queue's mean without the chance of the dice: right, narrow, with honest intervals.

An event loop that shares nothing with the engines plays the queue; `without_chance_s` reads it.
"""

import heapq

import numpy as np
import pytest
from scipy import stats

from sim.verification_retrials import ORBIT_S, Orbit, controlled_s, without_chance_s
from sim.verification_worlds import SERVICE_S

RUNS, GROUP = 320, 16


def played(queue, end_s, seed, orbit_s=ORBIT_S):
    """First attempts, instants of sessions, service times: all that a window needs. [s]"""
    dice = np.random.default_rng(seed)
    early = max(queue.at_first(dice), 1)
    arrivals_s = np.cumsum(
        dice.exponential(1 / queue.rate_per_s, int(3 * queue.rate_per_s * end_s))
    )
    arrivals_s = arrivals_s[arrivals_s < end_s]
    sigma = np.sqrt(np.log1p(queue.cv**2))
    tries = [(float(wait_s), -1.0) for wait_s in dice.exponential(orbit_s, early)]
    tries += [(float(each), float(each)) for each in arrivals_s]
    heapq.heapify(tries)
    first_s, online_s, service_s, free_s = [], [], [], 0.0
    while tries:
        now_s, began_s = heapq.heappop(tries)
        if now_s < free_s:
            heapq.heappush(tries, (now_s + float(dice.exponential(orbit_s)), began_s))
            continue
        work_s = SERVICE_S * float(np.exp(sigma * dice.standard_normal() - 0.5 * sigma**2))
        free_s = now_s + work_s
        first_s.append(began_s if began_s >= 0.0 else -np.inf)
        online_s.append(free_s)
        service_s.append(work_s)
    return np.sort(first_s), np.array(online_s), np.array(service_s)


def means_s(queue, runs, orbit_s=ORBIT_S, services=250):
    """Of each run: the mean with and without the chance of the dice. [s, s]"""
    window_s = 100 * SERVICE_S, (100 + services) * SERVICE_S
    found = []
    for seed in range(runs):
        first_s, online_s, service_s = played(queue, window_s[1], seed, orbit_s)
        inside = [
            np.clip(window_s[1] - np.maximum(each, window_s[0]), 0.0, None).sum()
            for each in (first_s, online_s)
        ]
        plain_s = (inside[0] - inside[1]) / (window_s[1] - window_s[0]) / queue.rate_per_s
        found.append((plain_s, without_chance_s(queue, window_s, first_s, online_s, service_s)))
    return np.array(found).T


@pytest.mark.parametrize(
    ("queue", "services", "factor"),
    [(Orbit(0.9, 0.0), 250, 10), (Orbit(0.95, 0.0), 250, 10), (Orbit(0.95, 1.2), 500, 4)],
    ids=str,
)
def test_what_is_left_is_right_and_narrow_and_students_interval_covers(queue, services, factor):
    plain_s, left_s = means_s(queue, RUNS, services=services)
    error_s = left_s.std(ddof=1) / np.sqrt(RUNS)
    assert abs(left_s.mean() - queue.mean_s) < 4 * error_s < 0.05 * queue.mean_s
    assert left_s.var() < plain_s.var() / factor
    if queue.cv == 0.0:  # a long service that is rare makes it skew: such runs are longer
        assert abs(stats.skew(left_s)) < 0.5
    groups = left_s.reshape(-1, GROUP)
    half_s = stats.t.ppf(0.975, GROUP - 1) * groups.std(axis=1, ddof=1) / np.sqrt(GROUP)
    covered = np.abs(groups.mean(axis=1) - queue.mean_s) < half_s
    assert covered.sum() >= 17  # of 20, 19 are expected


def test_an_orbit_that_is_a_fifth_too_long_is_found_out():
    queue = Orbit(0.95, 0.0)
    left_s = means_s(queue, 64, 1.2 * ORBIT_S)[1]
    error_s = left_s.std(ddof=1) / np.sqrt(len(left_s))
    expected_s = queue.mean_s + 0.2 * queue.rho * ORBIT_S / (1 - queue.rho)
    assert abs(left_s.mean() - expected_s) < 4 * error_s
    assert abs(left_s.mean() - queue.mean_s) > 4 * error_s


def test_the_lab_plays_that_queue():
    queue = Orbit(0.7, 0.0)
    found_s = np.array([controlled_s(queue, 300, seed) for seed in range(8)])
    error_s = found_s.std(ddof=1) / np.sqrt(len(found_s))
    assert abs(found_s.mean() - queue.mean_s) < 4 * error_s < 0.2 * queue.mean_s
