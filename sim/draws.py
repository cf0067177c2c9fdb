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
GROUP, PAIRS = 64, 32  # exponential draws of one entity that are made together
_ONE, _ROOT_HALF = np.uint64(0x3FF0000000000000), np.uint64(0x3FE6A09E667F3BCD)
_BIAS, _TWO_52 = np.uint64(0x4000000000000000), np.uint64(0x4330000000000000)


class Purpose(IntEnum):
    """What a draw is for."""

    SERVICE = 1
    COPY = 2
    COLLECTION = 3
    COLLECTION_START = 4
    READER_PHASE = 5
    FETCH = 6
    SPLITTING = 7
    SPELL = 8
    SPELL_BEGIN = 9
    RECORD_BEGIN = 10
    RETRY = 20
    RETURN = 21
    LOGIN = 22
    NOTICE = 23


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


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def mantissa(high: Any, low: Any) -> Any:
    """52 random bits of two words as the mantissa of a float64 on [1, 2), still as bits."""
    return (high << np.uint64(20)) | (low >> np.uint64(12)) | _ONE


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def exponential_of(bits: Any) -> float:
    """Exponential draw of mean 1 from the bits of a uniform u on [1, 2): -log(2 - u)."""
    return minus_log(2.0 - np.uint64(bits).view(np.float64))


@numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def minus_log(value: float) -> float:
    """-log(value) of a positive normal number, within 1e-15 of the exact one.

    With value = 2^e m, sqrt(1/2) <= m < sqrt(2), s = (m - 1) / (m + 1) and q = s^2, log m =
    2 s + s R(q); the seven coefficients of R are those of FreeBSD's `e_log.c`. Compilers turn a
    loop of it into vector code, which a library's logarithm would prevent.
    """
    bits = np.float64(value).view(np.uint64)
    exponent = (bits - _ROOT_HALF + _BIAS) >> np.uint64(52)
    m = np.uint64(bits - (exponent << np.uint64(52)) + _BIAS).view(np.float64)
    e = np.uint64(exponent | _TWO_52).view(np.float64) - 4503599627371520.0
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    w = q * q
    even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332))
    odd = 0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591)
    return -(e * 0.6931471805599453 + s * (2.0 + (even + q * (0.6666666666666735130 + w * odd))))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def exponential_at(seed: Any, purpose: Any, replication: Any, entity: Any, index: Any) -> float:
    """Draw `index` of an entity's exponential draws of mean 1: one of those of `fill_exponentials`.

    Draws come in groups of 64: the first words of 32 counters, then their second ones.
    """
    place = np.uint64(index)
    counter = (place >> np.uint64(6)) * np.uint64(PAIRS) + (place & np.uint64(PAIRS - 1))
    key, who = np.uint64(seed), np.uint64(entity)
    words = philox(
        counter & _LOW,
        who & _LOW,
        np.uint64(purpose) + ((who >> _HALF) << _PURPOSE_BITS),
        np.uint64(replication),
        key & _LOW,
        key >> _HALF,
    )
    if place & np.uint64(PAIRS):
        return exponential_of(mantissa(words[2], words[3]))
    return exponential_of(mantissa(words[0], words[1]))


@numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
def fill_exponentials(
    seed: Any, purpose: Any, replication: Any, entity: Any, first: Any, count: Any, out: Any
) -> None:
    """Draws `first` .. `first + count - 1` of an entity, in whole groups: `first` begins one.

    `out` has room for whole groups.
    """
    key, who = np.uint64(seed), np.uint64(entity)
    c2 = (np.uint64(purpose) + ((who >> _HALF) << _PURPOSE_BITS)) & _LOW  # each below 2^32, which
    c3, k0, k1 = np.uint64(replication) & _LOW, key & _LOW, key >> _HALF  # makes products cheap
    groups = (count + GROUP - 1) // GROUP
    for group in range(groups):
        place = group * GROUP
        one = out[place : place + PAIRS].view(np.uint64)
        two = out[place + PAIRS : place + GROUP].view(np.uint64)
        counter = np.uint64((first + place) // 2)
        for i in range(PAIRS):
            words = philox((counter + np.uint64(i)) & _LOW, who & _LOW, c2, c3, k0, k1)
            one[i] = mantissa(words[0], words[1])
            two[i] = mantissa(words[2], words[3])
    whole = out[: groups * GROUP]
    bits = whole.view(np.uint64)
    for i in range(whole.size):
        whole[i] = exponential_of(bits[i])


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
    _uniforms(np.uint64(seed), int(purpose), replication, entities, out)
    return out


@numba.njit(cache=True, nogil=True)
def _uniforms_at(
    seed: int, purpose: int, replication: int, entities: Any, indices: Any, out: Floats
) -> None:
    for i in range(entities.size):
        out[i] = uniform_at(seed, purpose, replication, entities[i], indices[i])


@numba.njit(cache=True, nogil=True)
def _normals_at(
    seed: int, purpose: int, replication: int, entities: Any, indices: Any, out: Floats
) -> None:
    for i in range(entities.size):
        out[i] = normal_at(seed, purpose, replication, entities[i], indices[i])


def uniforms_at(
    seed: int, purpose: Purpose, replication: int, entities: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
) -> Floats:  # fmt: skip
    """One uniform on [0, 1) for each entity and index."""
    out = np.empty(len(entities))
    _uniforms_at(np.uint64(seed), int(purpose), replication, entities, indices, out)
    return out


def lognormals_at(
    seed: int, purpose: Purpose, replication: int, entities: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64], cv: float,
) -> Floats:  # fmt: skip
    """One log-normal draw of mean 1 for each entity and index."""
    if cv == 0.0:
        return np.ones(len(entities))
    out = np.empty(len(entities))
    _normals_at(np.uint64(seed), int(purpose), replication, entities, indices, out)
    variance = math.log1p(cv**2)
    return np.asarray(np.exp(math.sqrt(variance) * out - 0.5 * variance))


def normals(
    seed: int, purpose: Purpose, replication: int, entities: npt.NDArray[np.int64]
) -> Floats:
    """One standard normal draw for each entity."""
    out = np.empty(len(entities))
    _normals(np.uint64(seed), int(purpose), replication, entities, out)
    return out


def exponentials(seed: int, purpose: Purpose, replication: int, entity: int, count: int) -> Floats:
    """The first `count` exponential draws of mean 1 of one entity."""
    out = np.empty(-(-count // GROUP) * GROUP)
    fill_exponentials(seed, int(purpose), replication, entity, 0, count, out)
    return out[:count]


def lognormals(
    seed: int, purpose: Purpose, replication: int, entities: npt.NDArray[np.int64], cv: float
) -> Floats:
    """One log-normal draw of mean 1 and coefficient of variation `cv` for each entity."""
    if cv == 0.0:
        return np.ones(len(entities))
    variance = math.log1p(cv**2)
    normal = normals(seed, purpose, replication, entities)
    return np.asarray(np.exp(math.sqrt(variance) * normal - 0.5 * variance))
