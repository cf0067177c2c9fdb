"""What an engine cannot do yet it refuses, never ignores: fields of a topology by their path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from topologies.model import Model
from topologies.problems import Path, Problem, TopologyError


def refuse(model: Model, fields: Iterable[str], who: str) -> None:
    """Raise where a topology uses one of the fields.

    Parameters
    ----------
    model : Model
        The topology.
    fields : iterable of str
        Paths such as `controllers.limits.address`; lists are gone through.
    who : str
        Who cannot do it, as the rule says: `the simulator`.

    Raises
    ------
    TopologyError
        One line for each field that is not at its default.
    """
    problems = [
        Problem(path, f"is not supported by {who} yet", "leave it out").line("")
        for path in used(model, fields)
    ]
    if problems:
        raise TopologyError(problems)


def used(model: Model, fields: Iterable[str]) -> Iterator[Path]:
    """Where a topology says something else than the default for one of the fields."""
    for field in fields:
        yield from _used(model, field.split("."), ())


def _used(section: Any, steps: list[str], path: Path) -> Iterator[Path]:
    """Paths of the values that are there at the end of the steps."""
    if isinstance(section, tuple):
        for number, each in enumerate(section):
            yield from _used(each, steps, (*path, number))
    elif isinstance(section, Model):
        name = steps[0]
        field = type(section).model_fields.get(name)
        if field is None:  # one of several kinds of section, which has no such field
            return
        value = getattr(section, name)
        if len(steps) > 1:
            yield from _used(value, steps[1:], (*path, name))
        elif value != field.get_default(call_default_factory=True):
            yield (*path, name)
