"""Procedures about work, against closed forms and against SimPy as a second road."""

import math

import numpy as np
import pytest
import simpy
from procedure_stories import grid, mean_and_error, outcomes, shaped

from results import histogram
from sim.procedures import password_work, policy_growth
from sim.procedures.outcome import Occasion
from sim.procedures.waiting import departures_s
from sim.queues import erlang_c
from topologies import procedures
from topologies.loading import varied

OFFICES = {
    "model": "shared-addresses", "offices": 2, "behind": 60, "rate": "0.1/s", "cap": "5 s",
    "first": "10 s", "duration": "30 min", "key": "address", "connections": 3, "per": "60 s",
}  # fmt: skip


@pytest.mark.parametrize("servers", [1, 3])
def test_departures_are_those_of_a_resource_in_simpy(servers):
    draw = np.random.default_rng(4)
    arrival_s, work_s = np.sort(draw.random(400)) * 100.0, draw.exponential(0.4, 400)
    control, done_s = simpy.Environment(), np.empty(400)
    desk = simpy.Resource(control, servers)

    def job(number):
        yield control.timeout(arrival_s[number])
        with desk.request() as turn:
            yield turn
            yield control.timeout(work_s[number])
        done_s[number] = control.now

    for number in range(400):
        control.process(job(number))
    control.run()
    assert departures_s(arrival_s, work_s, servers) == pytest.approx(done_s, rel=1e-9)


def test_rows_of_rights_cost_what_pollaczek_and_khinchine_say():
    procedure = procedures.PolicyGrowth.model_validate(
        {"model": "policy-growth", "rate": "10/s", "platforms": 500, "topics": 40, "rights": 10,
         "base": "20 ms", "row": "10 us", "duration": "2 h"}
    )  # fmt: skip
    expected = policy_growth.mean_latency_s(10.0, 0.07)
    mean, error = mean_and_error(outcomes(procedure, 8), "mean_latency_s")
    assert error < 0.02 * expected
    assert mean == pytest.approx(expected, abs=4.0 * error)


def test_approvers_are_erlangs_servers():
    """M/M/c while requests come at random for long enough: P(wait) = C(c, a)."""
    procedure = procedures.Approvals.model_validate(
        {"model": "approvals", "platforms": 12_000, "topics": 1, "spread": "100 h", "approvers": 3,
         "approval": "1 min", "duration": "110 h"}
    )  # fmt: skip
    rate_per_s, offered = 12_000 / 360_000.0, 2.0
    wait_s = erlang_c(offered, 3) / (3 / 60.0 - rate_per_s)
    granted = outcomes(procedure, 4)
    means = [_mean(each.latency) for each in granted]
    error = np.std(means, ddof=1) / 2.0
    assert error < 0.1 * wait_s
    assert np.mean(means) == pytest.approx(60.0 + wait_s, abs=5.0 * error + 0.005 * 60.0)


def _mean(counts):
    from results import histogram

    return histogram.mean(counts)


def test_people_behind_one_address_are_back_after_as_many_turns_as_the_limit_needs():
    """60 Platforms, 3 a minute: 20 minutes but for the first turn, if all try all the time."""
    played = outcomes(procedures.SharedAddresses.model_validate(OFFICES), 3, _with_stretches())
    mean, _ = mean_and_error(played, "time_to_recover_s")
    assert 19 * 60.0 <= mean <= 20 * 60.0 + 30.0
    listed = outcomes(
        procedures.SharedAddresses.model_validate({**OFFICES, "allow_listed": True}), 3
    )
    assert mean_and_error(listed, "time_to_recover_s")[0] < 11.0


def _with_stretches():
    """A grid whose server counts in any stretch of time, as Prosody does not."""
    return varied(grid(), ["controllers[0].profile=ejabberd-23"])


def test_prosodys_windows_let_an_office_in_by_the_second():
    """Every 61 s four of N, and of the others 1 second in cap / 2: N' = (N - 4) - N / (cap / 2)."""
    patient = {**OFFICES, "behind": 150, "cap": "60 s", "first": "60 s", "duration": "1 h"}
    played = outcomes(procedures.SharedAddresses.model_validate(patient), 3)
    mean, _ = mean_and_error(played, "time_to_recover_s")
    turns = math.log(1.0 + 150.0 / (4.0 * 30.0)) / -math.log(1.0 - 1.0 / 30.0)
    assert mean == pytest.approx(61.0 * turns, rel=0.15)


