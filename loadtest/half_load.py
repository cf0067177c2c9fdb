"""Half load: the rate at which a generator's processes use half of the core that they share.

Plans of Poisson arrivals are played on the null server as `gridlab load` plays them: one process
publishes, one receives. Short plays find the rate. A delivery costs the less the more of them there
are, so that the core could carry twice that rate and more. Two kinds of code publish, and each has
a plan of its own: many publications to few subscribers are sent by compiled code, few to many by
the interpreter's pacer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from typing_extensions import TypedDict

from loadtest import bout, engine
from loadtest.cores import split_cores
from loadtest.shares import COMPILED_FROM

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from results import Run
    from topologies.schema import Topology

PublishPath = Literal["compiled", "interpreted"]

AIM: Final = 0.55  # of the generator's core: a machine's speed wanders, and half is asked for
NEAR: Final = 0.05  # a step of the search that changes the rate by less is its last
SERVER_MOST: Final = 0.85  # of its core; beyond, it would be the limit
FASTER: Final = 3.0  # times the rate of the last short play, at most
PILOTS: Final = 4
PILOT_S: Final = 5.0
LOGINS_PER_S: Final = 150.0
PUBLISHERS: Final = 10


class Load(TypedDict):
    """A rate, and the shares that it took of the generator's core and of the server's."""

    publications_per_s: float
    core_share: float
    server_core_share: float


@dataclass(frozen=True)
class Way:
    """A plan for one of the two kinds of code that publish.

    Parameters
    ----------
    path : {"compiled", "interpreted"}
        Which.
    subscribers : int
        Each gets a copy of every publication.
    rate_per_s : float
        Publications, where the search for half load begins. [1/s]
    """

    path: PublishPath
    subscribers: int
    rate_per_s: float

    def topology(self) -> Topology:
        """One publication a second; a play's load is its rate."""
        return bout.topology(self.subscribers, PUBLISHERS, process="poisson")

    def within(self, rate_per_s: float, duration_s: float) -> float:
        """The nearest rate at which that code publishes a plan of that duration. [1/s]

        A Poisson plan has a few publications more or less; 5 % are five standard errors.
        """
        edge_per_s = COMPILED_FROM / duration_s
        if self.path == "compiled":
            return max(rate_per_s, 1.05 * edge_per_s)
        return min(rate_per_s, 0.95 * edge_per_s)

    def pilot_s(self, rate_per_s: float) -> float:
        """How long a play at that rate has to be for the same code to publish it. [s]"""
        enough_s = 1.05 * COMPILED_FROM / rate_per_s
        return max(PILOT_S, enough_s) if self.path == "compiled" else PILOT_S


WAYS: Final = {
    each.path: each for each in (Way("compiled", 10, 2_500.0), Way("interpreted", 600, 50.0))
}


@dataclass
class CoreUse:
    """CPU time of the generator's processes, by second of the run and role. [s]"""

    used_s: dict[tuple[int, str], float] = field(default_factory=dict)

    def add(self, news: Mapping[str, Any]) -> None:
        """Take what the processes have told."""
        for window in news["windows"]:
            if "cpu_s" in window:  # what comes after the last whole second has none
                key = window["second"], window["role"]
                self.used_s[key] = self.used_s.get(key, 0.0) + window["cpu_s"]

    def share(self, duration_s: float, roles: Sequence[str] = ("receive", "publish")) -> float:
        """Mean share of a core over the whole seconds of a run. [1]"""
        seconds = max(int(duration_s), 1)
        keys = itertools.product(range(seconds), roles)
        return sum(self.used_s.get(key, 0.0) for key in keys) / seconds


@dataclass(frozen=True)
class Played:
    """A play: its record, and what the generator's processes used meanwhile."""

    run: Run
    use: CoreUse

    def load(self) -> Load:
        """Its rate, and what it took."""
        header = self.run.header
        return Load(
            publications_per_s=header.counts.publications / header.duration_s,
            core_share=self.use.share(header.duration_s),
            server_core_share=header.measurement["server"]["cpu_s"]["alpha"] / header.duration_s,
        )


def play(described: Topology, grid: Grid, rate_per_s: float, duration_s: float) -> Played:
    """Play a plan of so many publications a second, with the generator on the last core.

    Parameters
    ----------
    described, grid
        A way's topology, and a grid for it.
    rate_per_s, duration_s : float
        The plan's. [1/s], [s]
    """
    use = CoreUse()
    last = split_cores()[1][-1:]
    settings = engine.Settings(logins_per_s=LOGINS_PER_S, warm_up_s=0.0, cores=last)
    run = engine.play(
        described, grid, load=rate_per_s, duration_s=duration_s, progress=use.add,
        door="gridlab bench pace", settings=settings,
    )  # fmt: skip
    return Played(run, use)


def search(rate_per_s: float, pilot: Callable[[float], Load]) -> tuple[float, list[Load]]:
    """The rate at which the generator uses a little more than half of its core. [1/s]

    It is less where the server would be the limit.

    Parameters
    ----------
    rate_per_s : float
        Where to begin. [1/s]
    pilot : callable
        `pilot(rate_per_s)` plays that rate for a short while.

    Returns
    -------
    float, list of Load
        The rate, and the short plays that led to it.
    """
    pilots: list[Load] = []
    while len(pilots) < PILOTS:
        found = pilot(rate_per_s)
        pilots.append(found)
        factor = min(
            AIM / max(found["core_share"], 1e-3),
            SERVER_MOST / max(found["server_core_share"], 1e-3),
            FASTER,
        )
        rate_per_s *= factor
        if abs(factor - 1.0) < NEAR:
            break
    return rate_per_s, pilots
