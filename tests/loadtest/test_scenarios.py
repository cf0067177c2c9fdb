"""Each scenario on real servers, short: what it did, what the books say, what a server lacks."""

import pytest

import topologies
from loadtest import deployment, scenarios
from loadtest.problems import LoadError
from topologies.schema import Retry

pytestmark = pytest.mark.real

SHORT = {"users": 6, "think": 0.05, "spread": 0.3, "steps": 2, "runs": 2, "items": 30, "page": 10}


@pytest.fixture(scope="module", params=["prosody", "ejabberd"])
def server(request):
    return request.param


@pytest.fixture(scope="module")
def bed(server, place):
    """A topology of two Topics and a grid of each server for it."""
    text = (place / "two-topics.yaml").read_text().replace("test-prosody", f"test-{server}")
    profile = (place / "test-prosody.yaml").read_text()
    (place / f"test-{server}.yaml").write_text(profile.replace("prosody", server))
    (place / f"{server}.yaml").write_text(text)
    topology = topologies.load(place / f"{server}.yaml")
    with deployment.ephemeral(topology) as grid:
        yield topology, grid


def play(bed, name, duration_s=4.0, **wishes):
    topology, grid = bed
    known = scenarios.SCENARIOS[name].parameters
    short = {key: value for key, value in {**SHORT, **wishes}.items() if key in known}
    asked = [f"{key}={value}" for key, value in short.items()]
    runs = scenarios.play(topology, grid, name, asked, seed=2, duration_s=duration_s)
    for run in runs:
        header = run.header
        assert all(law.holds for law in header.identities)
        assert not [why for why in header.verdict.reasons if "could not be played" in why]
        assert header.measurement["scenario"]["name"] == name
    return runs


def scenario(run):
    return run.header.measurement["scenario"]


@pytest.mark.parametrize("name", ["steady", "ramp", "burst", "mixed-topics"])
def test_workloads_are_delivered(bed, name):
    (run,) = play(bed, name)
    assert run.header.counts.delivered == run.header.counts.expected > 0


def test_step_to_knee_judges_each_step(bed):
    (run,) = play(bed, "step-to-knee", highest=2.0)
    knee = scenario(run)["knee"]
    assert [step["phase"] for step in knee["steps"]] == ["load 1", "load 2"]
    assert knee["steps"][1]["offered_per_s"] > knee["steps"][0]["offered_per_s"]
    assert knee["highest_followed"] == "load 2"


def test_fan_out_sweep_is_a_run_for_each_size(bed):
    half, whole = play(bed, "fan-out-sweep")
    assert half.header.counts.publications == whole.header.counts.publications
    assert half.header.counts.expected < 0.6 * whole.header.counts.expected
    assert half.header.counts.delivered == half.header.counts.expected


def test_login_storm_times_each_step(bed):
    (run,) = play(bed, "login-storm")
    actions = scenario(run)["actions"]
    assert scenario(run)["workload"] == "closed"
    steps = [actions[name] for name in ("tcp", "tls", "sasl", "bind", "login")]
    assert {step["n"] for step in steps} == {actions["login"]["n"]}
    assert actions["login"]["n"] > 6  # they came again
    assert actions["login"]["failed"] == {}
    # The record has the histograms, and a login is at least as long as its steps' medians.
    counts = {name: run.latencies.counts(stage=name) for name in ("tcp", "tls", "sasl", "bind")}
    assert all(each.sum() == actions["login"]["n"] for each in counts.values())
    medians = [actions[name]["latency_s"]["p50"] for name in counts]
    assert actions["login"]["latency_s"]["max"] >= sum(medians) / 2


def test_reconnect_storm_brings_all_back(bed):
    (run,) = play(bed, "reconnect-storm", base=0.2)
    away, actions = scenario(run)["away"], scenario(run)["actions"]
    assert away["sessions"] == away["returned"] == actions["login"]["n"] == 20
    assert away["owed"] == away["delivered"] + away["lost"]
    # Some were on their way when the connections went, or came before they were back.
    assert away["lost"] <= run.header.counts.lost <= away["lost"] + 40
    # All of what was due after they were back came, in seconds that a busy machine spoils as well.
    after = run.publications["intended_s"] >= 0.8 * run.header.duration_s
    assert run.publications["expected"][after].sum() > 0
    assert (run.publications["delivered"] == run.publications["expected"])[after].all()


