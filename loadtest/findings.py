"""What a probe finds out: a verdict, and the words on the wire that show it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from loadtest.dialogue import Stanza
from loadtest.problems import LoadError

if TYPE_CHECKING:
    from loadtest.testbed import Testbed

Verdict = Literal["pass", "fail", "not supported", "not observable"]
VERDICTS: Final[tuple[Verdict, ...]] = ("pass", "fail", "not supported", "not observable")
EVIDENCE_LENGTH: Final = 500

Shown = str | Stanza | None


@dataclass(frozen=True)
class Finding:
    """A verdict and its evidence."""

    verdict: Verdict
    evidence: str


class Refused(LoadError):
    """The grid refused to set up what a probe needs; the message is its answer."""


class Unobservable(LoadError):
    """This grid has not what a probe needs to see anything."""


Probe = Callable[["Testbed"], Awaitable[Finding]]
PROBES: Final[dict[str, Probe]] = {}
ALONE: Final[set[str]] = set()


def probe(function: Probe) -> Probe:
    """Enter a probe under its function's name: the requirement's id, `_` for `-`."""
    name = function.__name__.replace("_", "-")
    assert name not in PROBES, name
    PROBES[name] = function
    return function


def probe_alone(function: Probe) -> Probe:
    """Enter a probe that fills lists or uses the server up: it runs after all others, alone."""
    ALONE.add(function.__name__.replace("_", "-"))
    return probe(function)


def passed(*shown: Shown) -> Finding:
    """The grid does what is required."""
    return Finding("pass", evidence(*shown))


def failed(*shown: Shown) -> Finding:
    """The grid does something else."""
    return Finding("fail", evidence(*shown))


def unsupported(*shown: Shown) -> Finding:
    """The grid says, or shows, that it lacks the feature."""
    return Finding("not supported", evidence(*shown))


def judged(right: bool, *shown: Shown) -> Finding:
    """A pass where it is right, else a fail."""
    return passed(*shown) if right else failed(*shown)


def refusal(reply: Stanza, *conditions: str) -> Finding:
    """A pass where the reply is an error that has all these conditions."""
    return judged(not reply.ok and set(conditions) <= set(reply.conditions), reply)


def evidence(*shown: Shown) -> str:
    """What was heard or noted, on one line each of about `EVIDENCE_LENGTH` characters at most."""
    lines = []
    for each in shown:
        text = "(nothing came)" if each is None else each.text if isinstance(each, Stanza) else each
        text = " ".join(text.split())
        if len(text) > EVIDENCE_LENGTH:  # errors come last, after the request that they repeat
            text = f"{text[: EVIDENCE_LENGTH // 2]} [...] {text[-EVIDENCE_LENGTH // 2 :]}"
        lines.append(text)
    return "\n".join(lines)
