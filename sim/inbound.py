"""The door of a Controller: publications pass its inbound limits, late, or not at all."""

from __future__ import annotations

import numpy as np

from sim import limiters
from sim.limiters import CLIENT, DEBT, DELAY, DROP, NONE, PASSED, PAUSE, READ_BYTES, RULE
from sim.network import Arrivals, nothing
from sim.platforms import Residents
from sim.state import Records
from sim.stations import loop_rate
from topologies import schema
from topologies.profiles import Profile

AS_THE_SERVER_DOES = {"prosody": PAUSE, "ejabberd": DEBT, "none": DELAY}


class Inbound:
    """Publications on their way through the limits of one Controller.

    Parameters
    ----------
    node : schema.Controller
        The Controller with its limits.
    profile : Profile
        Its profile: which server it is, and what surrounds a payload in a stanza.
    home : Residents
        Its Platforms.
    """

    def __init__(self, node: schema.Controller, profile: Profile, home: Residents) -> None:
        self._home, self._envelope_bytes = home, profile.publication_bytes
        limits, self._rules = node.limits, rule(node.limits, profile)
        if loop_rate(limits, profile) is not None:
            self._rules["kind"] = NONE
        self.limited = bool(self._rules["kind"] != NONE or limits.client_stanza)
        self.limited |= limits.account.rate is not None
        self._clients = np.zeros(home.count if self.limited else 0, CLIENT)
        self._clients["credit_bytes"] = self._rules["burst_bytes"]
        self._pending: Arrivals | None = None  # handled later, in order

    def passed(self, arrivals: Arrivals, end_s: float) -> tuple[Arrivals, Arrivals]:
        """What the server handles before `end_s`, in order; and what it refuses of the new ones.

        Parameters
        ----------
        arrivals : Arrivals
            All that reaches the Controller next and before `end_s`, in order.
        end_s : float
            Until when all arrivals are known. [s]
        """
        if not self.limited:
            return arrivals, arrivals[:0]
        instants_s = arrivals.arrival_s.copy()
        outcomes = np.zeros(len(arrivals), np.uint8)
        sizes_bytes = arrivals.payload_bytes + self._envelope_bytes
        numbers = self._home.number(arrivals.publisher)
        limiters.scan(self._rules, self._clients, numbers, sizes_bytes, instants_s, outcomes)
        kept = outcomes == PASSED
        waiting = arrivals.at(instants_s)[kept]
        if self._pending is not None:
            waiting = self._pending.followed_by(waiting)
        waiting = waiting[np.lexsort((waiting.row, waiting.arrival_s))]
        due = int(np.searchsorted(waiting.arrival_s, end_s, side="left"))
        self._pending = waiting[due:]
        return waiting[:due], arrivals[~kept]

    def forget(self) -> Arrivals:
        """All connections are lost; what was not handled yet."""
        lost, self._pending = self.unread(), None
        self._clients = np.zeros(len(self._clients), CLIENT)
        self._clients["credit_bytes"] = self._rules["burst_bytes"]
        return lost

    def unread(self) -> Arrivals:
        """What is not handled yet."""
        return nothing() if self._pending is None else self._pending


def server_rule(limits: schema.Limits, profile: Profile) -> Records | None:
    """The limit on each connection from another Controller, kept as the profile's server does."""
    if limits.server is None:
        return None
    alike = schema.Limits(client=limits.server)
    return rule(alike, profile)


def rule(limits: schema.Limits, profile: Profile) -> Records:
    """The limits of a Controller as its scan needs them."""
    found = np.zeros(1, RULE)
    found["stanza_bytes"] = limits.client_stanza or np.inf
    if limits.client is not None:
        kinds = {"server": AS_THE_SERVER_DOES[profile.server], "delay": DELAY, "drop": DROP}
        found["kind"] = kind = kinds[limits.shape]
        found["bytes_per_s"], found["burst_bytes"] = limits.client.rate, limits.client.burst
        found["read_bytes"] = READ_BYTES.get(kind, 0.0)
    else:
        found["kind"] = NONE
    if limits.account.rate is not None:
        found["account_gap_s"] = gap_s = 1.0 / limits.account.rate
        found["account_slack_s"] = (limits.account.burst - 1) * gap_s
    return found
