"""A run's figures against counting by hand, and against the closed form of its queue."""

import json
import math
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import synthetic
from synthetic import COPY_S, SETUP_S, SUBSCRIBERS

import results
from results import Run, open_run
from results.figures import Figures
from results.timeline import recovery, timeline
from results.wording import headline


@pytest.fixture(scope="module")
def campaign():
    return Run(synthetic.campaign())


@pytest.fixture(scope="module")
def summary(campaign):
    return campaign.summary()


def phase(summary, name):
    return next(p for p in summary["phases"] if p["name"] == name)


def test_the_document_meets_its_schema_and_is_plain_json(summary):
    schema = results.document_schema("simulate")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(summary, allow_nan=False)), schema)


def test_totals_are_integers_over_all_replications(campaign, summary):
    assert summary["deliveries"] == {
        "expected": summary["publications"] * SUBSCRIBERS,
        "delivered": summary["publications"] * SUBSCRIBERS,
        "rejected": 0,
        "discarded": 0,
        "lost": 0,
    }
    assert summary["publications"] == len(campaign.publications["publication"])


@pytest.mark.parametrize("role", ["query", "last-item", "retract"])
def test_answers_and_retracts_have_figures_of_their_own(role):
    draft = synthetic.steady(replications=2)
    for (*key, _, stage), counts in list(draft.latency.items()):
        draft.latency[*key[:2], "of alerts", key[3], role, stage] = counts
    (found,) = Run(draft).summary()["answers"]
    assert (found["role"], found["answer"]) == (role, "of alerts")
    assert found["answered"] > 0
    assert found["p50"]["value"] > 0.0


def test_floats_have_twelve_significant_digits(summary):
    def floats(node):
        if isinstance(node, dict | list):
            for item in node.values() if isinstance(node, dict) else node:
                yield from floats(item)
        elif isinstance(node, float):
            yield node

    assert all(value == float(f"{value:.12g}") for value in floats(summary))


def test_offered_load_and_throughput_count_what_the_publications_say(campaign, summary):
    intended_s, last_s = (campaign.publications[name] for name in ("intended_s", "last_s"))
    flooded = ((intended_s >= 40.0) & (intended_s < 60.0)).sum() / 20.0 / 8
    assert phase(summary, "flood")["offered_load_per_s"]["value"] == pytest.approx(flooded)
    made = (last_s < 120.0).sum() * SUBSCRIBERS / 120.0 / 8
    over_time = Figures([campaign]).rate("delivered").value
    assert over_time == pytest.approx(made, rel=1e-3)


def test_latency_is_that_of_legitimate_deliveries_of_the_phase(campaign, summary):
    draws, latencies_s = np.random.default_rng([1, 0]), []
    plan = synthetic._plan(draws, synthetic.CAMPAIGN, 20.0, 40.0)
    synthetic._serve(draws, plan, 0, 1.0, 0.0)
    inside = plan["honest"] & (plan["intended_s"] >= 40.0) & (plan["intended_s"] < 60.0)
    latencies_s = np.sort(plan["latency_s"][inside].ravel())
    merged = Figures([campaign], ["flood"], [(campaign, 0)]).latency()
    for q in (0.5, 0.99, 0.999):
        exact_s = latencies_s[math.ceil(q * len(latencies_s)) - 1]
        assert merged.sample(q).value == pytest.approx(exact_s, rel=1 / 256), q


def test_mean_wait_and_utilisation_are_those_of_pollaczek_and_khinchine():
    run = Run(synthetic.steady(replications=16))
    figures = Figures([run])
    mean_s = SETUP_S + SUBSCRIBERS * COPY_S
    square_s2 = mean_s**2 + (SUBSCRIBERS * COPY_S) ** 2 / 25.0
    rho = 20.0 * mean_s
    wait_s = 20.0 * square_s2 / 2.0 / (1.0 - rho)
    latency_s = wait_s + SETUP_S + COPY_S * (SUBSCRIBERS + 1) / 2
    utilisation = figures.utilisation("nac").estimate()
    assert utilisation["low"] <= rho <= utilisation["high"]
    assert utilisation["high"] - utilisation["low"] < 0.03
    parts = [Figures([run], only=[(run, r)]).latency().mean_s() for r in range(16)]
    estimate = results.statistics.mean(parts)
    assert estimate["low"] <= latency_s <= estimate["high"]
    assert estimate["high"] - estimate["low"] < 0.15 * latency_s


