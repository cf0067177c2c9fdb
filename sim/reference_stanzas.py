"""What the oracle's servers handle, and what they have around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy

from sim.reference_clocks import StoppedClock
from sim.requests import Answer
from topologies.profiles import FanoutProcess, LoopTurns

FIRST_CORE_PRIORITY = 10
Process = Generator[simpy.Event, Any, None]


Socket = int | str  # a Platform's by its number, a peer's by its name
Target = int | str  # a Platform, or "publication" or "everybody"


@dataclass(eq=False)
class Publication:
    """A stanza at one server, a publication or on its way, and to whom each of its copies goes.

    It reached its first server at `reached_s` and passed the limits here at `arrival_s` (nan: not
    yet); at `lost_s` the server lost it. It comes in on `socket`; a copy is written to a session
    for somebody, who is a Platform or lives beyond the peer. What is not `published` here is only
    passed on. With an `answer` it is a request: its copy is the answer; `page` and `begun_s` say
    how far a walk is and when it began. [s]
    """

    row: int
    reached_s: float
    arrival_s: float
    intended_s: float
    socket: Socket
    publisher: int
    topic: int
    payload_bytes: float
    spread: float
    published: bool
    copies: list[tuple[Socket, Target]]
    job: Job | None = None
    answer: Answer | None = None
    page: int = 1
    begun_s: float = 0.0
    lost_s: float = math.inf
    resumed: bool = False  # was kept for a session that has been resumed, and is only written

    @property
    def factor(self) -> float:
        """Factor on its own costs, which only a publication at its Broker has."""
        if self.resumed:
            return 0.0
        return self.spread if self.published else 1.0


@dataclass(eq=False)
class Life:
    """A server's life, from its start to a crash. [s]"""

    end_s: float = math.inf


@dataclass(eq=False)
class Job:
    """A step of a login, the `first` or not.

    It is told as it `came`, asked for its work as that begins, told as it is answered.
    """

    came: Callable[[], None]
    work_s: Callable[[], float]
    done: Callable[[], None]
    first: bool


@dataclass
class Pace:
    """A machine's CPU time over that of the profile's, and a factor on it that may change."""

    machine: float
    factor: float = 1.0

    @property
    def speed(self) -> float:
        """What a cost is multiplied with."""
        return self.machine * self.factor


@dataclass
class Surroundings:
    """What a server has around it: time, its clock, its machine's speed, draws, where to report.

    `send` is called as a copy is written, `worked` with each stretch of a core's time, `hold` with
    copies that begin (positive) or cease to exist in memory; `receive_s` is what it takes to read a
    stanza of so many payload bytes that is only passed on; `online` tells whether a socket has a
    session, `holds_back` whether a copy is stored all the same, `miss` takes what does not go out,
    `priority` is a stanza's.
    """

    env: simpy.Environment
    clock: StoppedClock
    cores: int
    pace: Pace
    draw_key: tuple[int, int, int]  # seed, replication, Controller
    send: Callable[[Publication, Socket, Target], None]
    worked: Callable[[float, float], None]
    hold: Callable[[Publication, int], None]
    receive_s: Callable[[float], float]
    online: Callable[[Socket], bool]
    holds_back: Callable[[Socket, Publication], bool]
    miss: Callable[[Publication, Socket], None]
    priority: Callable[[Publication], int]

    @property
    def speed(self) -> float:
        """What a cost that begins now is multiplied with."""
        return self.pace.speed

    def intake_s(self, publication: Publication) -> float:
        """What it takes to read a stanza that is only passed on. [s]"""
        return 0.0 if publication.resumed else self.receive_s(publication.payload_bytes)

    def cold_s(self, costs: LoopTurns | FanoutProcess, rest_s: float) -> float:
        """What the first work costs more that begins now, after such a rest. [s]"""
        return self.speed * costs.cold * (1.0 - math.exp(-rest_s / costs.cold_after))

    def takes(self, socket: Socket, publication: Publication) -> bool:
        """Whether there is a session that a copy can be written to."""
        return self.online(socket) and not self.holds_back(socket, publication)

    def write(self, publication: Publication, socket: Socket, target: Target) -> None:
        """Send a copy, if there still is a session to send it to."""
        if self.takes(socket, publication):
            self.send(publication, socket, target)
        else:
            self.miss(publication, socket)


def due(env: StoppedClock, delay_s: float, core: int) -> simpy.Event:
    """An event after `delay_s`: of that instant, after arrivals and those of lower cores."""
    event = simpy.Event(env._env)
    event._ok, event._value = True, None
    env.schedule(event, FIRST_CORE_PRIORITY + core, delay_s)
    return event
