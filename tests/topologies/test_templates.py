"""Functional templates: rights named once, given to populations."""

import pytest

import topologies
from topologies import loading
from topologies.problems import TopologyError

TEXT = """
schema: 1
name: templated
controllers: [{name: c, domain: c.test, profile: prosody-0.12}]
brokers: [{name: b, controller: c}]
topics:
  - {name: leases, broker: b, payload: {size: 500 B}}
  - {name: policy, broker: b, payload: {size: 500 B}}
  - {name: alarms, broker: b, payload: {size: 500 B}}
templates:
  - {name: dhcp-server, publishes: [leases], subscribes: [policy, alarms]}
platforms:
  - {name: dhcp, count: 2, controller: c, template: dhcp-server}
  - {name: spare, count: 4, controller: c, template: dhcp-server, publishes: [alarms],
     subscribes: [{topic: policy, fraction: 0.5}]}
  - {name: head, count: 1, controller: c, publishes: [policy]}
workload:
  duration: 1 min
  arrivals: [{topic: leases, by: dhcp, process: poisson, rate: 1/s}]
"""


def test_a_population_has_its_templates_rights_beside_its_own():
    dhcp, spare, head = topologies.parse(TEXT).platforms
    assert dhcp.publishes == ("leases",)
    assert [(each.topic, each.fraction) for each in dhcp.subscribes] == [
        ("policy", 1.0),
        ("alarms", 1.0),
    ]
    assert spare.publishes == ("alarms", "leases")
    assert [(each.topic, each.fraction) for each in spare.subscribes] == [
        ("policy", 0.5),
        ("alarms", 1.0),
    ]
    assert (head.template, head.publishes) == (None, ("policy",))


def test_a_varied_topology_keeps_them():
    varied = loading.varied(topologies.parse(TEXT), ["platforms[0].count=3"])
    assert varied.fan_out() == topologies.parse(TEXT.replace("count: 2", "count: 3")).fan_out()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("template: dhcp-server}", "template: dhcp}", r'template: "dhcp": is not declared'),
        ("publishes: [leases], sub", "publishes: [lease], sub", r'"lease": is not declared'),
        ("template: dhcp-server}", "template: [dhcp-server]}", "template"),
        ("templates:\n  - {name: dhcp-server, publishes: [leases], subscribes: [policy, alarms]}\n",
         "", r'template: "dhcp-server": is not declared'),
    ],
)  # fmt: skip
def test_templates_that_are_not_there_are_named(old, new, named):
    with pytest.raises(TopologyError, match=named):
        topologies.parse(TEXT.replace(old, new, 1))
