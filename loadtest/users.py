"""What Locust calls users: sessions of Platforms, held by the generator's own processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gevent
from locust import User, task
from locust.stats import RequestStats, StatsEntry, StatsError, bucket_response_time

from loadtest.problems import LoadError
from results import histogram


class PlatformUser(User):  # type: ignore[misc]
    """A Platform of the topology: it is online; the plan says who publishes, and when.

    The engine holds its session: Locust counts it, and never touches its socket. Addresses,
    accounts and certificates come from the grid, so `host` stays empty.
    """

    host = ""

    @task  # type: ignore[untyped-decorator]
    def stay(self) -> None:
        """Nothing to do here."""
        gevent.sleep(1.0)


def shares(counts: Mapping[str, int], users: int) -> dict[str, int]:
    """So many users dealt out to the populations in proportion, at least one to each.

    Largest remainders decide the last ones.

    Parameters
    ----------
    counts : mapping
        Platforms of each population in the file.
    users : int
        Platforms wanted in all.

    Raises
    ------
    LoadError
        Fewer users than populations, or more than Platforms.
    """
    total = sum(counts.values())
    if not len(counts) <= users <= total:
        raise LoadError(
            f"--users: {users}: the topology has {len(counts)} populations of {total} Platforms "
            f"in all; choose {len(counts)} to {total}"
        )
    exact = {name: count * users / total for name, count in counts.items()}
    dealt = {name: max(1, int(share)) for name, share in exact.items()}
    while (missing := users - sum(dealt.values())) != 0:
        step = 1 if missing > 0 else -1
        may = [name for name in dealt if 1 <= dealt[name] + step <= counts[name]]
        chosen = max(may, key=lambda name: step * (exact[name] - dealt[name]))
        dealt[chosen] += step
    return dealt


class Board:
    """Feeds Locust's statistics in bulk.

    CONN is a login, IQ what subscribing to a Broker's Topics took, PUBLISH a publication from its
    intended instant to the server's answer, DELIVER a copy from the intended instant to its
    receipt, LIMIT a publication that a limit of the server refused. Deliveries are many for each
    publication, and what is limited is counted as a publication already, so that these two rows
    are kept out of the aggregate.

    Parameters
    ----------
    stats : RequestStats
        Locust's.
    name : str
        Name of the rows: the topology's.
    """

    def __init__(self, stats: RequestStats, name: str) -> None:
        self._stats = stats
        self._name = name

    def show(self, news: Mapping[str, Any], now_s: float) -> None:
        """Take in what the engine tells.

        Parameters
        ----------
        news : mapping
            See the `progress` of `loadtest.engine.play`.
        now_s : float
            Wall clock, as Locust's rows have it. [s]
        """
        for login in news.get("logins", ()):
            self._extend("CONN", login["login"], now_s)
            self._extend("IQ", login["query"], now_s)
        for window in news.get("windows", ()):
            if window["role"] == "publish":
                self._extend("PUBLISH", window["answer"], now_s)
                self.fail("PUBLISH", "refused by the server", window["refused"], now_s)
                self._limit(window.get("limited", 0), now_s)
            elif window["role"] == "receive":
                self._extend("DELIVER", window["latency"], now_s, window["read_bytes"])

    def _limit(self, count: int, now_s: float) -> None:
        """Count what a limit of the server has refused; it has no response time of its own."""
        if count:
            entry = self._entry("LIMIT", now_s)
            entry.num_requests = entry.num_none_requests = count
            entry.num_reqs_per_sec = {int(now_s): count}
            self._add("LIMIT", entry)

    def fail(self, method: str, problem: str, count: int, now_s: float) -> None:
        """Count failures of a row."""
        if not count:
            return
        entry = self._entry(method, now_s)
        entry.num_failures = count
        entry.num_fail_per_sec = {int(now_s): count}
        self._add(method, entry)
        key = StatsError.create_key(method, self._name, problem)
        error = self._stats.errors.setdefault(key, StatsError(method, self._name, problem))
        error.occurrences += count

    def _extend(
        self, method: str, latency: Sequence[Sequence[int]], now_s: float, size_bytes: int = 0
    ) -> None:
        bins, counts = latency
        if not bins:
            return
        milliseconds = (1e3 * histogram.representative_s()[list(bins)]).tolist()
        entry = self._entry(method, now_s)
        entry.num_requests = sum(counts)
        entry.num_reqs_per_sec = {int(now_s): entry.num_requests}
        entry.total_response_time = sum(
            ms * count for ms, count in zip(milliseconds, counts, strict=True)
        )
        entry.min_response_time, entry.max_response_time = milliseconds[0], milliseconds[-1]
        entry.total_content_length = size_bytes
        for ms, count in zip(milliseconds, counts, strict=True):
            entry.response_times[bucket_response_time(ms)] += count
        self._add(method, entry)

    def _entry(self, method: str, now_s: float) -> StatsEntry:
        entry = StatsEntry(self._stats, self._name, method)
        entry.last_request_timestamp = now_s
        return entry

    def _add(self, method: str, entry: StatsEntry) -> None:
        self._stats.entries[(self._name, method)].extend(entry)
        if method not in ("DELIVER", "LIMIT"):
            self._stats.total.extend(entry)
        else:  # the current rates are taken up to here
            self._stats.total.last_request_timestamp = entry.last_request_timestamp
