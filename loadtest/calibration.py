"""A ten-second cost fit: what this machine's server pays per publication, against the profile's.

The pilot plays the topology's own Platforms and payloads at a light Poisson load: evenly spaced
publications cost a real Prosody less each, and no grid publishes so. One figure is taken
from it, the server's CPU seconds per publication, and one number is fitted for each Controller, the
profile's speed factor: all its costs scale with it, its structure stays. The pilot's plan is never
one that a validation point plays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import topologies
from results import figures, statistics
from topologies.profiles import Profile
from topologies.schema import Poisson, Topology

if TYPE_CHECKING:
    from results import Run

PILOT_SEED_SHIFT = 1_000_003
PILOT_RATE_PER_S = 6.0


class Predict(Protocol):
    """`sim.simulate`, or anything that answers alike."""

    def __call__(
        self,
        topology: Topology,
        *,
        seed: int,
        profiles: dict[str, Profile] | None,
        load: float,
        plan_replication: int | None,
        door: str,
    ) -> Run: ...


class Measure(Protocol):
    """`loadtest.engine.play` on a grid that is up."""

    def __call__(self, topology: Topology, *, seed: int, load: float) -> Run: ...


@dataclass(frozen=True)
class Fit:
    """The profiles of this machine, the factor behind them, and the pilot that it rests on."""

    profiles: dict[str, Profile]
    speed: statistics.Estimate
    pilot: Run

    def document(self) -> dict[str, Any]:
        """The fit as `gridlab validate --json` shows it."""
        return {
            "speed": self.speed,
            "pilot": self.pilot.header.run_id,
            "publications": self.pilot.header.counts.publications,
        }


def fit(
    topology: Topology, predict: Predict, measure: Measure, *, seed: int, duration_s: float
) -> Fit:
    """Play the pilot for `duration_s` [s] and scale the profiles to what its publications cost."""
    light = pilot(topology, duration_s)
    key = seed + PILOT_SEED_SHIFT
    measured = measure(light, seed=key, load=1.0)
    predicted = predict(
        light, seed=key, profiles=None, load=1.0, plan_replication=0, door="gridlab validate"
    )
    samples = [figures.Figures([run]).busy_per_publication() for run in (predicted, measured)]
    speed = statistics.ratio(samples[0], samples[1], paired=False)
    factor = samples[1].value / samples[0].value
    profiles = {}
    for controller in topology.controllers:
        shipped = topologies.profile(topology, controller.name)
        profiles[controller.name] = shipped.model_copy(update={"speed": shipped.speed * factor})
    return Fit(profiles, speed, measured)


def pilot(topology: Topology, duration_s: float) -> Topology:
    """The same grid with Poisson publications, about six a second, and no attack."""
    workload = topology.workload
    pairs = {(arrivals.topic, arrivals.by) for arrivals in workload.arrivals}
    arrivals = tuple(
        Poisson.model_validate(
            {
                "process": "poisson",
                "topic": topic,
                "by": by,
                "rate": f"{PILOT_RATE_PER_S / len(pairs)} /s",
            }
        )
        for topic, by in sorted(pairs)
    )
    light = workload.model_copy(
        update={"arrivals": arrivals, "duration": duration_s, "study": "steady"}
    )
    return topology.model_copy(update={"workload": light, "attacks": ()})
