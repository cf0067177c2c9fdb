"""The doors of all servers: whom they refuse as a connection comes, whom as they answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sim.gates import Addresses, Gate
from sim.logins import login_figure
from sim.session_books import guesses
from sim.state import Floats, Integers
from sim.stations import Graph

Mask = npt.NDArray[np.bool_]


class Doors:
    """One gate for each station.

    Parameters
    ----------
    graph : Graph
        The stations.
    proof : ndarray of int
        By population, the step whose answer says if the password is right.
    """

    def __init__(self, graph: Graph, proof: Integers) -> None:
        self._gates = [Gate(each.node, each.profile.server) for each in graph.stations]
        self._addresses = Addresses(graph.topology)
        self._proof = proof
        self._picky = any(each.node.admission is not None for each in graph.stations)
        self.wrong = np.array([guesses(each) for each in graph.topology.platforms])
        self.refuse_s = [
            each.profile.speed * login_figure(each.profile, "refuse") for each in graph.stations
        ]

    @property
    def open(self) -> bool:
        """Whether nobody is ever turned away, and every password is right."""
        gates = (gate.open and not gate.watches for gate in self._gates)
        return all(gates) and not self._picky and not self.wrong.any()

    def forget(self, station: int) -> None:
        """A server has crashed."""
        self._gates[station].forget()

    def refused(
        self, station: int, arrival_s: Floats, platform: Integers,
        population: npt.NDArray[np.uint16], step: Integers,
    ) -> Integers:  # fmt: skip
        """Places of the messages, in order of arrival, with which connections are refused."""
        gate = self._gates[station]
        first = np.flatnonzero(step == 0) if not gate.open else np.zeros(0, np.int64)
        if not len(first):
            return first
        address = self._addresses.of(platform[first], population[first])
        return first[gate.refuses(arrival_s[first], address)]

    def denied(
        self, station: int, heard: Mask, platform: Integers, population: npt.NDArray[np.uint16],
        step: Integers, done_s: Floats,
    ) -> Mask:  # fmt: skip
        """Whom the server turns away as it answers: wrong passwords, and addresses shut out."""
        proof = step == self._proof[population]
        denied: Mask = heard & proof & self.wrong[population]
        gate = self._gates[station]
        if not gate.watches:
            return denied
        watched = np.flatnonzero(heard & (proof | (step == 0)))
        address = self._addresses.of(platform[watched], population[watched])
        for place, where in zip(watched.tolist(), address.tolist(), strict=True):
            if denied[place]:
                gate.fail(where, float(done_s[place]))
            elif proof[place]:
                gate.succeed(where)
            else:
                denied[place] = gate.shuts_out(where, float(done_s[place]))
        return denied
