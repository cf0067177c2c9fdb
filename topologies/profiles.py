"""Cost profiles: what one operation costs a server, and in which order it works (its discipline).

A profile is measured on one machine (`profiles/*.yaml`, each with machine, date and source) and
carried to another by one speed factor. Times are CPU seconds; per-byte figures multiply the
payload size. `loop-turns` is Prosody's single event loop, `fanout-process` ejabberd's run queue of
processes, `fifo` a plain first-come-first-served server for theory and sketches.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from topologies.logins import Key, Mechanism, Storage, TlsVersion
from topologies.quantities import (
    Bytes,
    Fraction,
    PositivePerSecond,
    PositiveSeconds,
    Ratio,
    Seconds,
    SecondsPerByte,
)
from topologies.schema import Model, Name, Provenance


class Memory(Model):
    """Resident bytes: base + per session + per subscription + copies that wait."""

    base: Bytes
    session: Bytes
    subscription: Bytes = 0.0
    queued_copy: Bytes = Field(
        0.0, description="overhead of one copy that waits, beside its bytes [B]"
    )
    shared: bool = Field(
        False, description="whether copies of an item that wait have its bytes in common"
    )


class Envelope(Model):
    """Bytes that XMPP, TLS and TCP put around a payload on the wire."""

    notification: Bytes = Field(
        380.0, description="event notification around the payload, down to the wire [B]"
    )
    publication: Bytes = Field(
        193.0, description="publish stanza around the payload, as inbound limits count it [B]"
    )
    relayed: Bytes = Field(
        270.0, description="stanza around a payload between Controllers, as limits count it [B]"
    )


class Relay(Model):
    """What a stanza costs that comes from or goes to another station of the grid.

    It is read here, and then built or routed and written as for any session.
    """

    receive: Seconds | None = Field(
        None, description="read and parse one stanza; absent: as much as the discipline's write"
    )
    receive_per_byte: SecondsPerByte | None = Field(
        None, description="and for each byte of its payload; absent: as the write's"
    )


def kept_growth(growth: float) -> float:
    """What Lua 5.4 makes of a growth: it keeps a quarter of the threshold in one byte. [1]"""
    return 4.0 * math.floor(25.0 * (1.0 + growth) + 1e-9) / 100.0 - 1.0


class LoopTurns(Model):
    """One event loop (Prosody 0.12): a read builds all copies, then each session gets one write.

    A read takes what its connection holds. `epoll_wait` returns up to `events_max` ready sockets,
    which are handled last first; garbage collection runs in steps driven by allocation, counted in
    deliveries of 400 B.
    """

    discipline: Literal["loop-turns"]
    publish: Seconds = Field(description="read and parse one publish")
    publish_per_byte: SecondsPerByte = 0.0
    build: Seconds = Field(description="clone and serialise one copy")
    build_per_byte: SecondsPerByte = 0.0
    write: Seconds = Field(description="one write to one session (TLS, send, epoll)")
    write_per_byte: SecondsPerByte = 0.0
    coalesced: Seconds = Field(0.0, description="each further copy in the same write")
    acknowledge: Seconds = Field(0.0, description="write the publisher's result")
    wake: Seconds = Field(
        0.0, description="from an arrival to the first instruction on an idle server"
    )
    cold: Seconds = Field(
        0.0,
        description="further CPU time of the first work after a long rest, as caches are cold by "
        "then",
    )
    cold_after: PositiveSeconds = Field(20e-3, description="rest after which it is 1 - 1/e of that")
    events_max: int = Field(64, ge=1)
    accepts: int = Field(
        0, ge=0, description="new connections that one turn accepts; 0: as many as there are"
    )
    read_bytes: Bytes = Field(
        4096.0, description="one read takes at most this much of a connection"
    )
    publish_envelope: Bytes = Field(
        193.0, description="stanza around a publish, counted against read_bytes"
    )
    collection: Seconds = Field(0.0, description="CPU time of one garbage-collection cycle")
    collection_step: PositiveSeconds = Field(
        4e-3, description="a cycle is spent in steps of this length"
    )
    collection_cv: Ratio = 0.0
    collection_every: float = Field(
        135.0, gt=0, description="allocation between cycles, in deliveries of 400 B"
    )
    collection_step_every: float = Field(
        0.5, gt=0, description="allocation between steps of a running cycle"
    )
    collection_growth: float = Field(
        0.05,
        gt=0,
        description="growth of the heap that begins a cycle, as all this was measured [1]",
    )
    collection_sessions: int = Field(
        600, ge=1, description="sessions that were logged in then, or are to be"
    )
    collection_sweep: Fraction = Field(
        0.0, description="share of a cycle that goes over what is garbage, too, not only what lives"
    )
    heap: Bytes = Field(0.0, description="what collection goes through without any session")
    heap_session: Bytes = Field(
        0.0, description="and for each; without both, cycles are the same for any number"
    )
    allocation_per_byte: float = Field(
        2.64e-4, ge=0, description="allocation per payload byte beyond 400 B"
    )
    allocation_write: float = Field(0.08, ge=0)
    allocation_publish: float = Field(4.0, ge=0)
    cv: Ratio = Field(0.0, description="log-normal spread of a publish's own costs")

    def collecting(self, growth: float | None = None, sessions: int | None = None) -> LoopTurns:
        """These costs where the heap may grow by another share, or holds so many sessions.

        A cycle begins once so much was allocated as the heap may grow; it goes through all that
        lives, and sweeps that and the garbage. So cycles are rarer and longer in proportion to the
        heap, rarer in proportion to the growth that is allowed, and longer only by their sweep.

        Parameters
        ----------
        growth : float, optional
            What the heap may grow by; as it is by default. [1]
        sessions : int, optional
            How many are logged in; as they are by default.
        """
        if growth is None:
            growth = self.collection_growth
        if sessions is None:
            sessions = self.collection_sessions
        before_bytes = self.heap + self.heap_session * self.collection_sessions
        heap = (self.heap + self.heap_session * sessions) / before_bytes if before_bytes else 1.0
        before, after = kept_growth(self.collection_growth), kept_growth(growth)
        rarer, swept = after / before, (1.0 + after) / (1.0 + before)
        longer = 1.0 + self.collection_sweep * (swept - 1.0)
        return self.model_copy(
            update={
                "collection": self.collection * heap * longer,
                "collection_every": self.collection_every * heap * rarer,
                "collection_growth": growth,
                "collection_sessions": sessions,
                "collection_sweep": self.collection_sweep * swept / longer,
            }
        )


class FanoutProcess(Model):
    """A FIFO run queue of processes (ejabberd 23): the publisher's routes, each session's writes.

    The publisher's process routes in slices. With several cores (schedulers) the run queue is one
    FIFO served by all: an assumption. What a slice sends and whom it wakes is seen when it ends.
    """

    discipline: Literal["fanout-process"]
    setup: Seconds = Field(description="parse a publish, check access, fetch subscribers")
    setup_per_subscriber: Seconds = 0.0
    setup_per_byte: SecondsPerByte = 0.0
    route: Seconds = Field(description="route one copy to a session's mailbox")
    route_per_byte: SecondsPerByte = 0.0
    write: Seconds = Field(description="one copy from a session's mailbox to its socket, cold")
    write_per_byte: SecondsPerByte = 0.0
    finish: Seconds = Field(0.0, description="after the last copy is routed")
    wake: Seconds = Field(
        0.0, description="from an arrival to the first instruction on an idle server"
    )
    cold: Seconds = Field(
        0.0,
        description="further CPU time of the first work after a long rest, as caches are cold by "
        "then",
    )
    cold_after: PositiveSeconds = Field(20e-3, description="rest after which it is 1 - 1/e of that")
    slice_recipients: int = Field(12, ge=1, description="copies routed before the process yields")
    warmth_after: tuple[PositiveSeconds, ...] = Field(
        (), description="time since the session was last written"
    )
    warmth_factor: tuple[float, ...] = Field(
        (), description="cost of a write at that age, relative to cold"
    )
    cv: Ratio = Field(0.0, description="log-normal spread of a publish's own costs")


class Fifo(Model):
    """First come, first served: a publish, then its copies one by one, on each of the cores."""

    discipline: Literal["fifo"]
    publish: Seconds = 0.0
    publish_per_byte: SecondsPerByte = 0.0
    copy_: Seconds = Field(0.0, alias="copy", description="mean service time of one copy")
    copy_per_byte: SecondsPerByte = 0.0
    copy_distribution: Literal["constant", "exponential"] = "constant"
    cv: Ratio = Field(0.0, description="log-normal spread of a publish's own cost")


class TlsCost(Model):
    """CPU time of a full handshake, by version and by the key of the server's certificate."""

    version: TlsVersion
    key: Key
    cost: Seconds


