"""What Platforms met with on a real grid, in the figures in which the simulator tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from loadtest.membership import GIVEN_UP, Books
from results import comebacks, histogram
from results.statistics import Sample
from results.variants import Measured, thinned
from topologies.returns import instants

if TYPE_CHECKING:
    from topologies.schema import Population, Topology

INTERVALS: Final = 400
SHARE_WITHIN: Final = 0.05  # of the share that a server is to be held to


def measured(
    topology: Topology,
    defence: str,
    books: Books,
    used: Mapping[str, float],
    share: float = 1.0,
) -> Measured:
    """The figures of a play.

    Parameters
    ----------
    used : mapping
        Shares of their cores that the server and the generator used, and what pace those had.
    share : float
        Of its core that the server was to get. [1]
    """
    edges_s = np.linspace(0.0, topology.workload.duration, INTERVALS + 1)[1:]
    entries = {
        each.name: entry(books, each, edges_s)
        for each in topology.platforms
        if each.login is not None
    }
    hostile = [each.name for each in topology.platforms if each.role == "adversary"]
    due = instants(topology)
    back_s = due.back_s if books.back_s is None else books.back_s
    samples = comebacks.figures(entries, edges_s, hostile, back_s=back_s, guess_s=due.guess_s)
    samples |= {name: Sample(value, reason="one run") for name, value in used.items()}
    if books.down_s is not None:
        samples["downtime_s"] = Sample(books.down_s, reason="one run")
    honest = [entry for name, entry in entries.items() if name not in hostile]
    online = np.sum([each["online"][0] for each in honest], axis=0)
    total = sum(each["platforms"] for each in honest) or 1
    curve = thinned(edges_s.tolist(), (online / total).tolist())
    doubts = books.doubts()
    server = used.get("server_cpu_share")
    if due.guess_s is None and server is not None and share < 1.0:
        if server > share * (1.0 + SHARE_WITHIN):  # less where it has nothing to do
            doubts += (f"the server got {server:.3f} of its core instead of {share:.3f}",)
    elif due.guess_s is not None and server is not None:
        duration_s = topology.workload.duration
        samples |= comebacks.work_per_answer(entries, hostile, server * duration_s)
        got = server * duration_s / (duration_s - due.guess_s)  # it rests before that
        if share < 1.0 and abs(got / share - 1.0) > SHARE_WITHIN:
            doubts += (
                f"the server got {got:.3f} of its core under attack instead of {share:.3f}: rates "
                "and times do not compare, cpu_per_answer_s does",
            )
    return Measured(
        defence, "on a real server", samples, curve, doubts=doubts, messages=tuple(books.messages)
    )


def entry(books: Books, population: Population, edges_s: npt.NDArray[np.float64]) -> dict[str, Any]:
    """What a population's Platforms met with, as a record of the simulator has it."""
    name = population.name
    own = [each for each in books.attempts if each[0] == name]
    outcomes = [each[3] for each in own]
    online = sorted(each[2] for each in books.online if each[0] == name)
    lost = sorted(each[1] for each in books.lost if each[0] == name)
    guesses = population.login is not None and population.login.password == "wrong"
    at_first = 0 if guesses else population.count
    counts = at_first + np.searchsorted(online, edges_s) - np.searchsorted(lost, edges_s)
    took_s = np.array([each[2] - each[1] for each in books.online if each[0] == name])
    bins, found = histogram.sparse(histogram.count(took_s))
    given_up = outcomes.count(GIVEN_UP)
    return {
        "platforms": population.count,
        "attempts": len(own),
        "logins": len(online),
        "given_up": given_up,
        "refused": len(own) - given_up - len(online),
        "away": 0,
        "online": [counts.tolist()],
        "login_latency": {"bins": bins.tolist(), "counts": found.tolist()},
    }
