"""When the neighbours of a Controller's machine are at work: spells in which all costs more.

Other guests of a shared machine take part of a physical core, again and again, for some tens of
milliseconds each time. What a server does in such a spell takes longer together, and makes a queue
that factors drawn one by one do not make. Spells and the times between them are exponential, which
is a Markov-modulated pace of two states; a run begins in one of them as often as it is in it.

The profile's costs hold for work that begins at any instant, as the publications of a light load
do: of what begins in the share p of the time that is spells, a cost is the factor f dearer, so all
costs are divided by 1 - p + p f. A server that never rests works through spells from end to end and
gets more done in the others: of it, a CPU second is worth 1 - p + p / f of one between spells.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from sim import draws
from sim.draws import GROUP, Purpose
from topologies.schema import Neighbours

AT_ONCE: Final = 16 * GROUP  # spells, and times between them, that are drawn together


def paces(
    neighbours: Neighbours, key: tuple[int, int, int], duration_s: float
) -> Iterator[tuple[float, float]]:
    """From when on work takes how many times as long as the profile says, until the run's end.

    What is left then is done at the profile's costs.

    Parameters
    ----------
    neighbours : Neighbours
        How much, how often and how long.
    key : (int, int, int)
        Seed, replication and the machine's number: a component shares those of its Controller.
    duration_s : float
        Length of the run. [s]

    Yields
    ------
    (float, float)
        Instant [s], the first is 0, and factor [1].
    """
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
