"""What is asked of a validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.problems import LoadError

if TYPE_CHECKING:
    from topologies.profiles import Profile

PILOT_S, PILOT_S_MAX = 20.0, 60.0  # spells of neighbours are one or two a second
POINT_S = 10.0
REPEATS = 2


@dataclass(frozen=True)
class Terms:
    """What is asked for.

    Parameters
    ----------
    points : tuple of float
        Loads; empty: the file's own, and the one at which the model says that the server is used
        at 0.85.
    of_capacity : bool
        Whether the loads are shares of the predicted capacity instead of multiples of the file's.
    repeats : int
        How often every point is played.
    duration_s : float
        Length of each. [s]
    seed : int
        Of the plans, of the model's draws and of the order.
    profile : Profile, optional
        Costs that are taken as they are, for Controllers of its server; else a pilot is played.
    changes : tuple of str
        What is changed after the costs were fitted, e.g. `topics[0].payload.size=8 kB`: predictions
        and runs are of the changed grid.
    ahead_s : float
        Length of a light load before each run, from which the run is predicted anew; 0: none, else
        2 at least. [s]
    """

    points: tuple[float, ...] = ()
    of_capacity: bool = False
    repeats: int = REPEATS
    duration_s: float = POINT_S
    seed: int = 1
    profile: Profile | None = None
    changes: tuple[str, ...] = ()
    ahead_s: float = 0.0

    @property
    def pilot_s(self) -> float:
        """Length of the light load that costs are fitted on: all predictions rest on it. [s]"""
        return min(max(PILOT_S, 2.0 * self.duration_s), PILOT_S_MAX)

    @property
    def bracket_s(self) -> float:
        """Length of the light load after the runs, and before them with a profile. [s]"""
        return min(self.pilot_s, 2.0 * self.duration_s)


def read_points(text: str | None) -> list[float] | None:
    """The loads of `--points 0.5,1,2`.

    Raises
    ------
    LoadError
        Not a list of different positive numbers.
    """
    if text is None:
        return None
    try:
        loads = [float(part) for part in text.split(",")]
    except ValueError:
        loads = [math.nan]
    if not all(0.0 < load < math.inf for load in loads):
        raise LoadError(f'--points: "{text}": must be positive numbers; write for example 0.5,1,2')
    if len(set(loads)) < len(loads):
        raise LoadError(f'--points: "{text}": a load is there twice; use --repeats for that')
    return loads
