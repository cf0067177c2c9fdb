"""Histograms of a station's deliveries as its tally has them, from what its kernel has counted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from results import histogram
from sim.intake import ROLES
from sim.platforms import Residents
from sim.state import Integers
from sim.study import HistogramKey, Sparse

DELAYED = "delayed"  # in the place of a publisher's role: copies that were stored, once more


def latencies(
    counts: npt.NDArray[np.int32], home: Residents, roles: int, expected: Integers
) -> dict[HistogramKey, Sparse]:
    """What was delivered and, to make up what was expected, undelivered.

    Parameters
    ----------
    counts : ndarray, shape (kinds * pairs or twice that, bins)
        By kind and pair of Topic and population; the second half are copies that came late.
    home : Residents
        Names of the pairs.
    roles : int
        Roles that kinds tell apart.
    expected : ndarray, shape (kinds, pairs)
        Copies to expect.
    """
    names = home.pair_names
    if not names:
        return {}
    layers = counts.reshape(-1, *expected.shape, counts.shape[1])
    found: dict[HistogramKey, Sparse] = {}
    late: dict[HistogramKey, npt.NDArray[np.int64]] = {}
    for (kind, pair), copies in np.ndenumerate(expected):
        if copies == 0:
            continue
        segment, role = divmod(int(kind), roles)
        row = layers[:, kind, pair].sum(axis=0, dtype=np.int64)
        row[histogram.UNDELIVERED] += copies - row.sum()
        found[segment, *names[pair], home.pair_roles[pair] or ROLES[role]] = histogram.sparse(row)
        for further in layers[1:, kind, pair].astype(np.int64):
            further[histogram.UNDELIVERED] = 0
            key = (segment, *names[pair], DELAYED)
            late[key] = late.get(key, 0) + further
    return found | {key: histogram.sparse(row) for key, row in late.items() if row.any()}
