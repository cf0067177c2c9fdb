"""How kernels are compiled.

Without reference counting: a kernel neither makes nor frees arrays, and counting references to
those of `Server` at every access costs twenty times the work itself.
"""

from __future__ import annotations

import numba

compiled = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
inlined = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)
