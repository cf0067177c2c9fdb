"""No field of a topology is ignored: engines use it, refuse it, or it is known to be inert."""

import re
import sys
import typing
from pathlib import Path

import pytest

import topologies
from loadtest import capabilities, kinds
from sim import phases, reference
from sim.grid import Grid
from sim.study import Study
from topologies import Plan, schema, support
from topologies.model import Model

ROOT = Path(__file__).parent.parent

# What says nothing about traffic: names, words, and what only a deployed grid needs.
INERT = {
    "schema_": "version of the format",
    "name": "for reports",
    "description": "for reports",
    "attacks.name": "for reports",
    "attacks.kind": "there is one kind",
    "controllers.domain": "the simulator goes by `name`",
    "controllers.profile": "read before an engine begins",
    "controllers.running": "where a real one is; simulated by its profile",
    "controllers.server": "what a real one runs; simulated by its profile",
    "brokers.costs": "of a component; read as its station is made",
    "topics.access": "who may subscribe; populations list only what they may",
    "topics.payload.kind": "what is in it; its size is what counts",
    "platforms.template": "merged into the population as the file is read",
    "templates": "merged into the populations as the file is read",
    "slo.p99": "what runs are judged by",
}
# What a real grid has no part in: the workload is played from the plan, beside it.
BESIDE_A_GRID = (
    *INERT, "slo", "controllers.limits.account.burst",
    "controllers.neighbours", "controllers.slowness",  # its machine is as slow as it is
    "controllers.waits",  # and as busy
)  # fmt: skip


