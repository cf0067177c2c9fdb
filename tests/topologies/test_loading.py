"""From text to topology: what is said of mistakes, and that all are said at once."""

import os
import random
import time

import pytest
import yaml
from grids import BASE, data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import topologies
from topologies import TopologyError

TEXT = yaml.safe_dump(BASE, sort_keys=False)
LINES = {line.strip(): number for number, line in enumerate(TEXT.splitlines(), start=1)}


def problems(text, overrides=()):
    with pytest.raises(TopologyError) as caught:
        topologies.parse(text, "grid.yaml", overrides)
    return caught.value.problems


def changed(*changes):
    """The base text with pieces replaced."""
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def test_a_good_file_loads():
    topology = topologies.parse(TEXT, "grid.yaml")
    assert topology.name == "small"
    assert topology.workload.duration == 100.0
    assert topology.platform_offsets() == {"sensor": 0, "analyst": 4, "rogue": 104}
    assert topology.platform_count == 107
    assert topology.fan_out() == {"alerts": 100, "health": 25}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("domain: grid.test", "domian: grid.test",
         'grid.yaml:5: controllers[0].domian: "domian": unknown key; did you mean "domain"?'),
        ("domain: grid.test", "domain: Grid Test",
         'grid.yaml:5: controllers[0].domain: "Grid Test": has the wrong form; write a DNS name '
         "in lower case, for example grid.test"),
        ("domain: grid.test", "domain: grid.test\n  domain: other.test",
         "grid.yaml:6: controllers[0].domain: key is there twice (first on line 5); delete one"),
        ("rate: 10/s", "rate: 10 ms",
         'workload.arrivals[0].rate: "10 ms": cannot have the unit "ms"; write for example '
         "689/s or 12/min"),
        ("rate: 10/s", "rate: -10/s",
         '"-10/s": must be more than 0; write for example 689/s or 12/min'),
        ("rate: 10/s", "rate: .nan", '"nan": must be finite; write for example 689/s'),
        ("rate: 10/s", "rate: 1e999/s", '"1e999/s": must be finite'),
        ("rate: 10/s", "rate: 10", '"10": has no unit; write for example 689/s or 12/min'),
        ("rate: 10/s", "rate: fast", '"fast": must be a figure with its unit'),
        ("rate: 10/s", "", "key is missing; add for example `rate: 689/s`"),
        ("process: poisson", "process: poison",
         '"poison": is not one of the values; did you mean "poisson"?'),
        ("process: poisson", "proces: poisson",
         'workload.arrivals[0]: key "process" is missing; add `process: ...`'),
        ("study: campaign", "study: on",
         'workload.study: "on": is not one of the values; write one of steady, campaign'),
        ("broker: broker", "broker: brokr",
         'topics[0].broker: "brokr": is not declared in brokers; did you mean "broker"?'),
        ("count: 4", "count: 4.5", '"4.5": must be a whole number; write for example 4'),
        ("count: 4", "count: true", '"true": must be a whole number; write for example 4'),
        ("count: 4", "count: 0", 'platforms[0].count: "0": must be at least 1; raise it'),
        ("name: sensor", "name: 12",
         'platforms[0].name: "12": must be text; write it in quotes, for example "12"'),
        ("fraction: 0.25", "fraction: 101 %", '"101 %": must be at most 1; write for example 0.25'),
        ("subscribes:\n  - alerts", "subscribes:\n  - 7",
         'platforms[1].subscribes[0]: "7": must be a section of keys'),
        ("schema: 1", "schema: 2", 'schema: "2": must be 1; write `schema: 1`'),
        ("name: small\n", "", "grid.yaml:1: name: key is missing; add for example `name: ...`"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_place_value_rule_and_repair(old, new, message):
    assert any(message in problem for problem in problems(changed((old, new))))


def test_all_mistakes_are_told_at_once_by_line():
    found = problems(
        changed(
            ("profile: fifo-sketch", "profile: fifo-sketch\n  colour: red"),
            ("broker: broker", "broker: nowhere"),
            ("size: 1 KB", "size: -1 KB"),
            ("count: 100", "count: many"),
            ("rate: 10/s", "rate: .inf"),
        )
    )
    assert len(found) == 5
    numbers = [int(problem.split(":")[1]) for problem in found]
    assert numbers == sorted(numbers)


def test_a_misspelt_key_is_not_missing_as_well():
    (problem,) = problems(changed(("domain:", "domian:")))
    assert problem.endswith('unknown key; did you mean "domain"?')


def test_rules_between_fields_are_told_beside_unknown_keys():
    found = problems(changed(("process: poisson", "process: poisson\n    start: 200 s\n    x: 1")))
    assert ["unknown key" in found[1], "is not before the end" in found[0]] == [True, True]


def test_a_problem_knows_the_line_of_its_value():
    line = TEXT.splitlines().index("    rate: 10/s") + 1
    assert problems(changed(("rate: 10/s", "rate: 10")))[0].startswith(f"grid.yaml:{line}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; make a topology with: gridlab init mine.yaml"),
        ("# only a comment\n", "must be a section of keys"),
        ("- a\n- b\n", "must be a section of keys, not a list"),
        ("7", "must be a section of keys"),
        (b"\x7fELF\x02\n\x01\x00\xff\xfe", ":2: is not UTF-8; save it as UTF-8"),
        ("name: x".encode("utf-16"), ":1: is not UTF-8"),
        ("name: \x07", "control characters are not allowed"),
        ("a: [1, 2", "grid.yaml:2: column 1: is not YAML: did not find expected ',' or ']'"),
        ("a: b: c", "mapping values are not allowed"),
        ("a: &a [1]\nb: *a", 'grid.yaml:1: "a": anchors and aliases are refused; write it out'),
        ("a: !!python/name:os.system", "tags are refused; write the plain value"),
        ("a: 1\n---\nb: 2", "grid.yaml:2: a second document begins; keep one topology per file"),
        ("[" * 100_000, "is nested more than 20 deep"),
        ("a: 1\n" * 60_000, "has more than 100,000 values"),
        ("? [1, 2]\n: 3\n", "a key must be a single word; write it as `key: value`"),
        ("schema: 1\nhypothesis: it floods\n", "grid.yaml: is an attack file; play it with"),
        ("schema: 1\ncosts: {publish: 1 ms}\n", "grid.yaml: is a server profile; name it in"),
    ],
)
def test_what_is_no_topology_at_all_is_told_in_one_message(content, message):
    start = time.process_time()
    assert message in problems(content)[0]
    assert time.process_time() - start < 2.0


