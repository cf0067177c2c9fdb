"""What can be wrong with a grid or a load that is asked for."""

from __future__ import annotations


class Problem(ValueError):
    """What was asked for cannot be had: place or value, rule and repair."""

    exit_code = 2


class DeploymentError(Problem):
    """A grid that cannot be deployed or found."""


class LoadError(Problem):
    """A load that cannot be played."""


class RailsError(Problem):
    """A target or a load that leaves the rails."""
