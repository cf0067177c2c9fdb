"""What a grid promises, as figures that a simulation can meet or miss.

`p99 < 200 ms` bounds a quantile of the latency of legitimate deliveries; `timely > 99 %` the share
of them that arrives within the topology's deadline; `whole < 90 s` how long after its Controller
began to restart 99 % of each population are back for good.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from results import sessions
from results.figures import Figures
from results.statistics import Sample, certainty
from sim.reconnects import START_S
from topologies import TopologyError
from topologies.problems import printable
from topologies.quantities import Quantity
from topologies.schema import Slo, Topology

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
_FORM = re.compile(r"\s*(p\d+|timely|whole)\s*(<=?|>=?|≤|≥)\s*(.+?)\s*")
_TIME = Quantity((1, 0), "s", "5 ms or 2 min", positive=True)
_SHARE = Quantity((0, 0), "1", "0.99 or 99 %", positive=True, high=1.0)


@dataclass(frozen=True)
class Objective:
    """A figure and its bound: a latency in seconds below it, or a share above it."""

    figure: str
    bound: float

    @property
    def text(self) -> str:
        """As it is written on the command line."""
        from results import units

        if self.figure == "timely":
            return f"timely > {100.0 * self.bound:g} %"
        length_s, unit = units.seconds_scale(self.bound)
        return f"{self.figure} < {self.bound / length_s:g} {unit}"

    def sample(self, figures: Figures, held_s: float = 0.0) -> Sample:
        """The figure of a run, of events that are held for so long before they are published. [s]

        The share that is timely is not moved: the run's own deadline must have been shortened.
        """
        if self.figure == "timely":
            return figures.timely_share()
        if self.figure == "whole":
            return sessions.whole_again(figures.units, START_S)
        return figures.latency().sample(QUANTILES[self.figure]).later(held_s)

    def met(self, sample: Sample) -> bool:
        """Whether the figure's value keeps the bound."""
        if math.isnan(sample.value):
            return True  # nothing is delivered that could be late
        return sample.value >= self.bound if self._above else sample.value <= self.bound

    def certainty(self, sample: Sample) -> float:
        """How sure it is that the verdict would be the same with ever more replications. [1]"""
        return certainty(sample, self.bound)

    @property
    def _above(self) -> bool:
        return self.figure == "timely"


def objectives(topology: Topology, texts: Sequence[str] = ()) -> tuple[Objective, ...]:
    """What is asked for: the texts, else the topology's p99, else its deadline for the p99.

    Being whole again says nothing of deliveries: it is asked for beside the rest, not instead.

    Raises
    ------
    TopologyError
        A text that is no objective; all at once.
    """
    if not texts:
        return _own(topology.slo)
    found, problems = [], []
    for text in texts:
        match = _FORM.fullmatch(text)
        if match is None or (match[1] not in ("timely", "whole", *QUANTILES)):
            rule = "is no objective; write for example 'p99 < 200 ms' or 'timely > 99 %'"
            problems.append(f'--slo "{printable(text)[:80]}": {rule}')
            continue
        if (match[1] == "timely") == match[2].startswith(("<", "≤")):
            rule = "a latency is bounded from above, a share from below; turn the sign"
            problems.append(f'--slo "{printable(text)[:80]}": {rule}')
            continue
        try:
            quantity = _SHARE if match[1] == "timely" else _TIME
            found.append(Objective(match[1], quantity.read(match[3])))
        except PydanticCustomError as error:
            problems.append(f'--slo "{printable(text)[:80]}": {error.message()}')
    if problems:
        raise TopologyError(problems)
    if all(each.figure == "whole" for each in found):
        return (*_own(topology.slo), *found)
    return tuple(found)


def _own(slo: Slo) -> tuple[Objective, ...]:
    return (Objective("p99", slo.p99 if slo.p99 is not None else slo.deadline),)


def latency_bound_s(asked: Sequence[Objective]) -> float:
    """The tightest bound that the p99 must keep; infinite without one. [s]"""
    tails = [each.bound for each in asked if QUANTILES.get(each.figure, 0.0) >= 0.99]
    return min(tails, default=math.inf)
