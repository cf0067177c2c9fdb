"""What a worker has loaded when it begins, imported once by the server that it is forked off."""

from __future__ import annotations

import gc

import numpy as np

import sim.sweeps  # noqa: F401
from sim.draws import Purpose, uniforms

# Numba looks through all that it can compile with the first kernel, whatever is simulated.
uniforms(0, Purpose(1), 0, np.zeros(1, np.int64))
gc.freeze()  # a worker's collector need not look at any of it, nor copy its pages
