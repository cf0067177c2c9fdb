"""Rare backlogs: splitting against a closed form and against counting in plain runs."""

import numpy as np
import pytest
import worlds

from results import rarities
from sim.busy_periods import NEVER, WatchedServer
from sim.splitting import rare_backlog
from sim.state import WAITED_FOR
from sim.verification_worlds import World
from topologies.plan import Plan
from topologies.problems import TopologyError

QUEUE = World(
    ({"process": "poisson", "rate": "50/s"},), 100.0,
    {"copy": "10 ms", "copy_distribution": "exponential"},
)  # fmt: skip
SERVERS = {
    "fifo": {"publish": "2 ms", "copy": "1 ms", "cv": 0.5},
    "fanout-process": {"setup": "2 ms", "route": "0.4 ms", "write": "0.8 ms", "cv": 0.5,
                       "cold": "1 ms", "cold_after": "10 ms"},
}  # fmt: skip


def test_a_full_queue_of_m_m_1_is_as_rare_as_gamblers_are_ruined():
    """One busy period in a million reaches 20 jobs at half load: (r - 1) / (r^L - 1), r = 2."""
    found = rare_backlog(
        QUEUE.topology(), 20, profiles={"c": QUEUE.profile()}, trials=100, precision=0.6
    )
    theory, estimate = 1.0 / (2.0**20 - 1.0), found["probability"]
    error = (estimate["high"] - estimate["low"]) / 4.0
    assert abs(estimate["value"] - theory) < 4.0 * error
    assert found["half_width"] <= 0.6
    assert found["levels"][-1] == 20
    assert found["periods_per_s"]["value"] == pytest.approx(25.0, rel=0.05)  # lambda (1 - rho)
    assert "one busy period of" in rarities.render(found)


def counted(topology, profile, copies, replication):
    """Busy periods of a plain run, and how many reach a backlog, from all its instants."""
    plan = Plan(topology, 1, replication)
    study = worlds.study_of(topology, plan, replication)
    tally = worlds.Grid(study, plan, {"c": profile}).run()[0]
    arrived_s = np.sort(tally.publications["accepted_s"])
    written_s, each = np.sort(tally.trace["received_s"]), len(tally.trace) // len(arrived_s)
    before = each * np.arange(len(arrived_s)) - np.searchsorted(written_s, arrived_s, "left")
    period = np.cumsum(before == 0)
    reached = np.unique(period[before + each >= copies])
    return int(period[-1]), len(reached)


@pytest.mark.parametrize("discipline", SERVERS)
def test_what_is_not_so_rare_is_as_often_as_it_is_counted(discipline):
    copies, fan_out = 25, 5
    topology = worlds.topology(
        [{"name": "pub", "count": 3, "publishes": ["t"]},
         {"name": "sub", "count": fan_out, "subscribes": ["t"]}],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "70/s"}],
        duration="100 s",
    )  # fmt: skip
    profile = worlds.profile(discipline, **SERVERS[discipline])
    periods, hits = np.sum([counted(topology, profile, copies, each) for each in range(4)], axis=0)
    found = rare_backlog(topology, copies, profiles={"c": profile}, trials=100, precision=0.2)
    share, estimate = hits / periods, found["probability"]
    assert len(found["levels"]) > 1
    assert hits > 30
    error = np.hypot(np.sqrt(share / periods), (estimate["high"] - estimate["low"]) / 4.0)
    assert abs(estimate["value"] - share) < 4.0 * error < share


@pytest.mark.parametrize("discipline", SERVERS)
def test_a_server_that_is_put_back_is_where_it_was_whatever_came_between(discipline):
    """Also if it needed more room meanwhile, or less then than it has now."""
    topology = worlds.topology(
        [{"name": "pub", "count": 3, "publishes": ["t"]},
         {"name": "sub", "count": 40, "subscribes": ["t"]}],
        [{"topic": "t", "by": "pub", "process": "poisson", "rate": "15/s"}],
        duration="2000 s",
    )  # fmt: skip
    profile = worlds.profile(discipline, **SERVERS[discipline])
    server, moments = WatchedServer(topology, {"c": profile}, 1, 1), []
    while len(moments) < 4:
        if server.go_on(41 + 120 * len(moments)) == WAITED_FOR:
            moments.append(server.moment())
    sizes = [sum(each.nbytes for each in moment.octets.values()) for moment in moments]
    assert sizes[0] < sizes[-1]
    for moment in (moments[1], moments[3], moments[0], moments[2]):
        for _ in range(3):
            server.put_back(moment)
            back = server.moment()
            assert back.time_s == moment.time_s
            for name in moment.octets:
                if name != "cores":  # draws at hand are let go
                    assert np.array_equal(back.octets[name], moment.octets[name]), name
            server.go_on(NEVER)


def test_what_has_a_memory_of_its_own_is_refused():
    people = [{"name": "pub", "count": 1, "publishes": ["t"]},
              {"name": "sub", "count": 9, "subscribes": ["t"], "login": {}}]  # fmt: skip
    topology = worlds.topology(
        people, [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "1/s"}]
    )
    turns = {"c": worlds.profile("loop-turns", publish="2 ms", build="0.5 ms", write="0.6 ms")}
    with pytest.raises(TopologyError, match=r"platforms\[1\].login"):
        rare_backlog(topology, 30, profiles=turns)
    topology = worlds.topology(
        [people[0], {**people[1], "login": None}],
        [{"topic": "t", "by": "pub", "process": "deterministic", "rate": "1/s"}],
    )
    with pytest.raises(TopologyError) as refused:
        rare_backlog(topology, 9, profiles=turns)
    told = [line.partition(":")[0] for line in refused.value.problems]
    assert told == ["controllers[c].profile", "workload.arrivals[0].process", "copies"]


def test_full_servers_and_states_too_large_to_keep_are_refused():
    costs = {"copy": "10 ms", "copy_distribution": "exponential"}
    full = World(({"process": "poisson", "rate": "120/s"},), 100.0, costs)
    with pytest.raises(TopologyError, match="it is full"):
        rare_backlog(full.topology(), 20, profiles={"c": full.profile()})
    with pytest.raises(TopologyError, match=r'trials: "100000000": .* GB'):
        rare_backlog(QUEUE.topology(), 20, profiles={"c": QUEUE.profile()}, trials=100_000_000)
