"""All acts by name."""

from __future__ import annotations

from loadtest import acts_access, acts_items, acts_topics
from loadtest.act import Stage
from loadtest.shares import Spec

ACTS = {**acts_access.ACTS, **acts_topics.ACTS, **acts_items.ACTS}


def stage(spec: Spec) -> Stage:
    """The process that acts what a spec's script asks for."""
    assert spec.script is not None
    return Stage(spec, ACTS[spec.script["act"]])
