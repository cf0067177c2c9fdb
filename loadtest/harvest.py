"""What the generator's processes hand over, put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtest.actions import Actions, together
from loadtest.ledger import NEVER, Received
from loadtest.receiver import columns
from loadtest.spool import Spool

Instants = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ended:
    """A process that ended in the middle of a run: what it saw in its last second is not known.

    Attributes
    ----------
    role : str
        `receive` or `publish`.
    worker : int
        Whose child it was.
    after_s : float
        When it ended, from the start of the run. [s]
    platforms : tuple of int
        Whose sessions went with it.
    why : str
        What it left to say.
    """

    role: str
    worker: int
    after_s: float
    platforms: tuple[int, ...]
    why: str


@dataclass(frozen=True)
class Harvest:
    """Everything that was measured by the generator.

    Attributes
    ----------
    sent_ns, answered_ns : ndarray
        By row of the plan, `ledger.NEVER` where it was not; monotonic clock. [ns]
    refused : ndarray of bool
        By row, whether the server refused it.
    received : Received
        Every copy that came.
    delay_ns : ndarray
        By copy, how long the kernel held it. [ns]
    logins_ns : ndarray, shape (sessions, 5)
        Begin, connected, secured, authenticated, bound. [ns]
    windows : list of dict
        One for each second of each process, with its `role` and `share`.
    facts : list of dict
        By process.
    conditions : dict
        How often the server gave each reason to refuse a publication.
    scheduling : str
        Scheduling class that the publishing processes had.
    ended : tuple of Ended
        Processes that were killed, or died, before they handed over.
    actions : Actions
        What the actors of a scenario did.
    """

    sent_ns: Instants
    answered_ns: Instants
    refused: npt.NDArray[np.bool_]
    received: Received
    delay_ns: Instants
    logins_ns: Instants
    windows: list[dict[str, Any]]
    facts: list[dict[str, Any]]
    conditions: dict[str, int]
    scheduling: str
    ended: tuple[Ended, ...] = ()
    actions: Actions = field(default_factory=lambda: together([]))

    @property
    def deaf(self) -> set[int]:
        """Platforms that nobody listened for once their process had ended."""
        return {each for ended in self.ended if ended.role == "receive" for each in ended.platforms}

    @property
    def mute(self) -> set[int]:
        """Platforms that published nothing once their process had ended."""
        return {each for ended in self.ended if ended.role == "publish" for each in ended.platforms}

    def first(self, rows: int) -> Harvest:
        """The same for the first rows of the plan only; all copies stay."""
        return replace(
            self,
            sent_ns=self.sent_ns[:rows],
            answered_ns=self.answered_ns[:rows],
            refused=self.refused[:rows],
        )


def gather(
    spools: Sequence[Spool],
    rows: int,
    windows: Mapping[int, Sequence[Mapping[str, Any]]],
    ended: Mapping[int, Ended] | None = None,
) -> Harvest:
    """Read what all processes of a run have left.

    Parameters
    ----------
    spools : sequence of Spool
        One for each process, in the order of the specs.
    rows : int
        Publications of the plan.
    windows : mapping
        By place in `spools`, what the process told second by second.
    ended : mapping, optional
        By place in `spools`: the processes that did not come to their end.
    """
    outcomes = np.full((3, rows), NEVER, dtype=np.int64)
    outcomes[2] = 0
    for spool in spools:
        mine = spool.read_publications()
        outcomes[:, mine[0]] = mine[1:]
    deliveries = np.concatenate([spool.read_deliveries() for spool in spools])
    publication, session, received_ns, delay_ns, replayed = columns(deliveries)
    facts = [told for spool in spools if (told := spool.read_facts())]
    conditions: Counter[str] = Counter()
    for each in facts:
        conditions.update(each.pop("conditions", {}))
    scheduling = {str(each.pop("scheduling")) for each in facts if "scheduling" in each}
    logins = [login for each in facts for login in each.pop("logins_ns")]
    return Harvest(
        sent_ns=outcomes[0],
        answered_ns=outcomes[1],
        refused=outcomes[2] > 0,
        received=Received(publication, session, received_ns, replayed),
        delay_ns=delay_ns,
        logins_ns=np.array(logins, dtype=np.int64).reshape(-1, 5),
        windows=[{**each, "share": place} for place, told in windows.items() for each in told],
        facts=facts,
        conditions=dict(conditions),
        scheduling=", ".join(sorted(scheduling)),
        ended=tuple((ended or {}).values()),
        actions=together([actions for each in facts if (actions := each.pop("actions", None))]),
    )
