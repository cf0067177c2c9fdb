"""Plans compare domains, clusters and Brokers, and say which won and why."""

import jsonschema
import pytest
import worlds
from pydantic import TypeAdapter

import topologies
from results import plan_words, plans
from sim import answers, proofs
from sim.arrangements import arrangements
from sim.planning import Budget, plan


def planned(subscribers, rate, duration, slo, **costs):
    """A plan of one-core Controllers for one Topic with eight publishers."""
    people = [{"name": "pub", "count": 8, "publishes": ["t"]},
              {"name": "sub", "count": subscribers, "subscribes": ["t"]}]  # fmt: skip
    arrivals = [{"topic": "t", "by": "pub", "process": "poisson", "rate": rate}]
    topology = worlds.topology(people, arrivals, duration=duration)
    profiles = {"c": worlds.profile("fifo", **costs)}
    found = plan(
        topology, slo=[slo], profiles=profiles, budget=Budget(6, 1), processes=1
    )  # fmt: skip
    return found, answers.document(found, 1.0)


@pytest.fixture(scope="module")
def intake():
    """Publications that cost much to take in: every domain takes in all of them, a node its own."""
    return planned(4, "150/s", "4 s", "p99 < 1.2 s", publish="8 ms", copy="0.5 ms")


@pytest.fixture(scope="module")
def fan_out():
    """Copies are most of the work: those between nodes cost twice."""
    return planned(200, "8/s", "10 s", "p99 < 3 s", publish="1 ms", copy="1 ms")


def chosen(document):
    return [(each["arrangement"], each["controllers"]) for each in document["compared"]
            if each["chosen"]]  # fmt: skip


def test_a_cluster_wins_where_taking_in_is_the_work(intake):
    found, document = intake
    # 75/s of 10 ms on each of 2 nodes, and 150 copies a second of 1 ms from the other: 90 %.
    assert chosen(document) == [("cluster", 2)]
    assert document["answer"]["parts"][0]["arrangement"] == "cluster"
    assert document["binding"]["share"] == pytest.approx(0.9, abs=0.005)
    ways = {each["arrangement"]: each for each in document["compared"]}
    assert list(ways) == ["subscribers", "topics", "cluster", "brokers"]
    assert ways["subscribers"]["controllers"] is None
    assert "the CPU is asked for more than there is" in ways["subscribers"]["reason"]
    checked = proofs.checked(found, document)["check"]
    assert checked["answer_meets"]
    assert checked["less_misses"]
    words = " ".join(plan_words.remarks(document))
    assert "nodes of one cluster; copies for sessions on other nodes hop" in words
    assert "chosen (it takes the fewest cores" in words


def test_domains_win_where_copies_are_the_work(fan_out):
    _, document = fan_out
    ((arrangement, domains),) = chosen(document)
    assert arrangement == "subscribers"
    ways = {each["arrangement"]: each for each in document["compared"]}
    assert domains > 1
    assert ways["cluster"]["controllers"] is None
    assert f"no cluster of up to {domains - 1} node" in ways["cluster"]["reason"]
    assert "read and write every copy" in ways["brokers"]["reason"]
    jsonschema.validate(document, TypeAdapter(plans.PlanDocument).json_schema())


def test_prosody_forms_no_clusters():
    assert arrangements(topologies.read_profile("prosody-0.12")) == ("subscribers", "topics")
    assert "cluster" in arrangements(topologies.read_profile("ejabberd-23"))
