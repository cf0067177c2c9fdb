"""Random numbers of a plan: keyed by seed, purpose and entity, so that no draw ever moves another.

A key is hashed to the 128-bit key of a Philox generator; a position in the sequence is reached by
advancing the counter, so ten draws cost the same wherever in the sequence they stand.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

DRAWS_PER_COUNT = 4  # one step of Philox4x64's counter yields four 64-bit draws


def generator(*key: str | int, skip: int = 0) -> np.random.Generator:
    """The generator of one purpose: `key` names seed, replication, entity and purpose.

    `skip` passes over that many 64-bit draws; a multiple of `DRAWS_PER_COUNT`.
    """
    parts = tuple(part if isinstance(part, str) else int(part) for part in key)
    digest = hashlib.sha256(repr(parts).encode()).digest()
    philox = np.random.Philox(key=np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64))
    if skip:
        philox.advance(skip // DRAWS_PER_COUNT)
    return np.random.Generator(philox)


def uniforms(key: tuple[str | int, ...], first: int, count: int) -> npt.NDArray[np.float64]:
    """Draws `first` .. `first + count - 1` of the key's uniform sequence on [0, 1)."""
    surplus = first % DRAWS_PER_COUNT
    return generator(*key, skip=first - surplus).random(count + surplus)[surplus:]


def normals(key: tuple[str | int, ...], first: int, count: int) -> npt.NDArray[np.float64]:
    """Draws `first` .. `first + count - 1` of the key's normal sequence (Box and Muller 1958)."""
    pairs = uniforms(key, 2 * first, 2 * count).reshape(count, 2)
    return np.asarray(np.sqrt(-2.0 * np.log1p(-pairs[:, 0])) * np.cos(2.0 * np.pi * pairs[:, 1]))
