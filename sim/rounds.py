"""Which variant of an attack is played when: rounds of all of them, each in an order of its own.

What is played later may find the machine otherwise, so that variants that are to be compared take
turns. What was played is kept if a later play fails, once each variant was played.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

from topologies.draws import generator

Progress = Callable[[float, str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Plays(Generic[T]):
    """What came of each variant, play by play.

    Attributes
    ----------
    of : dict of str to list
        By variant, in the order of the rounds.
    numbers : dict of str to list of int
        The place of each among all plays, from 1 on.
    ended : str
        Why there are no more of them; empty where all were played.
    """

    of: dict[str, list[T]]
    numbers: dict[str, list[int]]
    ended: str = ""


class Rounds:
    """So many rounds over the variants of an attack.

    Parameters
    ----------
    count : int
        Plays of each variant; a single one is in the order of the file.
    seed : int
        Of the order in each round.
    progress : callable
        Gets the share of all plays that is done and a remark; before the first play, the share of
        what is being prepared.
    """

    def __init__(
        self, count: int = 1, seed: int = 1, progress: Progress = lambda share, remark: None
    ) -> None:
        self.count, self._seed, self._progress = count, seed, progress
        self._done = self._total = 0

    def tell(self, share: float, remark: str) -> None:
        """The play that goes on is so far. [1]"""
        if not self._total:
            self._progress(share, remark)
            return
        which = f"play {self._done + 1} of {self._total}: " if self._total > 1 else ""
        self._progress((self._done + share) / self._total, f"{which}{remark}")

    def play(self, names: Collection[str], play: Callable[[str], T]) -> Plays[T]:
        """All variants, all rounds.

        Raises
        ------
        ValueError, OSError
            What a play of the first round raises; later ones only end the plays.
        """
        found = Plays[T]({name: [] for name in names}, {name: [] for name in names})
        self._done, self._total = 0, self.count * len(names)
        for number in range(self.count):
            for name in self._order(list(names), number):
                try:
                    came = play(name)
                except (ValueError, OSError) as error:
                    told = isinstance(error, OSError) or hasattr(error, "exit_code")
                    if not number or not told:  # what nobody expected is not kept quiet
                        raise
                    rest = f"what was played before play {self._done + 1} of {self._total} is kept"
                    return Plays(found.of, found.numbers, f"{name}: {error}; {rest}")
                self._done += 1
                found.of[name].append(came)
                found.numbers[name].append(self._done)
        return found

    def _order(self, names: list[str], number: int) -> list[str]:
        """The variants as a round plays them."""
        if self.count == 1:
            return names
        places = generator(self._seed, "rounds", number).permutation(len(names))
        return [names[place] for place in places]
