"""Procedures about whom to believe, against the closed forms that they must agree with."""

import math

import numpy as np
import pytest
from procedure_stories import mean_and_error, outcomes

from sim.procedures.equivocation import rounds_expected, rounds_to_all
from sim.procedures.harvest import undetected
from topologies.procedures import Equivocation, Harvest

SPLIT = {"model": "equivocation", "platforms": 200, "rate": "1/s", "duration": "20 min"}
THEFT = {
    "model": "harvest", "items": 200, "reads": "10/s", "live": "2/s", "platforms": 100,
    "audit": "1000 h", "decide": "0 s", "step": "1 s", "duration": "10 min",
}  # fmt: skip


@pytest.mark.parametrize("platforms", [100, 1000])
def test_a_rumour_is_everywhere_after_the_known_number_of_rounds(platforms):
    """Pittel: log2 N + ln N + O(1) rounds."""
    draw = np.random.default_rng(1)
    rounds = [rounds_to_all(platforms, 1, draw) for _ in range(300)]
    mean, error = np.mean(rounds), np.std(rounds, ddof=1) / math.sqrt(len(rounds))
    assert 4.0 * error < 1.0
    assert abs(mean - rounds_expected(platforms)) < 2.0


@pytest.mark.parametrize(("honey", "expected"), [(1, 201 / 2), (10, 201 / 11), (40, 201 / 41)])
def test_reads_until_the_first_honeytoken(honey, expected):
    played = outcomes(Harvest.model_validate({**THEFT, "honeytokens": honey}), 400)
    mean, error = mean_and_error(played, "reads_to_alarm")
    assert error < 0.1 * expected
    assert mean == pytest.approx(expected, abs=4.0 * error)


def test_the_share_of_thefts_that_go_unseen_is_hypergeometric():
    """In 2 s the thief reads 20 of 200 items, 10 of them honey."""
    procedure = Harvest.model_validate({**THEFT, "honeytokens": 10, "duration": "2.05 s"})
    played = outcomes(procedure, 600)
    unseen = np.mean([math.isinf(each.figures["time_to_detect_s"]) for each in played])
    expected = undetected(200, 10, 20)
    assert unseen == pytest.approx(expected, abs=4.0 * math.sqrt(expected / 600))


def test_what_ends_the_theft_and_what_does_not():
    def exposed(*steps):
        procedure = Harvest.model_validate(
            {**THEFT, "honeytokens": 100, "steps": list(steps)}
        )  # fmt: skip
        return [each.figures["exposed_items"] for each in outcomes(procedure, 20)]

    nothing_more = np.mean(exposed("affiliation", "subscription"))
    assert nothing_more < 60
    assert np.mean(exposed("affiliation")) > 1000  # its subscription goes on for ten minutes
    assert np.mean(exposed("session")) > 1000  # it is back after five seconds
    assert np.mean(exposed("password", "session")) < 60


def test_altered_items_are_found_by_gossip_and_by_signatures_omissions_by_numbers():
    def ends(**more):
        procedure = Equivocation.model_validate({**SPLIT, **more})
        return np.mean([each.figures["time_to_detect_s"] for each in outcomes(procedure, 10)])

    assert math.isinf(ends())
    assert ends(gossip="30 s") < 90.0
    assert ends(signatures=True) < 60.0
    assert math.isinf(ends(signatures=True, manner="omit"))
    assert ends(sequence_numbers=True, manner="omit-for-all") < 60.0
    assert math.isinf(ends(gossip="30 s", manner="omit-for-all"))
