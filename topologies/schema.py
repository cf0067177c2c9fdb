"""What a topology file says: every section, field, unit and default, written once.

The models are frozen; figures are floats in seconds, bytes, 1/s and B/s (`topologies.quantities`
reads the units). Messages, the JSON Schema and the tables in the docs come from here. Rules that
need more than one section live in `topologies.checks`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

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

    kind: Literal["published", "derived", "assumed", "measured"] = Field(description="how firm")
    source: str = Field(
        min_length=3, description="publication, arithmetic or run that the figures rest on"
    )


class Sourced(Model):
    """A section whose figures name their source."""

    provenance: Provenance | None = Field(None, description="where its figures come from")


class Controller(Sourced):
    """An XMPP server (RFC 8600 section 2: Controller)."""

    name: Name = Field(description="how the rest of the file calls it")
    domain: Domain = Field(description="its XMPP domain; Platforms are `population-k@domain`")
    profile: Name = Field(description="cost profile: a file in profiles/ or beside the topology")
    cores: Whole = Field(1, ge=1, le=256, description="cores that the server may use")
    nic: BytesPerSecond = Field(125e6, description="egress link shared by all its Platforms [B/s]")
    memory: PositiveBytes = Field(4e9, description="memory that the server may fill [B]")


class Broker(Sourced):
    """A publish-subscribe service (XEP-0060) in the Controller's process; it keeps Topics."""

    name: Domain = Field(description="first part of its address, `name.domain`")
    controller: Name = Field(description="Controller that hosts it")


class Payload(Model):
    """Content of a Topic's items: what kind and how large on the wire."""

    kind: Literal["iodef", "json", "opaque"] = Field("opaque", description="what an item holds")
    size: PositiveBytes = Field(description="mean payload size, before the cut [B]")
    cv: Ratio = Field(0.0, description="standard deviation of a log-normal size over its mean [1]")
    max: PositiveBytes = Field(200e3, description="larger sizes are cut to this [B]")


class Topic(Sourced):
    """A XEP-0060 node."""

    name: Node = Field(description="its node")
    broker: Name = Field(description="Broker that keeps it")
    payload: Payload = Field(description="kind and size of its items")
    access: Literal["open", "whitelist"] = Field("open", description="who may subscribe")
    persist: bool = Field(False, description="whether items are kept on disk")
    max_items: Whole = Field(1, ge=1, le=1_000_000, description="items kept")


class Subscription(Model):
    """A Topic and the share of the population that subscribes to it; a bare name means all."""

    topic: Node = Field(description="Topic")
    fraction: Fraction = Field(1.0, description="seeded choice of this share of the Platforms [1]")

    def platforms_of(self, count: int) -> int:
        """That share of so many Platforms, rounded to whole ones."""
        return math.floor(count * self.fraction + 0.5)

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: object) -> object:
        return {"topic": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        reference = handler(core_schema)
        resolved = handler.resolve_ref_schema(reference)
        section = dict(resolved)
        resolved.clear()
        resolved.update(anyOf=[{"type": "string", "pattern": NODE}, section])
        return reference


class Network(Model):
    """The path between a Platform and its Controller."""

    delay: Seconds = Field(0.0, description="one-way delay, constant [s]")


class Population(Sourced):
    """A group of like Platforms (RFC 8600 section 2: Platform)."""

    name: Name = Field(description="first part of its Platforms' accounts")
    count: Whole = Field(ge=1, le=5_000_000, description="how many Platforms")
    controller: Name = Field(description="Controller that they log in to")
    role: Literal["legitimate", "adversary"] = Field(
        "legitimate", description="whose side it is on"
    )
    publishes: tuple[Node, ...] = Field((), description="Topics that it may publish on")
    subscribes: tuple[Subscription, ...] = Field((), description="Topics that it receives")
    network: Network = Field(Network(), description="its path to the Controller")
    read_rate: PositivePerSecond | None = Field(
        None, description="items per second that one Platform can take in; absent: no limit [1/s]"
    )

    def subscriber_count(self, topic: str) -> int:
        """Platforms of it that subscribe to the Topic."""
        wishes = (each for each in self.subscribes if each.topic == topic)
        return next((each.platforms_of(self.count) for each in wishes), 0)


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


class PublishFlood(Sourced):
    """An adversary that publishes as fast as it likes (RFC 8600 section 8.2.2)."""

    kind: Literal["publish-flood"]
    name: Name = Field(description="what reports call it")
    by: Name = Field(description="an adversary population")
    topic: Node = Field(description="Topic that is flooded")
    start: Seconds = Field(description="first instant [s]")
    duration: PositiveSeconds = Field(description="how long it lasts [s]")
    rate: PositivePerSecond = Field(description="Poisson, the whole population together [1/s]")
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

    schema_: Literal[1] = Field(alias="schema", description="version of this format")
    name: Name = Field(description="what runs and reports call it")
    description: str = Field("", max_length=2000, description="one line for `gridlab list`")
    controllers: tuple[Controller, ...] = Field(
        min_length=1, max_length=1000, description="XMPP servers"
    )
    brokers: tuple[Broker, ...] = Field(
        min_length=1, max_length=1000, description="publish-subscribe services"
    )
    topics: tuple[Topic, ...] = Field(
        min_length=1, max_length=65_535, description="what is published on"
    )
    platforms: tuple[Population, ...] = Field(
        min_length=1, max_length=10_000, description="who publishes and subscribes"
    )
    workload: Workload = Field(description="what happens, and for how long")
    attacks: tuple[Attack, ...] = Field((), max_length=1000, description="what adversaries do")
    slo: Slo = Field(Slo(), description="what is promised")
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

    def fan_out(self) -> dict[str, int]:
        """Deliveries that one publication on each Topic makes."""
        copies = dict.fromkeys((topic.name for topic in self.topics), 0)
        for population in self.platforms:
            for each in population.subscribes:
                copies[each.topic] += each.platforms_of(population.count)
        return copies

    @property
    def platform_count(self) -> int:
        """Platforms of all populations together."""
        return sum(population.count for population in self.platforms)
