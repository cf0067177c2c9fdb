"""Draws made by the thousand are those that are made one by one."""

import math

import numpy as np
import pytest

from sim import draws
from sim.draws import Purpose
from sim.lognormals import fill_lognormals

COUNT = 200_000


@pytest.mark.parametrize("cv", [0.1, 0.5, 3.0])
def test_many_draws_are_those_made_one_by_one(cv):
    entities = (np.arange(COUNT, dtype=np.uint64) * 2654435761 % 2**32).astype(np.uint32)
    indices = (np.arange(COUNT) % 4099).astype(np.uint32)
    out, scratch = np.empty((2, COUNT))
    variance = math.log1p(cv**2)
    spread = (math.sqrt(variance), 0.5 * variance)
    key = (np.uint64(2**40 + 7), int(Purpose.LOGIN), 3)
    fill_lognormals(key, entities, indices, COUNT, spread, (out, scratch))
    want = draws.lognormals_at(
        2**40 + 7, Purpose.LOGIN, 3, entities.astype(np.int64), indices.astype(np.int64), cv
    )
    error = np.abs(out / want - 1.0)
    assert error.max() < 2e-14
    assert error.mean() < 1e-15
