"""What a worker has loaded when it begins: imported once by the server that workers are forked off.

Not for anybody else: whoever imports it no longer answers to an interrupt, which is for the process
that has the workers to decide.
"""

from __future__ import annotations

import gc
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)

import numpy as np  # noqa: E402

import sim.sweeps  # noqa: E402, F401
from sim.draws import Purpose, uniforms  # noqa: E402

# Numba looks through all that it can compile with the first kernel, whatever is simulated.
uniforms(0, Purpose(1), 0, np.zeros(1, np.int64))
gc.freeze()  # a worker's collector need not look at any of it, nor copy its pages
