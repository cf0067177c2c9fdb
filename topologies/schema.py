"""What a topology file says: every section, field, unit and default, written once.

The models are frozen; figures are floats in seconds, bytes, 1/s and B/s (`topologies.quantities`
reads the units). Messages, the JSON Schema and the tables in the docs come from here. Rules that
need more than one section live in `topologies.checks`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from topologies.quantities import (
    BytesPerSecond,
    Fraction,
    PositiveBytes,
    PositivePerSecond,
    PositiveSeconds,
    Ratio,
    Seconds,
)

NODE = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,126}$"
NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
DOMAIN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){0,15}$"

Name = Annotated[str, Field(pattern=NAME)]
Node = Annotated[str, Field(pattern=NODE)]
Domain = Annotated[str, Field(pattern=DOMAIN)]


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "must be a whole number")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth_value)]


class Model(BaseModel):
    """Base of every section: frozen, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Provenance(Model):
    """Where a group of figures comes from."""

    kind: Literal["published", "derived", "assumed", "measured"]
    source: str = Field(
        min_length=3, description="publication, arithmetic or run that the figures rest on"
    )


class Sourced(Model):
    """A section whose figures name their source."""

    provenance: Provenance | None = None


class Controller(Sourced):
    """An XMPP server (RFC 8600 section 2: Controller)."""

    name: Name
    domain: Domain
    profile: Name = Field(description="cost profile: a file in profiles/ or beside the topology")
    cores: Whole = Field(1, ge=1, le=256)
    nic: BytesPerSecond = Field(125e6, description="egress link shared by all its Platforms [B/s]")
    memory: PositiveBytes = Field(4 * 1024.0**3, description="memory that the server may fill [B]")


class Broker(Sourced):
    """A publish-subscribe service (XEP-0060) in the Controller's process; it keeps Topics."""

    name: Domain
    controller: Name


class Payload(Model):
    """Content of a Topic's items: what kind and how large on the wire."""

    kind: Literal["iodef", "json", "opaque"] = "opaque"
    size: PositiveBytes = Field(description="mean payload size [B]")
    cv: Ratio = Field(
        0.0, description="coefficient of variation of a log-normal size; 0 is constant [1]"
    )
    max: PositiveBytes = Field(200e3, description="sizes are cut here [B]")


class Topic(Sourced):
    """A XEP-0060 node."""

    name: Node
    broker: Name
    payload: Payload
    access: Literal["open", "whitelist"] = "open"
    persist: bool = False
    max_items: Whole = Field(1, ge=1, le=1_000_000)


class Subscription(Model):
    """A Topic and the share of the population that subscribes to it; a bare name means all."""

    topic: Node
    fraction: Fraction = Field(1.0, description="seeded choice of this share of the Platforms [1]")

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: object) -> object:
        return {"topic": value} if isinstance(value, str) else value


class Network(Model):
    """The path between a Platform and its Controller."""

    delay: Seconds = Field(0.0, description="one-way delay, constant [s]")


class Population(Sourced):
    """A group of like Platforms (RFC 8600 section 2: Platform)."""

    name: Name
    count: Whole = Field(ge=1, le=5_000_000)
    controller: Name
    role: Literal["legitimate", "adversary"] = "legitimate"
    publishes: tuple[Node, ...] = ()
    subscribes: tuple[Subscription, ...] = ()
    network: Network = Network()
    read_rate: PositivePerSecond | None = Field(
        None, description="items per second that one Platform can take in; absent: no limit [1/s]"
    )

    def share(self, topic: str) -> float:
        """Share of its Platforms that subscribe to the Topic; 0 where it does not say. [1]"""
        return next((each.fraction for each in self.subscribes if each.topic == topic), 0.0)

    def subscriber_count(self, topic: str) -> int:
        """Platforms of it that subscribe to the Topic: its share, rounded to whole ones."""
        return math.floor(self.count * self.share(topic) + 0.5)


class Arrivals(Sourced):
    """Publications of one population on one Topic: the whole group's process."""

    topic: Node
    by: Name
    start: Seconds = Field(0.0, description="first instant at which this process may publish [s]")
    end: PositiveSeconds | None = Field(
        None, description="last instant; absent: the workload's end [s]"
    )


