"""Attacks on real grids: within the caps of adversaries, and never before they were predicted."""

import pytest

import topologies
from loadtest import adversaries
from loadtest.problems import LoadError, RailsError
from topologies import overlays


class Recorder:
    """A rehearsal that plays nothing."""

    def __init__(self):
        self.played = []

    def fit(self, topology):
        return {}

    def play(self, topology, duration_s):
        self.played.append((topology.name, duration_s))
        return "run"


@pytest.fixture(scope="module")
def flood():
    changes = ["workload.duration=30 s", "attacks[flood].start=10 s", "attacks[flood].duration=5 s"]
    return overlays.scenario("S-FLOOD", "single-broker", ["none"], changes).attacked["none"]


def test_what_was_predicted_is_played_and_nothing_else(flood):
    recorder = Recorder()
    real = adversaries.Reenactment(recorder, recorder, recorder)
    with pytest.raises(LoadError, match="simulated first"):
        real.play(flood)
    real.predicted(flood)
    assert real.play(flood) == "run"
    changed = topologies.parse(topologies.text(flood), "x", ["attacks[flood].rate=2000/s"])
    with pytest.raises(LoadError, match="simulated first"):
        real.play(changed)
    assert recorder.played == [("single-broker", 30.0)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("platforms[intruder].count=2001", "2,001 adversaries"),
        ("attacks[flood].duration=301 s", "301 s"),
    ],
)
def test_more_than_the_caps_is_refused_whatever_the_file_says(flood, change, words):
    topology = topologies.parse(
        topologies.text(flood), "x", ["workload.duration=400 s", change]
    )  # fmt: skip
    real = adversaries.Reenactment(*[Recorder()] * 3)
    with pytest.raises(RailsError, match=words):
        real.predicted(topology)
    with pytest.raises(RailsError, match=words):
        real.play(topology)


def test_faults_are_not_driven():
    herd = overlays.scenario("S-HERD", None, ["none"]).attacked["none"]
    real = adversaries.Reenactment(*[Recorder()] * 3)
    real.predicted(herd)
    with pytest.raises(LoadError, match="faults"):
        real.play(herd)
