"""How fast the cores of a server were at each time of a run: from spinners and pulses.

Two things change it. Another guest on the same physical core, for hundreds of milliseconds and
more: the idle loop beside the server tells (`spinner`), and a server's work takes longer by a power
of what it loses (`results.pacing`). And spells in which everything on the machine takes several
times as long, for some tens of milliseconds (`pulse`): a server's work as well, by a power of what
pulses take, `SPELL_EXPONENT`. Both are told as one series, of paces at which the server's work
takes as long as it did.

The exponent was measured at publications that found a server at rest (2026-11-27): with it, the
time to the last copy of those that a spell met comes to as much work as that of all others. Each
counts as often as one of its length is not disturbed by the next. In three hours, thirty runs each
of two servers at half load: 0.79 and 0.81 for Prosody, 0.81 and 0.87 for ejabberd (in effect
25 to 61 publications each), and 0.67 to 0.72 with pulses half as long. With 1.0, p99 was a quarter
too high. `gridlab calibrate` tells it anew of the lone publications of its light run.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from loadtest import spinner
from results import pacing

Floats = npt.NDArray[np.float64]
# Times as long as pulses take around it: a spell has one of so many, and ends with the first below.
SPELL_FROM, SPELL_TO = 2.5, 1.5
SPELL_EXPONENT: Final = 0.8
AROUND_S: Final = 1.0
CALM_S: Final = 0.05  # in which the idle loop tells a pace, once it has run for `TOLD_BY_S`
TOLD_BY_S: Final = 0.005
FAR_S: Final = 0.2  # from when spinners ran: nothing is known of the pace then
CELL_S: Final = 0.008  # two pulses
CELLS_MAX: Final = 15_000  # of a run; cells are longer in one of more than two minutes


class Spells(TypedDict):
    """What pulses saw of a machine's spells: how many, their share of the time [1], how many times
    as long work takes in them [1], and how long one is [s].
    """

    count: int
    share: float
    factor: float
    mean_s: float


class Course(NamedTuple):
    """How fast the cores of a process were while it worked.

    Attributes
    ----------
    begins_s : ndarray, shape (n,)
        When each pace began; it lasted until the next. [s]
    paces_per_s : ndarray, shape (n,)
        Rounds of an idle loop in a CPU second. [1/s]
    mean_per_s : float
        The pace at which all that the process did would have taken as long. [1/s]
    """

    begins_s: Floats
    paces_per_s: Floats
    mean_per_s: float

    def rows(self, since_s: float) -> list[list[float]]:
        """[seconds since then, rounds per CPU second], each until the next."""
        steps = np.column_stack([(self.begins_s - since_s).round(4), self.paces_per_s.round()])
        rows: list[list[float]] = steps.tolist()
        return rows


def slower(pulses: Floats) -> Floats:
    """How many times as long work took at each pulse than between spells; 1 there.

    Parameters
    ----------
    pulses : ndarray, shape (2, n)
        Instants and CPU times, see `pulse.kept`. [s]
    """
    instant_s, took_s = pulses
    if len(took_s) < 3:
        return np.ones(len(took_s))
    sides = [np.concatenate([took_s[:1], took_s[:-1]]), took_s]
    sides.append(np.concatenate([took_s[1:], took_s[-1:]]))
    around_s = np.median(sides, axis=0)  # an interrupt beside one pulse is no spell
    parts = max(int((instant_s[-1] - instant_s[0]) / AROUND_S), 1)
    part = np.minimum(((instant_s - instant_s[0]) / AROUND_S).astype(np.int64), parts - 1)
    usual_s = np.array([_usual(took_s[part == each]) for each in range(parts)])
    times = around_s / usual_s[part]
    above = times >= SPELL_TO
    stretch = np.cumsum(np.diff(above, prepend=above[0]))
    highest = np.zeros(stretch[-1] + 1)
    np.maximum.at(highest, stretch, times)
    slow: Floats = np.where(above & (highest[stretch] >= SPELL_FROM), times, 1.0)
    return slow


def _usual(took_s: Floats) -> float:
    """Half of what is no spell takes less: up to a fifth of the time is. [s]"""
    return float(np.percentile(took_s, 40.0)) if len(took_s) else math.nan


def spells(pulses: Floats) -> Spells | None:
    """All spells together; None where there was none."""
    times = slower(pulses)
    slow = times > 1.0
    count = int((np.diff(slow, prepend=False) & slow).sum())
    if not count:
        return None
    share, seconds = float(slow.mean()), float(pulses[0, -1] - pulses[0, 0])
    return {
        "count": count, "share": share, "factor": float(times[slow].mean()),
        "mean_s": share * seconds / count,
    }  # fmt: skip


def steps(
    kept: Floats, pulses: Floats, begin_s: float, end_s: float
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]] | None:
    """Edges of steps [s], one more than there are; the pace in each [1/s], and whether it is known.

    None where nothing is. It is not known far from when a spinner ran.

    Parameters
    ----------
    kept : ndarray, shape (3, n)
        What spinners did, see `spinner.kept`.
    pulses : ndarray, shape (2, n)
        See `pulse.kept`.
    begin_s, end_s : float
        Of the time that is asked for. [s]
    """
    times = slower(pulses)
    kept = _outside(kept, pulses[0], times)
    calm = _calm(kept, begin_s, end_s)
    if calm is None:
        return None
    cells = int(np.clip((end_s - begin_s) / CELL_S, 1, CELLS_MAX))
    edges_s = np.linspace(begin_s, end_s, cells + 1)
    own = np.searchsorted(edges_s, pulses[0], side="right") - 1
    inside = (own >= 0) & (own < cells)
    sums, counts = (
        np.bincount(own[inside], weights, minlength=cells)
        for weights in (times[inside] ** SPELL_EXPONENT, None)
    )
    in_cell = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
    middles_s = 0.5 * (edges_s[:-1] + edges_s[1:])
    step = np.searchsorted(calm[0][1:-1], middles_s, side="right")
    paces = calm[1][step] * in_cell ** (-1.0 / pacing.EXPONENT)
    spun_s = np.concatenate([[-np.inf], kept[0], [np.inf]])
    after = np.searchsorted(spun_s, middles_s)
    known = np.minimum(middles_s - spun_s[after - 1], spun_s[after] - middles_s) <= FAR_S
    changes = (np.diff(paces, prepend=-1.0) != 0.0) | np.diff(known, prepend=known[0])
    first = np.flatnonzero(changes)
    return np.append(edges_s[first], end_s), paces[first], known[first]


def course(
    edges_s: Floats, paces: Floats, known: npt.NDArray[np.bool_], time_s: Floats, cpu_s: Floats
) -> Course | None:
    """The steps of a process that used so much CPU time by some instants.

    What it did between two of these is taken to have come evenly, so that a unit of it did cost
    the mean over time of what one costs at each pace; it was the CPU time used over that. None
    where nothing was used, or half of it at a pace that is not known.

    Parameters
    ----------
    edges_s, paces, known : ndarray
        See `steps`.
    time_s, cpu_s : ndarray, shape (m,)
        Instants, from the first edge or before until the last, and the CPU time used by each. [s]
    """
    used_s = np.diff(np.interp(edges_s, time_s, cpu_s))
    if not 2.0 * used_s[known].sum() > used_s.sum() > 0.0:
        return None
    unit_s = np.insert(np.cumsum(np.diff(edges_s) * paces**-pacing.EXPONENT), 0, 0.0)
    bounds_s = np.unique(np.clip(time_s, edges_s[0], edges_s[-1]))
    cost_s = np.diff(np.interp(bounds_s, edges_s, unit_s)) / np.diff(bounds_s)
    each_s = np.diff(np.interp(bounds_s, time_s, cpu_s))
    mean_s = each_s.sum() / (each_s / cost_s).sum()
    return Course(edges_s[:-1], paces, float(mean_s ** (-1.0 / pacing.EXPONENT)))


def _outside(kept: Floats, instant_s: Floats, times: Floats) -> Floats:
    """What spinners did outside of spells: no pulse is slow from before a bin until after it."""
    if not len(instant_s):
        return kept
    first = np.searchsorted(instant_s, kept[0], side="right") - 1
    last = np.searchsorted(instant_s, kept[0] + spinner.BIN_NS / 1e9)
    slow = np.insert(np.cumsum(times > 1.0), 0, 0)  # before each pulse, and before the end
    return kept[:, slow[np.minimum(last + 1, len(times))] == slow[np.maximum(first, 0)]]


def _calm(kept: Floats, begin_s: float, end_s: float) -> tuple[Floats, Floats] | None:
    """Edges of steps and paces as spinners tell them.

    A step ends in the middle between the spinning that it is told by and the next one's: of the
    time in which the server had the core, nothing is known.
    """
    firsts, lasts, paces, told_by = [], [], [], np.zeros(2)
    for bin_s, *counts in kept[:, (kept[0] >= begin_s) & (kept[0] < end_s)].T.tolist():
        if not told_by.any():
            firsts.append(bin_s)
        told_by += counts
        if told_by[1] >= TOLD_BY_S and bin_s - firsts[-1] >= CALM_S:
            lasts.append(bin_s)
            paces.append(told_by[0] / told_by[1])
            told_by[:] = 0.0
    if not paces:
        return None
    between_s = (np.array(lasts[:-1]) + firsts[1 : len(paces)]) / 2.0
    return np.array([begin_s, *between_s, end_s]), np.array(paces)
