"""What a sweep varies: fields with their values or ranges, and the scenarios that come of them.

`controllers[0].cores=1,2,4` lists values; `workload.arrivals[0].rate=100/s:2000/s:log` gives a
range, of which a Sobol sequence takes points. Lists are crossed with each other and with the
points. Beside the fields of a topology there are `load`, the factor on legitimate rates, and
`profile.FIELD`, a field of the cost profile of every Controller, or `profile[NAME].FIELD` of one.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from topologies import TopologyError
from topologies.problems import printable

SCENARIOS_MAX = 100_000
LOAD, PROFILE = "load", "profile"
Settings = tuple[tuple[str, str], ...]  # path and value of each field that is changed

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")
_SPLIT = re.compile(r",(?![^\[{(]*[\]})])")  # commas outside brackets
_EXAMPLE = "write for example controllers[0].cores=1,2,4 or load=0.5:2:log"


@dataclass(frozen=True)
class Range:
    """From `low` to `high` in a unit; `whole` takes whole numbers only."""

    low: float
    high: float
    unit: str
    logarithmic: bool
    whole: bool

    def value(self, share: float) -> str:
        """The text of the value at a share of the way from low to high."""
        if self.whole:
            figure = min(math.floor(self._at(share, self.high + 1.0)), math.floor(self.high))
            return f"{figure}{self.unit}"
        return f"{float(f'{self._at(share, self.high):.9g}')!r} {self.unit}".strip()

    def _at(self, share: float, high: float) -> float:
        if self.logarithmic:
            return float(self.low * (high / self.low) ** share)
        return self.low + share * (high - self.low)


@dataclass(frozen=True)
class Axis:
    """A field that is varied: by listed values, or over a range."""

    path: str
    values: tuple[str, ...] = ()
    span: Range | None = None

    def ends(self) -> tuple[str, ...]:
        """Values that tell whether the field takes such values at all."""
        if self.span is not None:
            return (self.span.value(0.0), self.span.value(1.0))
        return self.values


def axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """The axes that `--vary PATH=a,b,c` or `--vary PATH=low:high[:log]` ask for.

    Raises
    ------
    TopologyError
        What is no axis, or a field that is varied twice; all at once.
    """
    found: list[Axis] = []
    problems = []
    for text in texts:
        try:
            axis = _axis(text)
            if axis.path in {each.path for each in found}:
                raise ValueError("this field is varied already; give it once")
            found.append(axis)
        except ValueError as error:
            problems.append(f"--vary {printable(text)[:120]}: {error}")
    if not texts:
        problems.append(f"--vary: nothing is varied; {_EXAMPLE}")
    if problems:
        raise TopologyError(problems)
    return tuple(found)


def _axis(text: str) -> Axis:
    path, equals, written = text.partition("=")
    if not path.strip() or not equals or not written.strip():
        raise ValueError(f"is not PATH=VALUES; {_EXAMPLE}")
    path, parts = path.strip(), written.split(":")
    if len(parts) in (2, 3) and _NUMBER.fullmatch(parts[0]):
        return Axis(path, span=_range(path, parts))
    values = tuple(part.strip() for part in _SPLIT.split(written))
    if "" in values or len(set(values)) < len(values):
        raise ValueError("has an empty or repeated value; list each value once")
    return Axis(path, values)


def _range(path: str, parts: list[str]) -> Range:
    low, high = _NUMBER.fullmatch(parts[0]), _NUMBER.fullmatch(parts[1])
    if low is None or high is None or (low[2] and low[2] != high[2]):
        raise ValueError('both ends must be figures with the same unit; write "1 ms:10 ms"')
    if parts[2:] not in ([], ["log"]):
        raise ValueError(f'"{printable(parts[2])}" is no scale; write log or leave it out')
    span = Range(float(low[1]), float(high[1]), high[2], bool(parts[2:]), _whole(path))
    if not span.low < span.high:
        raise ValueError("the first end must be the lower one; exchange them")
    if span.logarithmic and span.low <= 0.0:
        raise ValueError("a logarithmic range must be above 0; raise its lower end")
    return span


def _whole(path: str) -> bool:
    """Whether the last key of a path is a field that takes whole numbers only."""
    return path.rpartition(".")[2] in ("count", "cores", "nodes", "max_items")


def scenarios(chosen: Sequence[Axis], samples: int | None, seed: int) -> Iterator[Settings]:
    """Every combination of listed values with every point of the ranges.

    Raises
    ------
    TopologyError
        Ranges without `samples` or the other way round, or too many scenarios.
    """
    lists = [axis for axis in chosen if axis.span is None]
    ranges = [(axis.path, axis.span) for axis in chosen if axis.span is not None]
    if bool(ranges) != (samples is not None):
        rule = "a range needs a number of points" if ranges else "there is no range to sample"
        repair = "add --samples sobol:64" if ranges else "leave --samples out"
        raise TopologyError([f"--samples: {rule}; {repair}"])
    count = math.prod(len(axis.values) for axis in lists) * (samples or 1)
    if count > SCENARIOS_MAX:
        rule = f"{count:,} scenarios are more than {SCENARIOS_MAX:,}"
        raise TopologyError([f"--vary: {rule}; list fewer values"])
    points = sobol(len(ranges), samples, seed) if samples is not None else [()]
    for values in itertools.product(*(axis.values for axis in lists)):
        listed = {axis.path: value for axis, value in zip(lists, values, strict=True)}
        for point in points:
            sampled = {
                path: span.value(share) for (path, span), share in zip(ranges, point, strict=True)
            }
            both = listed | sampled
            yield tuple((axis.path, both[axis.path]) for axis in chosen)


def sobol(dimensions: int, count: int, seed: int) -> list[tuple[float, ...]]:
    """The first `count` points of a scrambled Sobol sequence in the unit cube.

    Owen, "Scrambling Sobol' and Niederreiter-Xing points," 1998; balanced where `count` is a power
    of two.
    """
    from scipy.stats import qmc

    generator = qmc.Sobol(dimensions, scramble=True, rng=seed)
    whole = generator.random_base2(max(count - 1, 0).bit_length())
    return [tuple(float(share) for share in point) for point in whole[:count]]


def samples_of(text: str | None) -> int | None:
    """The number of points that `--samples sobol:N` asks for.

    Raises
    ------
    TopologyError
        Not of that form.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(?:sobol:)?(\d{1,6})", text)
    if match is None or int(match[1]) < 1:
        raise TopologyError([f'--samples: "{printable(text)}": is no sample; write sobol:64'])
    return int(match[1])
