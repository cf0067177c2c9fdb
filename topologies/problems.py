"""What is wrong with a description: place, value, rule and repair of each mistake, all at once."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FOUND_MAX = 200  # problems of one kind that are worked out
NAMES_MAX = 1000  # declared names among which the nearest is looked for
SHOWN_MAX = 40  # problems that one error lists; the rest is counted
VALUE_MAX = 60  # characters of a value that a message quotes

Step = str | int
Path = tuple[Step, ...]


class TopologyError(ValueError):
    """A topology, profile or trace that cannot be used.

    `problems` holds one line each: `file:line: path: "value": rule; repair`.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        shown = self.problems[:SHOWN_MAX]
        if len(self.problems) > SHOWN_MAX:
            shown.append(f"... and {len(self.problems) - SHOWN_MAX} more")
        super().__init__("\n".join(shown))

    def __reduce__(self) -> tuple[type[TopologyError], tuple[list[str]]]:
        return TopologyError, (self.problems,)


@dataclass(frozen=True)
class Problem:
    """A broken rule at a path of the document."""

    path: Path
    rule: str
    repair: str
    value: object = None

    def line(self, place: str) -> str:
        """The whole message, `place` being `file:line` or the option that set the value."""
        parts = [place] if place else []
        if self.path:
            parts.append(dotted(self.path))
        if (value := quoted(self.value)) is not None:
            parts.append(value)
        return ": ".join([*parts, f"{self.rule}; {self.repair}"])


def dotted(path: Path) -> str:
    """`controllers[0].cores` for ("controllers", 0, "cores")."""
    text = ""
    for step in path:
        name = printable(str(step))[:VALUE_MAX]
        text += f"[{name}]" if isinstance(step, int) else f".{name}" if text else name
    return text


def quoted(value: object) -> str | None:
    """The value in quotes, cut to a readable length; None for what is no single value."""
    if value is None or isinstance(value, dict | list | tuple):
        return None
    text = printable(str(value).lower() if isinstance(value, bool) else str(value))
    return f'"{text[: VALUE_MAX - 3]}..."' if len(text) > VALUE_MAX else f'"{text}"'


def printable(text: str) -> str:
    """The text on one line, without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def nearest(given: object, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    names = [printable(name)[:VALUE_MAX] for name in itertools.islice(known, NAMES_MAX)]
    near = difflib.get_close_matches(str(given).lower(), names, n=1, cutoff=0.6)
    return near[0] if near else None


def choice(given: object, known: Iterable[str], what: str) -> str:
    """A repair that names the nearest of the known names, or lists them."""
    names = [printable(name)[:VALUE_MAX] for name in itertools.islice(known, NAMES_MAX)]
    if (near := nearest(given, names)) is not None:
        return f'did you mean "{near}"?'
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"{what} {listed}" if names else f"{what} none"
