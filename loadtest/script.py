"""What happens in a run beside the plan: who acts, when, and into which phases the run is cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Script:
    """A scenario as the processes of a run get it; all of it can be written as JSON.

    Attributes
    ----------
    scenario : str
        Its name.
    seed : int
        Key of its draws.
    closed : bool
        Whether its actors wait for each answer, and then think.
    act : str or None
        What sessions of its own do (`loadtest.act`); None: there are none.
    receivers : str or None
        What happens to the receiving sessions (`loadtest.receiving`).
    users : int
        Accounts that the act uses.
    start_s, end_s : float
        When it begins and ends, from the start of the run. [s]
    connections_per_s : float
        Connections that it opens at its peak. [1/s]
    parameters : dict
        What the scenario's user may choose.
    retries : dict
        How Platforms try again whose file says so, by population (`loadtest.retries`).
    phases : tuple
        (name, start, end) of the run's parts; empty: the engine's own. [s]
    """

    scenario: str
    seed: int = 1
    closed: bool = False
    act: str | None = None
    receivers: str | None = None
    users: int = 0
    start_s: float = 0.0
    end_s: float = 0.0
    connections_per_s: float = 0.0
    parameters: dict[str, Any] = field(default_factory=dict)
    retries: dict[str, dict[str, Any]] = field(default_factory=dict)
    phases: tuple[tuple[str, float, float], ...] = ()
