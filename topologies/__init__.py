"""What an XMPP-Grid is, in a file: topologies, cost profiles, and the plan of publications.

topology = topologies.load("campus-nac")
plan = topologies.Plan(topology, seed=1)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topologies.description import describe, render
    from topologies.documentation import schema_document
    from topologies.drawing import draw
    from topologies.identity import sha256, text
    from topologies.loading import load, parse, profile, read_profile, shipped, varied
    from topologies.plan import Plan, offered, subscribers
    from topologies.problems import TopologyError
    from topologies.profiles import Profile
    from topologies.schema import Topology

_HOME = {
    "Plan": "plan",
    "Profile": "profiles",
    "Topology": "schema",
    "TopologyError": "problems",
    "describe": "description",
    "draw": "drawing",
    "load": "loading",
    "offered": "plan",
    "parse": "loading",
    "profile": "loading",
    "read_profile": "loading",
    "render": "description",
    "schema_document": "documentation",
    "sha256": "identity",
    "shipped": "loading",
    "subscribers": "plan",
    "text": "identity",
    "varied": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


__all__ = [
    "Plan",
    "Profile",
    "Topology",
    "TopologyError",
    "describe",
    "draw",
    "load",
    "offered",
    "parse",
    "profile",
    "read_profile",
    "render",
    "schema_document",
    "sha256",
    "shipped",
    "subscribers",
    "text",
    "varied",
]
