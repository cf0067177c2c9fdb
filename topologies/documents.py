"""A YAML text as plain data that knows its lines: bounded, without aliases, duplicate keys found.

The parser's events are read one by one, so a deep or exploding document is refused before it is
built. Plain scalars follow YAML 1.2's core schema: `on` and `1:30` are text, not surprises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from topologies.problems import Path, Problem, TopologyError, printable

BYTES_MAX = 1024**2
DEPTH_MAX = 20
EVENTS_MAX = 100_000
DIGITS_MAX = 300  # longer runs of digits stay text

_CORE = (
    (re.compile(r"(?:~|null|Null|NULL)?"), lambda text: None),
    (re.compile(r"true|True|TRUE"), lambda text: True),
    (re.compile(r"false|False|FALSE"), lambda text: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(?:nan|NaN|NAN)"), lambda text: float("nan")),
)


@dataclass
class Document:
    """Plain data, the place of every path in it, and what is wrong with its form."""

    name: str
    data: Any
    places: dict[Path, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def place(self, path: Path) -> str:
        """Where the path, or the nearest thing around it, stands: `file:line` or an option."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)

    def lines(self, problems: list[Problem]) -> list[str]:
        """The problems as messages, each with its place."""
        return [problem.line(self.place(problem.path)) for problem in problems]


def read(content: bytes | str, name: str) -> Document:
    """The document in a YAML text.

    Raises
    ------
    TopologyError
        Not text, not YAML, too large, too deep, or with anchors, aliases, tags or several
        documents in it.
    """
    text = _text(content, name)
    import yaml

    try:
        return _Builder(name, _events(text, name)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}: column {mark.column + 1}" if mark else name
        what = printable(str(error.problem or error.context))
        raise TopologyError([f"{place}: is not YAML: {what}; check indentation, quotes"]) from None
    except yaml.YAMLError as error:
        what = printable(str(error).splitlines()[0])
        raise TopologyError([f"{name}: is not YAML: {what}; write a text file"]) from None


def _text(content: bytes | str, name: str) -> str:
    if len(content) > BYTES_MAX:
        raise TopologyError(
            [f"{name}: is larger than {BYTES_MAX // 1024} KiB; split it or use a trace file"]
        )
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        text.encode("utf-8")
    except UnicodeError as error:
        raise TopologyError([f"{name}{_where(error)}: is not UTF-8; save it as UTF-8"]) from None
    if not text.strip():
        raise TopologyError([f"{name}: is empty; make a topology with: gridlab init mine.yaml"])
    return text


def _where(error: UnicodeError) -> str:
    """`:3`, the line of the first byte that is no text."""
    if not isinstance(error, UnicodeDecodeError):
        return ""
    return f":{error.object.count(bytes([10]), 0, error.start) + 1}"


def _events(text: str, name: str) -> Iterator[Any]:
    """The parser's events; refuses what a description has no use for, at once."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    depth = documents = 0
    try:
        for _ in range(EVENTS_MAX):
            event = loader.get_event()
            place = f"{name}:{event.start_mark.line + 1}"
            match event:
                case yaml.StreamEndEvent():
                    return
                case yaml.DocumentStartEvent():
                    documents += 1
                case yaml.CollectionStartEvent():
                    depth += 1
                case yaml.CollectionEndEvent():
                    depth -= 1
            rule = _form(event, depth, documents)
            if rule is not None:
                raise TopologyError([f"{place}: {rule}"])
            yield event
        raise TopologyError(
            [f"{name}: has more than {EVENTS_MAX:,} values; use populations, traces"]
        )
    finally:
        loader.dispose()


def _form(event: Any, depth: int, documents: int) -> str | None:
    """The rule of form that an event breaks, with its repair."""
    import yaml

    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        return f'"{printable(event.anchor)[:40]}": anchors and aliases are refused; write it out'
    if getattr(event, "tag", None) not in (None, "!"):
        return f'"{printable(event.tag)[:40]}": tags are refused; write the plain value'
    if depth > DEPTH_MAX:
        return f"is nested more than {DEPTH_MAX} deep; the format needs 5"
    if documents > 1:
        return "a second document begins; keep one topology per file"
    return None


class _Builder:
    """Builds plain data from events and notes the line of each path."""

    def __init__(self, name: str, events: Iterator[Any]) -> None:
        self._events = events
        self._document = Document(name, None)

    def document(self) -> Document:
        import yaml

        for event in self._events:
            if isinstance(event, yaml.NodeEvent):
                self._document.data = self._node(event, ())
        return self._document

    def _node(self, event: Any, path: Path) -> Any:
        import yaml

        self._document.places.setdefault(path, self._place(event))
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return [
                self._node(item, (*path, number)) for number, item in enumerate(self._children())
            ]
        return self._mapping(path)

    def _children(self) -> Iterator[Any]:
        import yaml

        for event in self._events:
            if isinstance(event, yaml.CollectionEndEvent):
                return
            yield event

    def _mapping(self, path: Path) -> dict[str, Any]:
        import yaml

        mapping: dict[str, Any] = {}
        for event in self._children():
            if not isinstance(event, yaml.ScalarEvent):
                self._node(event, (*path, "?"))
                self._node(next(self._events), (*path, "?"))
                rule, repair = "a key must be a single word", "write it as `key: value`"
                self._problem(event, path, rule, repair)
                continue
            key, child = event.value, (*path, event.value)
            first = self._document.places.setdefault(child, self._place(event))
            value = self._node(next(self._events), child)
            if key in mapping:
                rule = f"key is there twice (first on line {first.rpartition(':')[2]})"
                self._problem(event, child, rule, "delete one")
            else:
                mapping[key] = value
        return mapping

    def _problem(self, event: Any, path: Path, rule: str, repair: str) -> None:
        self._document.problems.append(Problem(path, rule, repair).line(self._place(event)))

    def _place(self, event: Any) -> str:
        return f"{self._document.name}:{event.start_mark.line + 1}"


def _scalar(text: str) -> Any:
    if len(text) <= DIGITS_MAX:
        for pattern, convert in _CORE:
            if pattern.fullmatch(text):
                return convert(text)
    return text