@pytest.mark.parametrize("windows", [True, False])
def test_hostile_addresses_pass_as_many_times_the_limit(windows):
    """By windows an attempt every 2 s passes 4.5 times in 61 s and until the next comes."""
    played = outcomes(
        procedures.SharedAddresses.model_validate(
            {**OFFICES, "attackers": 20, "attempts": "0.5/s", "duration": "10 min"}
        ),
        3,
        grid() if windows else _with_stretches(),
    )
    mean, _ = mean_and_error(played, "passed_per_s")
    assert mean == pytest.approx(20 * (4.5 / 62.0 if windows else 3 / 60.0), rel=0.06)


def test_attempts_saturate_a_server_where_its_idle_time_says():
    base = grid()
    attack = {
        "model": "password-work", "rate": "2/s", "receivers": 50, "addresses": 5,
        "start": "1 min", "attack": "4 min", "duration": "8 min",
    }  # fmt: skip
    first = procedures.PasswordWork.model_validate({**attack, "attempts": "1/s"})
    occasion = Occasion(base, 1, 0)
    full = password_work.play(first, occasion).figures["attempts_at_saturation_per_s"]
    free_s = [
        outcomes(
            procedures.PasswordWork.model_validate({**attack, "attempts": f"{share * full}/s"}), 2
        )[0].figures["backlog_s"]
        for share in (0.7, 1.5)
    ]
    assert free_s[0] < 1.0
    assert free_s[1] == pytest.approx(0.5 * (1.0 - _besides(first, occasion)) * 240.0, rel=0.25)


def _besides(procedure, occasion):
    work_s = occasion.fan_out_s(procedure.receivers, 1600.0)
    return procedure.rate * work_s + procedure.logins * occasion.login_s(procedure.login)


@pytest.mark.parametrize(("spread_s", "wait_s"), [(0.5, 1.5), (4.0, 0.0)])
def test_the_longest_wait_of_a_herd_of_fetches(spread_s, wait_s):
    """N c = 2 s of work within the spread: max(0, N c - w), and the fan-out besides."""
    procedure = procedures.NotifyThenPull.model_validate(
        {"model": "notify-then-pull", "rate": "2/h", "receivers": 2000, "spread": f"{spread_s} s",
         "size": "1 KB", "fetch": "1 ms", "fetch_byte": "0 s", "beside": True, "duration": "5 h"}
    )  # fmt: skip
    played = outcomes(procedure, 5)
    longest = np.mean([each.figures["longest_s"] for each in played])
    assert longest == pytest.approx(spread_s + wait_s, rel=0.15)


@pytest.mark.parametrize(("spread_s", "last_s"), [(0.5, 2.0), (4.0, 4.0)])
def test_a_herd_beside_the_broker_drains_over_the_publishers_uplink(spread_s, last_s):
    """max(w, N s / u): 2,000 fetches of 1 kB share 1 MB/s, each at most a herd's share late."""
    procedure = procedures.NotifyThenPull.model_validate(
        {"model": "notify-then-pull", "rate": "2/h", "receivers": 2000, "spread": f"{spread_s} s",
         "size": "1 kB", "beside": True, "uplink": "1 MB/s", "duration": "5 h"}
    )  # fmt: skip
    played = outcomes(procedure, 5)
    longest = np.mean([each.figures["longest_s"] for each in played])
    assert longest == pytest.approx(last_s, rel=0.05)


def test_silence_is_found_between_the_wait_and_a_heartbeat_more():
    procedure = procedures.SilentController.model_validate(
        {"model": "silent-controller", "platforms": 400, "rate": "1/s", "heartbeat": "20 s",
         "misses": 2, "answer_within": "3 s", "jitter": "0 s"}
    )  # fmt: skip
    played = outcomes(procedure, 5)
    first, _ = mean_and_error(played, "time_to_detect_s")
    assert 20.0 + 3.0 <= first <= 20.0 + 3.0 + 1.0
    assert mean_and_error(played, "age_p99_s")[0] > 40.0
    assert played[0].figures["false_per_h"] == pytest.approx(400 / 20 * 3600 * 0.001**2)


