"""`gridlab verify` in short: every case holds, and a row that should fail does."""

import dataclasses
import heapq

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import stats

from sim import verification
from sim.verification_cases import CASES, Effort, Figure, slope_ratio, waiting_times

QUICK = Effort(12, 0.2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_is_known_lies_in_a_narrow_interval(case):
    rows = [verification.checked(figure) for figure in case(QUICK)]
    assert rows
    assert [row for row in rows if not row["holds"]] == []
    assert all(row["half_width_max"] < 0.7 for row in rows)


VALUES = np.array([0.98, 1.02, 1.0, 0.99, 1.01, 1.0])
RIGHT = Figure("a mean", 1.0, VALUES, 0.06)


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"theory": 1.1}, False),  # outside of the interval
        ({"narrow": 0.01}, False),  # the interval is wide
        ({"theory": 1.02, "at_most": True}, True),  # a bound that is met
        ({"theory": 1.01, "at_most": True}, False),  # a bound that is broken
        ({"theory": 1.2, "at_most": True}, False),  # a bound that is never come near to
        ({"theory": 1.03, "other": (VALUES + 0.03, "another"), "narrow": 0.2}, True),
        ({"theory": 1.3, "other": (VALUES + 0.3, "another"), "narrow": 0.2}, False),
    ],
)
def test_a_row_holds_if_it_is_right_and_narrow(change, holds):
    assert verification.checked(dataclasses.replace(RIGHT, **change))["holds"] is holds


def test_the_document_is_what_its_schema_says_and_has_a_table():
    figures = [RIGHT, dataclasses.replace(RIGHT, published=(1.0, "a paper"), utilisation=0.7)]
    rows = [verification.checked(figure) for figure in figures]
    document = {"level": 0.999, "seed": 1, "checks": rows, "holds": True}
    TypeAdapter(verification.Verification).validate_python(document, strict=True)
    assert verification.render(document).row_count == 2


def test_waits_are_those_of_lindley():
    arrival_s, service_s = np.array([0.0, 1.0, 2.0, 9.0, 9.5]), np.array([3.0, 1.0, 1.0, 2.0, 1.0])
    expected_s = [0.0, 2.0, 2.0, 0.0, 1.5]
    assert waiting_times(arrival_s, service_s).tolist() == expected_s


@pytest.mark.parametrize("rho", [0.3, 0.7, 0.95])
def test_a_control_is_taken_as_often_as_waits_grow_with_load(rho):
    def waits(load):
        in_order = load / (1.0 - load)
        return np.array([in_order, in_order / (1.0 - 0.5 * load)])

    all_jobs, bulk = waits(rho + 1e-6) - waits(rho - 1e-6)
    assert slope_ratio(rho, 0.5 * rho) == pytest.approx(bulk / all_jobs, rel=1e-6)


def test_what_is_left_of_bulk_is_hardly_skew():
    """M/D/1 at 0.95 in 400 runs that are too short: of the plain means, and with the control."""
    rho, runs, jobs = 0.95, 400, 10_000
    dice, plain, left = np.random.default_rng(1), [], []
    for _ in range(runs):
        arrival_s = np.cumsum(dice.exponential(1.0 / rho, jobs))
        place = np.searchsorted([0.2, 0.5], dice.random(jobs))
        wait_s = served_by_rank(arrival_s, place)
        in_order_s = waiting_times(arrival_s, np.ones(jobs)).mean()
        plain.append(wait_s[place == 2].mean())
        left.append(plain[-1] - slope_ratio(rho, 0.5 * rho) * in_order_s)
    assert stats.skew(plain) > 1.0
    assert abs(stats.skew(left)) < 0.5
    assert np.std(left) < 0.1 * np.std(plain)


def served_by_rank(arrival_s, place):
    """Waits of jobs that take 1 s each, of which those of a lower place go first."""
    waiting, free_s, wait_s, number = [], 0.0, np.empty(len(arrival_s)), 0
    for _ in arrival_s:
        if not waiting:
            free_s = max(free_s, arrival_s[number])
        while number < len(arrival_s) and arrival_s[number] <= free_s:
            heapq.heappush(waiting, (place[number], number))
            number += 1
        _, job = heapq.heappop(waiting)
        wait_s[job] = free_s - arrival_s[job]
        free_s += 1.0
    return wait_s
