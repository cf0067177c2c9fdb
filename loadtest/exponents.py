"""How a server's CPU time goes with what else is on its machine: two exponents, with intervals.

Another guest on the same physical core makes an idle loop slower, and a server's work by a power of
that (`results.pacing.EXPONENT`). In spells everything takes several times as long, a server's work
by a power of what pulses take (`tempo.SPELL_EXPONENT`). Both are told from lone publications of a
calibration's light run, each against others to as many subscribers and of the same size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.costs import GROUP_MIN, RESAMPLES, resampled
from loadtest.experiment import LIGHT_S, Work
from results.statistics import Estimate, unavailable

MET: Final = 1.8  # mean of the pulses during a publication from which a spell has met it
SPELL_MOST: Final = 2.0  # exponents up to this are looked for
WEIGHT_MAX: Final = 30.0
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def told(work: Work) -> dict[str, Estimate]:
    """Both exponents, as figures of a calibration. [1]"""
    return {"pace_exponent": pace(work), "spell_exponent": spell(work)}


def pace(work: Work) -> Estimate:
    """How CPU time falls with the pace of the core: slope of log cost in log pace, negative. [1]

    The pace beside a publication is not quite that during it, so the pace after is the instrument
    of that before, and the other way round (instrumental variables, both averaged).
    """
    known = ~np.isnan(work.paces_per_s).any(axis=0) & _lone(work)
    if np.count_nonzero(known) < 4 * GROUP_MIN:
        return unavailable("too few lone publications beside which the pace is known")
    logs = np.log(np.vstack([work.cpu_s[known], work.paces_per_s[:, known]]))
    cells = _cells(work, np.flatnonzero(known))

    def slope(rows: Rows) -> float:
        cell, values = cells[rows], logs[:, rows]
        counts = np.maximum(np.bincount(cell), 1)
        cost, before, after = (
            each - (np.bincount(cell, weights=each) / counts)[cell] for each in values
        )
        both = float(before @ after)
        return float(-0.5 * (cost @ before + cost @ after) / both) if both > 0.0 else np.nan

    return _estimate(slope, logs.shape[1], "the pace of the core did not change enough")


def spell(work: Work) -> Estimate:
    """The power of what pulses take by which a server's work is slower in a spell. [1]

    The server works all through a lone publication, and pulses are even in time: of CPU time T, a
    server that is slower by p ** x does the work of T mean(p ** -x). With the exponent told, that
    of the publications which a spell has met comes to as much as that of those in which every pulse
    was as usual. Each counts as often as one of its length is not disturbed by the next, since a
    long one is less often alone. `n` is how many a spell has met.
    """
    lone = _lone(work)
    beaten = np.array([len(each) > 0 for each in work.pulses])
    if not beaten.any():
        return unavailable("no pulses beat: they need the right to the real-time class")
    means = np.array([each.mean() if len(each) else np.nan for each in work.pulses])
    rows = np.flatnonzero(lone & ((means == 1.0) | (means > MET)))
    cells, met = _cells(work, rows), means[rows] > MET
    calm_cells = np.unique(cells[~met])
    rows = rows[~met | np.isin(cells, calm_cells)]
    cells, met, cost_s = _cells(work, rows), means[rows] > MET, work.cpu_s[rows]
    few = int(np.count_nonzero(met))
    if few < 2 * GROUP_MIN:
        return unavailable(f"spells met {few} lone publications: at least {2 * GROUP_MIN} needed")
    per_s = work.count.sum() / LIGHT_S
    weights = np.minimum(np.exp(per_s * work.last_s[rows]), WEIGHT_MAX)
    pulses = [work.pulses[row] for row in rows.tolist()]

    def exponent(chosen: Rows) -> float:
        calm, slow = chosen[~met[chosen]], chosen[met[chosen]]
        most = cells.max() + 1
        totals = np.bincount(cells[calm], weights=weights[calm], minlength=most)
        sums_s = np.bincount(cells[calm], weights=(weights * cost_s)[calm], minlength=most)
        slow = slow[totals[cells[slow]] > 0.0]
        if not len(slow):
            return np.nan
        usual_s = float((weights[slow] * (sums_s / np.maximum(totals, 1e-9))[cells[slow]]).sum())

        def excess_s(power: float) -> float:
            done = np.array([np.mean(pulses[row] ** -power) for row in slow.tolist()])
            return float((weights[slow] * cost_s[slow] * done).sum()) - usual_s

        return _root(excess_s, SPELL_MOST)

    found = _estimate(exponent, len(rows), "spells met none beside which there is another")
    return found if found["value"] is None else {**found, "n": few}


def _root(falling: Callable[[float], float], most: float) -> float:
    """Where a falling function of 0 to `most` crosses zero; else the nearer end."""
    from scipy.optimize import brentq

    if falling(0.0) <= 0.0:
        return 0.0
    return most if falling(most) >= 0.0 else float(brentq(falling, 0.0, most))


def _lone(work: Work) -> npt.NDArray[np.bool_]:
    alone: npt.NDArray[np.bool_] = ~np.isnan(work.fan_out) & (work.cpu_s > 0.0)
    return alone


def _cells(work: Work, rows: Rows) -> Rows:
    """Which fan-out and size each has, as a number from zero."""
    kinds = np.stack([work.fan_out[rows], np.round(work.payload_bytes[rows], -2)])
    return np.asarray(np.unique(kinds, axis=1, return_inverse=True)[1]).ravel()


def _estimate(figure: Callable[[Rows], float], count: int, otherwise: str) -> Estimate:
    """A figure of all rows, with its interval from rows drawn anew; why not if one has none."""
    rows = np.arange(count)
    draws = np.random.default_rng(5)
    value = figure(rows)
    tries = np.array([figure(draws.choice(rows, count)) for _ in range(RESAMPLES)])
    if not np.isfinite(value) or not np.isfinite(tries).all():
        return unavailable(otherwise)
    return resampled(value, tries, count)