def test_goodput_counts_legitimate_deliveries_in_time(campaign, summary):
    flood = phase(summary, "flood")
    assert (
        flood["goodput_per_s"]["value"] < 0.15 * phase(summary, "before")["goodput_per_s"]["value"]
    )
    merged = Figures([campaign], ["flood"]).latency().counts
    timely = merged[: results.histogram.bin_index(np.array([1.0]))[0]].sum() / merged.sum()
    assert flood["timely_share"]["value"] == pytest.approx(timely, abs=2e-3)


def test_what_saturates_is_named_where_it_does(summary):
    assert [p["saturated"] for p in summary["phases"]] == [
        [], [{"name": "nac", "resource": "cpu"}], [],
    ]  # fmt: skip
    assert summary["saturated"] == [{"name": "nac", "resource": "cpu"}]


def test_link_and_memory_saturate_too():
    draft = synthetic.steady(replications=2)
    draft.intervals["egress_bytes"][:] = 125e6 * 2.0
    draft.intervals["memory_bytes_max"][:] = 4e9
    saturated = Run(draft).summary()["saturated"]
    assert [item["resource"] for item in saturated] == ["link", "memory"]


def test_readers_saturate_too():
    readers = {"tools": {"before": 0.5, "flood": 0.99}}
    draft = synthetic.campaign(replications=1, measurement={"readers": readers})
    flood = phase(Run(draft).summary(), "flood")
    assert {"name": "tools", "resource": "readers"} in flood["saturated"]


def test_an_event_loop_fills_one_core_however_many_there_are():
    draft = synthetic.steady(replications=2)
    loop = draft.header.controllers["nac"].model_copy(
        update={"cores": 4, "discipline": "loop-turns"}
    )
    draft.header = draft.header.model_copy(update={"controllers": {"nac": loop}})
    used = Run(draft).summary()["controllers"]["nac"]["utilisation"]["value"]
    assert used == pytest.approx(0.5, abs=0.03)


def test_recovery_is_the_time_that_the_backlog_takes(campaign, summary):
    # The flood leaves (1.5 - 1) x 20 s of work, drained at 1 - 0.5 of the server: 20 s.
    recovery = summary["disturbance"]["recovery_s"]
    assert summary["disturbance"]["phase"] == "flood"
    assert recovery["low"] < 20.0 < recovery["high"]
    assert recovery["high"] - recovery["low"] < 6.0


def test_a_run_that_ends_before_it_recovers_says_so():
    phases = (*synthetic.CAMPAIGN[:2], synthetic.CAMPAIGN[2].model_copy(update={"end_s": 64.0}))
    summary = Run(synthetic.draft(phases, 40.0, "campaign", replications=4)).summary()
    recovery = summary["disturbance"]["recovery_s"]
    assert recovery["value"] is None
    assert recovery["reason"] == "unbounded: not recovered at the end in 4 of 4 replications"
    assert "it has not recovered by the end" in summary["headline"]


def test_a_calm_run_is_told_in_one_sentence():
    summary = Run(synthetic.steady()).summary()
    assert summary["disturbance"] is None
    assert summary["headline"] == (
        "At 19.8 publications/s (792 deliveries/s) half of the deliveries arrive within 20.5 ms "
        "and 99 % within 97.8 ms; nac is 49.4 % busy."
    )


def test_a_flood_is_told_in_one_sentence(summary):
    assert summary["headline"] == (
        "During flood, p99 latency rises from 97.3 ms to 10.3 s and goodput falls from 792/s to "
        "80.9/s; the CPU of nac saturates; all is as before 19.8 s after it ends."
    )


def test_the_phase_of_an_attack_is_called_the_attack():
    phases = [p.model_copy(update={"name": n}) for p, n in
              zip(synthetic.CAMPAIGN, ("before", "during", "after"), strict=True)]  # fmt: skip
    summary = Run(synthetic.draft(tuple(phases), 40.0, "campaign", replications=1)).summary()
    assert summary["headline"].startswith("During the attack, p99 latency rises from")


def test_lost_deliveries_make_high_quantiles_unbounded_and_are_told():
    summary = Run(synthetic.steady(lost_share=0.02)).summary()
    p99 = summary["latency_s"]["p99"]
    assert (p99["value"], p99["n"]) == (None, 8)
    assert p99["reason"].startswith("unbounded: 2")
    assert summary["latency_s"]["p50"]["value"] > 0.0
    assert "of the deliveries never arrive" in summary["headline"]
    assert "99 % within ∞" in summary["headline"]


