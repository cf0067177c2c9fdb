"""The rate of a Poisson stream over time, linear between knots, and its integral both ways.

Every modulated process of the lab (on-off, sine, ramp, step, a window) is a Poisson process with
such a rate once its modulating path is known. With Lambda(t) the integral of the rate, a point
drawn uniformly in [Lambda(a), Lambda(b)) and mapped back by the inverse falls in [a, b) as the
process asks. Only + - * / and square roots are used on the way, so all machines agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from topologies import diurnal, draws, schema

Floats = npt.NDArray[np.float64]

SINE_KNOTS = (
    256  # per period: the rate is off by at most (2 pi / 256)^2 / 8 < 1e-4 of the amplitude
)
PATH_GRID = 2.0**20  # an on-off path switches at multiples of about a microsecond


@dataclass(frozen=True)
class Intensity:
    """A rate, linear on each piece [knots_s[i], knots_s[i+1]), that may jump at knots. [1/s]"""

    knots_s: Floats
    rate_from: Floats
    rate_to: Floats

    @cached_property
    def _mass(self) -> Floats:
        areas = 0.5 * (self.rate_from + self.rate_to) * np.diff(self.knots_s)
        return np.concatenate(([0.0], np.cumsum(areas)))

    def mass(self, time_s: Floats) -> Floats:
        """Expected points before each instant: Lambda(t), zero before the first knot."""
        time_s = np.clip(time_s, self.knots_s[0], self.knots_s[-1])
        piece = np.clip(
            np.searchsorted(self.knots_s, time_s, side="right") - 1, 0, len(self.rate_from) - 1
        )
        spent = time_s - self.knots_s[piece]
        slope = self._slope(piece)
        return np.asarray(self._mass[piece] + spent * (self.rate_from[piece] + 0.5 * slope * spent))

    def instants(self, mass: Floats) -> Floats:
        """The instants at which Lambda reaches `mass`: the stable root of a parabola. [s]"""
        piece = np.clip(
            np.searchsorted(self._mass, mass, side="right") - 1, 0, len(self.rate_from) - 1
        )
        area = mass - self._mass[piece]
        rate = self.rate_from[piece]
        root = rate + np.sqrt(np.maximum(rate * rate + 2.0 * self._slope(piece) * area, 0.0))
        spent = np.divide(2.0 * area, root, out=np.zeros_like(area), where=root > 0.0)
        return np.asarray(np.minimum(self.knots_s[piece] + spent, self.knots_s[piece + 1]))

    def _slope(self, piece: npt.NDArray[np.intp]) -> Floats:
        width = self.knots_s[piece + 1] - self.knots_s[piece]
        rise = self.rate_to[piece] - self.rate_from[piece]
        return np.divide(rise, width, out=np.zeros_like(rise), where=width > 0.0)


def constant(start_s: float, end_s: float, rate_per_s: float) -> Intensity:
    """The same rate from start to end."""
    return Intensity(np.array([start_s, end_s]), np.array([rate_per_s]), np.array([rate_per_s]))


def sine(arrivals: schema.Sine, start_s: float, end_s: float) -> Intensity:
    """A sine in `SINE_KNOTS` pieces a period, rounded so that a library's last bit is lost."""
    pieces = max(int(np.ceil((end_s - start_s) / arrivals.period * SINE_KNOTS)), 1)
    knots_s = np.linspace(start_s, end_s, pieces + 1)
    angle = 2.0 * np.pi * (knots_s + arrivals.shift) / arrivals.period
    rate = arrivals.rate * np.maximum(np.round(1.0 + arrivals.amplitude * np.sin(angle), 9), 0.0)
    return Intensity(knots_s, rate[:-1], rate[1:])


def steps(arrivals: schema.Step, start_s: float, end_s: float) -> Intensity:
    """`rates[i]` in the i-th of equal parts."""
    rates = np.array(arrivals.rates)
    return Intensity(np.linspace(start_s, end_s, len(rates) + 1), rates, rates)


def on_off(
    arrivals: schema.OnOff, start_s: float, end_s: float, key: tuple[str | int, ...]
) -> Intensity:
    """One path of the on/off chain, stationary from its start: on with share on / (on + off)."""
    generator = draws.generator(*key, "path")
    on = bool(generator.random() < arrivals.mean_on / (arrivals.mean_on + arrivals.mean_off))
    means = np.array(
        [arrivals.mean_on, arrivals.mean_off] if on else [arrivals.mean_off, arrivals.mean_on]
    )
    switches = [np.array([start_s])]
    while switches[-1][-1] < end_s:
        stays = generator.standard_exponential((256, 2)) * means
        switches.append(
            switches[-1][-1] + np.cumsum(np.round(stays.ravel() * PATH_GRID) / PATH_GRID)
        )
    knots_s = np.minimum(np.concatenate(switches), end_s)
    knots_s = knots_s[: int(np.searchsorted(knots_s, end_s)) + 1]
    rate = np.where((np.arange(len(knots_s) - 1) % 2 == 0) == on, arrivals.rate, 0.0)
    return Intensity(knots_s, rate, rate)


def intensity(
    arrivals: schema.Arrivals, start_s: float, end_s: float, load: float, key: tuple[str | int, ...]
) -> Intensity:
    """The rate of a stream of Poisson type between start and end, times `load`. [1/s]"""
    match arrivals:
        case schema.Sine():
            shape = sine(arrivals, start_s, end_s)
        case schema.Step():
            shape = steps(arrivals, start_s, end_s)
        case schema.OnOff():
            shape = on_off(arrivals, start_s, end_s, key)
        case schema.Diurnal():
            shape = Intensity(*diurnal.rates(arrivals, start_s, end_s, key))
        case schema.Ramp():
            shape = Intensity(
                np.array([start_s, end_s]),
                np.array([arrivals.rate]),
                np.array([arrivals.final_rate]),
            )
        case schema.Poisson() | schema.Batch():
            shape = constant(start_s, end_s, arrivals.rate)
        case _:
            raise AssertionError(f"{type(arrivals).__name__} has no rate of its own")
    return Intensity(shape.knots_s, shape.rate_from * load, shape.rate_to * load)
