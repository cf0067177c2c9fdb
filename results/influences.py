"""The document of `gridlab sensitivity --json`, and the same for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from results import units
from results.statistics import Estimate

if TYPE_CHECKING:
    from rich.console import RenderableType


class Screened(TypedDict):
    """Morris' mean absolute effect of one input, from one end of its range to the other.

    For latencies it is in decades: 0.3 doubles them. `sigma` tells whether it is steady.
    """

    input: str
    range: str
    provenance: str
    effect: Estimate
    sigma: float


class Index(TypedDict):
    """Sobol indices: the share of the variance that is this input's, alone and with others. [1]"""

    input: str
    range: str
    provenance: str
    first: Estimate
    total: Estimate


class SensitivityDocument(TypedDict):
    """The document of `gridlab sensitivity --json`, the strongest input first."""

    topology: str
    figure: str
    seed: int
    inputs: int
    runs: int
    window_s: float
    screened: list[Screened]
    indices: list[Index]
    wall_s: float


def render(document: Mapping[str, Any]) -> RenderableType:
    """Both tables, and what they mean in a sentence."""
    from rich.console import Group
    from rich.text import Text

    from results.terminal import sheet

    first = max(document["indices"], key=lambda each: each["total"]["value"] or 0.0)
    share = units.with_interval(first["total"], 0.01, " %")
    head = (
        f"{first['input']} decides the {document['figure']} of {document['topology']}"
        + (f": {share} of its variance" if share != "–" else "")
        + f" ({first['provenance']}, {first['range']})."
    )
    unit = "" if document["figure"] == "utilisation" else " decades"
    headings = ("input", "range", "provenance", f"effect{unit}", "total", "first-order")
    screened = sheet(*headings, words=("input",))
    indexed = {each["input"]: each for each in document["indices"]}
    for each in document["screened"]:
        index = indexed.get(each["input"])
        cells = [units.with_interval(index[name]) for name in ("total", "first")] if index else []
        screened.add_row(
            each["input"], each["range"], each["provenance"], units.with_interval(each["effect"]),
            *cells,
        )  # fmt: skip
    foot = (
        f"{document['runs']:,} runs of {document['window_s']:g} s; {len(document['screened'])} of "
        f"{document['inputs']} inputs, those that matter on paper; ± is a 95 % interval. "
        f"Took {units.seconds(document['wall_s'])}."
    )
    return Group(Text(head, style="bold"), screened, Text(foot, style="dim"))
