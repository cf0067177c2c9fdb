"""Student's t: beside scipy, which shares no code with ours, and by hand."""

import math

import pytest
from scipy import stats

from results import student

DEGREES = (0.5, 1.0, 2.0, 3.7, 7.0, 11.0, 15.0, 31.0, 99.0, 101.0, 400.5, 1e5)


@pytest.mark.parametrize("degrees", DEGREES)
def test_it_is_scipys(degrees):
    for t in (-40.0, -3.0, -0.1, 0.0, 0.01, 0.7, 2.0, 9.0):
        assert student.distribution(degrees, t) == pytest.approx(stats.t.cdf(t, degrees), abs=1e-10)
    for probability in (0.6, 0.975, 0.9995):
        found = student.quantile(degrees, probability)
        assert found == pytest.approx(stats.t.ppf(probability, degrees), rel=1e-10)


def test_one_degree_is_cauchys_law():
    assert student.distribution(1.0, 1.0) == pytest.approx(0.75, rel=1e-14)
    assert student.quantile(1.0, 0.975) == pytest.approx(math.tan(0.475 * math.pi), rel=1e-12)


def test_the_middle_is_nought():
    assert student.quantile(7.0, 0.5) == 0.0
    assert student.distribution(7.0, 0.0) == 0.5
