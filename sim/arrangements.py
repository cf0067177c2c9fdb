"""Ways to share out the work of a Controller that is too much for one: which were compared, and why
the one that won did.

Federated domains, nodes of one cluster, and Brokers for some of the Topics each are simulated
(`sim.designs`). Several Brokers beside one Controller are not: components have costs of their own,
but its server still takes in and writes every copy, and what that asks at least a sum says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from results.plans import Compared
from sim.bounds import shares
from sim.designs import Arrangement, Design, part
from sim.services import demands
from sim.sojourns import copy_s
from sim.trials import refusal
from topologies.profiles import Profile
from topologies.services import NODES_MAX

if TYPE_CHECKING:
    from sim.planning import Sizing

WAYS: dict[Arrangement, str] = {
    "subscribers": "the subscribers are shared out to Controllers that are federated domains; one "
    "copy of every publication goes to each",
    "topics": "the Topics are dealt out to Brokers, each on a Controller of its own",
    "cluster": "the Platforms are shared out to the nodes of one cluster; copies for sessions on "
    "other nodes hop there one by one",
}
BESIDE = "several Brokers beside one Controller, each a component with some of the Topics"


def arrangements(profile: Profile) -> tuple[Arrangement, ...]:
    """Those that a kind of server can be in: Prosody forms no clusters."""
    return tuple(each for each in WAYS if each != "cluster" or profile.server != "prosody")


def nodes_worthwhile(others: Design, cores_max: int) -> int:
    """How many nodes a cluster may have to be better than what the other arrangements need.

    All nodes of a cluster are simulated, which takes long, so larger ones are not tried.
    """
    return others.controllers if cores_max > 1 else others.controllers - 1


def compared(sizing: Sizing) -> Iterator[Compared]:
    """The ways that were compared, if one Controller is not enough, and how each came out."""
    if not sizing.compared:
        return
    winner = sizing.answer.design if sizing.answer is not None else None
    for arrangement, design in sizing.compared.items():
        yield {
            "controller": sizing.controller,
            "arrangement": arrangement,
            "text": WAYS[arrangement],
            "controllers": design.controllers if design else None,
            "cores": design.cores if design else None,
            "chosen": design is not None and design == winner,
            "reason": _why(sizing, arrangement, design, winner),
        }
    if "cluster" not in sizing.compared:
        yield _left_out(sizing, "cluster", WAYS["cluster"], "Prosody forms no clusters")
    yield _left_out(sizing, "brokers", BESIDE, _beside(sizing))


def _left_out(sizing: Sizing, arrangement: str, text: str, reason: str) -> Compared:
    return {
        "controller": sizing.controller, "arrangement": arrangement, "text": text,
        "controllers": None, "cores": None, "chosen": False, "reason": reason,
    }  # fmt: skip


def _why(
    sizing: Sizing, arrangement: Arrangement, design: Design | None, winner: Design | None
) -> str:
    """Why an arrangement was chosen, or was not."""
    if design is None and arrangement == "cluster" and winner is not None:
        most = nodes_worthwhile(winner, sizing.cores_max)
        return f"no cluster of up to {most} node{'s' if most > 1 else ''} keeps the promise"
    if design is None:
        tried = [t for t in sizing.bench.trials if _is(t.design, arrangement) and not t.meets]
        if not tried:
            return f"a bound refuses every size of it: {_bound(sizing, arrangement)}"
        largest = max(tried, key=lambda trial: trial.design.cores_total)
        return f"{largest.design.text()}: {largest.reason}"
    assert winner is not None
    if design == winner:
        return "it takes the fewest cores, of equals the fewest Controllers"
    more, wider = design.cores_total - winner.cores_total, design.controllers - winner.controllers
    if more:
        return f"it takes {more} core{'s' if more > 1 else ''} more"
    wide = f"but {wider} Controller{'s' if wider > 1 else ''} more"
    return f"it takes as many cores, {wide if wider else 'and is named later'}"


def _bound(sizing: Sizing, arrangement: Arrangement) -> str:
    """Why the largest size of an arrangement is impossible, in words."""
    most = {"topics": len(sizing.bench.topology.topics)}.get(arrangement, NODES_MAX)
    design = Design(most, sizing.cores_max, arrangement)
    return refusal(sizing.bench.bounded(design), 1.0)


def _is(design: Design, arrangement: Arrangement) -> bool:
    return design.controllers > 1 and design.arrangement == arrangement


def _beside(sizing: Sizing) -> str:
    """What one server is asked for whose Brokers are components: every copy is read and written."""
    profile, bench, cores = sizing.profile, sizing.bench, sizing.cores_max
    own = part(bench.topology, sizing.controller, profile, Design(1, cores))
    receive_s, per_byte = profile.receive_s()
    busy = sum(
        each.rate_per_s
        * each.copies
        * (receive_s + per_byte * each.payload.mean + copy_s(each, profile))
        for each in demands(own, sizing.controller, 1.0, attacks=False)
    )
    inside = shares(own, sizing.controller, profile, 1.0)[0].mean
    return (
        f"the one server would still read and write every copy, which asks for "
        f"{busy / cores:.0%} of {cores} core{'s' if cores > 1 else ''}; with its own Broker "
        f"{inside:.0%}"
    )
