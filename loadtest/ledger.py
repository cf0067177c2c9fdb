"""The ledger: every expected delivery has one outcome, and every received copy is explained.

A *copy* is one publication for one subscriber. Expected are all publications times the subscribers
of their Topic. A copy that came is delivered; one that did not is rejected (the server refused the
publication), dropped (the generator never sent it), in flight (the server never answered),
unobserved (the generator's process that would have known was killed) or lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Instants = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NEVER = -1


@dataclass(frozen=True)
class Sent:
    """What became of the publications, one row each, in the order of the plan."""

    publisher: npt.NDArray[np.uint32]
    topic: npt.NDArray[np.uint16]
    sent_ns: Instants = field(metadata={"unit": "ns, NEVER if it was not sent"})
    answered_ns: Instants = field(metadata={"unit": "ns, NEVER if the server did not answer"})
    refused: Mask
    unknown: Mask | None = None  # those of a process that was killed

    def __len__(self) -> int:
        return len(self.publisher)


@dataclass(frozen=True)
class Received:
    """Copies as they came, those of one session in their order of receipt."""

    publication: npt.NDArray[np.uint32]
    session: npt.NDArray[np.uint32]
    received_ns: Instants
    replayed: Mask

    def __len__(self) -> int:
        return len(self.publication)


@dataclass(frozen=True)
class Ledger:
    """The account of a run.

    `first` marks the received copies that are deliveries, one for each expected copy that came;
    `expected_of` and `delivered_of` count by publication.
    """

    expected: int
    delivered: int
    rejected: int
    dropped: int
    in_flight: int
    lost: int
    unobserved: int
    duplicated: int
    replayed: int
    reordered: int
    unexpected: int
    received: int
    first: Mask
    expected_of: Indices
    delivered_of: Indices

    @property
    def copies_balance(self) -> tuple[int, int]:
        """Expected copies, and the sum of their outcomes."""
        missing = self.rejected + self.dropped + self.in_flight + self.lost + self.unobserved
        return self.expected, self.delivered + missing

    @property
    def receipts_balance(self) -> tuple[int, int]:
        """Received copies, and the sum of what they are."""
        explained = self.delivered + self.duplicated + self.replayed + self.unexpected
        return self.received, explained

    @property
    def balanced(self) -> bool:
        """Whether both accounts close."""
        return all(left == right for left, right in (self.copies_balance, self.receipts_balance))


def account(
    sent: Sent,
    received: Received,
    subscribers: Sequence[npt.NDArray[np.uint32]],
    deaf: Collection[int] = (),
) -> Ledger:
    """Settle a run.

    Parameters
    ----------
    sent : Sent
        The publications that were played.
    received : Received
        All copies that came.
    subscribers : sequence of ndarray
        For each Topic its subscribers, ascending.
    deaf : collection of int
        Subscribers whose process was killed: what they received is not known.
    """
    fan_out = np.array([len(platforms) for platforms in subscribers], dtype=np.int64)
    expected_of = fan_out[sent.topic]
    cell = _cells(sent, received, subscribers, expected_of)
    first = _first_of_each(cell, received.replayed)
    again = (cell >= 0) & ~first
    delivered_of = np.bincount(received.publication[first], minlength=len(sent))
    came = np.zeros(int(expected_of.sum()), dtype=np.bool_)
    came[cell[first]] = True
    missing = np.repeat(_outcome_if_missing(sent), expected_of)
    if deaf:
        ears = [np.isin(platforms, np.array(sorted(deaf))) for platforms in subscribers]
        missing[np.concatenate([ears[topic] for topic in sent.topic] or [missing < 0])] = 4
    outcomes = np.bincount(missing[~came], minlength=5)
    return Ledger(
        expected=int(fan_out @ np.bincount(sent.topic, minlength=len(fan_out))),
        delivered=int(np.count_nonzero(first)),
        lost=int(outcomes[0]),
        in_flight=int(outcomes[1]),
        rejected=int(outcomes[2]),
        dropped=int(outcomes[3]),
        unobserved=int(outcomes[4]),
        duplicated=int(np.count_nonzero(again & ~received.replayed)),
        replayed=int(np.count_nonzero(again & received.replayed)),
        reordered=_reordered(sent, received, first),
        unexpected=int(np.count_nonzero(cell < 0)),
        received=len(received),
        first=first,
        expected_of=expected_of,
        delivered_of=delivered_of,
    )


def _cells(
    sent: Sent,
    received: Received,
    subscribers: Sequence[npt.NDArray[np.uint32]],
    expected_of: Indices,
) -> Indices:
    """Number of the expected copy that each received one is, or -1 where none was expected."""
    sizes = np.array([len(platforms) for platforms in subscribers], dtype=np.int64)
    start = np.cumsum(sizes) - sizes
    span = 1 + max((int(platforms[-1]) for platforms in subscribers if len(platforms)), default=0)
    # One ascending list of all (Topic, subscriber) pairs, so one search finds every copy's rank.
    pairs = np.concatenate(
        [topic * span + platforms.astype(np.int64) for topic, platforms in enumerate(subscribers)]
        or [np.empty(0, dtype=np.int64)]
    )
    known = (received.publication < len(sent)) & (received.session < span)
    publication = received.publication[known].astype(np.int64)
    topic = sent.topic[publication].astype(np.int64)
    pair = topic * span + received.session[known]
    position = np.searchsorted(pairs, pair)
    found = position < len(pairs)
    found[found] = pairs[position[found]] == pair[found]
    copy = (np.cumsum(expected_of) - expected_of)[publication] + position - start[topic]
    cell = np.full(len(received), -1, dtype=np.int64)
    cell[known] = np.where(found, copy, -1)
    return cell


def _first_of_each(cell: Indices, replayed: Mask) -> Mask:
    """Which received copy settles its cell: the first live one, or the first replay if none is."""
    order = np.argsort(replayed, kind="stable")
    order = order[cell[order] >= 0]
    first = np.zeros(len(cell), dtype=np.bool_)
    first[order[np.unique(cell[order], return_index=True)[1]]] = True
    return first


def _outcome_if_missing(sent: Sent) -> Indices:
    """By publication, why its copies did not come.

    0 lost, 1 in flight, 2 rejected, 3 dropped, 4 unobserved.
    """
    outcome = np.where(sent.answered_ns == NEVER, 1, 0)
    outcome = np.where(sent.refused, 2, outcome)
    outcome = np.where(sent.sent_ns == NEVER, 3, outcome)
    return outcome if sent.unknown is None else np.where(sent.unknown, 4, outcome)


def _reordered(sent: Sent, received: Received, first: Mask) -> int:
    """Deliveries that came after a later one of the same publisher, Topic and subscriber."""
    publication = received.publication[first].astype(np.int64)
    if not len(publication):
        return 0
    _, stream_of = np.unique(
        sent.publisher.astype(np.int64) * (1 << 16) + sent.topic, return_inverse=True
    )
    streams = int(stream_of.max()) + 1
    stream = received.session[first].astype(np.int64) * streams + stream_of[publication]
    _, stream = np.unique(stream, return_inverse=True)
    order = np.argsort(stream, kind="stable")
    # Streams ascend along `order`, so a running maximum never carries over from one to the next.
    key = stream[order] * len(sent) + publication[order]
    return int(np.count_nonzero(key < np.maximum.accumulate(key)))
