"""Changes in series of runs: found where they were put, and rarely elsewhere."""

import numpy as np
import pytest
from synthetic import steady

from results import Run, plots
from results.history import METRICS, Chosen, change_points, history, levels, render, trial
from results.records import RecordError, Verdict


def test_a_step_is_found_where_it_is():
    logs = 0.02 * np.random.default_rng(1).standard_normal(40)
    logs[25:] += 0.2
    assert change_points(np.exp(logs)) == [25]


def test_a_level_series_has_no_change_and_a_short_one_none_either():
    assert change_points(np.exp(0.02 * np.random.default_rng(2).standard_normal(40))) == []
    assert change_points([1.0, 5.0, 1.0]) == []
    assert change_points(np.ones(12)) == []


def test_the_trial_reports_what_the_detector_does():
    tried = trial(seed=1, series=100)
    assert tried["false_alarms"]["high"] < 0.1
    assert tried["hits"]["+20 %"]["low"] > 0.9
    assert tried["hits"]["+10 %"]["low"] > 0.9
    assert tried["hits"]["+5 %"]["value"] < tried["hits"]["+10 %"]["value"]


@pytest.fixture
def stored(tmp_path):
    """Ten runs, the last five of a server that costs a third more; and an invalid one."""
    for number in range(10):
        speed = (1.0 if number < 5 else 1.33) * (1.0 + 0.004 * (number % 3))
        Run(
            steady(
                seed=7,
                replications=1,
                speed=speed,
                run_id=f"run-{number}",
                created=f"2026-11-{number + 10}T00:00:00+00:00",
                software={"commit": f"{number:x}" * 40},
            )
        ).save(tmp_path)
    bad = Verdict(valid=False, reasons=("late",))
    Run(steady(seed=8, replications=1, run_id="bad", verdict=bad)).save(tmp_path)
    return tmp_path


def test_a_change_is_named_with_its_run_commit_and_ratio(stored):
    document = history(stored, Chosen("cpu_s_per_delivery"))
    (change,) = document["changes"]
    assert (change["run_id"], change["commit"]) == ("run-5", "5" * 12)
    assert change["ratio"]["low"] < 1.33 < change["ratio"]["high"]
    assert document["skipped"] == ["bad: is not valid: late"]
    assert [first for first, _, _ in levels(document)] == [0, 5]
    assert "changed by 1.3" in render(document)
    assert plots.history(document).axes


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_followed(stored, metric):
    assert len(history(stored, Chosen(metric))["entries"]) == 10


def test_two_topologies_must_be_told_apart(stored, tmp_path):
    from results.records import TopologyText

    other = TopologyText(name="other", text="x", sha256="1" * 64)
    Run(steady(seed=9, replications=1, run_id="other", topology=other)).save(stored)
    with pytest.raises(RecordError, match="--topology"):
        history(stored, Chosen("p99"))
    assert len(history(stored, Chosen("p99", "synthetic"))["entries"]) == 10


def test_no_run_is_an_error_that_says_so(tmp_path):
    with pytest.raises(RecordError, match="no run fits"):
        history(tmp_path, Chosen("p99"))
