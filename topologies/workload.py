"""The workload of a topology file: who publishes where and when, and who asks for what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topologies.model import Model, Name, Node, Sourced, Whole
from topologies.quantities import Fraction, PositivePerSecond, PositiveSeconds, Ratio, Seconds

OFFICE_DAY = (
    0.3, 0.2, 0.2, 0.2, 0.3, 0.5, 0.9, 1.7, 2.6, 2.2, 1.7, 1.6,
    1.5, 2.2, 1.8, 1.5, 1.3, 1.2, 0.9, 0.6, 0.5, 0.4, 0.4, 0.3,
)  # fmt: skip


class Arrivals(Sourced):
    """Publications of one population on one Topic: the whole group's process."""

    topic: Node = Field(description="Topic")
    by: Name = Field(description="publishing population")
    start: Seconds = Field(0.0, description="first instant at which it may publish [s]")
    end: PositiveSeconds | None = Field(None, description="last instant; absent: the run's end [s]")
    further_topics: tuple[Node, ...] = Field(
        (),
        max_length=10_000,
        description="less and less popular Topics: the rates are shared out among all by Zipf's "
        "law, the k-th in proportion to k^-exponent; batches and on-times are of one Topic",
    )
    exponent: Ratio = Field(1.0, description="of Zipf's law; 0 shares out evenly [1]")

    @property
    def topics(self) -> tuple[str, ...]:
        """All its Topics, the most popular first."""
        return (self.topic, *self.further_topics)

    def shares(self) -> tuple[float, ...]:
        """Share of each of `topics` in the rates. [1]"""
        weights = [place**-self.exponent for place in range(1, len(self.topics) + 1)]
        return tuple(weight / sum(weights) for weight in weights)


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
    distribution: Literal["fixed", "geometric", "log-normal", "pareto"] = Field(
        "fixed", description="of the batch's size; the last two are heavy-tailed"
    )
    cv: float = Field(
        2.0, gt=0, le=100, description="log-normal: standard deviation over mean, both less one"
    )
    tail: float = Field(
        1.5, gt=1, le=100, description="pareto: exponent of the tail, P(size > x) ~ x^-tail"
    )
    max_size: Whole = Field(
        100_000, ge=1, le=1_000_000, description="heavy-tailed sizes are cut to this"
    )


class Sine(Arrivals):
    """Poisson of rate mean * (1 + amplitude * sin(2 pi (t + shift) / period)): a diurnal shape."""

    process: Literal["sine"]
    rate: PositivePerSecond = Field(description="mean [1/s]")
    amplitude: Fraction = Field(0.5, description="swing about the mean, relative to it [1]")
    period: PositiveSeconds = Field(description="length of one swing [s]")
    shift: Seconds = Field(0.0, description="how far into its period the run begins [s]")


class Spikes(Model):
    """Short bursts: exponential silences, then `height` times the rate for `length`."""

    every: PositiveSeconds = Field(description="mean silence between two spikes [s]")
    length: PositiveSeconds = Field(description="how long each lasts [s]")
    height: float = Field(20.0, gt=1, le=1e4, description="factor on the rate meanwhile [1]")


class Diurnal(Arrivals):
    """Poisson whose rate follows a day's shape, linear between the middles of its parts."""

    process: Literal["diurnal"]
    rate: PositivePerSecond = Field(description="mean over a period, spikes apart [1/s]")
    shape: tuple[Ratio, ...] = Field(
        (),
        max_length=1000,
        description="relative rate in equal parts of a period; absent: the hours of an office day "
        "that begins at midnight, with peaks of 2.2 and 2.6 times the mean [1]",
    )
    period: PositiveSeconds = Field(86_400.0, description="length of a day [s]")
    shift: Seconds = Field(0.0, description="how far into its day the run begins [s]")
    spikes: Spikes | None = Field(None, description="bursts on top")

    @property
    def parts(self) -> tuple[float, ...]:
        """Relative rates of the parts of a period. [1]"""
        return self.shape or OFFICE_DAY

    @property
    def rate_max(self) -> float:
        """The highest rate, in a spike at the peak. [1/s]"""
        height = self.spikes.height if self.spikes else 1.0
        mean = sum(self.parts) / len(self.parts)
        return self.rate * height * max(self.parts) / mean if mean else 0.0


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
    Deterministic | Poisson | OnOff | Batch | Sine | Diurnal | Ramp | Step | Trace,
    Field(discriminator="process"),
]


class Query(Sourced):
    """What the Platforms of a population ask a Broker for, at random or after every login."""

    kind: Literal["items", "page", "pages", "disco"] = Field(
        description="all items that the Topic keeps, one page of them (XEP-0059), all pages one "
        "after another, or the list of the Topics that its Broker keeps (XEP-0030)"
    )
    by: Name = Field(description="population that asks")
    topic: Node = Field(description="Topic")
    rate: PositivePerSecond | None = Field(
        None,
        description="Poisson, the whole population together; absent: each Platform asks once after "
        "each of its logins [1/s]",
    )
    page: Whole | None = Field(None, ge=1, le=1_000_000, description="items on a page")
    start: Seconds = Field(0.0, description="first instant at which it may ask [s]")
    end: PositiveSeconds | None = Field(None, description="last instant; absent: the run's end [s]")


class Workload(Sourced):
    """How long, what kind of study, and who publishes when."""

    study: Literal["steady", "campaign"] = Field(
        "steady", description="steady: warm-up is cut; campaign: figures per phase, nothing is cut"
    )
    duration: PositiveSeconds = Field(description="length of the run [s]")
    arrivals: tuple[ArrivalProcess, ...] = Field(
        min_length=1, max_length=10_000, description="who publishes, where and how"
    )
    queries: tuple[Query, ...] = Field((), max_length=1000, description="who asks for what")
