"""Procedures about whom to believe, against the closed forms that they must agree with."""

import math

import numpy as np
import pytest
from procedure_stories import grid, mean_and_error, outcomes

import topologies
from sim.procedures.duel import guessed_after_s
from sim.procedures.equivocation import rounds_expected, rounds_to_all
from sim.procedures.harvest import undetected
from sim.procedures.logs import detection_s
from sim.procedures.wire import accuracy_without_padding
from topologies.procedures import (
    Authorities,
    Breaches,
    Duel,
    Equivocation,
    FalseAlarms,
    Harvest,
    Infection,
    Logs,
    Skew,
    Wire,
)

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


def _normal(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def test_valid_items_that_wrong_clocks_drop():
    """No delay to speak of: P(offset of receiver less sender > W) with two clocks of 2 s."""
    procedure = Skew.model_validate(
        {"model": "skew", "rate": "1/s", "receivers": 1, "offset": "2 s", "delay": "1 us",
         "delay_cv": 0, "window": "3 s"}
    )  # fmt: skip
    mean, error = mean_and_error(outcomes(procedure, 16), "false_drop_share")
    expected = 1.0 - _normal(3.0 / (2.0 * math.sqrt(2.0)))
    assert mean == pytest.approx(expected, abs=4.0 * error)
    assert error < 0.05 * expected


def test_lies_alone_never_agree_and_colluding_ones_do():
    def wrong(**more):
        procedure = FalseAlarms.model_validate(
            {"model": "false-alarms", "sensors": 10, "liars": 2, "events": "1/min", "lies": "60/h",
             "duration": "2 h", **more}
        )  # fmt: skip
        return mean_and_error(outcomes(procedure, 20), "wrong_actions_per_h")

    mean, error = wrong()
    assert mean == pytest.approx(60.0, abs=4.0 * error)
    assert wrong(agree=2)[0] == 0.0
    mean, error = wrong(agree=2, collude=True)
    assert mean == pytest.approx(30.0, abs=4.0 * error)
    assert wrong(agree=3, collude=True)[0] == 0.0


def test_events_that_all_who_see_them_keep_back_are_missed():
    """r = 2 sensors of which one is silent: missed if the other does not see it, 1 - 0.6."""
    procedure = FalseAlarms.model_validate(
        {"model": "false-alarms", "sensors": 2, "liars": 1, "events": "1/s", "lies": "1/h",
         "silent": True, "seen": "60 %", "duration": "30 min", "delay": "1 ms"}
    )  # fmt: skip
    mean, error = mean_and_error(outcomes(procedure, 10), "missed_share")
    assert mean == pytest.approx(0.4, abs=4.0 * error)


def test_too_few_people_fall_behind_and_erlangs_number_does_not():
    """416 alarms an hour at 20 minutes each are 139 people's work."""

    def seen_in_an_hour(people):
        procedure = FalseAlarms.model_validate(
            {"model": "false-alarms", "sensors": 10, "events": "416/h", "lies": "1/h",
             "approvers": people, "approval": "20 min", "duration": "6 h", "seen": "100 %"}
        )  # fmt: skip
        (played,) = outcomes(procedure, 1)
        return played.figures["missed_share"]

    assert seen_in_an_hour(160) < 0.12  # those of the last twenty minutes are with somebody
    assert seen_in_an_hour(70) > 0.4


def test_owner_and_thief_share_the_session_until_somebody_locks_it():
    duel = {"model": "duel", "rate": "1/s", "duration": "1 h"}

    def held(**more):
        played = outcomes(Duel.model_validate({**duel, **more}), 20)
        return mean_and_error(played, "exposed_s")[0]

    assert 0.3 * 3540 < held() < 0.7 * 3540
    assert held(lock_after=6) < 40.0
    assert held(external=True) == 0.0
    assert held(stolen_session_id=True) == 0.0
    assert held(stolen_session_id=True, bound_session_id=False) > 1000.0
    assert held(resource="own", rotate="660 s") == 3540.0
    assert held(resource="own", rotate="660 s", survives=False) == 600.0


def test_short_ids_are_guessed_as_soon_as_arithmetic_says():
    """2^10 ids at 100 a second: the mean of a geometric distribution is 10.24 s."""
    procedure = Duel.model_validate(
        {"model": "duel", "rate": "1/s", "guesses": "100/s", "id_bits": 10,
         "bound_session_id": False}
    )  # fmt: skip
    draw = np.random.default_rng(2)
    waits = [guessed_after_s(procedure, draw) for _ in range(4000)]
    error = np.std(waits) / math.sqrt(len(waits))
    assert np.mean(waits) == pytest.approx(10.24, abs=4.0 * error)


def test_topics_are_told_apart_by_size_until_they_are_padded():
    topology = grid("campus-nac")

    def accuracy(padding):
        procedure = Wire.model_validate(
            {"model": "wire", "manner": "analyse", "platforms": 10, "rate": "1/s",
             "padding": f"{padding} B", "duration": "10 s"}
        )  # fmt: skip
        return mean_and_error(outcomes(procedure, 4, topology), "topic_accuracy_share")[0]

    guessing = 1.0 / len(topology.topics)
    assert accuracy(0) > guessing + 0.2
    assert accuracy(16_384) == pytest.approx(guessing, abs=0.03)


def test_two_topics_of_one_spread_are_told_apart_as_often_as_the_normal_law_says():
    text = grid().source.text.replace("publishes: [incidents]", "publishes: [incidents, big]")
    big = "topics:\n  - {name: big, broker: broker, payload: {size: 2.4 KB, cv: 0.3}}\n"
    text = text.replace("topics:\n", big)
    text = text.replace("{kind: iodef, size: 1.6 KB}", "{size: 1.2 KB, cv: 0.3}")
    topology = topologies.parse(text)
    procedure = Wire.model_validate(
        {"model": "wire", "manner": "analyse", "platforms": 10, "rate": "1/s", "duration": "10 s"}
    )
    mean, error = mean_and_error(outcomes(procedure, 16, topology), "topic_accuracy_share")
    assert mean == pytest.approx(accuracy_without_padding(2.0, 0.3), abs=4.0 * error + 0.01)


def test_falsified_logs_are_found_after_a_geometric_number_of_rounds():
    procedure = Logs.model_validate(
        {"model": "logs", "rate": "1/s", "falsified": "1 %", "compared": "1 %", "receipts": True,
         "every": "10 min", "duration": "400 h"}
    )  # fmt: skip
    mean, error = mean_and_error(outcomes(procedure, 200), "time_to_detect_s")
    assert error < 0.1 * detection_s(procedure)
    assert mean == pytest.approx(detection_s(procedure), abs=4.0 * error)


def test_breaches_are_as_many_as_their_rate_less_what_is_stopped():
    procedure = Breaches.model_validate(
        {"model": "breaches", "accounts": 100, "yearly": 20, "hardening": "50 %",
         "screening": "25 %"}
    )  # fmt: skip
    mean, error = mean_and_error(outcomes(procedure, 300), "breaches_per_year")
    assert mean == pytest.approx(20 * 0.5 * 0.75, abs=4.0 * error)


def test_pins_keep_the_false_controller_out_and_the_true_one_after_its_change():
    authority = {"model": "authorities", "platforms": 500, "duration": "7 d"}

    def hours(name, **more):
        played = outcomes(Authorities.model_validate({**authority, **more}), 5)
        return mean_and_error(played, name)[0]

    assert hours("exposed_platform_h") > 10_000
    assert hours("exposed_platform_h", pinned="100 %") == 0.0
    rotated = hours("shut_out_platform_h", pinned="100 %", rotation="1 d", consulted="1 h")
    assert rotated == pytest.approx(500.0, rel=0.1)


def test_an_item_reaches_the_vulnerable_of_its_topic_and_no_others():
    """Nobody but the first publishes: after long the vulnerable of all Topics have it."""
    procedure = Infection.model_validate(
        {"model": "infection", "platforms": 2000, "vulnerable": "30 %", "read_only": True,
         "topics": 5, "pace": "1/s", "alarm": "10000 h", "duration": "2 min"}
    )  # fmt: skip
    mean, error = mean_and_error(outcomes(procedure, 6), "taken_over_share")
    assert mean == pytest.approx(0.3, abs=4.0 * error + 1.0 / 2000)


def test_an_alarm_stops_nothing_where_nothing_is_held():
    """All are noticed at once: only who waits for the item is spared."""
    worm = {"model": "infection", "platforms": 400, "vulnerable": "30 %", "publishers": "50 %",
            "topics": 4, "pace": "0.5/s", "alarm": "1 ms", "duration": "1 min"}  # fmt: skip

    def taken(**more):
        procedure = Infection.model_validate({**worm, **more})
        return mean_and_error(outcomes(procedure, 3), "taken_over_share")[0]

    assert taken() > 0.2
    assert taken(first_few="5 %", held="30 s") < 0.05


def test_signatures_end_the_deceit_and_deliver_nothing_more():
    """Of 60 deceived in 200 none has a tenth of the items, believed or not."""

    def mean(name, **more):
        procedure = Equivocation.model_validate({**SPLIT, **more})
        return mean_and_error(outcomes(procedure, 4), name)[0]

    assert mean("false_items", signatures=True) == 0.0
    assert mean("time_to_mitigate_s", signatures=True) < 60.0
    goodput = mean("goodput_per_s", signatures=True)
    assert goodput == mean("goodput_per_s")
    items = mean("goodput_per_s", chance=0.0)
    assert goodput / items == pytest.approx(1.0 - 0.3 * 0.1, abs=0.01)


def test_what_is_not_logged_is_neither_false_nor_found():
    procedure = Logs.model_validate(
        {"model": "logs", "rate": "1/s", "falsified": "10 %", "entry": "0 B", "receipts": True,
         "compared": "100 %", "chained": True, "duration": "10 h"}
    )  # fmt: skip
    figures = outcomes(procedure, 1)[0].figures
    assert figures["false_entries"] == figures["log_bytes_per_s"] == 0.0
    assert math.isinf(figures["time_to_detect_s"])


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Duel, {"model": "duel", "rate": "1/s", "duration": "1 min"}),
        (Equivocation, {**SPLIT, "duration": "1 min"}),
        (FalseAlarms, {"model": "false-alarms", "sensors": 3, "liars": 4, "events": "1/s",
                       "lies": "1/s"}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(model, fields):
    with pytest.raises(ValueError, match="make"):
        model.model_validate(fields)
