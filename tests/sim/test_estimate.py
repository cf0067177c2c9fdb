"""What paper says, the simulation says as well, where paper can know it."""

import pytest
import worlds
from rich.console import Console

import sim
import topologies
from sim import theory


def figures(run, name):
    return run.summary()["phases"][0]["controllers"][name]["utilisation"]["value"]


@pytest.mark.parametrize(
    ("name", "changes", "tolerance"),
    [
        ("campus-nac", ["workload.duration=20 s", "attacks=[]"], 0.01),
        ("single-broker", ["workload.duration=120 s"], 0.05),
        (
            "single-broker",
            ["workload.duration=60 s", "controllers[0].profile=fifo-sketch",
             "workload.arrivals[0].rate=60/s"],
            0.02,
        ),
    ],
)  # fmt: skip
def test_utilisation_on_paper_is_that_of_the_simulation(name, changes, tolerance):
    topology = topologies.load(name, changes)
    run = sim.simulate(topology, replications=4, processes=1)
    paper = sim.estimate(topology)["controllers"]["controller"]["utilisation"]["value"]
    assert paper == pytest.approx(figures(run, "controller"), rel=tolerance)


def test_a_fifo_topology_has_exact_latencies():
    topology = topologies.load(
        "single-broker",
        ["workload.duration=400 s", "controllers[0].profile=fifo-sketch",
         "workload.arrivals[0].rate=60/s"],
    )  # fmt: skip
    run = sim.simulate(topology, replications=8, processes=1)
    paper = sim.estimate(topology)["controllers"]["controller"]
    assert paper["form"] == "M^X/G/1"
    # The link is the one part that paper leaves out: a copy may wait for the one before it.
    assert run.latency.mean_s() == pytest.approx(paper["latency_s"]["mean"]["value"], rel=0.02)


@pytest.mark.parametrize(
    ("profile", "rate", "tolerance"),
    [
        ("ejabberd-23", "60/s", 0.05),
        ("ejabberd-23", "90/s", 0.10),
        ("prosody-0.12", "6/s", 0.15),
        ("prosody-0.12", "12/s", 0.20),
    ],
)
def test_approximations_are_as_near_as_the_readme_says(profile, rate, tolerance):
    changes = [
        "workload.duration=200 s",
        f"controllers[0].profile={profile}",
        f"workload.arrivals[0].rate={rate}",
    ]
    topology = topologies.load("single-broker", changes)
    paper = sim.estimate(topology)["controllers"]["controller"]
    assert "approximation" in paper["form"]
    assert paper["latency_s"]["last"]["value"] is None
    run = sim.simulate(topology, replications=4, processes=1)
    assert paper["latency_s"]["mean"]["value"] == pytest.approx(run.latency.mean_s(), rel=tolerance)


def test_what_has_no_form_says_why():
    paper = sim.estimate(topologies.load("campus-nac"))
    calm, attacked = (paper[part]["controller"] for part in ("controllers", "under_attack"))
    assert calm["latency_s"]["mean"]["value"] is None
    assert "simulate" in calm["latency_s"]["mean"]["reason"]
    assert calm["utilisation"]["value"] < 0.6
    assert attacked["utilisation"]["value"] > 1.0
    assert calm["capacity_per_s"]["low"] <= calm["capacity_per_s"]["high"]


def test_too_much_load_is_unbounded():
    profile = worlds.profile("fifo", copy="10 ms", copy_distribution="exponential")
    people = [
        {"name": "pub", "count": 1, "publishes": ["t"]},
        {"name": "sub", "count": 1, "subscribes": ["t"]},
    ]
    arrivals = [{"topic": "t", "by": "pub", "process": "poisson", "rate": "50/s"}]
    topology = worlds.topology(people, arrivals)
    half = sim.estimate(topology, profiles={"c": profile})["controllers"]["c"]
    assert half["latency_s"]["mean"]["value"] == pytest.approx(0.020, rel=1e-6)
    assert half["latency_s"]["p99"]["value"] == pytest.approx(0.0921034, rel=1e-6)
    double = sim.estimate(topology, profiles={"c": profile}, load=4.0)["controllers"]["c"]
    assert double["wait_s"]["value"] is None
    assert double["wait_s"]["reason"].startswith("unbounded")
    assert double["utilisation"]["value"] == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["single-broker", "campus-nac"])
def test_people_get_a_table(name):
    console = Console(record=True, width=120)
    console.print(theory.render(sim.estimate(topologies.load(name))))
    text = console.export_text()
    assert "utilisation" in text
    assert "%" in text
