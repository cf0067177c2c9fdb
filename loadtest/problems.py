"""What can be wrong with a grid that is to be deployed."""

from __future__ import annotations


class DeploymentError(ValueError):
    """A grid that cannot be deployed or found: place, value, rule and repair."""


class LoadError(ValueError):
    """A load that cannot be played: who or where, value, rule and repair."""
