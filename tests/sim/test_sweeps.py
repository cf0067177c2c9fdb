"""Sweeps: the same bytes whoever works, nothing lost or done twice whatever is killed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import worlds

import sim
import topologies
from results.outcomes import OutcomeFigures
from sim import scenarios
from sim.axes import axes
from sim.executors import LOSSES_MAX, Processes
from sim.sweeps import sweep
from topologies import TopologyError

VARIED = ("platforms[analyst].count=20,40", "profile.speed=0.5:1.5", "load=0.5:2.0:log")
OVERRIDES = ("workload.duration=20 s",)
ROOT = Path(__file__).parents[2]


def base(**more):
    return scenarios.base(topologies.load("single-broker", OVERRIDES), **more)


def run(directory, **more):
    return sweep(base(), axes(VARIED), directory, **({"samples": 8, "processes": 1} | more))


def tree(directory):
    """Every file below a directory by its hash."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The sweep of one process, without interruption."""
    directory = tmp_path_factory.mktemp("alone")
    return directory, run(directory)


def test_a_scenario_is_the_simulation_of_its_topology(alone):
    _, done = alone
    outcome = done.outcomes[11]
    count, speed, load = outcome["settings"].values()
    topology = topologies.load("single-broker", [*OVERRIDES, f"platforms[analyst].count={count}"])
    costs = topologies.profile(topology, "controller").model_copy(update={"speed": float(speed)})
    simulated = sim.simulate(
        topology, profiles={"controller": costs}, load=float(load), replications=1
    )
    figures, summary = OutcomeFigures(outcome), simulated.summary()
    for q, name in ((0.5, "p50"), (0.99, "p99")):
        assert figures.latency(q).value == pytest.approx(summary["latency_s"][name]["value"])
    busy = summary["controllers"]["controller"]["utilisation"]["value"]
    assert figures.share("controller", "busy_s", "core_s").value == pytest.approx(busy)
    assert figures.rate("timely").value == pytest.approx(summary["goodput_per_s"]["value"])


def test_two_processes_store_what_one_stores(alone, tmp_path):
    directory, done = alone
    again = run(tmp_path, processes=2)
    assert (done.worked, again.worked) == (16, 16)
    assert tree(tmp_path) == tree(directory)
    assert again.outcomes == done.outcomes


def test_what_is_stored_is_not_worked_again(alone):
    directory, done = alone
    before = {path: path.stat().st_mtime_ns for path in (directory).rglob("outcomes/*")}
    again = run(directory)
    assert again.worked == 0
    assert again.outcomes == done.outcomes
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("outcomes/*")} == before


