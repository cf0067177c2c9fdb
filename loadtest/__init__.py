"""A real grid and the load on it: deploy servers, play a topology's plan on them, measure.

from loadtest import deployment, engine
with deployment.ephemeral(topology) as grid:
    run = engine.play(topology, grid, seed=1)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from loadtest.problems import DeploymentError, LoadError, RailsError
    from loadtest.shape import PlanShape
    from loadtest.xmpp_user import XmppUser

_HOME = {
    "DeploymentError": "problems",
    "Grid": "grid",
    "LoadError": "problems",
    "PlanShape": "shape",  # brings Locust
    "RailsError": "problems",
    "XmppUser": "xmpp_user",  # brings Locust
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


__all__ = ["DeploymentError", "Grid", "LoadError", "PlanShape", "RailsError", "XmppUser"]
