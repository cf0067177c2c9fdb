"""Sessions that tell who has just logged in: such Platforms send their presence."""

from __future__ import annotations

from collections.abc import Callable

from sim.failovers import Whereabouts
from sim.sessions import Sessions
from sim.state import Floats, Integers
from sim.stations import Graph
from sim.study import Study

Tell = Callable[[Integers, Floats, Floats], None]


class ToldSessions(Sessions):
    """The sessions of all Platforms of a grid.

    Parameters
    ----------
    study : Study
        The replication.
    graph : Graph
        Its stations.
    where : Whereabouts
        Where its Platforms are.
    tell : callable
        Gets Platforms, the instants at which they know that they are online, and their delays. [s]
    """

    def __init__(self, study: Study, graph: Graph, where: Whereabouts, tell: Tell) -> None:
        super().__init__(study, graph, where)
        self._tell = tell

    def _log_in(self, platform: Integers, done_s: Floats, instant_s: Floats) -> None:
        super()._log_in(platform, done_s, instant_s)
        self._tell(platform, instant_s, self._delay_s[self.population[platform]])
