"""`--set`: what a path may say, and what is told of one that leads nowhere."""

import pytest
import yaml
from grids import BASE

import topologies
from topologies import TopologyError, loading

TEXT = yaml.safe_dump(BASE, sort_keys=False)


def load(*overrides):
    return topologies.parse(TEXT, "grid.yaml", overrides)


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("controllers[0].cores=8", lambda t: t.controllers[0].cores, 8),
        ("topics[health].payload.size=2 KB", lambda t: t.topics[1].payload.size, 2000.0),
        ("topics[name=health].payload.size = 2 KB", None, None),
        ("platforms[analyst].count=7", lambda t: t.platforms[1].count, 7),
        ("platforms[sensor].network.delay=5 ms", lambda t: t.platforms[0].network.delay, 0.005),
        ("slo.p99=0.2 s", lambda t: t.slo.p99, 0.2),
        ("slo={deadline: 2 s}", lambda t: t.slo.deadline, 2.0),
        ("workload.arrivals[0].rate=20/s", lambda t: t.workload.arrivals[0].rate, 20.0),
        ('description=""', lambda t: t.description, ""),
        ("slo.p99=", lambda t: t.slo.p99, None),
        ("platforms[1].subscribes=[alerts]", lambda t: len(t.platforms[1].subscribes), 1),
    ],
)
def test_an_override_changes_one_field(override, read, value):
    if read is None:
        with pytest.raises(TopologyError, match="is not PATH=VALUE"):
            load(override)
    else:
        assert read(load(override)) == value


def test_later_ones_win_and_the_source_remembers_all():
    changes = ("controllers[0].cores=8", "controllers[0].cores=2")
    topology = load(*changes)
    assert topology.controllers[0].cores == 2
    assert topology.source.overrides == changes
    assert topology.source.text == TEXT


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("controllers[0].core=8",
         '--set controllers[0].core=8: controllers[0].core: unknown key "core"; did you mean "cor'),
        ("controller[0].cores=8", 'unknown key "controller"; did you mean "controllers"?'),
        ("controllers[1].cores=8", "controllers has no [1], counted from 0; the last is [0]"),
        ("topics[healt].persist=true", 'topics has no [healt]; did you mean "health"?'),
        ("controllers.cores=8", 'controllers has no [cores]; entries are controller'),
        ("name.x=8", 'name.x: unknown key "x"; set the whole value'),
        ("cores", "is not PATH=VALUE; write for example --set 'controllers[0].cores=8'"),
        ("=8", "is not PATH=VALUE"),
        ("", "is not PATH=VALUE"),
        ("name=[", "the value is not YAML; write a figure, a word, [a, b] or {key: value}"),
        ("name=*a", "the value is not YAML"),
        ("controllers[0].cores=x",
         '--set controllers[0].cores=x: controllers[0].cores: "x": must be a whole number'),
        ("workload.duration=5", '"5": has no unit; write for example 5 ms or 2 min'),
        ("topics[0].broker=b", '--set topics[0].broker=b: topics[0].broker: "b": is not declared'),
        ("topics=7", "--set topics=7: topics: \"7\": must be a list"),
    ],
)  # fmt: skip
def test_a_path_or_value_that_is_wrong_is_told(override, message):
    with pytest.raises(TopologyError) as caught:
        load(override)
    assert message in str(caught.value)


def test_all_wrong_overrides_are_told_at_once():
    with pytest.raises(TopologyError) as caught:
        load("x=1", "controllers[0].y=2", "z")
    assert len(caught.value.problems) == 3


def test_a_topology_that_a_program_changed_stays_changed():
    """Further changes are of what it is now, not of the file that it once came from."""
    for overrides in ([], ["platforms[1].count=7"]):
        read = topologies.load("campus-nac", overrides)
        workload = read.workload.model_copy(update={"duration": 5.0})
        calm = read.model_copy(update={"attacks": (), "workload": workload})
        varied = loading.varied(calm, ["controllers[0].cores=3"])
        assert (varied.workload.duration, varied.attacks) == (5.0, ())
        assert varied.controllers[0].cores == 3
        assert varied.platforms == read.platforms
