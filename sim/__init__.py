"""The simulator: a grid in virtual time, and on paper.

run = sim.simulate(topologies.load("campus-nac"), seed=1)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.replications import simulate
    from sim.theory import estimate

_HOME = {"estimate": "theory", "simulate": "replications"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


__all__ = ["estimate", "simulate"]
