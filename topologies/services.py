"""The services of a topology file: Controllers and their links, Brokers, and their Topics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from topologies.limits import Limits, SessionQueue
from topologies.logins import Admission, Offline, Resumption
from topologies.model import Domain, Model, Name, Node, Sourced, Whole
from topologies.quantities import (
    Bytes,
    BytesPerSecond,
    Delay,
    Growth,
    PositiveBytes,
    PositiveSeconds,
    Ratio,
    Seconds,
    SecondsPerByte,
    Share,
)


class Server(Sourced):
    """A server under development: what is deployed instead of, or beside, the system's package."""

    executable: str | None = Field(
        None, description="program instead of the installed one; a path relative to the file"
    )
    configuration: str | None = Field(
        None, description="file whose text goes into the server's global settings"
    )
    modules: tuple[str, ...] = Field(
        (), max_length=100, description="files `mod_NAME.lua` that Prosody also loads"
    )


class Running(Model):
    """Where a Controller is that runs already; files are named relative to the topology's."""

    address: str = Field(
        pattern=r"^[0-9a-f.:]{2,39}$",
        description="numeric address; beyond loopback only with its own Broker's consent",
    )
    port: Whole = Field(5222, ge=1, le=65_535, description="for STARTTLS")
    direct_tls_port: Whole = Field(5223, ge=1, le=65_535, description="for direct TLS")
    ca: str = Field(min_length=1, description="file with the certificates to trust (PEM)")
    accounts: str = Field(
        min_length=1,
        description="file with the columns `jid,password`: the Platforms, and "
        "`admin@domain`, who owns the Topics",
    )


class Collection(Sourced):
    """How a Prosody collects garbage (`gc` of its configuration)."""

    growth: Growth = Field(
        0.05,
        description="what its heap may grow by before a cycle begins: 0.5 is a `threshold` of 150; "
        "Lua 5.4 rounds it down to a multiple of 4 %",
    )


class Neighbours(Sourced):
    """Other guests of a shared machine: in spells, all that a server does takes more CPU time.

    Costs of the profile, and of a Broker that is a component, are those of a light load in such
    time. All cores of a server are slow at once, and a component beside it with them; nodes of a
    cluster each for itself. Of a grid that is deployed it says what machine it stands on: nothing
    is slowed there on purpose.
    """

    factor: float = Field(gt=1.0, le=100.0, description="CPU time in a spell over that between [1]")
    share: Share = Field(description="share of the time that is spells [1]")
    mean: PositiveSeconds = Field(description="mean length of a spell, exponential [s]")


class SlowStep(Model):
    """A piece of a recorded slowness: how long it lasted, and how slow the machine was."""

    lasts: PositiveSeconds = Field(description="how long [s]")
    factor: float = Field(gt=0.0, le=1000.0, description="CPU time over the profile's [1]")


class Slowness(Sourced):
    """How slow a server's machine was, step by step, as it was recorded.

    It is played over and over; a replication begins at an instant of its own, the same for all
    servers. Costs of the profile hold where the factor is one. All cores of a server are slow at
    once, and a component beside it with them. Of a grid that is deployed it says what machine it
    stands on: nothing is slowed there on purpose.
    """

    steps: tuple[SlowStep, ...] = Field(min_length=1, max_length=100_000, description="in turn")

    @property
    def length_s(self) -> float:
        """Of the whole record. [s]"""
        return sum(step.lasts for step in self.steps)


NODES_MAX = 16


class Controller(Sourced):
    """An XMPP server (RFC 8600 section 2: Controller)."""

    name: Name = Field(description="how the rest of the file calls it")
    domain: Domain = Field(description="its XMPP domain; Platforms are `population-k@domain`")
    profile: Name = Field(description="cost profile: a file in profiles/ or beside the topology")
    cores: Whole = Field(1, ge=1, le=256, description="cores that the server may use")
    nic: BytesPerSecond = Field(125e6, description="egress link shared by all its Platforms [B/s]")
    memory: PositiveBytes = Field(4e9, description="memory that the server may fill [B]")
    nodes: Whole = Field(
        1, ge=1, le=NODES_MAX, description="servers that share the domain as one cluster (ejabberd)"
    )
    hop: Delay = Field(100e-6, description="one way between two nodes of a cluster, constant [s]")
    limits: Limits = Field(Limits(), description="what it takes in at most")
    queue: SessionQueue | None = Field(
        None, description="outbound queue of each session; absent: a copy is written and gone"
    )
    running: Running | None = Field(
        None, description="a Controller that runs already: it is joined, not deployed"
    )
    resumption: Resumption | None = Field(
        None, description="sessions survive broken connections; absent: they do not"
    )
    offline: Offline | None = Field(
        None,
        description="storage of notifications for Platforms without a session; absent: none",
    )
    admission: Admission | None = Field(None, description="how many logins it takes in")
    collection: Collection | None = Field(
        None, description="garbage collection of a Prosody; absent: as its profile was measured"
    )
    neighbours: Neighbours | None = Field(
        None, description="who shares its machine and slows it; absent: nobody"
    )
    slowness: Slowness | None = Field(
        None, description="how slow its machine was, as recorded; instead of `neighbours`"
    )
    waits: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="how long its process is ready and has no core, over the CPU time that it "
        "uses: all that it does takes as much longer [1]",
    )
    server: Server | None = Field(
        None, description="a server under development, for `gridlab grid`, `load` and `regress`"
    )

    @property
    def steady(self) -> bool:
        """Whether nothing slows its machine again and again."""
        return self.neighbours is None and self.slowness is None


