"""What a kind of server cannot be deployed to do, said before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from topologies import support

if TYPE_CHECKING:
    from topologies.schema import Controller, Topology

NOT_EMULATED: Final = ("controllers.nic", "platforms.network.delay", "platforms.read_rate")


def not_emulated(topology: Topology) -> list[str]:
    """Fields that the topology uses and a grid on loopback does without: each once, by name."""
    paths = support.used(topology, NOT_EMULATED)
    names = (".".join(each for each in path if isinstance(each, str)) for path in paths)
    return list(dict.fromkeys(names))


def lacks(topology: Topology, controller: Controller, kind: str) -> Iterator[str]:
    """What this Controller is described to do and its kind of server does not; each with a repair.

    Parameters
    ----------
    kind : str
        `prosody` or `ejabberd`.
    """
    limits = controller.limits
    if limits.shape != "server":
        yield (
            f'limits.shape: "{limits.shape}": is for simulations; a deployed server keeps its '
            "rates in its own way: leave it out"
        )
    if limits.account.rate is not None:
        yield (
            f"limits.account.rate: {limits.account.rate:g}: no server limits an account's "
            "publications; limit its bytes (limits.client) or leave it out"
        )
    if controller.collection is not None and kind != "prosody":
        yield f"collection: is of Prosody's collector, {kind} has another: leave it out"
    if controller.nodes > 1 and kind != "ejabberd":
        yield f"nodes: {controller.nodes}: {kind} forms no clusters; choose ejabberd, or nodes: 1"
    brokers = {each.name: each for each in topology.brokers if each.controller == controller.name}
    for number, topic in enumerate(topology.topics):
        broker = brokers.get(topic.broker)
        in_process = broker is not None and broker.kind == "in-process"
        if kind == "prosody" and in_process and topic.access == "authorize":
            yield (
                f'topics[{number}].access: "authorize": is not supported by Prosody\'s own Broker; '
                "make the Broker a component (kind: component) or choose ejabberd"
            )