def test_answers_hold_their_bytes_and_pages_bound_them():
    def peak(**more):
        procedure = procedures.LargeAnswers.model_validate(
            {"model": "large-answers", "rate": "1/s", "receivers": 10, "askers": 1, "items": 100,
             "size": "1 KB", "duration": "60 s", **more}
        )  # fmt: skip
        return outcomes(procedure, 2)[0].figures

    assert peak()["peak_memory_bytes"] == 100 * 1090.0
    assert peak(page=10)["peak_memory_bytes"] == 10 * 1090.0
    assert peak(page=10)["sync_s"] > peak()["sync_s"]
    assert peak()["amplification_bytes"] == pytest.approx(100 * 1090.0 / 200.0)


def test_askers_of_a_server_that_works_in_turns_fall_into_step():
    """Ten answers of 0.1 s fit into a pause of 2 s, and first come, first served spreads them.

    In turns those that are answered together ask together again, and whoever asks while an answer
    is built joins them.
    """
    procedure = procedures.LargeAnswers.model_validate(
        {"model": "large-answers", "rate": "20/s", "receivers": 1, "askers": 10, "items": 100,
         "answer": "0 s", "item": "1 ms", "size": "1 KB", "think": "2 s", "publication": "1 us",
         "downlink": "1 GB/s", "round_trip": "0.1 ms", "duration": "10 min"}
    )  # fmt: skip
    found = {}
    for server in ("prosody-0.12", "fifo-sketch"):
        played = outcomes(procedure, 4, shaped(server))
        sync_s, _ = mean_and_error(played, "sync_s")
        latency = np.sum([each.latency for each in played], axis=0)
        found[server] = sync_s, histogram.quantile(latency, 0.99)
    assert found["fifo-sketch"] == pytest.approx((0.1, 0.1), rel=0.05)
    sync_s, p99_s = found["prosody-0.12"]
    assert 0.8 < sync_s <= 1.0  # all ten answers, but for the first minutes
    assert 0.8 < p99_s <= 1.1


@pytest.mark.parametrize(
    ("policy", "down", "exposed_s", "refused"),
    [
        ("none", 0, 3300.0, 0.0),
        ("hard-fail", 1200, 0.0, 1.0),
        ("soft-fail", 1200, 900.0, 0.0),
        ("hard-fail", 0, 0.0, 0.0),
    ],
)
def test_soft_fail_exposes_and_hard_fail_refuses(policy, down, exposed_s, refused):
    procedure = procedures.CertificateChecks.model_validate(
        {"model": "certificate-checks", "platforms": 100, "policy": policy, "down_for": f"{down} s"}
    )
    (played,) = outcomes(procedure, 1)
    assert played.figures["exposed_s"] == exposed_s
    assert played.figures["refused_share"] == refused


def test_what_holds_for_a_time_is_seen_half_of_it_later():
    procedure = procedures.CertificateChecks.model_validate(
        {"model": "certificate-checks", "platforms": 2, "policy": "list", "kept": "10 min"}
    )
    mean, error = mean_and_error(outcomes(procedure, 300), "exposed_s")
    assert mean == pytest.approx(300.0, abs=4.0 * error)
    assert math.isfinite(error)
    assert error < 20.0


def _checks(**more):
    return procedures.CertificateChecks.model_validate(
        {"model": "certificate-checks", "platforms": 100, "down_for": "20 min", **more}
    )


def test_answers_from_before_an_outage_let_logins_through_at_once():
    """A stapled answer is the server's, cached ones are each Platform's: those of 10 min hold."""
    stapled, cached, soft = (
        outcomes(_checks(policy=policy, spread="10 s"), 1)[0].figures
        for policy in ("stapled", "cached", "soft-fail")
    )
    assert stapled["asked_per_s"] == 0.0
    assert stapled["restored_s"] < 11.0
    assert soft["asked_per_s"] == 10.0
    assert 0.0 <= cached["asked_per_s"] < 1.0


