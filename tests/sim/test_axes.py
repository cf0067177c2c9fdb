"""What `--vary` means: lists, ranges, points; and what it must not mean."""

import pytest

from sim.axes import axes, samples_of, scenarios
from topologies import TopologyError


def settings(*texts, samples=None, seed=1):
    return [dict(each) for each in scenarios(axes(texts), samples, seed)]


def test_lists_are_crossed_in_order():
    assert settings("a.cores=1,2", "b=x,y") == [
        {"a.cores": "1", "b": "x"}, {"a.cores": "1", "b": "y"},
        {"a.cores": "2", "b": "x"}, {"a.cores": "2", "b": "y"},
    ]  # fmt: skip


def test_commas_inside_brackets_belong_to_the_value():
    assert settings("a=[t, u],{topic: t, fraction: 0.5}") == [
        {"a": "[t, u]"}, {"a": "{topic: t, fraction: 0.5}"},
    ]  # fmt: skip


def test_a_range_is_filled_evenly_with_its_unit():
    found = [each["rate"] for each in settings("rate=100/s:200/s", samples=64)]
    figures = sorted(float(text.removesuffix("/s")) for text in found)
    assert [int((figure - 100.0) / 100.0 * 64) for figure in figures] == list(range(64))


def test_a_logarithmic_range_has_as_many_points_in_each_octave():
    found = [float(each["load"]) for each in settings("load=1:16:log", samples=64)]
    octaves = [sum(2**k <= figure < 2 ** (k + 1) for figure in found) for k in range(4)]
    assert octaves == [16, 16, 16, 16]


def test_cores_are_whole_and_each_as_likely():
    found = [each["controllers[0].cores"] for each in settings("controllers[0].cores=1:4",
                                                               samples=64)]  # fmt: skip
    assert {figure: found.count(figure) for figure in found} == dict.fromkeys("1234", 16)


def test_points_are_those_of_the_seed():
    one, same, other = (settings("x=0.0:1.0", samples=8, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    assert samples_of("sobol:64") == 64


@pytest.mark.parametrize(
    ("texts", "samples", "rule"),
    [
        (["cores"], None, "is not PATH=VALUES"),
        (["cores=1,,2"], None, "empty or repeated"),
        (["cores=1,1"], None, "empty or repeated"),
        (["x=1 ms:2 s"], 8, "same unit"),
        (["x=2:1"], 8, "lower one"),
        (["x=0:1:log"], 8, "above 0"),
        (["x=1:2:cubic"], 8, "no scale"),
        (["x=1", "x=2"], None, "varied already"),
        ([], None, "nothing is varied"),
        (["x=1:2"], None, "needs a number of points"),
        (["x=1,2"], 8, "no range to sample"),
        ([f"{name}=" + ",".join(map(str, range(100))) for name in "abc"], None, "are more than"),
    ],
)
def test_what_is_no_axis_is_refused(texts, samples, rule):
    with pytest.raises(TopologyError, match=rule):
        settings(*texts, samples=samples)


@pytest.mark.parametrize("text", ["sobol:0", "halton:8", "many"])
def test_what_is_no_sample_is_refused(text):
    with pytest.raises(TopologyError, match="write sobol:64"):
        samples_of(text)
