"""Changes to a description from the command line: `--set 'controllers[0].cores=8'`.

A path names keys joined by dots; `[0]` picks an entry by number, `[session]` or `[name=session]` by
its name. The value is YAML: a scalar, `[a, b]` or `{key: value}`.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from topologies.documents import Document, read
from topologies.problems import Path, TopologyError, choice, dotted, printable
from topologies.wording import keys, section_at

_STEP = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_]*)|\[\s*(?:name\s*=\s*)?([^\[\]=]+?)\s*\]")
_EXAMPLE = "write for example --set 'controllers[0].cores=8'"


def apply(document: Document, overrides: tuple[str, ...], model: type[BaseModel]) -> None:
    """Change the document's data in place, one override after another.

    Raises
    ------
    TopologyError
        Overrides that are not `path=value`, or whose path leads nowhere; all at once.
    """
    problems = []
    for override in overrides:
        try:
            _apply(document, override, model)
        except _Refusal as refusal:
            problems.append(f"{place(override)}: {refusal}")
    if problems:
        raise TopologyError(problems)


def place(override: str) -> str:
    """Where a message says that a value comes from."""
    return f"--set {printable(override)[:120]}"


class _Refusal(Exception):
    """Why an override cannot be applied: rule and repair."""


def _apply(document: Document, override: str, model: type[BaseModel]) -> None:
    steps, text = _split(override)
    value = _value(text, place(override))
    path: Path = ()
    target = document.data
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        key = _entry(target, step, path) if isinstance(target, list) else step
        if not isinstance(target, list):
            _check_key(model, document.data, path, step)
            if not isinstance(target, dict):
                raise _Refusal(f"{dotted(path)} is a single value; set it whole")
        path = (*path, key)
        if last:
            _forget(document, path)
            target[key] = value
            document.places[path] = place(override)
        else:
            target = _descend(target, key)


def _split(override: str) -> tuple[list[str], str]:
    """The steps of the path, and the text of the value."""
    steps, position = [], 0
    while (match := _STEP.match(override, position)) is not None:
        steps.append(match[1] or match[2])
        position = match.end()
    if not steps or override[position : position + 1] != "=":
        raise _Refusal(f"is not PATH=VALUE; {_EXAMPLE}")
    return steps, override[position + 1 :]


def _value(text: str, name: str) -> Any:
    """The value that a text means; nothing means none."""
    try:
        return read(text, name).data if text.strip() else None
    except TopologyError:
        shapes = "write a figure, a word, [a, b] or {key: value}"
        raise _Refusal(f"the value is not YAML; {shapes}") from None


def _entry(entries: list[Any], step: str, path: Path) -> int:
    """Number of the list's entry that a step picks."""
    if step.isascii() and step.isdigit():
        if int(step[:9]) < len(entries):
            return int(step[:9])
        last = f"the last is [{len(entries) - 1}]" if entries else "it is empty"
        raise _Refusal(f"{dotted(path)} has no [{step}], counted from 0; {last}")
    names = [str(entry.get("name")) for entry in entries if isinstance(entry, dict)]
    if step not in names:
        raise _Refusal(f"{dotted(path)} has no [{step}]; {choice(step, names, 'entries are')}")
    return next(
        number
        for number, entry in enumerate(entries)
        if isinstance(entry, dict) and str(entry.get("name")) == step
    )


def _check_key(model: type[BaseModel], data: Any, path: Path, key: str) -> None:
    section = section_at(model, data, path)
    known = keys(section) if section is not None else {}
    if key not in known:
        repair = choice(key, known, "keys are") if known else "set the whole value"
        raise _Refusal(f'{dotted((*path, key))}: unknown key "{key}"; {repair}')


def _descend(target: Any, key: str | int) -> Any:
    """What stands at the key; a section that the file leaves out begins empty."""
    if isinstance(target, dict) and target.get(str(key)) is None:
        target[str(key)] = {}
    return target[key]


def _forget(document: Document, path: Path) -> None:
    """Drop the lines of what is replaced."""
    stale = [known for known in document.places if known[: len(path)] == path]
    for known in stale:
        del document.places[known]
