"""What the summary says of stages and of the resources used most."""

import sim
import topologies
from results.records import STAGES
from results.stages import busiest_text, stages_text
from results.waterfall import has_waterfall, waterfall


def test_a_run_says_where_its_time_goes_and_what_is_used_most():
    topology = topologies.load("single-broker", ["workload.duration=30 s"])
    run = sim.simulate(topology, replications=2, processes=1)
    summary = run.summary()
    assert summary["stages"]
    assert {each["stage"] for each in summary["stages"]} <= set(STAGES)
    for each in summary["stages"]:
        assert each["mean_s"] >= 0.0, each
        assert each["p99_s"] is None or each["p99_s"] >= 0.0
    assert "fan-out" in stages_text(summary["stages"])
    first, second = summary["busiest"]
    assert first["share"] >= second["share"]
    assert first["name"] in busiest_text([first, second])
    assert has_waterfall(run)
    assert len(waterfall(run).axes[0].patches) > 1
