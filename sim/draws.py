"""Random numbers of the simulation: counter-based, keyed by seed, purpose, replication and entity.

Philox4x32-10 turns (key, counter) into four random words. The key is the seed, the counter says
what the draw is for, so a draw never depends on the order of events, on the window's length or on
how many processes share the work, and drawing more for one purpose moves no other.

    counter = (index, entity, purpose + 2^16 * high part of the entity, replication)

References
----------
J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3,"
SC11, 2011.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ROUNDS = 10
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _HALF, _PURPOSE_BITS = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(16)
_UNIT_53 = 1.0 / 9007199254740992.0


class Purpose(IntEnum):
    """What a draw is for."""

    SERVICE = 1
    COPY = 2
    COLLECTION = 3
    COLLECTION_START = 4


@numba.njit(cache=True, nogil=True, forceinline=True)
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, Any, Any, Any]:
    """Four random words (uint64 below 2^32) of a counter and a key, each below 2^32."""
    for _ in range(ROUNDS):
        low, high = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        c0, c2 = (high >> _HALF) ^ c1 ^ k0, (low >> _HALF) ^ c3 ^ k1
        c1, c3 = high & _LOW, low & _LOW
        k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@numba.njit(cache=True, nogil=True, forceinline=True)
def pair(seed: Any, purpose: Any, replication: Any, entity: Any, index: Any) -> tuple[float, float]:
    """Two uniforms on [0, 1) with 53 bits each."""
    key, who = np.uint64(seed), np.uint64(entity)
    words = philox(
        np.uint64(index) & _LOW,
        who & _LOW,
        np.uint64(purpose) + ((who >> _HALF) << _PURPOSE_BITS),
        np.uint64(replication),
        key & _LOW,
        key >> _HALF,
    )
    first = np.float64(((words[0] >> np.uint64(5)) << np.uint64(26)) + (words[1] >> np.uint64(6)))
    second = np.float64(((words[2] >> np.uint64(5)) << np.uint64(26)) + (words[3] >> np.uint64(6)))
    return first * _UNIT_53, second * _UNIT_53


@numba.njit(cache=True, nogil=True)
def uniform_at(seed: Any, purpose: Any, replication: Any, entity: Any, index: Any) -> float:
    """One uniform on [0, 1)."""
    return pair(seed, purpose, replication, entity, index)[0]


@numba.njit(cache=True, nogil=True)
def exponential_at(seed: Any, purpose: Any, replication: Any, entity: Any, index: Any) -> float:
    """One exponential draw of mean 1."""
    return -math.log1p(-pair(seed, purpose, replication, entity, index)[0])


@numba.njit(cache=True, nogil=True)
def normal_at(seed: Any, purpose: Any, replication: Any, entity: Any, index: Any) -> float:
    """One standard normal draw (Box and Muller, 1958)."""
    first, second = pair(seed, purpose, replication, entity, index)
    return math.sqrt(-2.0 * math.log1p(-first)) * math.cos(2.0 * math.pi * second)


@numba.njit(cache=True, nogil=True)
def _uniforms(seed: int, purpose: int, replication: int, entities: Any, out: Floats) -> None:
    for i in range(entities.size):
        out[i] = uniform_at(seed, purpose, replication, entities[i], 0)


@numba.njit(cache=True, nogil=True)
def _normals(seed: int, purpose: int, replication: int, entities: Any, out: Floats) -> None:
    for i in range(entities.size):
        out[i] = normal_at(seed, purpose, replication, entities[i], 0)


def uniforms(
    seed: int, purpose: Purpose, replication: int, entities: npt.NDArray[np.int64]
) -> Floats:
    """One uniform on [0, 1) for each entity."""
    out = np.empty(len(entities))
    _uniforms(seed, int(purpose), replication, entities, out)
    return out


def normals(
    seed: int, purpose: Purpose, replication: int, entities: npt.NDArray[np.int64]
) -> Floats:
    """One standard normal draw for each entity."""
    out = np.empty(len(entities))
    _normals(seed, int(purpose), replication, entities, out)
    return out


def lognormals(
    seed: int, purpose: Purpose, replication: int, entities: npt.NDArray[np.int64], cv: float
) -> Floats:
    """One log-normal draw of mean 1 and coefficient of variation `cv` for each entity."""
    if cv == 0.0:
        return np.ones(len(entities))
    variance = math.log1p(cv**2)
    normal = normals(seed, purpose, replication, entities)
    return np.asarray(np.exp(math.sqrt(variance) * normal - 0.5 * variance))