class SaslCost(Model):
    """CPU time of the server's answers to a mechanism, by how it keeps passwords."""

    mechanism: Mechanism
    storage: Storage
    first: Seconds = Field(description="answer to the client's first message")
    final: Seconds = Field(0.0, description="SCRAM: answer to its second message")


class Logins(Model):
    """What a login costs, step by step; every step is a round trip and a wait in the server."""

    provenance: Provenance
    accept: Seconds = Field(0.0, description="take a connection, open the stream, offer STARTTLS")
    starttls: Seconds = Field(0.0, description="agree to STARTTLS")
    tls: tuple[TlsCost, ...] = ()
    stream: Seconds = Field(0.0, description="each further opening of the stream")
    sasl: tuple[SaslCost, ...] = ()
    bind: Seconds = Field(0.0, description="bind a resource and make the session available")
    subscribe: Seconds = Field(0.0, description="one subscription to a Topic")
    resume: Seconds = Field(0.0, description="resume a session instead of the last two, or not")
    refuse: Seconds = Field(0.0, description="refuse an attempt that admission does not take in")
    deny: Seconds = Field(
        0.0,
        description="refuse a wrong password, beyond checking it: note it, see the connection end",
    )
    noticed: Fraction = Field(
        0.0,
        description="share of abandoned steps that the server notices before it pays for them",
    )
    cv: Ratio = Field(0.0, description="log-normal spread of each step's cost")


