"""Which scenarios there are, what may be chosen, and how Platforms wait before they try again."""

import asyncio
import json

import numpy as np
import pytest
from click.testing import CliRunner

import gridlab
import topologies
from loadtest import scenarios, workloads
from loadtest.actions import ActionLog, together
from loadtest.problems import LoadError
from loadtest.retries import AS_DESCRIBED, POLICIES, Retry, described, policy_of

WANTED = [
    *("steady", "step-to-knee", "ramp", "burst", "fan-out-sweep", "mixed-topics", "federated"),
    *("login-storm", "reconnect-storm", "subscription-churn", "item-sync", "last-item-storm"),
    *("slow-readers", "oversize-items", "authorize", "offline-online"),
]


def test_all_scenarios_are_listed():
    listed = json.loads(CliRunner().invoke(gridlab.cli, ["load", "--list", "--json"]).stdout)
    assert [each["name"] for each in listed["scenarios"]] == WANTED
    text = CliRunner().invoke(gridlab.cli, ["load", "--list"]).stdout
    assert all(name in text for name in WANTED)
    assert all(
        name in CliRunner().invoke(gridlab.cli, ["load", "--help"]).stdout for name in WANTED
    )


def test_parameters_are_read_and_all_mistakes_told_at_once():
    assert scenarios.chosen("login-storm", ["users=7", "retry=fixed"])["users"] == 7
    with pytest.raises(LoadError) as told:
        scenarios.chosen("burst", ["size=x", "length=3"])
    assert '"size=x": must be a int' in str(told.value)
    assert "burst has no such parameter; it has size" in str(told.value)
    with pytest.raises(LoadError, match="is not known; there are steady"):
        scenarios.chosen("rush", [])


@pytest.fixture
def campus():
    return topologies.load("campus-nac")


def rates(topology):
    return [workloads.mean_rate(each) for each in topology.workload.arrivals]


def test_changed_workloads_keep_the_total_rate(campus):
    total = sum(rates(campus))
    ((bursts, _),) = workloads.bursts(campus, {"size": 10})
    assert sum(rates(bursts)) == pytest.approx(total)
    ((zipf, _),) = workloads.zipf(campus, {"exponent": 1.0})
    assert sum(rates(zipf)) == pytest.approx(total)
    assert bursts.attacks == zipf.attacks == ()
    of_topic = {}
    for each in zipf.workload.arrivals:
        of_topic[each.topic] = of_topic.get(each.topic, 0.0) + workloads.mean_rate(each)
    shares = list(of_topic.values())
    assert shares[0] / shares[1] == pytest.approx(2.0)
    assert shares[0] / shares[4] == pytest.approx(5.0)


def test_steps_climb_to_the_highest(campus):
    ((steps, phases),) = workloads.steps(campus, {"steps": 4, "highest": 2.0})
    first = campus.workload.arrivals[0]
    assert steps.workload.arrivals[0].rates[-1] == pytest.approx(2.0 * workloads.mean_rate(first))
    assert [name for name, _, _ in phases] == ["load 0.5", "load 1", "load 1.5", "load 2"]
    assert phases[-1][2] == campus.workload.duration


@pytest.mark.parametrize("policy", POLICIES)
def test_waits_stay_within_the_policy(policy):
    retry = Retry(policy, base_s=0.5, cap_s=4.0, attempts=9)
    waits = np.array([list(retry.waits_s(np.random.default_rng(k))) for k in range(400)])
    assert waits.shape == (400, 8)
    assert (waits <= 4.0).all()
    doubled = np.minimum(4.0, 0.5 * 2.0 ** np.arange(1, 9))
    # Means of AWS's formulas; a uniform's standard error over 400 draws is below 0.03 of its width.
    mean, tolerance = waits.mean(axis=0), 0.15 * doubled
    match policy:
        case "fixed":
            assert (waits == 0.5).all()
        case "exponential":
            assert (waits == doubled).all()
        case "full-jitter":
            assert (abs(mean - doubled / 2) < tolerance).all()
        case "equal-jitter":
            assert (waits >= doubled / 2).all()
            assert (abs(mean - 0.75 * doubled) < tolerance).all()
        case "decorrelated":
            assert (waits >= 0.5).all()
            assert abs(mean[0] - 1.0) < 0.1  # uniform between 0.5 and 1.5
            assert waits[:, -1].std() > 0.5
        case "memoryless":
            expected = 0.5 * (1.0 - np.exp(-4.0 / 0.5))  # exponential of mean 0.5, cut at 4
            assert (abs(mean - expected) < 5 * 0.5 / 400**0.5).all()


def test_bad_policies_are_refused():
    with pytest.raises(LoadError, match="use fixed, exponential"):
        Retry("never")
    with pytest.raises(LoadError, match="0 < base <= cap"):
        Retry("fixed", base_s=9.0, cap_s=1.0)


def test_file_s_policies_count_unless_another_is_asked_for(campus):
    name = campus.platforms[0].name
    wishes = {"policy": "fixed", "base": "2 s", "cap": "8 s", "first": "5 s", "timeout": "3 s"}
    wishes["attempts"] = "4"
    changes = [f"platforms[{name}].retry.{key}={value}" for key, value in wishes.items()]
    changed = topologies.load("campus-nac", changes)
    policies = described(changed)
    assert list(policies) == [name]
    default = scenarios.chosen("reconnect-storm", [])
    assert default["retry"] == AS_DESCRIBED
    own = policy_of(f"{name}-3@grid.test", default, policies)
    assert own == Retry("fixed", 2.0, 8.0, 4, 5.0, 3.0)
    first_s = [own.first_wait_s(np.random.default_rng(k)) for k in range(200)]
    assert 4.0 < max(first_s) < 5.0
    assert list(own.waits_s(np.random.default_rng(1))) == [2.0, 2.0, 2.0]
    other = policy_of("nobody-0@grid.test", default, policies)
    assert other == Retry("full-jitter", 0.5, 5.0)
    asked = scenarios.chosen("reconnect-storm", ["retry=exponential", "base=1"])
    assert policy_of(f"{name}-3@grid.test", asked, policies) == Retry("exponential", 1.0, 5.0)


def test_waits_are_those_of_the_simulation(campus):
    retry = Retry("exponential", base_s=1.0, cap_s=60.0, attempts=1_000_000)
    waits = retry.waits_s(np.random.default_rng(1))
    assert [next(waits) for _ in range(7)] == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    for _ in range(2_000):
        assert next(waits) == 60.0


def test_attempt_is_given_up_in_time():
    retry = Retry(timeout_s=0.01)
    with pytest.raises(LoadError, match=r"given up after 0\.01 s"):
        asyncio.run(retry.attempt(lambda: asyncio.sleep(5)))
    assert asyncio.run(retry.attempt(lambda: asyncio.sleep(0, "in"))) == "in"


def test_actions_are_summed_up_by_kind():
    log = ActionLog()
    for k in range(10):
        log.note("bind", k * 1000, k * 1000 + 5, (k * 1000) + 200_000_000)
    log.note("bind", 0, 0, 400_000_000, "conflict")
    log.note("tcp", 0, 0, 1_000_000)
    actions = together([json.loads(json.dumps(log.rows)), []])
    summary = actions.summary()
    assert summary["bind"]["n"] == 11
    assert summary["bind"]["failed"] == {"conflict": 1}
    assert summary["bind"]["latency_s"]["p99"] == pytest.approx(0.2)
    assert summary["tcp"]["latency_s"]["max"] == pytest.approx(0.001)
    assert together([]).summary() == {}
