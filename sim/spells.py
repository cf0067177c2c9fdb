"""When a Controller's machine is slow: in spells that its neighbours make, or as was recorded.

Other guests of a shared machine take part of a physical core, again and again, for some tens of
milliseconds each time. What a server does in such a spell takes longer together, and makes a queue
that factors drawn one by one do not make. Spells and the times between them are exponential, which
is a Markov-modulated pace of two states; a run begins in one of them as often as it is in it.

The profile's costs hold for work that begins at any instant, as the publications of a light load
do: of what begins in the share p of the time that is spells, a cost is the factor f dearer, so all
costs are divided by 1 - p + p f. A server that never rests works through spells from end to end and
gets more done in the others: of it, a CPU second is worth 1 - p + p / f of one between spells.

A record (`slowness`) is played from an instant that is drawn, as a real run begins at any time of
its machine's, over and over; nothing is scaled: its factors are of the profile's costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from sim import draws
from sim.draws import GROUP, Purpose
from topologies.schema import Controller, Neighbours, Slowness

AT_ONCE: Final = 16 * GROUP  # spells, and times between them, that are drawn together


def paces(
    node: Controller, key: tuple[int, int, int], duration_s: float
) -> Iterator[tuple[float, float]]:
    """From when on work takes how many times as long as the profile says, until the run's end.

    What is left then is done at the profile's costs.

    Parameters
    ----------
    node : Controller
        Who has neighbours, or of whose machine it is recorded how slow it was; else there is none.
    key : (int, int, int)
        Seed, replication and the machine's number: a component shares those of its Controller, and
        a record begins at the same instant for all.
    duration_s : float
        Length of the run. [s]

    Yields
    ------
    (float, float)
        Instant [s], the first is 0, and factor [1].
    """
    if node.neighbours is not None:
        yield from _spells(node.neighbours, key, duration_s)
    if node.slowness is not None:
        yield from _recorded(node.slowness, key[:2], duration_s)


def _recorded(
    slowness: Slowness, key: tuple[int, int], duration_s: float
) -> Iterator[tuple[float, float]]:
    """A record from any of its instants on, over and over."""
    ends_s = np.cumsum([step.lasts for step in slowness.steps])
    begin = draws.uniforms(key[0], Purpose.RECORD_BEGIN, key[1], np.array([0]))
    offset_s = float(begin[0] * ends_s[-1])
    number = int(np.searchsorted(ends_s, offset_s, side="right"))
    instant_s, left_s = 0.0, float(ends_s[number]) - offset_s
    while instant_s < duration_s:
        yield instant_s, slowness.steps[number].factor
        instant_s += left_s
        number = (number + 1) % len(ends_s)
        left_s = slowness.steps[number].lasts


def _spells(
    neighbours: Neighbours, key: tuple[int, int, int], duration_s: float
) -> Iterator[tuple[float, float]]:
    """Spells and the times between them, of exponential lengths."""
    seed, replication, station = key
    share, factor = neighbours.share, neighbours.factor
    calm = 1.0 / (1.0 - share + share * factor)
    begin = draws.uniforms(seed, Purpose.SPELL_BEGIN, replication, np.array([station]))
    spell, instant_s = bool(begin[0] < share), 0.0
    means_s = {True: neighbours.mean, False: neighbours.mean * (1.0 - share) / share}
    for length in _lengths(seed, replication, station):
        yield instant_s, calm * factor if spell else calm
        instant_s += means_s[spell] * length
        spell = not spell
        if instant_s >= duration_s:
            return


def _lengths(seed: int, replication: int, station: int) -> Iterator[float]:
    """Exponential draws of mean 1, one after another."""
    first, drawn = 0, np.empty(AT_ONCE)
    while True:
        draws.fill_exponentials(
            np.uint64(seed), int(Purpose.SPELL), replication, station, first, AT_ONCE, drawn
        )
        yield from drawn.tolist()
        first += AT_ONCE