class Queries(Model):
    """What a request costs that is answered to the one who asks: items, pages, lists, last items.

    The answer is then one copy of the discipline's, as large as the result.
    """

    provenance: Provenance
    base: Seconds = Field(0.0, description="read a request, look up its Topic")
    per_item: Seconds = Field(0.0, description="fetch and serialise one item, or one Topic's name")
    per_byte: SecondsPerByte = Field(0.0, description="and for each byte of the result")
    item_bytes: Bytes = Field(70.0, description="what is around an item in an answer [B]")
    listed_bytes: Bytes = Field(70.0, description="a Topic's entry in its Broker's list [B]")
    listed_max: int | None = Field(
        None, ge=1, description="entries that a list has at most, silently; absent: all"
    )


class Profile(Model):
    """A server's discipline, costs and memory, with machine, date and source."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    server: Literal["prosody", "ejabberd", "none"]
    version: str
    machine: str
    measured: str = Field(description="date of the measurement, ISO 8601")
    provenance: Provenance
    costs: Annotated[LoopTurns | FanoutProcess | Fifo, Field(discriminator="discipline")]
    memory: Memory
    logins: Logins | None = None
    queries: Queries | None = None
    envelope: Envelope = Envelope()
    relay: Relay = Relay()
    speed: float = Field(
        1.0, gt=0, le=1000, description="this machine's cost over the profile's machine's [1]"
    )
    pace_per_s: PositivePerSecond | None = Field(
        None,
        description="rounds of an idle loop in a CPU second of the core as the costs hold for it; "
        "absent: not known",
    )

    @property
    def publication_bytes(self) -> float:
        """What a publish stanza adds to its payload. [B]"""
        if isinstance(self.costs, LoopTurns):
            return self.costs.publish_envelope
        return self.envelope.publication

    def collecting(self, growth: float | None, sessions: int | None = None) -> Profile:
        """The profile where garbage is collected otherwise; see `LoopTurns.collecting`.

        Memory is what lives and what it may grow by.
        """
        costs, memory = self.costs, self.memory
        if not isinstance(costs, LoopTurns):
            return self
        told = costs.collecting(growth, sessions)
        more = kept_growth(told.collection_growth) - kept_growth(costs.collection_growth)
        held = {
            "base": memory.base + more * costs.heap,
            "session": memory.session + more * costs.heap_session,
        }
        return self.model_copy(update={"costs": told, "memory": memory.model_copy(update=held)})

    def receive_s(self) -> tuple[float, float]:
        """Time to take in a stanza that is only passed on, and that for each payload byte. [s]"""
        costs = self.costs
        if isinstance(costs, Fifo):
            write, per_byte = costs.copy_, costs.copy_per_byte
        else:
            write, per_byte = costs.write, costs.write_per_byte
        given, given_per_byte = self.relay.receive, self.relay.receive_per_byte
        return (
            self.speed * (write if given is None else given),
            self.speed * (per_byte if given_per_byte is None else given_per_byte),
        )