def test_an_exploding_document_is_refused_before_it_explodes():
    names = zip("abcdefghijkl", "bcdefghijklm", strict=True)
    levels = "".join(f"{name}: &{name} [*{below}, *{below}, *{below}]\n" for below, name in names)
    assert len(problems("a: &a [x, x, x, x, x, x]\n" + levels)) == 1


def test_thousands_of_mistakes_are_counted_not_listed():
    start = time.process_time()
    text = "".join(f"k{number}: 1\n" for number in range(20_000))
    with pytest.raises(TopologyError) as caught:
        topologies.parse(text)
    assert time.process_time() - start < 2.0
    assert len(str(caught.value).splitlines()) == 41
    assert "more" in str(caught.value).splitlines()[-1]


class TestFiles:
    def test_a_path_and_its_name_in_messages(self, tmp_path):
        path = tmp_path / "mine.yaml"
        path.write_text(changed(("count: 4", "count: x")))
        with pytest.raises(TopologyError, match=r"mine\.yaml:21: platforms\[0\]\.count"):
            topologies.load(path)

    def test_a_missing_file_names_the_nearest(self):
        with pytest.raises(TopologyError, match=r'campus-nc: no such file; did you mean "campus-'):
            topologies.load("campus-nc")
        with pytest.raises(TopologyError, match="no such file"):
            topologies.load("no/such/campus.yaml")

    @pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "two\nlines"])
    def test_a_name_that_no_file_can_have(self, name):
        with pytest.raises(TopologyError) as caught:
            topologies.load(name)
        assert len(str(caught.value).splitlines()) == 1

    def test_a_directory_a_device_and_a_huge_file(self, tmp_path):
        huge = tmp_path / "huge.yaml"
        with huge.open("wb") as file:
            file.truncate(50_000_000)
        for path, message in [
            (tmp_path, "is a directory; name a file in it"),
            ("/dev/null", "is not a regular file"),
            (huge, "is larger than 1024 KiB"),
        ]:
            start = time.process_time()
            with pytest.raises(TopologyError, match=message):
                topologies.load(path)
            assert time.process_time() - start < 1.0

    def test_home_comes_before_what_is_shipped(self, tmp_path, monkeypatch):
        (tmp_path / "single-broker.yaml").write_text(TEXT)
        (tmp_path / "other.yaml").write_text("- 1")
        assert topologies.load("single-broker").name == "single-broker"
        monkeypatch.setenv("GRIDLAB_HOME", str(tmp_path))
        assert topologies.load("single-broker").name == "small"
        assert list(topologies.shipped())[:3] == ["other", "single-broker", "campus-nac"]
        assert topologies.shipped()["other"] == "(is not a topology)"

    def test_a_profile_beside_the_topology_wins(self, tmp_path):
        shipped = topologies.read_profile("fifo-sketch")
        text = (topologies.loading.SHIPPED / "profiles/fifo-sketch.yaml").read_text()
        (tmp_path / "profiles").mkdir()
        (tmp_path / "profiles/fifo-sketch.yaml").write_text(text.replace("50 us", "70 us"))
        (tmp_path / "grid.yaml").write_text(TEXT)
        topology = topologies.load(tmp_path / "grid.yaml")
        own = topologies.profile(topology, "controller")
        assert (own.costs.copy_, shipped.costs.copy_) == (70e-6, 50e-6)

    def test_a_broken_or_missing_profile_is_told_with_the_topology(self, tmp_path):
        (tmp_path / "fifo-sketch.yaml").write_text("schema: 1\nname: fifo-sketch\n")
        (tmp_path / "grid.yaml").write_text(TEXT)
        with pytest.raises(TopologyError, match=r"profile: .*fifo-sketch\.yaml:1: server: key is"):
            topologies.load(tmp_path / "grid.yaml")
        found = problems(changed(("fifo-sketch", "prosody")))
        assert 'no such profile; did you mean "prosody-0.12"?' in found[0]

    def test_an_unknown_controller_has_no_profile(self):
        with pytest.raises(TopologyError, match='"nobody": is not declared'):
            topologies.profile(topologies.parse(TEXT), "nobody")


