"""Log-normal draws for many messages at a time, as vector code.

`draws.lognormals_at` makes one draw after another and asks a library for logarithm, cosine and
exponential, which costs more than all else that a message of a storm does. Here each step of a
draw is a loop over all of them without a branch, which compilers turn into vector code. The bits of
the uniforms are the same; each draw is within 2e-14 of the other one
(`tests/sim/test_lognormals.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiling import compiled, inlined
from sim.draws import minus_log, philox

_LOW, _HALF, _52 = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(52)
_FIVE, _SIX = np.uint64(5), np.uint64(6)
_TWO_52 = np.uint64(0x4330000000000000)  # bits of 2^52: whole numbers below it are mantissas
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_WHOLE = 6755399441055744.0  # 1.5 * 2^52: added and taken away it leaves a whole number


@inlined
def _whole(number: Any) -> float:
    """A whole number below 2^52 as a float."""
    return np.uint64(number | _TWO_52).view(np.float64) - 4503599627370496.0


@inlined
def _uniform(high: Any, low: Any) -> float:
    """The uniform on [0, 1) that `draws.pair` makes of two words."""
    most = _whole(high >> _FIVE) * 67108864.0
    return (most + _whole(low >> _SIX)) * (1.0 / 9007199254740992.0)


@inlined
def cosine_of_turns(turns: float) -> float:
    """cos(2 pi t) on [0, 1): the sine of an angle within a right one, by its series."""
    y = 6.283185307179586 * (np.abs(turns - 0.5) - 0.25)
    q = y * y
    tail = -1.0 / 121645100408832000.0 + q * (1.0 / 51090942171709440000.0)
    tail = 1.0 / 355687428096000.0 + q * tail
    tail = -1.0 / 1307674368000.0 + q * tail
    tail = 1.0 / 6227020800.0 + q * tail
    tail = -1.0 / 39916800.0 + q * tail
    tail = 1.0 / 362880.0 + q * tail
    tail = -1.0 / 5040.0 + q * tail
    tail = 1.0 / 120.0 + q * tail
    tail = -1.0 / 6.0 + q * tail
    return y + y * (q * tail)


@inlined
def exponential(power: float) -> float:
    """e to this power, of at most some hundreds."""
    shifted = power * 1.4426950408889634 + _WHOLE
    k = shifted - _WHOLE
    r = power - k * _LN2_HIGH - k * _LN2_LOW
    tail = 1.0 / 479001600.0 + r * (1.0 / 6227020800.0)
    tail = 1.0 / 39916800.0 + r * tail
    tail = 1.0 / 3628800.0 + r * tail
    tail = 1.0 / 362880.0 + r * tail
    tail = 1.0 / 40320.0 + r * tail
    tail = 1.0 / 5040.0 + r * tail
    tail = 1.0 / 720.0 + r * tail
    tail = 1.0 / 120.0 + r * tail
    tail = 1.0 / 24.0 + r * tail
    tail = 1.0 / 6.0 + r * tail
    mantissa = np.float64(1.0 + r * (1.0 + r * (0.5 + r * tail))).view(np.uint64)
    whole = np.float64(shifted).view(np.uint64) << _52
    return np.uint64(mantissa + whole).view(np.float64)


@compiled
def fill_lognormals(
    key: Any, entities: Any, indices: Any, count: int, spread: Any, rooms: Any
) -> None:
    """Draws of mean 1 of the first `count` entities and indices, both below 2^32.

    Parameters
    ----------
    key : (uint64, int, int)
        Seed, purpose and replication.
    entities, indices : ndarray of uint32
        Whose draws, and which of them.
    count : int
        How many.
    spread : (float, float)
        Standard deviation of the logarithm, and half its square.
    rooms : (ndarray, ndarray)
        Room for the draws, and as much to work in.
    """
    seed, c2, c3 = np.uint64(key[0]), np.uint64(key[1]), np.uint64(key[2])
    k0, k1 = seed & _LOW, seed >> _HALF
    (sigma, mean), (out, scratch) = spread, rooms
    for i in range(count):
        words = philox(np.uint64(indices[i]), np.uint64(entities[i]), c2, c3, k0, k1)
        out[i] = _uniform(words[0], words[1])
        scratch[i] = _uniform(words[2], words[3])
    for i in range(count):
        normal = np.sqrt(2.0 * minus_log(1.0 - out[i])) * cosine_of_turns(scratch[i])
        out[i] = exponential(sigma * normal - mean)