def test_an_invalid_run_says_so_first():
    verdict = results.records.Verdict(valid=False, reasons=("the ledger does not balance",))
    summary = Run(synthetic.steady(replications=1, verdict=verdict)).summary()
    assert summary["headline"] == "This run is not valid: the ledger does not balance."


def test_one_steady_replication_gets_its_intervals_from_stretches_of_time():
    whole = Run(synthetic.steady(replications=1)).summary()
    assert whole["latency_s"]["p99"]["n"] == whole["goodput_per_s"]["n"] == 10
    many = Run(synthetic.steady(replications=8)).summary()
    assert whole["latency_s"]["p99"]["low"] < many["latency_s"]["p99"]["value"]
    assert whole["latency_s"]["p99"]["high"] > many["latency_s"]["p99"]["value"]


def test_stretches_of_time_cover_as_replications_do():
    """The interval of one run holds the value of many, in about 95 of 100 runs."""
    truth = {q: Figures([Run(synthetic.steady(replications=40, seed=99))]).latency().sample(q).value
             for q in (0.5, 0.95)}  # fmt: skip
    runs = [Run(synthetic.steady(replications=1, seed=seed)) for seed in range(100)]
    for q, value in truth.items():
        estimates = [run.latency.quantile(q) for run in runs]
        inside = np.mean([e["low"] <= value <= e["high"] for e in estimates])
        width = np.mean([e["high"] / e["value"] - 1.0 for e in estimates])
        assert 0.86 <= inside <= 1.0, q
        assert width < 0.25, q


def test_one_replication_of_a_campaign_has_no_interval():
    estimate = Run(synthetic.campaign(replications=1)).summary()["goodput_per_s"]
    assert estimate["value"] > 0.0
    assert (estimate["low"], estimate["n"], estimate["reason"]) == (None, 1, "one replication")


def test_the_timeline_averages_over_replications(campaign):
    line = timeline(campaign)
    assert len(line.start_s) == 60
    one = [timeline(campaign, replication).throughput_per_s for replication in range(8)]
    assert line.throughput_per_s == pytest.approx(np.mean(one, axis=0))
    assert line.utilisation["nac"].max() <= 1.0 + 1e-9


def test_the_merged_latency_travels_with_its_interval(campaign):
    p99 = campaign.latency.quantile(0.99)
    assert p99 == Figures([campaign]).latency().quantile(0.99)
    assert p99["low"] < p99["value"] < p99["high"]


def test_summary_is_recomputed_from_what_is_stored(campaign, summary, tmp_path):
    assert open_run(campaign.save(tmp_path)).summary() == summary


def test_the_phase_of_a_fault_is_called_the_fault(summary):
    phases = [{**each, "name": "during"} if each["name"] == "flood" else each
              for each in summary["phases"]]  # fmt: skip
    struck = {**summary, "phases": phases, "sessions": [{}],
              "disturbance": {**summary["disturbance"], "phase": "during"}}  # fmt: skip
    assert headline(struck).startswith("During the fault, p99 latency rises from")


def test_pulses_are_no_reason_why_a_run_has_not_recovered():
    """Every fourth interval is slow and large in calm times too; a fault fills one."""
    number = np.arange(40)
    pulse = number % 4 == 0
    fault = number == 20
    copies = np.where(pulse, 1000, 30) * ~fault
    table = {
        "replication": np.zeros(40, int), "interval": number, "start_s": 10.0 * number,
        "end_s": 10.0 * number + 10.0, "offered": np.full(40, 10),
        "offered_legitimate": np.full(40, 10), "delivered": copies, "timely": copies,
        "latency_count": copies, "latency_sum_s": copies * np.where(pulse, 0.85, 0.02),
        "phase": np.where(number < 20, "before", np.where(fault, "during", "after")),
    }  # fmt: skip
    phases = [SimpleNamespace(name="before", measured=True, end_s=200.0),
              SimpleNamespace(name="during", measured=True, end_s=210.0)]  # fmt: skip
    run = SimpleNamespace(intervals=table, header=SimpleNamespace(phases=phases, controllers={}))
    assert recovery(run, "during").estimate()["value"] == 0.0
    table["timely"] = copies * ((number < 20) | (number > 24))  # still late for four intervals
    assert recovery(run, "during").estimate()["value"] == 40.0
    table["timely"] = copies * (number < 20)
    assert recovery(run, "during").estimate()["value"] is None
