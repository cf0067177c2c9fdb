"""M/M/1 in a random environment of two states against its matrix-geometric solution.

A job that has begun keeps the pace at which it began, so a phase is (what the machine is, at which
pace the job in service began): four where anybody is served, two of an empty server. With R the
least solution of A0 + R A1 + R^2 A2 = 0, probabilities of n + 1 jobs are those of n times R [1]_.

References
----------
.. [1] M. F. Neuts, "Matrix-Geometric Solutions in Stochastic Models," 1981, section 6.2.
"""

import numpy as np
import pytest
import queueing
import worlds

SERVICE_S, JOBS = 0.010, 6_000


def on_paper(rate_per_s, share, factor, mean_s):
    """Mean time in a server of exponential work of mean `SERVICE_S` [s], and how busy it is [1]."""
    calm = 1.0 / (1.0 - share + share * factor)
    rates = np.array([1.0 / (SERVICE_S * calm), 1.0 / (SERVICE_S * calm * factor)])
    turns = np.array([share / (1.0 - share) / mean_s, 1.0 / mean_s])  # into a spell, out of it
    up, down, same, empty = (np.zeros(shape) for shape in ((4, 4), (4, 4), (4, 4), (2, 2)))
    first, last = np.zeros((2, 4)), np.zeros((4, 2))
    for state in (0, 1):
        empty[state, 1 - state] = turns[state]
        empty[state, state] = -turns[state] - rate_per_s
        first[state, 2 * state + state] = rate_per_s
        for begun in (0, 1):
            phase = 2 * state + begun
            up[phase, phase] = rate_per_s
            down[phase, 2 * state + state] = last[phase, state] = rates[begun]
            same[phase, 2 * (1 - state) + begun] = turns[state]
            same[phase, phase] = -turns[state] - rate_per_s - rates[begun]
    step, r = np.linalg.inv(-same), np.zeros((4, 4))
    for _ in range(200_000):
        following = (up + r @ r @ down) @ step
        if np.abs(following - r).max() < 1e-15:
            break
        r = following
    beyond = np.linalg.inv(np.eye(4) - r)
    balance = np.block([[empty, first], [last, same + r @ down]])
    balance[:, 0] = np.concatenate([np.ones(2), beyond @ np.ones(4)])
    found = np.linalg.solve(balance.T, np.eye(6)[0])
    sojourn_s = float(found[2:] @ beyond @ beyond @ np.ones(4)) / rate_per_s  # Little's law
    return sojourn_s, 1.0 - float(found[:2].sum())


@pytest.mark.parametrize(("share", "factor"), [(0.2, 2.0), (0.5, 4.0)])
def test_the_solution_is_right_where_spells_are_very_short_or_very_long(share, factor):
    """Paces of one job after another are independent, or one M/M/1 queue is and then another."""
    calm_s = SERVICE_S / (1.0 - share + share * factor)
    both_s = np.array([calm_s, factor * calm_s])
    weights, rate_per_s = np.array([1.0 - share, share]), 0.5 / SERVICE_S
    square = 2.0 * (weights @ both_s**2)
    mixed_s = SERVICE_S + rate_per_s * square / (2.0 * (1.0 - rate_per_s * SERVICE_S))
    assert on_paper(rate_per_s, share, factor, 1e-7)[0] == pytest.approx(mixed_s, rel=1e-3)
    apart_s = weights @ (both_s / (1.0 - rate_per_s * both_s))
    assert on_paper(rate_per_s, share, factor, 1e5)[0] == pytest.approx(apart_s, rel=1e-3)
    alone_s = SERVICE_S / (1.0 - rate_per_s * SERVICE_S)
    assert on_paper(rate_per_s, share, 1.0, 0.03) == pytest.approx((alone_s, 0.5), rel=1e-9)


@pytest.mark.parametrize(
    ("rho", "share", "factor", "mean", "narrow"),
    [(0.4, 0.3, 3.0, 0.1, 0.08), (0.7, 0.3, 4.0, 0.2, 0.2), (0.6, 0.2, 3.0, 0.3, 0.2)],
)
def test_a_server_beside_neighbours_waits_as_in_a_random_environment(
    rho, share, factor, mean, narrow
):
    rate_per_s = rho / SERVICE_S
    people = [
        {"name": "pub", "count": 1, "publishes": ["t"]},
        {"name": "sub", "count": 1, "subscribes": ["t"]},
    ]
    stream = {"topic": "t", "by": "pub", "process": "poisson", "rate": f"{rate_per_s!r}/s"}
    topology = worlds.topology(
        people, [stream], study="steady", duration=f"{JOBS / rate_per_s!r} s",
        neighbours={"factor": factor, "share": share, "mean": f"{mean} s"},
    )  # fmt: skip
    profile = worlds.profile("fifo", copy="10 ms", copy_distribution="exponential")
    got = queueing.measure(topology, profile)
    expected_s, used = on_paper(rate_per_s, share, factor, mean)
    assert used < 0.98 * rho  # what comes to a long queue in a spell is done after it
    assert got.utilisation.matches(used, 0.05), f"{got.utilisation}, theory {used:.6g}"
    assert abs(expected_s * (1.0 - rho) / SERVICE_S - 1.0) > 0.05  # a mean alone would be off
    assert got.mean_s.matches(expected_s, narrow), f"{got.mean_s}, theory {expected_s:.6g}"