class Deterministic(Arrivals):
    """One publication every 1/rate."""

    process: Literal["deterministic"]
    rate: PositivePerSecond


class Poisson(Arrivals):
    """Exponential gaps: memoryless publications."""

    process: Literal["poisson"]
    rate: PositivePerSecond


class OnOff(Arrivals):
    """Interrupted Poisson: at `rate` during exponential on-times, silent in between."""

    process: Literal["on-off"]
    rate: PositivePerSecond = Field(description="while on [1/s]")
    mean_on: PositiveSeconds
    mean_off: PositiveSeconds


class Batch(Arrivals):
    """Poisson batches (M^X): all publications of a batch at the same instant."""

    process: Literal["batch"]
    rate: PositivePerSecond = Field(description="batches per second [1/s]")
    mean_size: float = Field(ge=1, le=1e6)
    distribution: Literal["fixed", "geometric"] = "fixed"


class Sine(Arrivals):
    """Poisson of rate mean * (1 + amplitude * sin(2 pi (t + shift) / period)): a diurnal shape."""

    process: Literal["sine"]
    rate: PositivePerSecond = Field(description="mean [1/s]")
    amplitude: Fraction = 0.5
    period: PositiveSeconds
    shift: Seconds = 0.0


class Ramp(Arrivals):
    """Poisson whose rate moves linearly from `rate` to `final_rate` between start and end."""

    process: Literal["ramp"]
    rate: PositivePerSecond
    final_rate: PositivePerSecond


class Step(Arrivals):
    """Poisson whose rate is `rates[i]` in the i-th of equal parts between start and end."""

    process: Literal["step"]
    rates: tuple[PositivePerSecond, ...] = Field(min_length=1, max_length=1000)


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
    duration: PositiveSeconds
    arrivals: tuple[ArrivalProcess, ...] = Field(min_length=1)


class PublishFlood(Sourced):
    """An adversary that publishes as fast as it likes (RFC 8600 section 8.2.2)."""

    kind: Literal["publish-flood"]
    name: Name
    by: Name = Field(description="an adversary population")
    topic: Node
    start: Seconds
    duration: PositiveSeconds
    rate: PositivePerSecond = Field(
        description="publications per second, Poisson, the whole group [1/s]"
    )
    size: PositiveBytes | None = Field(None, description="payload size; absent: the Topic's [B]")


Attack = PublishFlood


class Slo(Sourced):
    """What the grid promises its legitimate Platforms."""

    deadline: PositiveSeconds = Field(
        1.0, description="a delivery counts as goodput within this latency [s]"
    )
    p99: PositiveSeconds | None = Field(None, description="99th percentile of latency [s]")


@dataclass(frozen=True)
class Source:
    """Where a topology came from: the text as written, its file, the changes made to it."""

    text: str
    path: Path | None = None
    overrides: tuple[str, ...] = ()


class Topology(Model):
    """A whole grid and what happens to it: what paper, simulation and load share."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    description: str = ""
    controllers: tuple[Controller, ...] = Field(min_length=1, max_length=1000)
    brokers: tuple[Broker, ...] = Field(min_length=1, max_length=1000)
    topics: tuple[Topic, ...] = Field(min_length=1, max_length=65_535)
    platforms: tuple[Population, ...] = Field(min_length=1, max_length=10_000)
    workload: Workload
    attacks: tuple[Attack, ...] = ()
    slo: Slo = Slo()
    _source: Source | None = PrivateAttr(default=None)

    @property
    def source(self) -> Source | None:
        """The file behind it, if any; not part of its identity."""
        return self._source

    def platform_offsets(self) -> dict[str, int]:
        """Index of each population's first Platform: populations are contiguous, in file order."""
        offsets: dict[str, int] = {}
        total = 0
        for population in self.platforms:
            offsets[population.name] = total
            total += population.count
        return offsets

    @property
    def platform_count(self) -> int:
        """Platforms of all populations together."""
        return sum(population.count for population in self.platforms)
