"""Inbound limits: what a server does with a connection that sends faster than it may.

Publications reach the Controller in order; each client's pass its limiter one after another, late
or not at all. Neither real server drops anything on a byte rate: it stops reading, and the rest
waits in the sockets. The rules, each a scalar scan over one client's publications:

* `pause` (Prosody): a read takes what is there, at most 4,096 B, and all of it is handled at once;
  if n bytes are worth more than 1 ms, the next read is n / rate later. No credit is saved, `burst`
  has no effect. An event loop makes the pauses of its clients itself, as they end when it rests
  (`pauses`); these are for other disciplines, and for connections from other Controllers.
* `debt` (ejabberd): a read takes at most 1,460 B (Erlang's `buffer`), handled at once; then the
  credit is c = min(burst, c + rate dt - n), and if it is below 0 the next read is -c / rate later.
* `delay`: a shaper. Leave at max(a, TAT - burst / rate), TAT = max(a, TAT) + n / rate (GCRA).
* `drop`: a policer. Refused if max(a, TAT) + n / rate - a > burst / rate.

A stanza that a read does not finish is handled with the read that takes its last byte. At one
instant all that arrives is there before it is read. An account's rate counts publications as they
are handled and refuses those beyond it (a policer of publications). Stanzas that are too large are
refused first; a real server also closes the session.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.delivery import compiled, inlined
from sim.state import Floats, Integers, Records

NONE, PAUSE, DEBT, DELAY, DROP = range(5)
PASSED, TOO_LARGE, TOO_MANY_BYTES, TOO_MANY = range(4)
READ_BYTES = {PAUSE: 4096.0, DEBT: 1460.0}
PAUSE_S_LEAST = 1e-3  # Prosody's `min_wait`: shorter pauses are not made

# A client: the instant of its next read (or its theoretical arrival time), what it has sent and was
# not read, its credit as of its last read, and the theoretical arrival time of its account.
CLIENT = np.dtype(
    [
        ("next_s", "f8"),
        ("unread_bytes", "f8"),
        ("credit_bytes", "f8"),
        ("read_s", "f8"),
        ("account_s", "f8"),
    ],
    align=True,
)

RULE = np.dtype(
    [
        ("kind", "i8"),
        ("bytes_per_s", "f8"),
        ("burst_bytes", "f8"),
        ("read_bytes", "f8"),
        ("stanza_bytes", "f8"),
        ("account_gap_s", "f8"),
        ("account_slack_s", "f8"),
    ],
    align=True,
)


@inlined
def _pause_s(rule: Any, size_bytes: float) -> float:
    """How long Prosody does not read after a read of this size. [s]"""
    pause_s = size_bytes / rule.bytes_per_s
    return pause_s if pause_s > PAUSE_S_LEAST else 0.0


@inlined
def _read_until(rule: Any, client: Any, time_s: float) -> None:
    """Make all reads that are due before `time_s`."""
    while client.unread_bytes > 0.0 and client.next_s < time_s:
        size_bytes = min(client.unread_bytes, rule.read_bytes)
        client.unread_bytes -= size_bytes
        if rule.kind == PAUSE:
            client.next_s += _pause_s(rule, size_bytes)
        else:
            earned = rule.bytes_per_s * (client.next_s - client.read_s)
            credit = min(rule.burst_bytes, client.credit_bytes + earned - size_bytes)
            client.credit_bytes, client.read_s = credit, client.next_s
            client.next_s += max(0.0, -credit) / rule.bytes_per_s


@inlined
def _read_s(rule: Any, client: Any, arrival_s: float, size_bytes: float) -> float:
    """When a stanza that arrives now has been read whole, whatever comes after it. [s]"""
    _read_until(rule, client, arrival_s)
    client.unread_bytes += size_bytes
    client.next_s = max(client.next_s, arrival_s)
    before = np.ceil(client.unread_bytes / rule.read_bytes) - 1.0  # full reads before its last
    if before == 0.0:
        return client.next_s
    if rule.kind == PAUSE:
        return client.next_s + before * _pause_s(rule, rule.read_bytes)
    earned = rule.bytes_per_s * (client.next_s - client.read_s)
    credit = min(rule.burst_bytes, client.credit_bytes + earned - rule.read_bytes)
    debt = (before - 1.0) * rule.read_bytes - credit
    return client.next_s + max(0.0, debt) / rule.bytes_per_s


@compiled
def send(
    intended_s: Floats, send_s: Floats, publisher: npt.NDArray[np.uint32], free_s: Floats,
    sent_s: Floats,
) -> None:  # fmt: skip
    """When Platforms have sent, each one after the other: Lindley's recursion for each of them."""
    for i in range(intended_s.size):
        sent_s[i] = max(intended_s[i], free_s[publisher[i]]) + send_s[i]
        free_s[publisher[i]] = sent_s[i]


@compiled
def scan(
    rules: Records, clients: Records, numbers: Integers,
    sizes_bytes: Floats, instants_s: Floats,
    outcomes: npt.NDArray[np.uint8],
) -> None:  # fmt: skip
    """Turn instants of arrival into those of handling, in place, and say what becomes of each."""
    rule = rules[0]
    for i in range(numbers.size):
        client, size_bytes = clients[np.uint64(numbers[i])], sizes_bytes[i]
        time_s = instants_s[i]
        if size_bytes > rule.stanza_bytes:
            outcomes[i] = TOO_LARGE
            continue
        if rule.kind in (PAUSE, DEBT):
            time_s = _read_s(rule, client, time_s, size_bytes)
        elif rule.kind != NONE:
            free_s = max(client.next_s, time_s) + size_bytes / rule.bytes_per_s
            excess_s = free_s - rule.burst_bytes / rule.bytes_per_s
            if rule.kind == DROP and excess_s > time_s:
                outcomes[i] = TOO_MANY_BYTES
                continue
            client.next_s = free_s
            time_s = max(time_s, excess_s)
        if rule.account_gap_s > 0.0:
            if time_s < client.account_s - rule.account_slack_s:
                outcomes[i] = TOO_MANY
                continue
            client.account_s = max(client.account_s, time_s) + rule.account_gap_s
        outcomes[i], instants_s[i] = PASSED, time_s
