"""Names in a topology: each declared once, each reference declared.

Works on the document's plain data, so that dangling names are told together with wrong fields.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from topologies.problems import FOUND_MAX, Path, Problem, choice

# Section, key that refers, section that declares.
REFERENCES = (
    (("brokers",), "controller", "controllers"),
    (("topics",), "broker", "brokers"),
    (("platforms",), "controller", "controllers"),
    (("platforms",), "failover", "controllers"),
    (("links",), "from", "controllers"),
    (("links",), "to", "controllers"),
    (("platforms",), "template", "templates"),
    (("templates",), "publishes", "topics"),
    (("templates",), "subscribes", "topics"),
    (("platforms",), "publishes", "topics"),
    (("platforms",), "subscribes", "topics"),
    (("workload", "arrivals"), "topic", "topics"),
    (("workload", "arrivals"), "further_topics", "topics"),
    (("workload", "arrivals"), "by", "platforms"),
    (("workload", "queries"), "topic", "topics"),
    (("workload", "queries"), "by", "platforms"),
    (("attacks",), "topic", "topics"),
    (("attacks",), "by", "platforms"),
    (("faults",), "population", "platforms"),
    (("faults",), "controller", "controllers"),
    (("faults",), "link", "controllers"),
)
DECLARING = ("controllers", "brokers", "topics", "templates", "platforms", "attacks", "faults")


def problems(data: dict[str, Any]) -> list[Problem]:
    """Every name declared twice and every reference to a name that is not declared."""
    return list(itertools.islice(_problems(data), FOUND_MAX))


def _problems(data: dict[str, Any]) -> Iterator[Problem]:
    for section in DECLARING:
        yield from _repeated(_names(data, (section,), "name"))
    yield from _repeated(_names(data, ("controllers",), "domain"))
    for path, key, declaring in REFERENCES:
        declared = dict.fromkeys(name for _, name in _names(data, (declaring,), "name"))
        for place, name in _names(data, path, key):
            if name not in declared and (declared or declaring not in data):
                repair = choice(name, declared, f"{declaring} are")
                yield Problem(place, f"is not declared in {declaring}", repair, name)
    for place, entry in _entries(data, ("platforms",)):
        for key in ("publishes", "subscribes", "failover"):
            yield from _repeated(_listed((*place, key), entry.get(key)))


def _entries(data: Any, path: tuple[str, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The sections in the list at the path, as far as they are sections."""
    for step in path:
        data = data.get(step) if isinstance(data, dict) else None
    for number, entry in enumerate(data if isinstance(data, list) else []):
        if isinstance(entry, dict):
            yield (*path, number), entry


def _names(data: Any, path: tuple[str, ...], key: str) -> Iterator[tuple[Path, str]]:
    """Where each entry at the path names something under the key, and what."""
    for place, entry in _entries(data, path):
        yield from _listed((*place, key), entry.get(key))


def _listed(place: Path, value: Any) -> Iterator[tuple[Path, str]]:
    """The names in a value: one name, a list of names, or a list of sections with a `topic`."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict) and isinstance(value.get("topic"), str):
        yield (*place, "topic"), value["topic"]
    elif isinstance(value, list):
        for number, item in enumerate(value):
            if not isinstance(item, list):
                yield from _listed((*place, number), item)


def _repeated(names: Iterable[tuple[Path, str]]) -> Iterator[Problem]:
    seen = set()
    for place, name in names:
        if name in seen:
            yield Problem(place, "is there twice", "delete or rename one", name)
        seen.add(name)
