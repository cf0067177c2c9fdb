"""What a server does at its door about logins: admission, new connections, failed logins.

* `admission.rate` is a token bucket of attempts, `limits.address` one of each source address, or
  what Prosody has instead of it (`Windows`). Their word is given as a connection's first message
  comes; a refusal costs what the profile's `refuse` says, and waits for its turn like any work. Who
  is refused by the address takes no token of the admission.
* `limits.failed_logins` counts, by source address, the failures in a row. With `count` of them a
  connection from there is closed as its first message has been answered, until `ban` has passed
  since the last failure; then, or with a login that succeeds, all is forgotten. Failures that no
  Platform waited for are not counted: an assumption.

A Platform's address is its population's, number k of them for every k-th Platform. A server that
crashes forgets all of it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from sim.state import Floats, Integers
from topologies.limits import AddressLimit
from topologies.schema import Controller, Topology

WINDOWED: Final = "prosody"  # whose profiles' servers limit addresses by windows

Mask = npt.NDArray[np.bool_]
Bucket = tuple[float, float]  # tokens as of an instant [1, s]


class Addresses:
    """Source addresses of Platforms, numbered through a topology."""

    def __init__(self, topology: Topology) -> None:
        counts = np.array([each.count for each in topology.platforms])
        own = [each.addresses or each.count for each in topology.platforms]
        self._own = np.array(own)
        self._base = np.cumsum(self._own) - self._own
        self._first = np.cumsum(counts) - counts

    def of(self, platform: Integers, population: npt.NDArray[np.uint16]) -> Integers:
        """Address of each Platform, given its population."""
        place = platform - self._first[population]
        return np.asarray(self._base[population] + place % self._own[population])


class Windows:
    """Prosody's mod_c2s_conn_throttle: connections of an address, counted since its first one.

    The clock is in whole seconds. While less than `per` of them have passed, `connections` are let
    in; in the second in which just as many have, all are; with the first connection after that all
    is forgotten, and it is not counted itself. Seconds are those of the simulation; a real play
    begins with one.

    Parameters
    ----------
    limit : AddressLimit
        How many, in which time; that is rounded up to seconds, as the deployment does.
    """

    def __init__(self, limit: AddressLimit) -> None:
        self._most, self._seconds = limit.connections, math.ceil(limit.per)
        self._since: dict[int, tuple[int, int]] = {}  # by address: first second, connections

    def lets_in(self, address: int, now_s: float) -> bool:
        """Whether one more connection is let in; it is counted if so."""
        second = math.floor(now_s)
        began, count = self._since.get(address, (second, 0))
        age = second - began
        if age > self._seconds:
            self._since[address] = (second, 0)
            return True
        if age < self._seconds and count >= self._most:
            return False
        self._since[address] = (began, count + 1)
        return True


class Gate:
    """One server's door.

    Parameters
    ----------
    node : Controller
        Its limits and admission.
    server : str
        Kind of server, as its profile names it.
    """

    def __init__(self, node: Controller, server: str = "none") -> None:
        self._admission, self._address = node.admission, node.limits.address
        self._windowed = server == WINDOWED
        self._failed = node.limits.failed_logins
        self._rated = self._admission is not None and self._admission.rate is not None
        self.watches: Final = self._failed is not None
        self.open: Final = not self._rated and self._address is None
        self.forget()

    def forget(self) -> None:
        """All is as at the server's start."""
        burst = float(self._admission.burst) if self._admission is not None else 0.0
        self._taken: Bucket = (burst, 0.0)
        self._addresses: dict[int, Bucket] = {}
        self._failures: dict[int, tuple[int, float]] = {}
        windowed = self._address if self._windowed else None
        self._windows = None if windowed is None else Windows(windowed)

    def refuses(self, arrival_s: Floats, address: Integers) -> Mask:
        """Which attempts are refused, of those whose first messages come next, in order."""
        if self.open:
            return np.zeros(len(arrival_s), np.bool_)
        pairs = zip(arrival_s.tolist(), address.tolist(), strict=True)
        return np.array([not self._lets_in(*each) for each in pairs], np.bool_)

    def _lets_in(self, now_s: float, address: int) -> bool:
        if self._windows is not None:
            if not self._windows.lets_in(address, now_s):
                return False
        elif (limit := self._address) is not None:
            most = float(limit.connections)
            bucket = self._addresses.get(address, (most, now_s))
            bucket, taken = _take(bucket, now_s, most / limit.per, most)
            self._addresses[address] = bucket
            if not taken:
                return False
        if (admission := self._admission) is not None and admission.rate is not None:
            self._taken, taken = _take(self._taken, now_s, admission.rate, float(admission.burst))
            return taken
        return True

    def shuts_out(self, address: int, now_s: float) -> bool:
        """Whether an address has failed so often that its connections are closed."""
        assert self._failed is not None
        count, last_s = self._failures.get(address, (0, -np.inf))
        return count >= self._failed.count and now_s - last_s <= self._failed.ban

    def fail(self, address: int, now_s: float) -> None:
        """A login from there has failed."""
        if self._failed is None:
            return
        count, last_s = self._failures.get(address, (0, -np.inf))
        count = count + 1 if now_s - last_s <= self._failed.ban else 1
        self._failures[address] = (count, now_s)

    def succeed(self, address: int) -> None:
        """A login from there has succeeded."""
        self._failures.pop(address, None)


def _take(bucket: Bucket, now_s: float, rate_per_s: float, most: float) -> tuple[Bucket, bool]:
    """A bucket from which a token was taken at that instant, if there was one; whether so."""
    tokens = min(most, bucket[0] + (now_s - bucket[1]) * rate_per_s)
    taken = tokens >= 1.0
    return (tokens - taken, now_s), taken