def test_a_profile_with_an_unknown_discipline_is_refused():
    text = (topologies.loading.SHIPPED / "profiles/fifo-sketch.yaml").read_text()
    with pytest.raises(TopologyError, match='"lifo": is not one of the values; did you mean "fifo'):
        topologies.loading.parse_profile(text.replace("discipline: fifo", "discipline: lifo"))


def test_an_error_survives_the_way_to_another_process():
    import pickle

    error = pickle.loads(pickle.dumps(TopologyError(["a: b; c", "d: e; f"])))
    assert (error.problems, str(error)) == (["a: b; c", "d: e; f"], "a: b; c\nd: e; f")
    assert error.exit_code == 2


# Damage: whatever is done to a file, it loads or is refused in our words, and quickly.

DAMAGED = TEXT.encode()
MARKS = b":-[]{}#&*!|>'\"%@`,? \n\t\x00\xff0129eE./smnaif"


@given(
    cuts=st.lists(
        st.tuples(st.integers(0, len(DAMAGED)), st.integers(0, 12), st.binary(max_size=8)),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_file_is_refused_in_our_words(cuts):
    content = DAMAGED
    for position, length, piece in cuts:
        marks = bytes(MARKS[byte % len(MARKS)] for byte in piece)
        content = content[:position] + marks + content[position + length :]
    _loads_or_is_refused(content)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["10/s", "1 KB", "5 s", "alerts", "sensor", "poisson", "batch", "1e308/s"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(seed=st.integers(0, 10**6), value=VALUES)
@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
def test_a_field_of_any_value_is_refused_in_our_words(seed, value):
    whole = data(attacks=[{}])
    place, key = random.Random(seed).choice(list(_places(whole)))
    place[key] = value
    _loads_or_is_refused(yaml.safe_dump(whole, allow_unicode=True))


def _places(value):
    steps = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(steps):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _loads_or_is_refused(content):
    problems = []
    try:
        topology = topologies.parse(content, "damaged.yaml")
        topologies.describe(topology)
        assert topologies.Plan(topology).rows >= 0
    except TopologyError as error:
        problems = error.problems
    for problem in problems:
        assert problem.startswith("damaged.yaml"), problem
        assert "; " in problem, problem
        assert problem.isprintable(), problem


def test_home_that_is_no_directory_is_no_trouble(monkeypatch):
    monkeypatch.setenv("GRIDLAB_HOME", os.devnull)
    assert "campus-nac" in topologies.shipped()
    assert topologies.load("campus-nac").name == "campus-nac"