def test_reconnect_storm_goes_by_the_file_s_policies(bed):
    topology, grid = bed
    soon = [
        each.model_copy(update={"retry": Retry(policy="fixed", base="100 ms", first="300 ms")})
        for each in topology.platforms
    ]
    described = topology.model_copy(update={"platforms": tuple(soon)})
    (run,) = play((described, grid), "reconnect-storm", base=30, cap=30)
    away, login = scenario(run)["away"], scenario(run)["actions"]["login"]
    assert away["sessions"] == away["returned"] == 20  # who waited for the scenario's is not back
    assert login["latency_s"]["p50"] > 0.05


def test_subscription_churn_goes_in_and_out(bed):
    (run,) = play(bed, "subscription-churn")
    actions = scenario(run)["actions"]
    assert actions["subscribe"]["n"] >= actions["unsubscribe"]["n"] > 6
    assert actions["subscribe"]["failed"] == actions["unsubscribe"]["failed"] == {}
    assert run.header.counts.delivered == run.header.counts.expected


def test_item_sync_has_all_items_or_says_what_is_missing(bed, server):
    (run,) = play(bed, "item-sync")
    found = scenario(run)
    assert found["actions"]["sync"]["n"] > 0
    assert found["actions"]["sync"]["failed"] == {}
    if server == "prosody":  # it sends all items at once, whatever page is asked for
        assert found["unsupported"] == {"pages of items (XEP-0059)": "asked for 10, got 30"}
        assert any("does not support" in each for each in run.header.verdict.warnings)
    else:
        assert found["unsupported"] == {}
        assert found["actions"]["page"]["n"] >= 3 * found["actions"]["sync"]["n"]


def test_last_item_storm_times_the_item(bed):
    (run,) = play(bed, "last-item-storm")
    actions = scenario(run)["actions"]
    assert actions["last item"]["n"] == actions["subscribe"]["n"] == 6
    assert actions["last item"]["failed"] == {}


def test_slow_readers_wait_longer_than_the_others(bed):
    (run,) = play(bed, "slow-readers", share=0.2, period=1.0)
    slow, others = (scenario(run)["slow"][name] for name in ("slow", "others"))
    assert (slow["sessions"], others["sessions"]) == (4, 16)
    assert slow["latency_s"]["max"] > 0.3
    assert slow["latency_s"]["p50"] > others["latency_s"]["p50"]
    assert run.header.counts.delivered == run.header.counts.expected


def test_oversize_items_meet_the_limit(bed, server):
    (run,) = play(bed, "oversize-items", duration_s=10.0, largest=1 << 20)
    actions = scenario(run)["actions"]
    assert actions["publish 16 KiB"]["failed"] == {}
    refused = {name: each["failed"] for name, each in actions.items() if each["failed"]}
    assert refused, "a server that takes everything"
    if server == "ejabberd":
        assert any("too big" in why for each in refused.values() for why in each)


def test_authorize_is_granted_or_said_to_be_unsupported(bed, server):
    (run,) = play(bed, "authorize")
    found = scenario(run)
    if server == "prosody":
        assert found["unsupported"] == {"a Topic with access_model=authorize": "not-acceptable"}
        assert found["actions"] == {}
    else:
        assert found["actions"]["grant"]["n"] > 6
        assert found["actions"]["grant"]["failed"] == {}


def test_offline_online_accounts_for_what_was_missed(bed):
    (run,) = play(bed, "offline-online", base=0.1)
    away = scenario(run)["away"]
    assert away["sessions"] == away["returned"] == 10
    assert away["owed"] > 0
    assert away["owed"] == away["delivered"] + away["lost"]
    missing = run.header.counts.expected - run.header.counts.delivered
    assert away["lost"] <= missing <= away["lost"] + 20


def test_federated_needs_two_controllers(bed):
    with pytest.raises(LoadError, match="nobody subscribes to a Topic of another Controller"):
        play(bed, "federated")
