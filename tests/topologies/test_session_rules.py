"""Rules about logins, retries and faults: each broken one is told."""

from copy import deepcopy

import pytest
import yaml
from grids import data

import topologies
from topologies import TopologyError

POISSON = {"process": "poisson", "rate": "10/s"}
OUTAGE = {
    "kind": "outage", "name": "dark", "population": "analyst", "start": "10 s",
    "duration": "20 s", "spread": "5 s",
}  # fmt: skip


def grid(platform=(), fault=(), **changes):
    """A good grid whose analysts log in and lose power; with changes."""
    whole = data(POISSON, **changes)
    whole["platforms"][1] |= {"login": {}, "network": {"delay": "5 ms"}} | dict(platform)
    whole["faults"] = [{**OUTAGE, **dict(fault)}]
    return deepcopy(whole)


def problems(whole):
    try:
        topologies.parse(yaml.safe_dump(whole))
    except TopologyError as error:
        return error.problems
    return []


def test_a_good_grid_breaks_no_rule():
    assert problems(grid()) == []


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (grid({"failover": ["nowhere"]}),
         'platforms[1].failover[0]: "nowhere": is not declared in controllers'),
        (grid({"failover": ["controller"]}),
         'platforms[1].failover: "controller": is where analyst logs in first'),
        (grid({"failover": ["controller"], "login": None}),
         'platforms[1].failover: nobody of analyst ever logs in: it has no login'),
        (grid({"network": {}}),
         'platforms[1].network.delay: "0 s": a login is made of round trips, which take time: 1 us '
         'each way at least; write for example 50 us'),
        (grid({"network": {"delay": "1e-6 us"}}),
         'platforms[1].network.delay: "1e-12 s": a login is made of round trips'),
        (grid(links=[{"from": "controller", "to": "controller", "delay": "0.9 us"}]),
         'links[0].delay: "0.9 us": must be at least 1e-06 s'),
        (grid({"login": {"mechanism": "external"}}),
         'platforms[1].login.mechanism: "external": profile fifo-sketch has no cost of external'),
        (grid({"login": {"tls": 1.2}}),
         'platforms[1].login.tls: "1.2": profile fifo-sketch has no cost of TLS 1.2'),
        (grid({"retry": {"base": "2 min"}}),
         'platforms[1].retry.cap: "60 s": is less than base, 120 s'),
        (grid({"login": {"password": "wrong"}}),
         'platforms[1].login.password: "wrong": is wrong, so analyst can neither publish nor'),
        (grid({"addresses": 101}),
         'platforms[1].addresses: "101": is more than its 100 Platforms'),
        (grid(controllers=[{"name": "controller", "domain": "grid.test", "profile": "fifo-sketch",
                            "admission": {}}]),
         'controllers[0].admission: admits all: it has neither rate nor queue_wait'),
        (grid(fault={"population": "sensor"}),
         'faults[0].population: "sensor": cannot come back: sensor has no login'),
        (grid(fault={"population": "analysts"}), 'did you mean "analyst"?'),
        (grid(fault={"kind": "partition", "population": None, "link": ["controller"] * 2}),
         'faults[0].link: "controller": is a link of a Controller with itself'),
        (grid(fault={"kind": "partition", "link": ["controller", "nowhere"]}),
         'faults[0].link[1]: "nowhere": is not declared in controllers'),
        (grid(fault={"kind": "slow-down", "population": None, "controller": "controller",
                     "factor": 0.5}), 'faults[0].factor: "0.5": must be more than 1'),
        (grid(fault={"kind": "freeze", "population": None, "controller": "nowhere"}),
         'faults[0].controller: "nowhere": is not declared in controllers'),
        (grid(fault={"start": "90 s"}),
         'faults[0].duration: "20 s": ends after the run, which lasts 100 s'),
    ],
)  # fmt: skip
def test_each_broken_rule_is_told(whole, message):
    found = problems(whole)
    assert any(message in problem for problem in found), found


def test_all_platforms_of_a_controller_that_crashes_must_be_able_to_come_back():
    crash = {"kind": "crash", "name": "dead", "controller": "controller", "start": "10 s",
             "duration": "20 s"}  # fmt: skip
    whole = grid()
    whole["faults"] = [crash, {**crash, "name": "again", "start": "30 s"}]
    found = problems(whole)
    assert any("cannot come back: sensor has no login" in problem for problem in found)
    assert any("before controller is up again after dead" in problem for problem in found)


def test_a_steady_study_has_no_faults():
    whole = grid()
    whole["workload"]["study"] = "steady"
    assert any("a steady study has no faults" in problem for problem in problems(whole))


def test_a_link_is_not_cut_twice_at_once():
    nodes = [{"name": name, "domain": f"{name}.test", "profile": "fifo-sketch"}
             for name in ("controller", "other")]  # fmt: skip
    whole = grid(controllers=nodes)
    cut = {"kind": "partition", "start": "10 s"}
    whole["faults"] = [
        {**cut, "name": "short", "duration": "20 s", "link": ["controller", "other"]},
        {**cut, "name": "long", "duration": "30 s", "link": ["controller", "other"]},
    ]
    found = problems(whole)
    assert any("begins before the link is back after long" in problem for problem in found), found
    whole["faults"].pop()
    assert problems(whole) == []