class ComponentCosts(Model):
    """CPU times of a Broker that is a component: one server, first come, first served."""

    publish: Seconds = Field(0.0, description="read a publish, look up its subscribers [s]")
    publish_per_byte: SecondsPerByte = Field(0.0, description="and for each payload byte [s/B]")
    copy_: Seconds = Field(0.0, alias="copy", description="build and write one copy [s]")
    copy_per_byte: SecondsPerByte = Field(0.0, description="and for each payload byte [s/B]")


class Broker(Sourced):
    """A publish-subscribe service (XEP-0060) of a Controller; it keeps Topics."""

    name: Domain = Field(description="first part of its address, `name.domain`")
    controller: Name = Field(description="Controller that hosts it")
    kind: Literal["in-process", "component"] = Field(
        "in-process",
        description="in the server's own process, or a process beside it (XEP-0114)",
    )
    costs: ComponentCosts | None = Field(
        None, description="of a component in simulations, where it must be given"
    )
    delay: Delay = Field(
        50e-6, description="one way between a component and its Controller, constant [s]"
    )
    runs_on: Literal["every-node", "first-node"] = Field(
        "every-node",
        description="which nodes of a cluster make copies: each of what comes in there, as "
        "ejabberd does, or the first of all",
    )


class Payload(Model):
    """Content of a Topic's items: what kind and how large on the wire."""

    kind: Literal["iodef", "json", "opaque"] = Field("opaque", description="what an item holds")
    size: PositiveBytes = Field(description="mean payload size, before the cut [B]")
    cv: Ratio = Field(0.0, description="standard deviation of a log-normal size over its mean [1]")
    max: PositiveBytes = Field(200e3, description="larger sizes are cut to this [B]")


class Fetch(Model):
    """How a payload is had that an item refers to (XEP-0447): over HTTPS, from its Publisher.

    The Publisher's `network.uplink` carries it; fetches under way share that evenly.
    """

    reference: PositiveBytes = Field(
        400.0, description="what the item holds instead: address, size, hash [B]"
    )
    overhead: Bytes = Field(4e3, description="certificates and headers around the payload [B]")
    round_trips: Whole = Field(
        3, ge=1, le=20, description="of a fetch: to connect, for TLS 1.3, for the request"
    )
    connections: Whole | None = Field(
        None, ge=1, le=100_000, description="fetches that one Publisher serves at a time, others "
        "wait in turn; absent: all"
    )  # fmt: skip
    spread: Seconds = Field(
        0.0, description="each subscriber waits at most so long before it fetches, drawn evenly [s]"
    )


class Topic(Sourced):
    """A XEP-0060 node."""

    name: Node = Field(description="its node")
    broker: Name = Field(description="Broker that keeps it")
    payload: Payload = Field(description="kind and size of its items")
    access: Literal["open", "whitelist", "authorize"] = Field(
        "open", description="who may subscribe: all, those listed, those that the owner approves"
    )
    persist: bool = Field(False, description="whether items are kept on disk")
    max_items: Whole = Field(1, ge=1, le=1_000_000, description="items kept")
    notify_retract: bool = Field(
        False, description="whether subscribers are told of each item that a full Topic drops"
    )
    priority: Whole = Field(
        0,
        ge=-9,
        le=9,
        description="what waits at its server goes before what is of lower priority; steps of "
        "logins have 0 (only simulated, of components and profiles of discipline fifo)",
    )
    notification: Literal["headline", "normal"] = Field(
        "headline",
        description="type of its notifications; headlines, the default of both servers, are never "
        "stored for who is offline",
    )
    last_item: Literal["never", "on-subscribe", "on-login"] = Field(
        "never", description="when a subscriber is sent the last item once more"
    )
    flow: Literal["broker", "direct"] = Field(
        "broker",
        description="whether items hold their payload, or a reference to fetch it by from the "
        "Publisher",
    )
    fetch: Fetch = Field(Fetch(), description="how it is fetched, with flow: direct")

    def item_bytes(self, payload_bytes: float) -> float:
        """What an item holds whose payload is of this size. [B]"""
        return self.fetch.reference if self.flow == "direct" else payload_bytes


class Link(Sourced):
    """The way between two Controllers (server to server, RFC 6120), alike in both directions.

    Each direction is one serial connection. Controllers that no entry names are linked by the
    defaults.
    """

    from_: Name = Field(alias="from", description="one Controller")
    to: Name = Field(description="the other Controller")
    delay: Delay = Field(1e-3, description="one-way delay, constant [s]")
    rate: BytesPerSecond | None = Field(
        None, description="what one direction carries; absent: no limit [B/s]"
    )
    copies: Literal["subscriber", "domain"] = Field(
        "subscriber",
        description="a copy for each remote subscriber, as servers do, or one for each domain, "
        "which a repeater there hands out",
    )

    def joins(self, one: str, other: str) -> bool:
        """Whether it is the link between these two Controllers."""
        return {one, other} == {self.from_, self.to}
