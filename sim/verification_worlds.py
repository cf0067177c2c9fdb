"""What `gridlab verify` is made of: small grids, how much of them is simulated, and a known figure.

Symbols: S = 10 ms is a job's mean service time, rho the utilisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from results.run import Run
from sim.replications import simulate
from sim.workers import cores
from topologies.profiles import Profile
from topologies.schema import Topology

Floats = npt.NDArray[np.float64]
SERVICE_S = 0.010
LEVEL = 0.999
WARM_UP = 0.1  # share of a run that is cut
UTILISATIONS = (0.3, 0.7, 0.9, 0.95)


@dataclass(frozen=True)
class Effort:
    """How much is simulated: replications, and a factor on the number of jobs."""

    replications: int
    jobs: float
    seed: int

    def widened(self, half_width: float) -> float:
        """The half-width to ask for with so many jobs instead of all in 16 replications."""
        from scipy import stats

        wider = stats.t.ppf(LEVEL, [self.replications - 1, 15])
        return float(half_width * wider[0] / wider[1] * (16 / self.jobs / self.replications) ** 0.5)


@dataclass(frozen=True)
class Figure:
    """A figure that is known, and what each replication says about it.

    `narrow` is the largest half-width of the interval, relative to `theory`. `at_most` says that
    the theory is a bound that no replication exceeds, `fluid_error` by how much a fluid form may be
    off, relative to it. `published` and `other` name a source.
    """

    name: str
    theory: float
    values: Floats
    narrow: float
    utilisation: float | None = None
    at_most: bool = False
    fluid_error: float = 0.0
    published: tuple[float, str] | None = None
    other: tuple[Floats, str] | None = None


@dataclass(frozen=True)
class World:
    """Topics, their subscribers, a `fifo` server and how publications come, on Topic `t` or others.

    `topics` has the priority of each.
    """

    arrivals: tuple[Mapping[str, Any], ...]
    duration_s: float
    costs: Mapping[str, Any]
    copies: int = 1
    cores: int = 1
    more: Mapping[str, Any] = field(default_factory=dict)
    reader: Mapping[str, Any] = field(default_factory=dict)
    topics: Mapping[str, int] = field(default_factory=lambda: {"t": 0})

    def topology(self) -> Topology:
        """The grid."""
        controller = {"name": "c", "domain": "c.test", "profile": "known", "cores": self.cores}
        return Topology.model_validate(
            {
                "schema": 1,
                "name": "known",
                "controllers": [{**controller, "nic": "1 TB/s", **self.more}],
                "brokers": [{"name": "b", "controller": "c"}],
                "topics": [
                    {"name": name, "broker": "b", "payload": {"size": "1000 B"}, "priority": rank}
                    for name, rank in self.topics.items()
                ],
                "platforms": [
                    {"name": "pub", "count": 1, "controller": "c", "publishes": [*self.topics]},
                    {"name": "sub", "count": self.copies, "controller": "c",
                     "subscribes": [*self.topics], **self.reader},
                ],
                "workload": {
                    "study": "campaign",
                    "duration": f"{self.duration_s!r} s",
                    "arrivals": [{"topic": "t", "by": "pub", **each} for each in self.arrivals],
                },
            }
        )  # fmt: skip

    def profile(self) -> Profile:
        """The server."""
        return Profile.model_validate(
            {
                "schema": 1,
                "name": "known",
                "server": "none",
                "version": "1",
                "machine": "on paper",
                "measured": "2026-11-25",
                "provenance": {"kind": "assumed", "source": "a queue with a closed form"},
                "costs": {"discipline": "fifo", "publish": "0 s", **self.costs},
                "memory": {"base": "0 B", "session": "0 B", "queued_copy": "0 B"},
                "envelope": {"notification": "0 B"},
            }
        )

    def play(self, effort: Effort) -> Run:
        """Simulate it, in full on all cores; of very many publications a share is kept."""
        return simulate(
            self.topology(),
            seed=effort.seed,
            replications=effort.replications,
            processes=cores() if effort.jobs >= 1.0 else None,
            profiles={"c": self.profile()},
        )

    def play_whole(self, effort: Effort) -> Iterator[Run]:
        """Simulate replications one by one, so that every publication is kept."""
        topology, profiles = self.topology(), {"c": self.profile()}
        for number in range(effort.replications):
            seed = 1000 * effort.seed + number
            run = simulate(topology, seed=seed, replications=1, profiles=profiles, stages=False)
            assert run.header.publication_stride == 1, "every publication is looked at"
            yield run


def by_replication(run: Run, of: Callable[[Mapping[str, Any]], float]) -> Floats:
    """A figure of the kept publications of each replication, in order of their instants."""
    rows, found = run.publications, []
    for replication in range(run.header.replications):
        own = np.flatnonzero(rows["replication"] == replication)
        own = own[np.argsort(rows["intended_s"][own], kind="stable")]
        found.append(of({name: rows[name][own] for name in rows}))
    return np.array(found)
