"""Rules between fields: each broken one is told, a good grid breaks none."""

import pytest
import yaml
from grids import BASE, FLOOD, data

import topologies
from topologies import TopologyError

POISSON = {"process": "poisson", "rate": "10/s"}


def problems(whole):
    try:
        topologies.parse(yaml.safe_dump(whole))
    except TopologyError as error:
        return error.problems
    return []


def changed(section, number, **fields):
    """The base data with fields of one entry replaced."""
    whole = data(POISSON, attacks=[{}])
    whole[section][number].update(fields)
    return whole


def test_a_good_grid_breaks_no_rule():
    assert problems(data(POISSON, attacks=[{}])) == []


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (changed("topics", 1, name="alerts"), 'topics[1].name: "alerts": is there twice'),
        (changed("platforms", 1, name="sensor"), 'platforms[1].name: "sensor": is there twice'),
        (changed("platforms", 1, subscribes=["alerts", "alerts"]),
         'subscribes[1]: "alerts": is there twice; delete or rename one'),
        (changed("brokers", 0, controller="other"),
         'brokers[0].controller: "other": is not declared in controllers; controllers are contr'),
        (changed("platforms", 0, controller="controler"), 'did you mean "controller"?'),
        (changed("platforms", 0, publishes=["alerts", "healt"]),
         'platforms[0].publishes[1]: "healt": is not declared in topics; did you mean "health"?'),
        (changed("platforms", 1, subscribes=[{"topic": "x"}]),
         'platforms[1].subscribes[0].topic: "x": is not declared in topics'),
        (changed("platforms", 1, subscribes=[{"topic": "health", "fraction": 0.001}]),
         'subscribes[0].fraction: "0.001": selects none of 100 Platforms; raise it or delete'),
        (changed("attacks", 0, by="sensor"),
         'attacks[0].by: "sensor": is not an adversary population; give it role: adversary'),
        (changed("attacks", 0, topic="health"),
         'attacks[0].by: "rogue": does not publish on health; add health to its publishes'),
        (changed("attacks", 0, by="nobody"), '"nobody": is not declared in platforms'),
        (changed("attacks", 0, start="90 s"),
         'attacks[0].duration: "20 s": ends after the run, which lasts 100 s'),
        (changed("attacks", 0, size="11 MB"), "is more than 10 MB, which no server takes"),
        (changed("topics", 0, payload={"size": "2 KB", "max": "1 KB"}),
         'topics[0].payload.size: "2000.0": is more than the largest size, 1000 B'),
        (changed("topics", 0, payload={"size": "2 KB", "max": "1 GB"}), "is more than 10 MB"),
        (changed("platforms", 0, publishes=["alerts"]),
         'topics[1].name: "health": nobody may publish on it'),
        (changed("platforms", 1, count=5_000_001), "must be at most 5e+06"),
        (data({**POISSON, "by": "rogue"}), '"rogue": is an adversary population; publish with it'),
        (data({**POISSON, "by": "analyst"}), '"analyst": does not publish on alerts'),
        (data({**POISSON, "start": "100 s"}), "is not before the end of the run, 100 s"),
        (data({**POISSON, "start": "9 s", "end": "8 s"}), '"8 s": is not after start, 9 s'),
        (data({**POISSON, "end": "101 s"}), '"101 s": is after the end of the run'),
        (data({**POISSON, "rate": "1e8/s"}), "may ask for 1e+10 publications, more than 1e+09"),
        (data(POISSON, duration="400 days"), "is more than 366 days; shorten it"),
        (data({"process": "batch", "rate": "1/s", "mean_size": 2.5}),
         '"2.5": must be whole where sizes are fixed; round it or use geometric'),
        (data({"process": "sine", "rate": "1/s", "period": "1 ms"}), "10,000th of the run"),
        (data({"process": "on-off", "rate": "1/s", "mean_on": "1 us", "mean_off": "1 us"}),
         "switches more than 1,000,000 times"),
        (changed("controllers", 0, neighbours={"factor": 2, "share": 0.1, "mean": "30 ms"},
                 slowness={"steps": [{"lasts": "1 s", "factor": 2}]}),
         "controllers[0].slowness: says how slow the machine is, as `neighbours` does; leave one"),
        (changed("controllers", 0, slowness={"steps": [{"lasts": "1 us", "factor": 2}]}),
         'steps: "1e-06 s in all": makes more than 1,000,000 steps in the run; make steps longer'),
        (changed("controllers", 0, neighbours={"factor": 2, "share": 0.5, "mean": "1 us"}),
         'neighbours.mean: "1e-06 s": makes more than 1,000,000 spells in the run; raise it or'),
        (data({"process": "trace", "file": "gone.csv"}),
         'file: "gone.csv": gone.csv: cannot be read (No such file or directory); check it'),
    ],
)  # fmt: skip
def test_a_broken_rule_is_told(whole, message):
    found = problems(whole)
    assert any(message in problem for problem in found), found


def test_a_steady_study_has_no_attacks():
    whole = data(POISSON, attacks=[{}])
    whole["workload"]["study"] = "steady"
    assert "write study: campaign" in problems(whole)[0]


def test_a_population_may_use_topics_of_another_controller():
    controllers = [*BASE["controllers"], {**BASE["controllers"][0], "name": "far"}]
    assert '"grid.test": is there twice' in problems(data(controllers=controllers))[0]
    controllers[1]["domain"] = "far.test"
    whole = data(POISSON, controllers=controllers)
    whole["platforms"][1]["controller"] = "far"
    assert problems(whole) == []


def test_a_broker_has_an_address_and_topics_of_its_own():
    controllers = [
        *BASE["controllers"],
        {"name": "far", "domain": "broker.grid.test", "profile": "fifo-sketch"},
    ]
    assert (
        "its address broker.grid.test is the domain" in problems(data(controllers=controllers))[0]
    )
    brokers = [*BASE["brokers"], {"name": "idle", "controller": "controller"}]
    assert '"idle": keeps no Topic' in problems(data(brokers=brokers))[0]


def test_a_single_event_loop_uses_one_core():
    controllers = [{**BASE["controllers"][0], "profile": "prosody-0.12", "cores": 2}]
    assert "write cores: 1" in problems(data(controllers=controllers))[0]


def test_a_trace_with_nothing_in_its_window_is_told(tmp_path):
    (tmp_path / "trace.csv").write_text("intended_s\n150\n")
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(data({"process": "trace", "file": "trace.csv"})))
    with pytest.raises(TopologyError, match="has no instant between 0 s and 100 s"):
        topologies.load(path)
    (tmp_path / "trace.csv").write_text("intended_s\n50\n")
    assert topologies.Plan(topologies.load(path)).columns().intended_s.tolist() == [50.0]


def test_warmth_of_a_profile_rises_in_age_and_has_a_factor_each():
    text = (topologies.loading.SHIPPED / "profiles/ejabberd-23.yaml").read_text()
    for old, new, message in [
        ("[0.79,", "[0.7, 0.79,", "has 8 entries where warmth_after has 7"),
        ("[0.5 ms, 4 ms", "[4 ms, 0.5 ms", "ages must rise"),
    ]:
        assert old in text
        with pytest.raises(TopologyError, match=message):
            topologies.loading.parse_profile(text.replace(old, new))


def test_names_are_checked_even_where_sections_are_broken():
    whole = data(POISSON, attacks=[{}])
    whole["brokers"] = "none"
    whole["platforms"][0]["publishes"] = {"topic": "x"}
    whole["attacks"] = [FLOOD, 7, None, []]
    assert len(problems(whole)) >= 4
