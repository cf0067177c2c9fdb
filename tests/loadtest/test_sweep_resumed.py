"""A validation is resumed, its order is kept: no prediction after a measurement, nothing twice."""

import contextlib
import json

import pytest
from test_validation import SMALL, as_measured, simulate

import results
import topologies
from loadtest import validation
from results import trust


class Stand:
    """In place of a real server: it notes what it is asked for and answers by simulation."""

    def __init__(self, profile, out):
        self.profile, self.out = profile, out
        self.played = []  # loads, in order
        self.predicted = []  # how many runs were played before each prediction
        self.stop_after = None

    @contextlib.contextmanager
    def ephemeral(self, topology, cores=()):
        yield self

    def play(self, topology, grid, *, seed, load, door, settings, progress):
        if self.stop_after is not None and len(self.played) >= self.stop_after:
            raise KeyboardInterrupt
        run = simulate(topology, self.profile, seed=seed, load=load, replications=1)
        run = as_measured(run, len(self.played))
        changes = {"measurement": {"stopped": None, "load": load}, "created": validation.book.now()}
        run.header = run.header.model_copy(update=changes)
        self.played.append(load)
        return run

    def predict(self, topology, *, seed, profiles, load, plan_replication, door):
        self.predicted.append(len(self.played))
        profile = profiles["a"] if profiles else self.profile
        return simulate(topology, profile, seed=seed, load=load, replications=2)


@pytest.fixture
def stand(monkeypatch, tmp_path):
    stand = Stand(topologies.read_profile("prosody-0.12"), tmp_path)
    monkeypatch.setattr(validation.deployment, "ephemeral", stand.ephemeral)
    monkeypatch.setattr(validation.engine, "play", stand.play)
    monkeypatch.setattr(validation.spinner, "awake", contextlib.nullcontext)
    return stand


def go(stand, **changes):
    terms = validation.Terms(**{"points": (0.5, 1.0, 2.0), "duration_s": 5.0, **changes})
    topology = topologies.parse(SMALL)
    return validation.validate(topology, terms, predict=stand.predict, out=stand.out)


def test_a_stopped_validation_goes_on_where_it_stopped(stand):
    stand.stop_after = 4  # the pilot and three runs
    with pytest.raises(KeyboardInterrupt):
        go(stand)
    (book,) = stand.out.glob("validation-*.open.json")
    before = json.loads(book.read_text())
    stand.stop_after, first = None, list(stand.played)
    outcome = go(stand)
    assert len(stand.played) == len(first) + 3 + 1  # the missing runs, and the bracket
    assert sorted(stand.played[1:-1]) == [0.5, 0.5, 1.0, 1.0, 2.0, 2.0]
    document = outcome.document
    for point in document["points"]:
        entry = before["predictions"][repr(point["load"])]
        assert point["runs"]["predicted"] == entry["run"]
        assert point["evidence"]["stored"] == entry["stored"]
    assert not list(stand.out.glob("*.open.json"))
    assert json.loads(outcome.kept.read_text())["summary"] == document["summary"]


def test_all_is_predicted_before_anything_is_played_and_the_proof_is_accepted(stand):
    outcome = go(stand)
    pilot, *blind = stand.predicted[: 1 + 3]
    assert pilot == 1  # the fit compares with its own measurement
    assert blind == [1, 1, 1]
    told = stand.predicted[4:]
    assert told == [len(stand.played)] * 3  # the structure is asked for when all is over
    assert stand.played[1:-1] != sorted(stand.played[1:-1])  # random order
    found = trust.trust([outcome.kept])
    assert found["refused"] == []
    assert found["summary"]["points"] == 3
    for run in outcome.runs:
        assert results.open_run(stand.out / run.header.run_id).header.run_id == run.header.run_id


def test_shares_of_the_capacity_become_loads(stand):
    outcome = go(stand, points=(0.2, 0.4), of_capacity=True, repeats=1)
    used = [point["utilisation"] for point in outcome.document["points"]]
    assert used == pytest.approx([0.2, 0.4], rel=0.15)


def test_a_profile_that_is_given_is_taken_as_it_is(stand):
    half = stand.profile.model_copy(update={"speed": 0.5, "name": "half"})
    outcome = go(stand, profile=half, points=(1.0,), repeats=1)
    document = outcome.document
    assert document["fit"]["profile"] == "half"
    assert document["fit"]["pilot"] is None
    assert document["drift"]["value"] == pytest.approx(1.0)
    assert document["points"][0]["cpu"]["error"] == pytest.approx(-0.5, abs=0.1)