def test_a_killed_sweep_goes_on_where_it_was(alone, tmp_path):
    """SIGKILL in the middle: what was stored stays untouched, the rest is worked once."""
    directory, _ = alone
    program = (
        "import sys; sys.path.insert(0, 'tests/sim'); from pathlib import Path\n"
        f"import test_sweeps; test_sweeps.run(Path({str(tmp_path)!r}))"
    )
    child = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.rglob("outcomes/*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    stored = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("outcomes/*.json")}
    assert 3 <= len(stored) < 16
    resumed = run(tmp_path)
    assert resumed.worked == 16 - len(stored)
    assert {path: path.stat().st_mtime_ns for path in stored} == stored
    assert tree(tmp_path) == tree(directory)


def _dies_once(task):
    """A task whose first worker is killed."""
    mark, number = task
    if number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _dies(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_lost_process_is_replaced(tmp_path):
    mark = tmp_path / "killed"
    results = list(Processes(2).map(_dies_once, [(mark, number) for number in range(8)]))
    assert mark.exists()
    assert sorted(results) == list(range(8))


def test_workers_that_only_die_are_given_up():
    with pytest.raises(RuntimeError, match=f"{LOSSES_MAX} workers died in a row"):
        list(Processes(1).map(_dies, [1]))


def test_a_dask_cluster_stores_the_same_and_outlives_a_worker(alone, tmp_path):
    """A real scheduler with three worker processes; one is killed while it has work in hand."""
    from distributed import Client, LocalCluster

    directory, done = alone
    killed = []
    with LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        with Client(cluster, set_as_default=False) as client:
            workers = client.run(os.getpid)

        def kill_one(share, remark):
            if not killed:
                killed.append(next(iter(workers.values())))
                os.kill(killed[0], signal.SIGKILL)

        result = run(tmp_path, cluster=cluster.scheduler_address, progress=kill_one)
    assert killed
    assert result.outcomes == done.outcomes
    assert tree(tmp_path) == tree(directory)


def test_a_cluster_that_is_not_there_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.executors.CLUSTER_WITHIN_S", 1.0)
    with pytest.raises(TopologyError, match=r"--cluster tcp://127.0.0.1:9: no workers"):
        run(tmp_path, cluster="tcp://127.0.0.1:9")


def test_what_no_simulation_can_carry_is_refused_and_stored(tmp_path):
    """Each field is right alone; together they are not."""
    topology = topologies.load("single-broker", OVERRIDES)
    varied = axes(["controllers[0].profile=fifo-sketch,prosody-0.12", "controllers[0].cores=1,2"])
    fifo = topologies.load("single-broker", [*OVERRIDES, "controllers[0].profile=fifo-sketch"])
    done = sweep(scenarios.base(fifo), varied, tmp_path, processes=1)
    refused = [outcome.get("refused") for outcome in done.outcomes]
    assert [bool(each) for each in refused] == [False, False, False, True]
    assert "is more than the one core" in refused[3][0]
    assert topology.controllers[0].profile == "prosody-0.12"


@pytest.mark.parametrize(
    ("vary", "rule"),
    [
        ("controllers[0].coers=1,2", "did you mean"),
        ("controllers[0].cores=0", "greater than or equal to 1|at least 1"),
        ("profile.costs.wright=1 ms", "no such field"),
        ("profile[ejabberd].speed=1", "no such profile"),
        ("load=0", "must be more than 0"),
    ],
)
def test_a_wrong_axis_is_refused_before_any_work(vary, rule, tmp_path):
    with pytest.raises(TopologyError, match=rule):
        sweep(base(), axes([vary]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_sweeps_in_one_place_do_not_mix(tmp_path):
    first = sweep(base(), axes(["load=0.1,0.2"]), tmp_path, processes=1)
    second = sweep(base(seed=2), axes(["load=0.1,0.2"]), tmp_path, processes=1)
    assert first.directory != second.directory
    assert first.outcomes[0]["plan_sha256"] != second.outcomes[0]["plan_sha256"]
    specification = json.loads((first.directory / "sweep.json").read_text())
    assert specification["keys"] == [outcome["key"] for outcome in first.outcomes]


def test_figures_of_several_replications_have_intervals(tmp_path):
    varied = axes(["load=0.5,1.0"])
    done = sweep(base(replications=4), varied, tmp_path, processes=1)
    half, whole = (OutcomeFigures(outcome).estimates() for outcome in done.outcomes)
    for figures in (half, whole):
        for name in ("latency_p99_s", "utilisation", "throughput_per_s"):
            assert figures[name]["low"] < figures[name]["value"] < figures[name]["high"]
    assert whole["utilisation"]["low"] > half["utilisation"]["high"]


def test_worlds_without_a_file_are_swept_too(tmp_path):
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "sub", "count": 5, "subscribes": ["t"]}]
    )  # fmt: skip
    node = topology.controllers[0].model_copy(update={"profile": "fifo-sketch"})
    topology = topology.model_copy(update={"controllers": (node,)})
    done = sweep(
        scenarios.base(topology), axes(["workload.duration=10 s,20 s"]), tmp_path,
        processes=1,
    )  # fmt: skip
    assert [outcome["phases"][0]["end_s"] for outcome in done.outcomes] == [10.0, 20.0]
