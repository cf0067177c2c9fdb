"""The table of threats and countermeasures of RFC 8600: what shows each, or why nothing does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from topologies import overlays
from topologies.documents import read
from topologies.loading import content, validated
from topologies.model import Model
from topologies.problems import Problem, choice

FILE: Final = overlays.ATTACKS / "threats.yaml"


class Shown(Model):
    """A claim: of this figure of this scenario one variant has less, or more, than another."""

    scenario: str = Field(description="a scenario of the catalogue")
    without: str = Field(description="one of its variants")
    toggle: str = Field(description="another one of them")
    metric: str = Field(description="a figure of both, as the document calls it")
    direction: Literal["less", "more"] = Field(
        "less", description="whether the toggle makes it less, or more (a gain, or a price)"
    )


class Threat(Model):
    """A row: a threat or a countermeasure."""

    id: str = Field(pattern=r"^[A-Z][0-9]{1,2}$", description="N network, P Platforms, K, A, M")
    reference: str = Field(min_length=3, description="where the RFC or its draft speaks of it")
    item: str = Field(min_length=3, description="what it is")
    shown: Shown | None = Field(None, description="what shows it; absent: nothing does")
    metric: str = Field("", description="the figure in words")
    driven: tuple[str, ...] = Field((), description="what exercises it on a real server")
    countermeasures: tuple[str, ...] = Field((), description="ids of rows, or in words")
    reason: str = Field("", description="what is not modelled")


class Threats(Model):
    """The file."""

    schema_: int = Field(alias="schema", ge=1, le=1, description="version of this format")
    rows: tuple[Threat, ...] = Field(min_length=1, description="one for each")


class Claim(TypedDict):
    """What shows a threat: two variants of a scenario, and what the toggle changes of a figure."""

    scenario: str
    without: str
    toggle: str
    metric: str
    direction: str


class Difference(TypedDict):
    """A value with its 95 % interval, as every estimate; null where there is none."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: NotRequired[str]


class Found(TypedDict):
    """What came of a claim: how much more the toggle has, and whether that bears it out."""

    difference: Difference
    holds: bool


class Row(TypedDict):
    """A threat or countermeasure; `simulated_by` is null, with the reason, where nothing shows it.

    `driven_by` names what exercises the mechanism on a real server: a requirement of `gridlab
    conform`, a scenario of `gridlab load`, or a test. `found` is null unless claims were played.
    """

    id: str
    reference: str
    item: str
    simulated_by: Claim | None
    found: Found | None
    driven_by: list[str]
    countermeasures: list[str]
    metric: str
    reason: str


class ThreatsDocument(TypedDict):
    """The document of `gridlab threats --json`; shares are of all rows."""

    rows: list[Row]
    simulated_share: float
    driven_share: float


def table() -> Threats:
    """The checked table.

    Raises
    ------
    TopologyError
        A row that is twice there, or that names a scenario or variant that there is not.
    """
    return validated(read(content(FILE), FILE.name), Threats, [], lambda each: list(_wrong(each)))


def _wrong(threats: Threats) -> Iterator[Problem]:
    known = {
        name: [each.name for each in overlays.read_overlay(overlays.find_overlay(name)).defences]
        for name in overlays.catalogue()
    }
    seen: set[str] = set()
    for number, row in enumerate(threats.rows):
        place = ("rows", number)
        if row.id in seen:
            yield Problem((*place, "id"), "is there twice", "write each row once", row.id)
        seen.add(row.id)
        if row.shown is None:
            if not row.reason:
                yield Problem(place, "has neither a claim nor a reason", "add `shown` or `reason`")
            continue
        if row.shown.scenario not in known:
            near = choice(row.shown.scenario, known, "scenarios are")
            yield Problem((*place, "shown", "scenario"), "is none", near, row.shown.scenario)
            continue
        variants = known[row.shown.scenario]
        for key in ("without", "toggle"):
            name = getattr(row.shown, key)
            if name not in variants:
                near = choice(name, variants, "variants are")
                yield Problem((*place, "shown", key), "is no variant", near, name)


def document(threats: Threats, found: Mapping[str, Found] | None = None) -> ThreatsDocument:
    """The table as JSON has it, with what came of its claims by row."""
    found = found or {}
    rows: list[Row] = [
        {
            "id": row.id,
            "reference": row.reference,
            "item": row.item,
            "simulated_by": _claim(row.shown),
            "found": found.get(row.id),
            "driven_by": list(row.driven),
            "countermeasures": list(row.countermeasures),
            "metric": row.metric,
            "reason": row.reason,
        }
        for row in threats.rows
    ]
    return {
        "rows": rows,
        "simulated_share": sum(row["simulated_by"] is not None for row in rows) / len(rows),
        "driven_share": sum(bool(row["driven_by"]) for row in rows) / len(rows),
    }


def _claim(shown: Shown | None) -> Claim | None:
    if shown is None:
        return None
    return {
        "scenario": shown.scenario,
        "without": shown.without,
        "toggle": shown.toggle,
        "metric": shown.metric,
        "direction": shown.direction,
    }
