"""What paper says, the simulation says as well, where paper can know it."""

import pytest
import worlds
from rich.console import Console

import sim
import topologies
from sim import theory
from sim.services import demands


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


@pytest.mark.parametrize("discipline", ["loop-turns", "fanout-process"])
def test_what_is_cold_after_a_rest_has_no_form(discipline):
    costs = {"loop-turns": {"publish": "1 ms", "build": "0 s"},
             "fanout-process": {"setup": "1 ms", "route": "0 s"}}[discipline]  # fmt: skip
    topology = worlds.topology(
        [{"name": "pub", "count": 1, "publishes": ["t"]},
         {"name": "sub", "count": 1, "subscribes": ["t"]}],
    )  # fmt: skip
    warm, cold = (
        sim.estimate(
            topology,
            profiles={"c": worlds.profile(discipline, write="2 ms", cold=cold, **costs)},
        )["controllers"]["c"]
        for cold in ("0 ms", "1 ms")
    )
    assert warm["latency_s"]["mean"]["value"] > 0.0
    assert cold["latency_s"]["mean"]["value"] is None
    assert "costs.cold" in cold["latency_s"]["mean"]["reason"]
    assert cold["capacity_per_s"] == warm["capacity_per_s"]


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


ON_T = [
    {"name": "pub", "count": 1, "publishes": ["t"]},
    {"name": "sub", "count": 20, "subscribes": ["t"]},
]
ON_U = [
    {"name": "pub-u", "count": 1, "publishes": ["u"]},
    {"name": "sub-u", "count": 20, "subscribes": ["u"]},
]
BYTES = worlds.profile("fifo", publish="0 ms", publish_per_byte="1 us/B")


def poisson(topic, by, rate):
    return {"topic": topic, "by": by, "process": "poisson", "rate": rate}


@pytest.mark.parametrize(("cv", "most"), [(0.5, 1e6), (1.0, 1500.0), (2.0, 1000.0), (2.0, 300.0)])
def test_payloads_are_cut_as_the_plan_cuts_them(cv, most):
    topics = {"t": {"size": "1000 B", "cv": cv, "max": f"{most} B"}}
    topology = worlds.topology(
        ON_T, [poisson("t", "pub", "400/s")], topics=topics, duration="100 s"
    )
    payload = demands(topology, "c", 1.0, attacks=False)[0].payload
    sizes = topologies.Plan(topology).columns().payload_bytes.astype(float)
    for power, expected in ((1, payload.mean), (2, payload.square)):
        values = sizes**power
        error = values.std() / len(values) ** 0.5
        assert abs(values.mean() - expected) < 4 * error, (power, values.mean(), expected)


def test_a_trace_has_its_own_payloads(tmp_path):
    (tmp_path / "trace.csv").write_text("intended_s,payload_bytes\n0.1,100\n0.2,500\n3,9000\n")
    topology = worlds.topology(ON_T, [{"topic": "t", "by": "pub", "process": "trace",
                                       "file": str(tmp_path / "trace.csv")}])  # fmt: skip
    paper = sim.estimate(topology, profiles={"c": BYTES})["controllers"]["c"]
    assert paper["offered_load_per_s"]["value"] == pytest.approx(2.0)
    assert paper["service_s"]["value"] == pytest.approx(300e-6)


def test_sessions_are_as_warm_as_their_own_topics_keep_them():
    """Two Topics without common subscribers: publications of one do not warm sessions of both."""
    profile = worlds.profile(
        "fanout-process", setup="0 ms", route="0 ms", write="1 ms",
        warmth_after=["1 ms", "1 s"], warmth_factor=[0.2, 1.0],
    )  # fmt: skip
    topics = {name: {"size": "1000 B"} for name in "tu"}
    rare, often = poisson("t", "pub", "2/s"), poisson("u", "pub-u", "20/s")

    def world(people, arrivals):
        return worlds.topology(people, arrivals, topics=topics, duration="60 s")

    def paper(topology):
        return sim.estimate(topology, profiles={"c": profile})["controllers"]["c"]["utilisation"]

    both = world(ON_T + ON_U, [rare, often])
    alone = [paper(world(ON_T, [rare])), paper(world(ON_U, [often]))]
    assert paper(both)["value"] == pytest.approx(sum(each["value"] for each in alone))
    run = sim.simulate(both, replications=4, processes=1, profiles={"c": profile})
    assert paper(both)["value"] == pytest.approx(figures(run, "c"), rel=0.05)
    common = [ON_T[0], ON_U[0], {"name": "sub", "count": 20, "subscribes": ["t", "u"]}]
    assert paper(world(common, [rare, often]))["value"] < paper(both)["value"]


@pytest.mark.parametrize("load", [0.0, -1.0, float("nan"), float("inf")])
def test_a_load_out_of_range_is_refused(load):
    topology = worlds.topology(ON_T)
    with pytest.raises(topologies.TopologyError, match=r"load: .*; write for example"):
        sim.estimate(topology, profiles={"c": BYTES}, load=load)


@pytest.mark.parametrize("profile", ["fifo-sketch", "ejabberd-23", "prosody-0.12"])
def test_a_controller_without_topics_and_one_without_publications_are_idle(profile, tmp_path):
    (tmp_path / "late.csv").write_text("intended_s\n5\n")
    late = {"topic": "t", "by": "pub", "process": "trace", "file": str(tmp_path / "late.csv")}
    silent = worlds.topology(ON_T, [late])
    idle = silent.controllers[0].model_copy(update={"name": "d", "domain": "d.test"})
    both = silent.model_copy(update={"controllers": (*silent.controllers, idle)})
    costs = topologies.read_profile(profile)
    document = sim.estimate(both, profiles={"c": costs, "d": costs})
    for figures in document["controllers"].values():
        assert figures["utilisation"]["value"] == 0.0
        assert figures["capacity_per_s"]["reason"] == "nothing is published"
        assert figures["wait_s"]["reason"] == "nothing is published"
    run = sim.simulate(both, replications=2, processes=1, profiles={"c": costs, "d": costs})
    assert (run.header.counts.publications, run.header.verdict.valid) == (0, True)
    Console(record=True, width=120).print(theory.render(document))


@pytest.mark.parametrize("name", ["single-broker", "campus-nac"])
def test_people_get_a_table(name):
    console = Console(record=True, width=120)
    console.print(theory.render(sim.estimate(topologies.load(name))))
    text = console.export_text()
    assert "utilisation" in text
    assert "%" in text
