"""What disturbs a grid in a topology file: attacks by adversaries, and faults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topologies.model import Name, Node, Sourced
from topologies.quantities import PositiveBytes, PositivePerSecond, PositiveSeconds, Seconds


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


class Fault(Sourced):
    """Something that fails between `start` and `start + duration`."""

    name: Name = Field(description="what reports call it")
    start: Seconds = Field(description="first instant [s]")
    duration: PositiveSeconds = Field(description="how long it lasts [s]")


class Outage(Fault):
    """The Platforms of a population vanish, and come back spread over a time.

    After a power cut they know nothing; where only their network was gone they still know their
    sessions, and may resume them (`controllers[].resumption`).
    """

    kind: Literal["outage", "disconnect"] = Field(description="no power, or no network")
    population: Name = Field(description="population that it strikes")
    spread: Seconds = Field(
        0.0, description="first attempts come uniformly within this after its end [s]"
    )


class Crash(Fault):
    """A Controller dies and forgets its sessions, queues and work; it is up again at the end.

    Until then attempts to connect are refused at once, or go unanswered if its Platforms take time
    to notice (`notice`): a process that ends closes its sockets, a machine that ends does not.
    """

    kind: Literal["crash", "restart"] = Field(description="dies by itself, or is restarted")
    controller: Name = Field(description="Controller that it strikes")
    notice: Seconds = Field(
        0.0, description="until its Platforms notice, beside the network's delay [s]"
    )


class Freeze(Fault):
    """A Controller stands still and says nothing: it neither works nor reads until the end.

    Nothing is lost and nobody is told; Platforms that log in may give up.
    """

    kind: Literal["freeze"] = Field(description="stands still, silently")
    controller: Name = Field(description="Controller that it strikes")


class SlowDown(Fault):
    """Whatever a Controller begins costs more CPU time until the end: a noisy neighbour, heat."""

    kind: Literal["slow-down"] = Field(description="works slowly")
    controller: Name = Field(description="Controller that it strikes")
    factor: float = Field(gt=1.0, le=1000.0, description="CPU time over that at other times [1]")


class Partition(Fault):
    """Nothing gets onto a link, in either direction; what is on its way arrives.

    Stanzas wait at the sending Controller and go in order once the link is back.
    """

    kind: Literal["partition"] = Field(description="a link that carries nothing")
    link: tuple[Name, Name] = Field(description="the Controllers at its ends")
    timeout: Seconds | None = Field(
        None, description="a stanza that must wait longer is lost; absent: none is [s]"
    )


AnyFault = Annotated[Outage | Crash | Freeze | SlowDown | Partition, Field(discriminator="kind")]
