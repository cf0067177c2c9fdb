"""Books of sessions count each population apart, however many there are."""

import numpy as np
import worlds

from results import histogram
from sim import phases
from sim.session_books import SessionBooks

MANY = 9  # more than 2^16 / the bins of a histogram


def test_many_populations_are_counted_apart():
    people = [
        {"name": f"p{number}", "count": 10, "login": {"mechanism": "plain"}}
        for number in range(MANY)
    ]
    people.append({"name": "pub", "count": 1, "publishes": ["t"]})
    topology = worlds.topology(
        people, [{"topic": "t", "by": "pub", "process": "poisson", "rate": "1/s"}], duration="10 s"
    )
    books = SessionBooks(phases.timetable(topology), topology)
    everybody = np.repeat(np.arange(MANY, dtype=np.uint16), 10)
    books.lose(everybody, 1.5)
    books.attempt(everybody, np.full(len(everybody), 1.6))
    known = np.arange(MANY, dtype=np.uint16)
    latency_s = 0.1 * (1.0 + known)
    books.log_in(known, 2.0 + latency_s, latency_s)
    tally = books.close(np.zeros(MANY + 1, np.int64))
    assert tally.attempts.sum(axis=0).tolist() == [10] * MANY + [0]
    assert tally.logins.sum(axis=0).tolist() == [1] * MANY + [0]
    assert tally.online[-1].tolist() == [1] * MANY + [1]
    for counts, known_s in zip(tally.latency, latency_s, strict=False):
        assert counts.sum() == 1
        assert counts[histogram.bin_index(np.array([known_s]))[0]] == 1
