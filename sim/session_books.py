"""Books of sessions: attempts and what became of them, by interval and population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from results import histogram
from sim.phases import Timetable
from sim.state import Floats, Integers
from topologies.schema import Population, Topology

Populations = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class SessionTally:
    """What happened to sessions in one replication: arrays of shape (intervals, populations).

    Logins and refusals are booked as the server completes them, what Platforms do as they do it.
    `online` is at each interval's end; `away` counts by population; `latency` holds a histogram by
    population of the time from the first attempt after a loss to the session.
    """

    populations: tuple[str, ...]
    attempts: Integers
    logins: Integers
    given_up: Integers
    refused: Integers
    online: Integers
    away: Integers
    latency: tuple[npt.NDArray[np.int64], ...]

    def of(self, populations: Sequence[int]) -> SessionTally:
        """The same of some populations only."""
        chosen = list(populations)
        return SessionTally(
            populations=tuple(self.populations[number] for number in chosen),
            attempts=self.attempts[:, chosen],
            logins=self.logins[:, chosen],
            given_up=self.given_up[:, chosen],
            refused=self.refused[:, chosen],
            online=self.online[:, chosen],
            away=self.away[chosen],
            latency=tuple(self.latency[number] for number in chosen),
        )


def logging_in(topology: Topology, controller: str) -> list[int]:
    """Numbers of the populations that log in to a Controller."""
    return [
        number
        for number, each in enumerate(topology.platforms)
        if each.controller == controller and each.login is not None
    ]


def guesses(population: Population) -> bool:
    """Whether Platforms never log in, because their passwords are wrong."""
    return population.login is not None and population.login.password == "wrong"


def online_at_start(topology: Topology) -> Integers:
    """Platforms of each population that have a session from the start."""
    counts = [0 if guesses(each) else each.count for each in topology.platforms]
    return np.array(counts, np.int64)


class SessionBooks:
    """Counts that grow as things happen.

    Parameters
    ----------
    timetable : Timetable
        Its intervals, and one more for the drain.
    topology : Topology
        Whose populations are counted apart.
    """

    def __init__(self, timetable: Timetable, topology: Topology) -> None:
        self._timetable, self._topology = timetable, topology
        shape = (len(timetable.edges_s), len(topology.platforms))
        self._attempts, self._logins, self._given_up, self._refused, self._change = np.zeros(
            (5, *shape), np.int64
        )
        self._latency = np.zeros((shape[1], histogram.SIZE), np.int64)

    def attempt(self, population: Populations, instant_s: Floats) -> None:
        """Attempts begin."""
        self._count(self._attempts, population, instant_s)

    def give_up(self, population: Populations, instant_s: Floats) -> None:
        """Attempts are given up."""
        self._count(self._given_up, population, instant_s)

    def refuse(self, population: Populations, instant_s: Floats) -> None:
        """Attempts are refused."""
        self._count(self._refused, population, instant_s)

    def log_in(self, population: Populations, instant_s: Floats, latency_s: Floats) -> None:
        """Platforms are online."""
        if not len(population):
            return
        place = self._timetable.intervals(instant_s) * self._logins.shape[1] + population
        _add(self._logins, place)
        _add(self._change, place)
        row = population.astype(np.int64) * histogram.SIZE  # more than 16 bits hold
        _add(self._latency, row + histogram.bin_index(latency_s))

    def lose(self, population: Populations, instant_s: float) -> None:
        """Platforms lose their sessions."""
        interval = self._timetable.intervals(np.array([instant_s]))
        self._change[interval] -= np.bincount(population, minlength=self._change.shape[1])

    def close(self, away: Integers) -> SessionTally:
        """What was counted; `away` Platforms of each population have used up their attempts."""
        counts = online_at_start(self._topology)
        return SessionTally(
            populations=tuple(each.name for each in self._topology.platforms),
            attempts=self._attempts,
            logins=self._logins,
            given_up=self._given_up,
            refused=self._refused,
            online=counts + np.cumsum(self._change, axis=0),
            away=away,
            latency=tuple(self._latency),
        )

    def _count(self, table: Integers, population: Populations, instant_s: Floats) -> None:
        if len(population):
            _add(table, self._timetable.intervals(instant_s) * table.shape[1] + population)


def _add(table: Integers, place: Integers) -> None:
    """Count places of a table in row-major order: NumPy is ten times slower with two indices."""
    np.add.at(table.reshape(-1), place, 1)