def test_requests_are_spread_over_the_time_in_which_they_are_made():
    """Each asks again 5 s and 15 to 45 s after: 100 / 35 a second for 20 minutes."""
    (played,) = outcomes(_checks(policy="hard-fail"), 1)
    assert played.figures["asked_per_s"] == pytest.approx(100.0 / 35.0, rel=0.1)


@pytest.mark.filterwarnings("error")
def test_platforms_that_never_come_back_make_no_warning():
    (played,) = outcomes(_checks(policy="hard-fail", down_for="2 h"), 1)
    assert math.isinf(played.figures["restored_s"])


def test_a_backlog_that_outlasts_the_run_is_never_recovered_from():
    procedure = procedures.PasswordWork.model_validate(
        {"model": "password-work", "rate": "5/s", "receivers": 20, "attempts": "2000/s",
         "start": "10 s", "attack": "50 s", "duration": "61 s"}
    )  # fmt: skip
    (played,) = outcomes(procedure, 1)
    assert math.isinf(played.figures["time_to_recover_s"])


def test_platforms_that_have_not_come_yet_are_granted_nothing():
    """All are on a whitelist and come within ten hours, of which one is looked at."""
    procedure = procedures.Approvals.model_validate(
        {"model": "approvals", "platforms": 1000, "topics": 1, "spread": "10 h", "prepared": 1.0,
         "duration": "11 h"}
    )  # fmt: skip
    early = procedure.model_copy(update={"duration": 3600.0})
    (whole,), (part,) = outcomes(procedure, 1), outcomes(early, 1)
    assert whole.figures["goodput_per_s"] == pytest.approx(1000 / 39_600)
    assert part.figures["goodput_per_s"] == pytest.approx(100 / 3600, rel=0.3)


def test_a_limit_on_accounts_checks_the_password_first():
    """What it refuses costs the server as much as what passes."""
    attack = {**OFFICES, "attackers": 20, "attempts": "0.5/s", "duration": "5 min"}
    none, account = (
        outcomes(procedures.SharedAddresses.model_validate({**attack, "key": key}), 1)[0].figures
        for key in ("none", "account")
    )
    assert account["passed_per_s"] < 0.1 * none["passed_per_s"]
    assert account["hostile_cpu_share"] == none["hostile_cpu_share"] > 0.0


def test_a_wrong_name_is_set_right_unless_it_is_somebody_elses_topic():
    """One in five asks for a wrong name, half of which are Topics of somebody else's."""
    base = {"model": "approvals", "platforms": 500, "topics": 2, "spread": "1 h",
            "misnamed": 0.2, "squatted": 0.5, "correction": "10 min",
            "duration": "10 h"}  # fmt: skip
    found = {
        creators: outcomes(procedures.Approvals.model_validate({**base, "creators": creators}), 4)
        for creators in ("owner", "anyone")
    }
    lured = [each.figures["lured_share"] for each in found["anyone"]]
    error = math.sqrt(0.1 * 0.9 / 1000)
    assert np.mean(lured) == pytest.approx(0.1, abs=4.0 * error / 2.0)
    for owner, anyone, share in zip(found["owner"], found["anyone"], lured, strict=True):
        assert owner.figures["lured_share"] == owner.figures["never_share"] == 0.0
        assert anyone.figures["never_share"] == share  # nothing true ever comes to these


def test_requests_are_alike_for_whom_ever_they_are_drawn():
    procedure = procedures.Approvals.model_validate(
        {"model": "approvals", "platforms": 50, "spammers": 3, "misnamed": 0.3, "prepared": 0.5,
         "duration": "2 h"}
    )  # fmt: skip
    asked = procedure.requests(7, 1)
    assert asked == procedure.requests(7, 1) != procedure.requests(7, 2)
    assert sum(not each.honest for each in asked) == 3 * 50
    program = procedure.model_copy(update={"creators": "anyone"}).requests(7, 1)
    assert [each.at_s for each in program] == [each.at_s for each in asked]
    assert all(each.work_s == procedure.answer for each in asked)
    assert not any(each.prepared and each.delay_s for each in asked)
