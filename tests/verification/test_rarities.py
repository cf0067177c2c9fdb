"""How seldom a busy period gets far: by linear equations, by closed form, by hand."""

import numpy as np
import pytest
from scipy import stats

from sim.verification_rarities import reaching


def test_one_job_more_comes_as_often_as_at_all():
    """Two jobs are reached if anybody comes during the first one's service."""
    assert reaching(np.array([0.4, 0.3])) == pytest.approx(0.6)


def test_three_jobs_are_reached_at_once_or_after_a_service_that_begins_anew():
    """h = P(2 or more come) + P(one comes) h, since one of two leaves."""
    assert reaching(np.array([0.5, 0.3, 0.1])) == pytest.approx(0.2 / (1 - 0.3))


@pytest.mark.parametrize(("rho", "jobs"), [(0.5, 20), (0.7, 36), (0.9, 10)])
def test_m_m_1_gets_as_far_as_gamblers_do(rho, jobs):
    law = stats.geom(1 / (1 + rho), loc=-1)
    ruin = (1 / rho - 1) / (rho**-jobs - 1)
    assert reaching(law.pmf(np.arange(jobs))) == pytest.approx(ruin, rel=1e-6)
