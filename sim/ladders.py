"""The ladder of a login: what each of its messages is to a server."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim import draws
from sim.doors import Doors
from sim.draws import Purpose
from sim.logins import login_figure, works_s
from sim.messages import Messages
from sim.resumptions import Tickets
from sim.state import (
    FINAL,
    FIRST,
    JOB,
    NOTICED,
    REFUSED,
    RESUME,
    STAMP_SHIFT,
    Floats,
    Integers,
)
from sim.stations import Graph

STEP_BITS = 4  # an attempt's step has the stamp (number of the attempt << 4) + number of the step
STEP_MASK = (1 << STEP_BITS) - 1


class Ladder:
    """The steps of all populations' logins on all stations.

    Parameters
    ----------
    graph : Graph
        The stations.
    key : (int, int)
        Seed and replication of the draws.
    """

    def __init__(self, graph: Graph, key: tuple[int, int]) -> None:
        self._key = key
        profiles = {each.node.name: each.profile for each in graph.stations}
        self.work_s, self.steps, proof = works_s(graph.topology, profiles)
        self.doors, self.tickets = Doors(graph, proof), Tickets(graph)
        self.cv, self._noticed = (
            np.array([login_figure(each.profile, figure) for each in graph.stations])
            for figure in ("cv", "noticed")
        )

    def messages(
        self, station: int, population: npt.NDArray[np.uint16], arrival_s: Floats,
        platform: Integers, stamp: Integers, deadline_s: Floats,
    ) -> Messages:  # fmt: skip
        """The messages for one station, in order of arrival."""
        step, (seed, replication) = stamp & STEP_MASK, self._key
        key = (replication, platform, stamp)
        flags = JOB + FINAL * (step + 1 == self.steps[population]) + FIRST * (step == 0)
        flags += RESUME * self.tickets.resumes(population, step)
        work_s = self.work_s[station, population, step]
        refused = self.doors.refused(station, arrival_s, platform, population, step)
        flags[refused] += REFUSED
        work_s[refused] = self.doors.refuse_s[station]
        noticed = self._noticed[station]
        if noticed > 0.0:
            flags += NOTICED * (draws.uniforms_at(seed, Purpose.NOTICE, *key) < noticed)
        return Messages(
            key=platform + (stamp << STAMP_SHIFT),
            platform=platform,
            arrival_s=arrival_s,
            work_s=work_s,
            factor=draws.lognormals_at(seed, Purpose.LOGIN, *key, self.cv[station]),
            give_up_s=deadline_s,
            flags=flags,
        )
