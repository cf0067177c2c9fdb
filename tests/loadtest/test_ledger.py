"""Small stories with known outcomes, then random runs against a plain count."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.ledger import NEVER, Ledger, Received, Sent, account

# Two publishers (10, 11), two Topics: Platforms 0, 1, 2 hear Topic 0, Platforms 1, 3 hear Topic 1.
SUBSCRIBERS = [np.array([0, 1, 2], dtype=np.uint32), np.array([1, 3], dtype=np.uint32)]
PUBLISHED = [(10, 0), (10, 0), (11, 1), (10, 1)]
OUTCOMES = (
    *("delivered", "rejected", "dropped", "in_flight", "lost", "unobserved"),
    *("duplicated", "replayed", "reordered", "unexpected"),
)
ALL = [(p, s) for p, (_, topic) in enumerate(PUBLISHED) for s in SUBSCRIBERS[topic].tolist()]


def settle(
    copies: list[tuple[int, int]],
    *,
    replayed: tuple[int, ...] = (),
    unsent: tuple[int, ...] = (),
    unanswered: tuple[int, ...] = (),
    refused: tuple[int, ...] = (),
    unknown: tuple[int, ...] = (),
    deaf: tuple[int, ...] = (),
) -> Ledger:
    n = len(PUBLISHED)
    answered = np.arange(n, dtype=np.int64)
    sent = answered.copy()
    answered[[*unanswered, *unsent]] = NEVER
    sent[list(unsent)] = NEVER
    received = Received(
        publication=np.array([p for p, _ in copies], dtype=np.uint32),
        session=np.array([s for _, s in copies], dtype=np.uint32),
        received_ns=np.arange(len(copies), dtype=np.int64),
        replayed=np.isin(np.arange(len(copies)), replayed),
    )
    ledger = account(
        Sent(
            publisher=np.array([who for who, _ in PUBLISHED], dtype=np.uint32),
            topic=np.array([topic for _, topic in PUBLISHED], dtype=np.uint16),
            sent_ns=sent,
            answered_ns=answered,
            refused=np.isin(np.arange(n), refused),
            unknown=np.isin(np.arange(n), unknown),
        ),
        received,
        SUBSCRIBERS,
        deaf,
    )
    assert ledger.balanced
    return ledger


def outcomes(ledger: Ledger) -> dict[str, int]:
    """What is not zero, beside the ten copies that all stories expect."""
    assert ledger.expected == 10
    return {name: getattr(ledger, name) for name in OUTCOMES if getattr(ledger, name)}


def test_all_copies_came() -> None:
    ledger = settle(ALL)
    assert outcomes(ledger) == {"delivered": 10}
    assert ledger.expected_of.tolist() == ledger.delivered_of.tolist() == [3, 3, 2, 2]


def test_nothing_came() -> None:
    assert outcomes(settle([])) == {"lost": 10}


def test_one_copy_is_lost() -> None:
    ledger = settle(ALL[1:])
    assert outcomes(ledger) == {"delivered": 9, "lost": 1}
    assert ledger.delivered_of.tolist() == [2, 3, 2, 2]


def test_refused_publication_has_no_copies() -> None:
    copies = [copy for copy in ALL if copy[0] != 1]
    assert outcomes(settle(copies, refused=(1,))) == {"delivered": 7, "rejected": 3}


def test_unsent_publication_is_dropped() -> None:
    copies = [copy for copy in ALL if copy[0] != 3]
    assert outcomes(settle(copies, unsent=(3,))) == {"delivered": 8, "dropped": 2}


def test_unanswered_publication_is_in_flight_where_it_did_not_come() -> None:
    copies = [copy for copy in ALL if copy != (2, 3)]
    assert outcomes(settle(copies, unanswered=(2,))) == {"delivered": 9, "in_flight": 1}


def test_copies_for_a_killed_receiver_are_unobserved() -> None:
    # Platform 1 has both Topics; of what it got, one copy was told before its process was killed.
    copies = [copy for copy in ALL if copy[1] != 1 and copy != (0, 2)]
    told = outcomes(settle([*copies, (0, 1)], deaf=(1,)))
    assert told == {"delivered": 6, "unobserved": 3, "lost": 1}


def test_copies_of_a_killed_publisher_are_delivered_or_unobserved() -> None:
    # Publisher 11 was killed with its log: whether publication 2 was sent shows in what came.
    copies = [copy for copy in ALL if copy != (2, 3)]
    told = outcomes(settle(copies, unsent=(2,), unknown=(2,)))
    assert told == {"delivered": 9, "unobserved": 1}


def test_second_copy_is_a_duplicate() -> None:
    ledger = settle([*ALL, (0, 1), (0, 1)])
    assert outcomes(ledger) == {"delivered": 10, "duplicated": 2}
    assert ledger.first.tolist() == [True] * 10 + [False] * 2


def test_second_copy_with_a_delay_stamp_is_a_replay() -> None:
    assert outcomes(settle([*ALL, (0, 1)], replayed=(10,))) == {"delivered": 10, "replayed": 1}


def test_live_copy_settles_even_if_a_replay_came_first() -> None:
    ledger = settle([(0, 1), *ALL], replayed=(0,))
    assert outcomes(ledger) == {"delivered": 10, "replayed": 1}
    assert not ledger.first[0]


def test_copy_that_came_as_a_replay_only_is_delivered() -> None:
    assert outcomes(settle(ALL, replayed=(0,))) == {"delivered": 10}


def test_copy_for_a_stranger_is_unexpected() -> None:
    strangers = [(0, 3), (2, 0), (0, 99), (77, 1)]
    assert outcomes(settle(ALL + strangers)) == {"delivered": 10, "unexpected": 4}


def test_later_publication_of_one_publisher_came_first() -> None:
    swapped = [(1, 0), (0, 0), *[copy for copy in ALL if copy not in {(0, 0), (1, 0)}]]
    assert outcomes(settle(swapped)) == {"delivered": 10, "reordered": 1}


def test_order_between_publishers_or_topics_is_free() -> None:
    # Platform 1 gets publication 3 (publisher 10, Topic 1) and 2 (publisher 11) before 0 and 1.
    order = [(3, 1), (2, 1), (0, 1), (1, 1)]
    rest = [copy for copy in ALL if copy not in order]
    assert outcomes(settle(order + rest)) == {"delivered": 10}


def test_duplicate_of_an_older_publication_is_not_reordered() -> None:
    assert outcomes(settle([*ALL, (0, 0)])) == {"delivered": 10, "duplicated": 1}


def test_run_without_publications_balances() -> None:
    nothing = np.empty(0, dtype=np.int64)
    ledger = account(
        Sent(nothing.astype(np.uint32), nothing.astype(np.uint16), nothing, nothing, nothing > 0),
        Received(nothing.astype(np.uint32), nothing.astype(np.uint32), nothing, nothing > 0),
        SUBSCRIBERS,
    )
    assert (ledger.expected, ledger.balanced) == (0, True)


@given(st.lists(st.sampled_from([*ALL, (0, 3), (9, 1)]), max_size=60), st.sets(st.integers(0, 59)))
def test_random_run_against_a_plain_count(
    copies: list[tuple[int, int]], replayed: set[int]
) -> None:
    ledger = settle(copies, replayed=tuple(replayed))
    known = [copy for copy in copies if copy in ALL]
    live = Counter(copy for i, copy in enumerate(copies) if copy in ALL and i not in replayed)
    assert ledger.delivered == len(set(known))
    assert ledger.lost == 10 - len(set(known))
    assert ledger.unexpected == len(copies) - len(known)
    assert ledger.duplicated == sum(count - 1 for count in live.values())
    assert [copy for copy, first in zip(copies, ledger.first, strict=True) if first] == [
        copy
        for i, copy in enumerate(copies)
        if copy in ALL
        and i == min((j in replayed, j) for j, other in enumerate(copies) if other == copy)[1]
    ]


def test_many_copies_settle_quickly() -> None:
    publications, platforms = 5_000, 200
    rng = np.random.default_rng(1)
    publication = np.repeat(np.arange(publications, dtype=np.uint32), platforms)
    session = np.tile(np.arange(platforms, dtype=np.uint32), publications)
    keep = rng.random(len(publication)) < 0.999
    instants = np.arange(publications, dtype=np.int64)
    ledger = account(
        Sent(
            publisher=rng.integers(300, 302, publications).astype(np.uint32),
            topic=np.zeros(publications, dtype=np.uint16),
            sent_ns=instants,
            answered_ns=instants,
            refused=np.zeros(publications, dtype=np.bool_),
        ),
        Received(
            publication[keep],
            session[keep],
            np.arange(np.count_nonzero(keep), dtype=np.int64),
            np.zeros(np.count_nonzero(keep), dtype=np.bool_),
        ),
        [np.arange(platforms, dtype=np.uint32)],
    )
    assert ledger.balanced
    assert ledger.lost == pytest.approx(1000, abs=150)
