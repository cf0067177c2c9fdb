"""What a reader should know before using the figures of a simulation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from results.records import Phase
from sim.phases import Timetable, too_short
from sim.stations import Graph
from sim.study import Tally
from topologies.profiles import Profile
from topologies.schema import Crash, Partition, Topology


def cautions(
    topology: Topology,
    profiles: Mapping[str, Profile],
    timetable: Timetable,
    tallies: Sequence[Tally],
    passed: tuple[Phase, ...],
) -> Iterator[str]:
    """One text each: what was seen, the likely cause, the next step."""
    missed = sum(tally.missed + tally.dropped_copies for tally in tallies)
    if missed:
        dropped = sum(tally.dropped for tally in tallies)
        unsent = f", and {dropped:,} publications that could not be sent" if dropped else ""
        yield (
            f"{missed:,} copies are lost because Platforms were offline: receivers without a "
            f"session{unsent}"
        )
    lost = sum(tally.lost for tally in tallies) - missed
    if lost and (causes := _ways_to_lose(topology)):
        yield f"{lost:,} copies are lost: {' or '.join(causes)}"
    elif lost:
        yield (
            f"{lost:,} copies were not received within ten run lengths: more is offered than the "
            "grid can carry; lower the load or give it more"
        )
    if timetable.study == "steady" and too_short(timetable, passed):
        yield (
            "the warm-up may be longer than half the run: the figures may not be steady; "
            "make the run longer or lower the load"
        )
    for station in Graph(topology, profiles).stations:
        node = station.node
        most = max(
            float(tally.intervals["memory_bytes"].max())
            for tally in tallies
            if tally.controller == station.name
        )
        if most > node.memory:
            yield (
                f"{node.name} would hold {most / 2**30:.1f} GiB, more than the "
                f"{node.memory / 2**30:.1f} GiB it may fill: a real server would fail; "
                "give it more memory or bound its queues"
            )


def _ways_to_lose(topology: Topology) -> list[str]:
    """How copies are lost in a grid that could carry them."""
    causes = {
        "with a Controller that crashed": any(isinstance(f, Crash) for f in topology.faults),
        "at a link that was cut": any(isinstance(f, Partition) for f in topology.faults),
        "too large for another Controller": any(
            node.limits.server_stanza is not None for node in topology.controllers
        ),
    }
    return [cause for cause, possible in causes.items() if possible]