def models(annotation):
    """The sections that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models(part)


def fields(section, path=()):
    """Every field of a topology that holds no section: its path, its class, its name."""
    for name, field in section.model_fields.items():
        if name == "provenance":
            continue
        inner = list(dict.fromkeys(models(field.annotation)))
        for each in inner:
            yield from fields(each, (*path, name))
        if not inner:
            owner = next(each for each in section.__mro__ if name in each.__annotations__)
            yield ".".join((*path, name)), owner, name


FIELDS = list(fields(schema.Topology))


def among(path, known):
    return any(path == each or path.startswith(f"{each}.") for each in known)


def wide():
    """A topology that uses every section which the simulator has a model for."""
    arrivals = [
        {"process": "deterministic", "rate": "2/s"},
        {"process": "poisson", "rate": "2/s", "further_topics": ["v"], "start": "0.1 s",
         "end": "0.9 s"},
        {"process": "on-off", "rate": "9/s", "mean_on": "0.1 s", "mean_off": "0.1 s"},
        {"process": "batch", "rate": "2/s", "mean_size": 3, "distribution": "log-normal"},
        {"process": "batch", "rate": "2/s", "mean_size": 3, "distribution": "pareto"},
        {"process": "sine", "rate": "2/s", "period": "0.5 s"},
        {"process": "diurnal", "rate": "2/s", "period": "1 s",
         "spikes": {"every": "0.2 s", "length": "0.1 s"}},
        {"process": "ramp", "rate": "2/s", "final_rate": "4/s"},
        {"process": "step", "rates": ["2/s", "4/s"]},
    ]  # fmt: skip
    return schema.Topology.model_validate({
        "schema": 1, "name": "wide",
        "controllers": [
            {"name": name, "domain": f"{name}.test", "profile": "fifo-sketch",
             "limits": {"client": {"rate": "9 kB/s", "burst": "3 kB"}, "client_stanza": "9 kB",
                        "server": {"rate": "9 kB/s", "burst": "3 kB"}, "server_stanza": "90 kB",
                        "shape": "delay",
                        "account": {"rate": "90/s", "burst": 3}},
             "queue": {"window": "1 B", "policy": "disconnect", "stanzas": 9, "bytes": "9 kB",
                       "send_timeout": "1 s"}}
            for name in ("a", "b")
        ],
        "brokers": [{"name": "broker", "controller": "a"},
                    {"name": "beside", "controller": "a", "kind": "component",
                     "costs": {"copy": "1 ms"}}],
        "topics": [{"name": name, "broker": "beside" if name == "w" else "broker",
                    "payload": {"size": "500 B", "cv": 0.5}, "max_items": 3}
                   for name in ("t", "v", "w")],
        "platforms": [
            {"name": "pub", "count": 2, "controller": "b", "publishes": ["t", "v"],
             "network": {"uplink": "90 kB/s", "delay": "1 ms"}},
            {"name": "sub", "count": 5, "controller": "b",
             "subscribes": ["v", {"topic": "t", "fraction": 0.5}],
             "network": {"downlink": "90 kB/s"}, "read_rate": "90/s",
             "reader": {"on": "0.1 s", "off": "0.1 s"}},
            {"name": "bad", "count": 1, "controller": "a", "role": "adversary",
             "publishes": ["t", "w"]},
            {"name": "ask", "count": 2, "controller": "a"},
        ],
        "links": [{"from": "a", "to": "b", "copies": "domain", "rate": "90 kB/s"}],
        "workload": {"study": "campaign", "duration": "1 s",
                     "arrivals": [{"topic": "t", "by": "pub", **each} for each in arrivals],
                     "queries": [{"kind": "page", "page": 2, "by": "ask", "topic": "t",
                                  "rate": "9/s", "start": "0.1 s", "end": "0.9 s"}]},
        "faults": [{"kind": "partition", "name": "cut", "link": ["b", "a"], "start": "0.5 s",
                    "duration": "0.1 s", "timeout": "50 ms"}],
        "attacks": [{"kind": "publish-flood", "name": "flood", "by": "bad", "topic": "t",
                     "start": "0.2 s", "duration": "0.2 s", "rate": "9/s", "size": "900 B"}],
    })  # fmt: skip


def spread():
    """A cluster, and a Topic whose payloads are fetched from their Publishers."""
    plain = {"name": "a", "domain": "a.test", "profile": "fifo-sketch", "nodes": 2}
    return schema.Topology.model_validate({
        "schema": 1, "name": "spread",
        "controllers": [plain | {"neighbours": {"factor": 2.0, "share": 0.3, "mean": "30 ms"}}],
        "brokers": [{"name": "broker", "controller": "a"}],
        "topics": [{"name": "t", "broker": "broker", "payload": {"size": "500 B"},
                    "flow": "direct", "fetch": {"connections": 2}}],
        "platforms": [{"name": "all", "count": 4, "controller": "a", "publishes": ["t"],
                       "subscribes": ["t"]}],
        "workload": {"study": "campaign", "duration": "0.1 s",
                     "arrivals": [{"topic": "t", "by": "all", "process": "deterministic",
                                   "rate": "20/s"}]},
    })  # fmt: skip


def storm():
    """A small grid whose Platforms log in again after an outage."""
    return schema.Topology.model_validate({
        "schema": 1, "name": "storm",
        "controllers": [{"name": "a", "domain": "a.test", "profile": "prosody-0.12",
                         "resumption": {"window": "1 s", "queue": 9},
                         "collection": {"growth": 0.5},
                         "slowness": {"steps": [{"lasts": "0.1 s", "factor": 1.5}]}, "waits": 0.05,
                         "admission": {"queue_wait": "1 s", "rate": "90/s", "burst": 9},
                         "limits": {"address": {"connections": 9, "per": "1 s"},
                                    "failed_logins": {"count": 1, "ban": "0.2 s"}}}],
        "brokers": [{"name": "broker", "controller": "a"}],
        "topics": [{"name": "t", "broker": "broker", "payload": {"size": "500 B"},
                    "last_item": "on-login", "notify_retract": True, "persist": True}],
        "platforms": [
            {"name": "pub", "count": 2, "controller": "a", "publishes": ["t"]},
            {"name": "sub", "count": 5, "controller": "a", "subscribes": ["t"],
             "network": {"delay": "10 ms"}, "login": {},
             "retry": {"policy": "full-jitter", "timeout": "65 ms", "base": "10 ms"}},
            {"name": "guess", "count": 3, "controller": "a", "login": {"password": "wrong"},
             "network": {"delay": "1 ms"}, "addresses": 2, "retry": {"base": "10 ms"}},
        ],
        "workload": {"study": "campaign", "duration": "1 s",
                     "arrivals": [{"topic": "t", "by": "pub", "process": "poisson",
                                   "rate": "9/s"}]},
        "faults": [{"kind": kind, "name": f"dark-{who}", "population": who, "start": "0.2 s",
                    "duration": "0.2 s", "spread": "0.1 s"}
                   for who, kind in (("sub", "disconnect"), ("guess", "outage"))]
        + [{"kind": "slow-down", "name": "slow", "controller": "a", "start": "0.5 s",
            "duration": "0.1 s", "factor": 2.0},
           {"kind": "freeze", "name": "still", "controller": "a", "start": "0.7 s",
            "duration": "0.1 s"}],
    })  # fmt: skip


def stored():
    """A small grid that stores for a Platform that is away."""
    return schema.Topology.model_validate({
        "schema": 1, "name": "stored",
        "controllers": [{"name": "a", "domain": "a.test", "profile": "prosody-0.12",
                         "offline": {"messages": 2}}],
        "brokers": [{"name": "broker", "controller": "a"}],
        "topics": [{"name": "t", "broker": "broker", "payload": {"size": "500 B"},
                    "notification": "normal"}],
        "platforms": [
            {"name": "pub", "count": 1, "controller": "a", "publishes": ["t"]},
            {"name": "sub", "count": 1, "controller": "a", "subscribes": ["t"], "login": {},
             "network": {"delay": "1 ms"}},
        ],
        "workload": {"study": "campaign", "duration": "1 s",
                     "arrivals": [{"topic": "t", "by": "pub", "process": "poisson",
                                   "rate": "9/s"}]},
        "faults": [{"kind": "outage", "name": "dark", "population": "sub", "start": "0.2 s",
                    "duration": "0.2 s"}],
    })  # fmt: skip


def read_by_simulator(topology, engine, monkeypatch):
    """Classes and fields that `engine` and the plan look at while they play a topology."""
    seen, looked_up = set(), Model.__getattribute__

    def watched(self, name):
        if name in type(self).model_fields:
            caller = sys._getframe(1).f_code.co_filename
            if not caller.endswith(("support.py", "checks.py")):
                seen.update((each, name) for each in type(self).__mro__)
        return looked_up(self, name)

    profiles = {node.name: topologies.profile(topology, node.name) for node in topology.controllers}
    monkeypatch.setattr(Model, "__getattribute__", watched)
    plan = Plan(topology, 1)
    study = Study(topology, phases.timetable(topology), 1, 0, plan.rows)
    if engine == "compiled":
        Grid(study, plan, profiles).run()
    else:
        reference.run(study, plan, profiles)
    monkeypatch.undo()
    return seen


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_the_simulator_reads_or_refuses_every_field(engine, monkeypatch):
    seen = set().union(
        *(
            read_by_simulator(topology, engine, monkeypatch)
            for topology in (wide(), storm(), spread(), stored())
        )
    )
    outside = {
        "workload.arrivals.file": "trace: no file here",
        "workload.arrivals.process": "the class",
        "controllers.memory": "warned of in the record",
        "platforms.retry.first": "after a crash, which is refused",
        "faults.name": "for reports",
        "faults.kind": "the class",
        "faults.controller": "of a crash, which is refused",
        "faults.notice": "of a crash, which is refused",
        "controllers.limits.account.sessions": "each Platform's own account has one at a time",
        "topics.persist": "which items there are is a rule of the file's; storing them costs 0",
    }
    ignored = [
        path
        for path, section, name in FIELDS
        if not among(path, (*INERT, *outside)) and (section, name) not in seen
    ]
    assert not ignored


def test_a_deployed_grid_uses_or_refuses_every_field():
    refused = (*kinds.UNSUPPORTED, *capabilities.NOT_EMULATED)
    engines = [*(ROOT / "loadtest").glob("*.py"), *(ROOT / "loadtest" / "templates").glob("*")]
    plan = [*(ROOT / "topologies").glob("*.py")]
    left_out = ("support.py", "checks.py", "drawing.py", "schema.py", "description.py")
    used = {
        name
        for source in engines + plan
        if source.name not in left_out
        for name in re.findall(r"\.([a-z_]+)", source.read_text())
    }
    ignored = [
        path
        for path, _, name in FIELDS
        if not among(path, (*refused, *BESIDE_A_GRID)) and name not in used
    ]
    assert not ignored
    gone = [each for each in refused if not any(among(path, [each]) for path, _, _ in FIELDS)]
    assert gone == []


LINK = {"from": "cert", "to": "campus"}


@pytest.mark.parametrize(
    ("field", "links"),
    [
        ("links[0].delay", [LINK | {"delay": "20 ms"}]),
        ("links[0].rate", [LINK | {"rate": "30 kB/s"}]),
        ("links[0].copies", [LINK | {"copies": "domain"}]),
    ],
)
def test_links_are_refused_by_deployment(field, links):
    federation = topologies.load("federation")
    described = schema.Topology.model_validate(
        federation.model_dump(mode="json", by_alias=True) | {"links": links}
    )
    with pytest.raises(topologies.TopologyError) as refused:
        support.refuse(described, kinds.UNSUPPORTED, "deployed grids")
    assert refused.value.problems == [
        f"{field}: is not supported by deployed grids yet; leave it out"
    ]


def test_what_loopback_does_without_is_named():
    assert capabilities.not_emulated(topologies.load("enterprise-soc")) == [
        "platforms.network.delay", "platforms.read_rate",
    ]  # fmt: skip
    assert capabilities.not_emulated(topologies.load("federation")) == []
