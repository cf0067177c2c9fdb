"""What a topology takes for granted: its figures with their provenance, read from its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from results import units

# Entries that name another part of the topology and are no figures.
_NAMES = {"name", "description", "broker", "controller", "domain", "topic", "by"}


@dataclass(frozen=True)
class Assumption:
    """A group of figures of the topology and where they come from."""

    part: str
    figures: str
    kind: str
    source: str


def assumptions(text: str) -> list[Assumption]:
    """The groups of figures in a topology's text that name their source, in its order."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    return list(_assumptions(document, "", set()))


def _assumptions(node: object, part: str, seen: set[int]) -> Iterator[Assumption]:
    """Those below a node; each node is visited once, however often an alias names it."""
    if id(node) in seen or not isinstance(node, list | dict):
        return
    seen.add(id(node))
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _assumptions(item, f"{part} {_named(item, index)}", seen)
        return
    provenance = node.get("provenance")
    if isinstance(provenance, dict) and "kind" in provenance:
        kind, source = str(provenance["kind"]), str(provenance.get("source", ""))
        yield Assumption(part, ", ".join(_figures(node)), kind, source)
    for key, value in node.items():
        if key != "provenance":
            yield from _assumptions(value, str(key), seen)


def _named(item: object, index: int) -> str:
    """What an entry of a list is called."""
    if not isinstance(item, dict):
        return str(index)
    by = f"{item.get('topic', index)} by {item.get('by', 'all')}"
    return str(item.get("name", by))


def _figures(node: dict[str, Any]) -> Iterator[str]:
    """The plain entries of a section and of the sections in it, without names of other parts."""
    below = [value for key, value in node.items() if key != "provenance"]
    for section in (node, *(value for value in below if isinstance(value, dict))):
        for key, value in section.items():
            if isinstance(value, str | int | float) and key not in _NAMES:
                yield f"{key} {_readable(str(value))}"


def _readable(value: str) -> str:
    """`4.29 GB` for `4294967296.0 B`: what was written from a program's fields."""
    found = re.fullmatch(r"(\d+\.0) (B|s)", value)
    if found is None:
        return value
    return units.size(float(found[1])) if found[2] == "B" else units.seconds(float(found[1]))
