"""A day's rate: a shape by the hour, with spikes of seconds at random.

The shape is linear between the middles of its parts, periodic, and has mean 1. Spikes come and go
like an on-off chain: silence is exponential, a spike has one length and multiplies the rate by its
height; the chain is stationary from the start.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from topologies import draws
from topologies.workload import Diurnal, Spikes

Floats = npt.NDArray[np.float64]
PATH_GRID = 2.0**20  # spikes begin and end at multiples of about a microsecond


def shape_knots(diurnal: Diurnal, start_s: float, end_s: float) -> tuple[Floats, Floats]:
    """Instants between start and end, both included, and the rate there without spikes."""
    parts = len(diurnal.parts)
    width_s = diurnal.period / parts
    first = int(np.floor((start_s + diurnal.shift) / width_s - 0.5))
    last = int(np.ceil((end_s + diurnal.shift) / width_s - 0.5))
    middles_s = (np.arange(first, last + 1) + 0.5) * width_s - diurnal.shift
    inside = middles_s[(middles_s > start_s) & (middles_s < end_s)]
    knots_s = np.concatenate(([start_s], inside, [end_s]))
    values = np.array(diurnal.parts)[np.arange(first, last + 1) % parts]
    rate = np.interp(knots_s, middles_s, values) / np.mean(diurnal.parts)
    return knots_s, diurnal.rate * rate


def spike_share(spikes: Spikes | None) -> float:
    """Share of the time that is spent in spikes. [1]"""
    return spikes.length / (spikes.length + spikes.every) if spikes else 0.0


def spike_edges(
    spikes: Spikes, start_s: float, end_s: float, key: tuple[str | int, ...]
) -> tuple[bool, Floats]:
    """Whether a spike is on at the start, and the instants at which that changes. [s]"""
    generator = draws.generator(*key, "spikes")
    on = bool(generator.random() < spike_share(spikes))
    length_s = spikes.length * generator.random() if on else 0.0
    changes, time_s = [], start_s
    if on:
        time_s += length_s
        changes.append(time_s)
    while time_s < end_s:
        time_s += spikes.every * generator.standard_exponential()
        changes += [time_s, time_s + spikes.length]
        time_s = changes[-1]
    edges = np.round(np.array(changes) * PATH_GRID) / PATH_GRID
    return on, edges[(edges > start_s) & (edges < end_s)]


def rates(
    diurnal: Diurnal, start_s: float, end_s: float, key: tuple[str | int, ...]
) -> tuple[Floats, Floats, Floats]:
    """Knots, and the rate at the start and at the end of each piece between two. [s, 1/s]"""
    knots_s, rate = shape_knots(diurnal, start_s, end_s)
    if diurnal.spikes is None:
        return knots_s, rate[:-1], rate[1:]
    on, edges_s = spike_edges(diurnal.spikes, start_s, end_s, key)
    merged = np.union1d(knots_s, edges_s)
    merged = merged[(merged >= start_s) & (merged <= end_s)]
    base = np.interp(merged, knots_s, rate)
    changed = np.searchsorted(edges_s, merged[:-1], side="right")
    height = np.where((changed % 2 == 1) != on, diurnal.spikes.height, 1.0)
    return merged, base[:-1] * height, base[1:] * height


def mean_mass(diurnal: Diurnal, start_s: float, end_s: float) -> float:
    """Publications between start and end on average over all paths of the spikes."""
    knots_s, rate = shape_knots(diurnal, start_s, end_s)
    base = float((0.5 * (rate[:-1] + rate[1:]) * np.diff(knots_s)).sum())
    height = diurnal.spikes.height if diurnal.spikes else 1.0
    return base * (1.0 + (height - 1.0) * spike_share(diurnal.spikes))
