"""What is shipped: it loads, names its sources, and loads its servers as its text says."""

import numpy as np
import pytest

import topologies
from topologies.loading import SHIPPED
from topologies.schema import Sourced

NAMES = sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def cpu_per_publish_s(costs, payload_bytes, subscribers):
    """Mean CPU time of one publish on an otherwise idle server, as the disciplines define it."""
    if costs.discipline == "loop-turns":
        own = costs.publish + costs.publish_per_byte * payload_bytes + costs.acknowledge
        copy = costs.build + costs.write
        copy += (costs.build_per_byte + costs.write_per_byte) * payload_bytes
        grown = 1.0 + costs.allocation_per_byte * (payload_bytes - 400.0) + costs.allocation_write
        steps = np.ceil(costs.collection / costs.collection_step) - 1
        cycle = costs.collection_every + steps * costs.collection_step_every
        cycles = (costs.allocation_publish + subscribers * grown) / cycle
        return own + subscribers * copy + cycles * costs.collection
    own = costs.setup + costs.setup_per_byte * payload_bytes + costs.finish
    copy = costs.setup_per_subscriber + costs.route + costs.route_per_byte * payload_bytes
    copy += costs.write + costs.write_per_byte * payload_bytes
    return own + subscribers * copy


def utilisation(topology, role):
    """Legitimate or adversary CPU demand over the cores, sessions being written all the time."""
    profile = topologies.profile(topology, topology.controllers[0].name)
    if profile.costs.discipline == "fanout-process":
        hot = profile.costs.write * profile.costs.warmth_factor[0]
        profile = profile.model_copy(
            update={"costs": profile.costs.model_copy(update={"write": hot})}
        )
    rates, copies = topologies.offered(topology, role), topology.fan_out()
    demand = sum(
        rates[topic.name] * cpu_per_publish_s(profile.costs, topic.payload.size, copies[topic.name])
        for topic in topology.topics
    )
    return demand / topology.controllers[0].cores


@pytest.mark.parametrize(
    ("profile", "table"),
    [
        # CPU per publish on an idle server [ms] to 50, 200, 600 subscribers: 400 B, then 4 kB
        ("prosody-0.12", [(9.2, 35.0, 105.6), (16.6, 63.8, 178.8)]),
        ("ejabberd-23", [(2.6, 8.6, 24.4), (2.9, 9.6, 27.2)]),
    ],
)
def test_a_profile_gives_back_the_costs_it_was_fitted_to(profile, table):
    costs = topologies.read_profile(profile).costs
    for payload_bytes, row in zip((400.0, 4000.0), table, strict=True):
        for subscribers, measured_ms in zip((50, 200, 600), row, strict=True):
            got_ms = 1e3 * cpu_per_publish_s(costs, payload_bytes, subscribers)
            assert got_ms == pytest.approx(measured_ms, rel=0.1), (payload_bytes, subscribers)


@pytest.mark.parametrize("name", NAMES)
def test_every_group_of_figures_names_its_source(name):
    topology = topologies.load(name)
    assert topology.description
    groups = [*topology.controllers, *topology.topics, *topology.platforms, *topology.attacks]
    workload = topology.workload
    groups += [workload] if workload.provenance else workload.arrivals
    assert all(isinstance(group, Sourced) for group in groups)
    assert [group for group in groups if group.provenance is None] == []


def test_single_broker_is_the_grid_that_the_readme_speaks_of():
    topology = topologies.load("single-broker")
    description = topologies.describe(topology)
    assert description["study"] == "steady"
    assert description["offered_load_per_s"] == pytest.approx(6.0)
    assert description["topics"]["incidents"]["fan_out"] == 200
    assert description["topics"]["incidents"]["payload_bytes"] == 1600.0
    assert topology.platforms[0].count == 2
    assert 0.25 < utilisation(topology, "legitimate") < 0.32


def test_campus_nac_is_half_loaded_until_the_flood_asks_for_more_than_there_is():
    topology = topologies.load("campus-nac")
    description = topologies.describe(topology)
    session = description["topics"]["session"]
    assert (session["offered_load_per_s"], session["payload_bytes"]) == (pytest.approx(689), 547)
    assert session["fan_out"] == 40
    assert len(topology.topics) == 12
    assert topology.platforms[0].count == 50
    tools = [each.count for each in topology.platforms if each.subscribes]
    assert sum(tools) == 40
    legitimate = utilisation(topology, "legitimate")
    assert 0.42 < legitimate < 0.55
    (attack,) = topology.attacks
    during = utilisation(topology, "adversary") * topology.workload.duration / attack.duration
    assert 1.1 < legitimate + during < 1.4
    # What the flood leaves behind is gone well before the run ends.
    backlog_s = (legitimate + during - 1.0) * attack.duration / (1.0 - legitimate)
    assert attack.start + attack.duration + 2 * backlog_s < topology.workload.duration


def test_each_organisation_of_the_federation_subscribes_at_the_other():
    topology = topologies.load("federation")
    servers = [topologies.profile(topology, each.name).server for each in topology.controllers]
    assert servers == ["prosody", "ejabberd"]
    home = {broker.name: broker.controller for broker in topology.brokers}
    for topic in topology.topics:
        remote = [
            each.count
            for each in topology.platforms
            if each.subscriber_count(topic.name) and each.controller != home[topic.broker]
        ]
        assert sum(remote) > 0
    assert {topic.access for topic in topology.topics} == {"open", "whitelist"}


def test_the_session_rate_is_the_published_arithmetic():
    per_hour = 320_000 * (0.75 * 10 + 0.25 * 1)
    assert per_hour / 3600 == pytest.approx(689, abs=0.5)


def test_shipped_lists_topologies_with_their_descriptions(monkeypatch):
    monkeypatch.delenv("GRIDLAB_HOME", raising=False)
    assert list(topologies.shipped()) == NAMES
    assert set(NAMES) >= {
        "campus-nac", "cti-community", "enterprise-soc", "federation", "iot-sensors",
        "mssp-tenants", "national-cert", "single-broker", "switches",
    }  # fmt: skip
    assert all(len(text) > 20 for text in topologies.shipped().values())


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_what_a_topology_teaches(name):
    assert f"| `{name}` |" in (SHIPPED / "README.md").read_text()
