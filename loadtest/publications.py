"""The publications of one process: when each was sent and answered; compiled code shares this."""

from __future__ import annotations

import bisect
from typing import Final

import numpy as np
import numpy.typing as npt

from loadtest.spool import NEVER, Spool

Integers = npt.NDArray[np.int64]

# Words of `Publications.progress`.
BEGUN: Final = 0  # how many have been due
WRITTEN: Final = 1  # of those, how many were written, or could not be
UNSENT: Final = 2  # of those, how many could not be: their session was gone
ANSWERED: Final = 3  # how many have an answer
WORDS: Final = 4


class Publications:
    """Rows of the plan that one process publishes, by their place among them.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
        Rows of the plan, ascending.
    spool : Spool
        Where they are on disk meanwhile.

    Attributes
    ----------
    sent_ns, answered_ns : ndarray of int64, shape (n,)
        Instants, NEVER as yet. [ns]
    refused : ndarray of int64, shape (n,)
        1 where the answer was an error.
    answers : ndarray of int64, shape (n,)
        Places in the order of their answers.
    progress : ndarray of int64, shape (WORDS,)
        How far it all is.
    """

    def __init__(self, rows: Integers, spool: Spool) -> None:
        self.rows = np.ascontiguousarray(rows, dtype=np.int64)
        self.sent_ns, self.answered_ns, self.refused = spool.publications(self.rows)
        self.answers = np.empty(len(rows), dtype=np.int64)
        self.progress = np.zeros(WORDS, dtype=np.int64)
        self._row_list: list[int] = self.rows.tolist()

    def __len__(self) -> int:
        return len(self._row_list)

    def row(self, place: int) -> int:
        """The row of the plan at a place."""
        return self._row_list[place]

    def answer(self, row: int, received_ns: int) -> int | None:
        """Note the answer to a row that is on its way; its place, None if it is not."""
        place = bisect.bisect_left(self._row_list, row)
        if place == len(self._row_list) or self._row_list[place] != row:
            return None
        if self.sent_ns[place] == NEVER or self.answered_ns[place] != NEVER:
            return None
        self.answered_ns[place] = received_ns
        self.answers[self.progress[ANSWERED]] = place
        self.progress[ANSWERED] += 1
        return place

    def never_sent(self, place: int) -> None:
        """Note that a publication that was due could not be sent."""
        self.sent_ns[place] = NEVER
        self.progress[UNSENT] += 1

    @property
    def written(self) -> int:
        """How many had their turn."""
        return int(self.progress[WRITTEN])

    @property
    def unanswered(self) -> int:
        """How many are on their way."""
        return int(self.progress[WRITTEN] - self.progress[UNSENT] - self.progress[ANSWERED])
