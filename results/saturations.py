"""The document of `gridlab knee --json`, and the same for people at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import TypedDict

from results import units
from results.statistics import Estimate

if TYPE_CHECKING:
    from rich.console import RenderableType


class LoadPoint(TypedDict):
    """Figures at one load, a multiple of the file's. [1]"""

    load: float
    offered_load_per_s: Estimate
    throughput_per_s: Estimate
    goodput_per_s: Estimate
    latency_p50_s: Estimate
    latency_p99_s: Estimate
    utilisation: Estimate


class ScalingFigures(TypedDict):
    """Gunther's law fitted to the capacity of `sizes` Controllers. [1/s]

    `contention` is the share of the work that every Controller repeats, `coherency` what each pair
    costs, `peak` the size past which more do less.
    """

    sizes: list[int]
    capacity_per_s: list[float]
    one_per_s: Estimate
    contention: Estimate
    coherency: Estimate
    peak: Estimate


class SaturationDocument(TypedDict):
    """The document of `gridlab knee --json`; knee and saturation are multiples of the load. [1]

    `scaling` is that of federated domains, `cluster` that of a cluster's nodes; null where the
    server forms none.
    """

    topology: str
    controller: str
    points: list[LoadPoint]
    knee: Estimate
    saturation: float
    scaling: ScalingFigures
    cluster: ScalingFigures | None
    seed: int
    replications: int
    window_s: float
    wall_s: float


def render(document: SaturationDocument) -> RenderableType:
    """The curve as a table, the knee and the law in words."""
    from rich.console import Group
    from rich.text import Text

    from results.terminal import sheet

    knee, law = document["knee"], document["scaling"]
    head = (
        f"The knee of {document['topology']} is at {units.with_interval(knee)} times its load; "
        f"{document['controller']} is full at {document['saturation']:.3g} times."
    )
    table = sheet("load", "offered/s", "delivered/s", "goodput/s", "p50", "p99", "CPU")
    for point in document["points"]:
        table.add_row(
            f"{point['load']:.2f}",
            units.with_interval(point["offered_load_per_s"]),
            units.with_interval(point["throughput_per_s"]),
            units.with_interval(point["goodput_per_s"]),
            units.latency(point["latency_p50_s"]),
            units.latency(point["latency_p99_s"]),
            units.with_interval(point["utilisation"], 0.01, " %"),
        )
    foot = [
        f"On paper one Controller takes {units.rate(law['capacity_per_s'][0])} publications, "
        f"{max(law['sizes'])} federated domains that share the subscribers {_law(law)}."
    ]
    if (nodes := document["cluster"]) is not None:
        foot.append(f"A cluster of {max(nodes['sizes'])} nodes takes {_law(nodes)}.")
    return Group(Text(head, style="bold"), table, *(Text(each) for each in foot))


def _law(law: ScalingFigures) -> str:
    """What the largest size can do, and what holds it back."""
    peak = law["peak"]["value"]
    limit = f", and more than {peak:.0f} do less" if peak is not None else ""
    return (
        f"{units.rate(law['capacity_per_s'][-1])}: "
        f"{units.with_interval(law['contention'], 0.01, ' %')} of the work does not shrink with "
        f"their number{limit}"
    )
