"""What a topology file says: every section, field, unit and default, written once.

The models are frozen; figures are floats in seconds, bytes, 1/s and B/s (`topologies.quantities`
reads the units). Messages, the JSON Schema and the tables in the docs come from here. Sections live
in `model`, `services`, `limits`, `population`, `workload` and `disturbances`; this module
puts them together and is where all their names can be had. Rules that need more than one section
live in `topologies.checks` and `topologies.session_rules`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from topologies.disturbances import (
    AnyFault,
    Attack,
    Crash,
    Fault,
    Freeze,
    Outage,
    Partition,
    PublishFlood,
    SlowDown,
)
from topologies.limits import (
    AccountLimit,
    AddressLimit,
    ByteRate,
    FailedLogins,
    Limits,
    SessionQueue,
)
from topologies.logins import Admission, Login, Offline, Resumption, Retry
from topologies.model import (
    DOMAIN,
    NAME,
    NODE,
    Domain,
    Model,
    Name,
    Node,
    Provenance,
    Sourced,
    Whole,
)
from topologies.population import (
    BurstyReader,
    Network,
    Population,
    Subscription,
    Template,
    with_rights,
)
from topologies.quantities import PositiveSeconds
from topologies.services import (
    Broker,
    Controller,
    Fetch,
    Link,
    Neighbours,
    Payload,
    Running,
    Server,
    Slowness,
    Topic,
)
from topologies.workload import (
    ArrivalProcess,
    Arrivals,
    Batch,
    Deterministic,
    Diurnal,
    OnOff,
    Poisson,
    Query,
    Ramp,
    Sine,
    Spikes,
    Step,
    Trace,
    Workload,
)


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
    templates: tuple[Template, ...] = Field(
        (), max_length=1000, description="named sets of rights for populations"
    )
    platforms: tuple[Population, ...] = Field(
        min_length=1, max_length=10_000, description="who publishes and subscribes"
    )
    links: tuple[Link, ...] = Field((), max_length=10_000, description="ways between Controllers")
    workload: Workload = Field(description="what happens, and for how long")
    attacks: tuple[Attack, ...] = Field((), max_length=1000, description="what adversaries do")
    faults: tuple[AnyFault, ...] = Field((), max_length=1000, description="what fails")
    slo: Slo = Field(Slo(), description="what is promised")
    _source: Source | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _rights_of_templates(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("templates"), list | tuple):
            return data
        named = [each for each in data["templates"] if isinstance(each, dict)]
        templates = {each["name"]: each for each in named if isinstance(each.get("name"), str)}
        platforms = data.get("platforms")
        if not isinstance(platforms, list | tuple):
            return data
        return {**data, "platforms": [with_rights(each, templates) for each in platforms]}

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

    def link(self, one: str, other: str) -> Link:
        """The link between two Controllers: the entry for them, or one of defaults."""
        given = (each for each in self.links if each.joins(one, other))
        return next(given, None) or Link.model_validate({"from": one, "to": other})

    def fan_out(self) -> dict[str, int]:
        """Deliveries that one publication on each Topic makes."""
        copies = dict.fromkeys((topic.name for topic in self.topics), 0)
        for population in self.platforms:
            for each in population.subscribes:
                copies[each.topic] += each.platforms_of(population.count)
        return copies

    def _repr_html_(self) -> str:
        """How Jupyter shows it."""
        from topologies.description import describe, html

        return html(describe(self))

    def __repr__(self) -> str:
        return f"<Topology {self.name}: {self.platform_count:,} Platforms>"

    @property
    def platform_count(self) -> int:
        """Platforms of all populations together."""
        return sum(population.count for population in self.platforms)


__all__ = [
    "DOMAIN",
    "NAME",
    "NODE",
    "AccountLimit",
    "AddressLimit",
    "Admission",
    "AnyFault",
    "ArrivalProcess",
    "Arrivals",
    "Attack",
    "Batch",
    "Broker",
    "BurstyReader",
    "ByteRate",
    "Controller",
    "Crash",
    "Deterministic",
    "Diurnal",
    "Domain",
    "FailedLogins",
    "Fault",
    "Fetch",
    "Freeze",
    "Limits",
    "Link",
    "Login",
    "Model",
    "Name",
    "Neighbours",
    "Network",
    "Node",
    "Offline",
    "OnOff",
    "Outage",
    "Partition",
    "Payload",
    "Poisson",
    "Population",
    "Provenance",
    "PublishFlood",
    "Query",
    "Ramp",
    "Resumption",
    "Retry",
    "Running",
    "Server",
    "SessionQueue",
    "Sine",
    "Slo",
    "SlowDown",
    "Slowness",
    "Source",
    "Sourced",
    "Spikes",
    "Step",
    "Subscription",
    "Template",
    "Topic",
    "Topology",
    "Trace",
    "Whole",
    "Workload",
]
