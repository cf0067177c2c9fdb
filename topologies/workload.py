"""The workload of a topology file: who publishes where and when (arrival processes)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topologies.model import Name, Node, Sourced
from topologies.quantities import Fraction, PositivePerSecond, PositiveSeconds, Seconds


class Arrivals(Sourced):
    """Publications of one population on one Topic: the whole group's process."""

    topic: Node = Field(description="Topic")
    by: Name = Field(description="publishing population")
    start: Seconds = Field(0.0, description="first instant at which it may publish [s]")
    end: PositiveSeconds | None = Field(None, description="last instant; absent: the run's end [s]")


class Deterministic(Arrivals):
    """One publication every 1/rate, at start + k/rate, by the Platforms in turn."""

    process: Literal["deterministic"]
    rate: PositivePerSecond = Field(description="publications per second [1/s]")


class Poisson(Arrivals):
    """Exponential gaps: memoryless publications."""

    process: Literal["poisson"]
    rate: PositivePerSecond = Field(description="mean publications per second [1/s]")


class OnOff(Arrivals):
    """Interrupted Poisson: at `rate` during exponential on-times, silent in between."""

    process: Literal["on-off"]
    rate: PositivePerSecond = Field(description="while on [1/s]")
    mean_on: PositiveSeconds = Field(description="mean length of an on-time [s]")
    mean_off: PositiveSeconds = Field(description="mean length of a silence [s]")


class Batch(Arrivals):
    """Poisson batches (M^X): all publications of a batch at the same instant."""

    process: Literal["batch"]
    rate: PositivePerSecond = Field(description="batches per second [1/s]")
    mean_size: float = Field(ge=1, le=1e6, description="mean publications per batch")
    distribution: Literal["fixed", "geometric"] = Field("fixed", description="of the batch's size")


class Sine(Arrivals):
    """Poisson of rate mean * (1 + amplitude * sin(2 pi (t + shift) / period)): a diurnal shape."""

    process: Literal["sine"]
    rate: PositivePerSecond = Field(description="mean [1/s]")
    amplitude: Fraction = Field(0.5, description="swing about the mean, relative to it [1]")
    period: PositiveSeconds = Field(description="length of one swing [s]")
    shift: Seconds = Field(0.0, description="how far into its period the run begins [s]")


class Ramp(Arrivals):
    """Poisson whose rate moves linearly from `rate` to `final_rate` between start and end."""

    process: Literal["ramp"]
    rate: PositivePerSecond = Field(description="at the start [1/s]")
    final_rate: PositivePerSecond = Field(description="at the end [1/s]")


class Step(Arrivals):
    """Poisson whose rate is `rates[i]` in the i-th of equal parts between start and end."""

    process: Literal["step"]
    rates: tuple[PositivePerSecond, ...] = Field(
        min_length=1, max_length=1000, description="one rate for each part [1/s]"
    )


class Trace(Arrivals):
    """Publications at the instants of a CSV file with the header `intended_s[,payload_bytes]`."""

    process: Literal["trace"]
    file: str = Field(min_length=1, description="path relative to the topology file")


ArrivalProcess = Annotated[
    Deterministic | Poisson | OnOff | Batch | Sine | Ramp | Step | Trace,
    Field(discriminator="process"),
]


class Workload(Sourced):
    """How long, what kind of study, and who publishes when."""

    study: Literal["steady", "campaign"] = Field(
        "steady", description="steady: warm-up is cut; campaign: figures per phase, nothing is cut"
    )
    duration: PositiveSeconds = Field(description="length of the run [s]")
    arrivals: tuple[ArrivalProcess, ...] = Field(
        min_length=1, max_length=10_000, description="who publishes, where and how"
    )
