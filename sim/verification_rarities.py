"""Backlogs that one busy period in a million reaches: splitting beside exact figures.

With h(n) the probability to reach L jobs before none is left, as a service begins with n, and a
that of so many arrivals during it,

    h(n) = sum over k of a(k) h(n + k - 1),    h(0) = 0,  and h(m) = 1 for n + k >= L,

which is a system of L - 1 linear equations; a busy period begins with one job. For M/M/1 that is
(r - 1) / (r^L - 1) with r = 1 / rho, as gamblers are ruined; there arrivals during a service are
geometric, for M/D/1 they are Poisson.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim import splitting
from sim.verification_worlds import SERVICE_S, Effort, Figure, Floats, World
from sim.workers import cores, pool

RHO = 0.7
NARROW, TRIALS, TRIALS_QUICK = 0.10, 3_500, 400


def rare_backlogs(effort: Effort) -> Iterator[Figure]:
    """One busy period of M/M/1 and M/D/1 in a million reaches so many jobs."""
    from scipy import stats

    trials = TRIALS if effort.jobs == 1.0 else TRIALS_QUICK
    few = Effort(effort.replications, trials / TRIALS, effort.seed)
    for kind, distribution, jobs, law in (
        ("M/M/1", "exponential", 36, stats.geom(1.0 / (1.0 + RHO), loc=-1)),
        ("M/D/1", "constant", 21, stats.poisson(RHO)),
    ):
        arrivals = {"process": "poisson", "rate": f"{RHO / SERVICE_S!r}/s"}
        costs = {"copy": f"{SERVICE_S!r} s", "copy_distribution": distribution}
        world = World((arrivals,), 100.0, costs)
        profiles = {"c": world.profile()}
        split = splitting.laid(world.topology(), jobs, profiles, effort.seed, trials)
        with pool(cores()) as workers:
            parts = workers.map(split.part, range(1, effort.replications + 1))
            found = np.array([part.probability for part in parts])
        theory = reaching(law.pmf(np.arange(jobs)))
        name = f"{kind}: a busy period reaches {jobs} jobs"
        yield Figure(name, theory, found, few.widened(NARROW), RHO)


def reaching(arrivals: Floats) -> float:
    """Probability that a busy period reaches so many jobs as there are figures.

    Parameters
    ----------
    arrivals : ndarray, shape (L,)
        Probability of 0, 1, ... L - 1 arrivals during a service.

    Returns
    -------
    float
    """
    most = len(arrivals)
    going = np.eye(most - 1)  # row n - 1: a service that begins with n jobs, of which one leaves
    reached = np.zeros(most - 1)
    for jobs in range(1, most):
        reached[jobs - 1] = 1.0 - arrivals[: most - jobs].sum()
        for come in range(most - jobs):
            left = jobs + come - 1
            if left > 0:
                going[jobs - 1, left - 1] -= arrivals[come]
    return float(np.linalg.solve(going, reached)[0])
