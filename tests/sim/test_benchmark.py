"""The benchmark measures engines that agree, and refuses to compare others."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from sim import benchmark, benchmark_grids
from sim.benchmark import BenchmarkError, Sample

WORKLOADS = [
    benchmark_grids.fan_out(300, 12, 40),
    benchmark_grids.one_publish(2_000),
    benchmark_grids.storm(400),
    benchmark_grids.campus(0.02, 0.5),
]


@pytest.fixture
def _same_cores(monkeypatch):
    monkeypatch.setattr("sim.benchmark.os.sched_setaffinity", lambda process, cores: None)


@pytest.mark.usefixtures("_same_cores")
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_all_engines_see_the_same_latencies(workload):
    samples = {engine: [benchmark.sample(workload, engine)] for engine in benchmark.ENGINES}
    simpy, gridlab = benchmark.compared(workload, samples)
    assert simpy["ratio_to_simpy"] == 1.0
    assert gridlab["p99_s"] == pytest.approx(simpy["p99_s"], rel=1e-9)
    assert gridlab["name"] == simpy["name"] == workload.name
    assert ("events_per_s" in gridlab) == (workload.name == "storm")
    assert 0.0 < simpy["p50_s"] < simpy["p99_s"]


@pytest.mark.usefixtures("_same_cores")
def test_ciw_sees_the_same_latencies():
    workload = benchmark_grids.small_fan_out(5, 50)
    assert benchmark.engines_of(workload) == ["simpy", "gridlab", "ciw"]
    samples = {engine: [benchmark.sample(workload, engine)] for engine in ("simpy", "ciw")}
    rows = benchmark.compared(workload, samples)
    assert rows[1]["p99_s"] == pytest.approx(rows[0]["p99_s"], rel=1e-9)
    assert rows[1]["ratio_to_simpy"] < 50.0


def test_engines_that_differ_are_not_compared():
    right, wrong = Sample(1.0, 0.5, 0.9, 1), Sample(900.0, 0.5, 0.9 * (1 + 1e-8), 1)
    with pytest.raises(BenchmarkError, match=r"p99_s: gridlab has .*; they must be the same"):
        benchmark.compared(WORKLOADS[0], {"simpy": [right], "gridlab": [right, wrong]})


def test_rates_are_medians_and_the_spread_is_said():
    slow = [Sample(rate, 0.5, 0.9, 10) for rate in (1.0, 2.0, 4.0)]
    fast = [Sample(rate, 0.5, 0.9, 70) for rate in (900.0, 1000.0, 1200.0)]
    rows = benchmark.compared(WORKLOADS[0], {"simpy": slow, "gridlab": fast})
    assert [row["ratio_to_simpy"] for row in rows] == [1.0, 500.0]
    assert rows[1]["spread"] == pytest.approx(0.3)
    assert rows[1]["peak_rss_bytes"] == 70
    document = {"workloads": rows}
    row = TypeAdapter(benchmark.Benchmark).json_schema()["$defs"]["BenchmarkRow"]
    assert set(row["properties"]) == {*rows[0], "events_per_s"}
    assert benchmark.render(document).row_count == 2


def test_the_long_workloads_are_those_that_are_promised():
    sizes = [(each.name, each.size) for each in benchmark_grids.workloads(quick=False)]
    assert sizes == [
        ("fan-out", 100), ("fan-out", 10_000), ("fan-out", 100_000), ("one-publish", 1_000_000),
        ("storm", 300_000), ("topology", 200),
    ]  # fmt: skip


def test_cost_is_linear_in_deliveries():
    assert benchmark.slope([(10**6, 0.02), (10**7, 0.2), (10**8, 2.0)]) == pytest.approx(1.0)
    points = benchmark.scaling(10**7)
    assert [round(np.log10(count)) for count, _ in points] == [6, 7]
    assert "it grows with their number to the" in benchmark.render_scaling(points)


@pytest.mark.usefixtures("_same_cores")
@pytest.mark.parametrize("discipline", sorted(benchmark_grids.MEASURED))
def test_measured_disciplines_are_held_against_the_reference(discipline):
    workload = benchmark_grids.fan_out(200, 2, 30)
    found = benchmark.sample(workload, f"gridlab-{discipline}")
    assert 0.0 < found.p50_s < found.p99_s
    samples = {"simpy": [Sample(2.0, 0.5, 0.9, 1)], f"gridlab-{discipline}": [found]}
    rows = benchmark.compared(workload, samples)
    assert rows[1]["engine"] == f"gridlab-{discipline}"
    assert rows[1]["ratio_to_simpy"] == found.rate_per_s / 2.0
