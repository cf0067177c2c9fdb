"""A validation is resumed, its order is kept: no prediction after a measurement, nothing twice."""

import contextlib
import json
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
import rich
from staged_servers import SMALL, as_measured, simulate

import results
import topologies
from loadtest import cores, validation
from loadtest.problems import LoadError
from loadtest.terms import Terms
from results import trust, twin_table

AHEAD_S = 3.0


class Stand:
    """In place of a real server: it notes what it is asked for and answers by simulation."""

    def __init__(self, profile, out):
        self.profile, self.out = profile, out
        self.played = []  # loads, in order
        self.predicted = []  # how many runs were played before each prediction
        self.stop_after = None
        self.deployed, self.topologies = [], []

    @contextlib.contextmanager
    def ephemeral(self, topology, cores=(), options=None):
        self.deployed.append(topology)
        yield self

    def play(self, topology, grid, *, seed, load, door, settings, progress):
        if self.stop_after is not None and len(self.played) >= self.stop_after:
            raise KeyboardInterrupt
        run = simulate(topology, self.profile, seed=seed, load=load, replications=1)
        run = as_measured(run, len(self.played))
        begun = datetime.fromisoformat(validation.book.now())
        if topology.workload.duration == AHEAD_S:  # over by now; others have begun by now
            begun -= timedelta(seconds=AHEAD_S)
        created = begun.isoformat(timespec="milliseconds")
        changes = {"measurement": {"stopped": None, "load": load}, "created": created}
        run.header = run.header.model_copy(update=changes)
        self.played.append(load)
        self.topologies.append(topology)
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
    monkeypatch.setattr(validation.collecting, "seen", lambda grid, light, play: {})
    return stand


def go(stand, **changes):
    terms = Terms(**{"points": (0.5, 1.0, 2.0), "duration_s": 5.0, **changes})
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


def test_what_was_seen_of_the_collector_is_known_to_a_validation_that_goes_on(stand, monkeypatch):
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 90}
    looks = []

    def seen(grid, light, play):
        looks.append(light.workload.duration)
        play(light, lambda news: None)
        return {"a": validation.collecting.Seen(share, 0.05, 52)}

    monkeypatch.setattr(validation.collecting, "seen", seen)
    stand.stop_after = 5  # the look, the pilot and three runs
    with pytest.raises(KeyboardInterrupt):
        go(stand)
    stand.stop_after = None
    document = go(stand).document
    assert looks == [validation.collecting.LOOK_S]
    found = document["fit"]["collections"]["a"]
    assert (found["share"], found["cycles"], found["sessions"]) == (share, 0.05, 52)
    shipped = stand.profile.costs.collecting(None, 52)
    assert found["collection_s"] < 0.8 * shipped.collection  # of which it takes most


def test_all_is_predicted_before_anything_is_played_and_the_proof_is_accepted(stand):
    outcome = go(stand)
    light, pilot, *blind = stand.predicted[: 2 + 3]
    assert light == 0  # what a light load is
    assert pilot == 1  # the fit compares with its own measurement
    assert blind == [1, 1, 1]
    told = stand.predicted[5:]
    assert told == [len(stand.played)] * 6  # the structure of each run, when all is over
    assert [each["valid"] for each in outcome.document["light_loads"]] == [True, True]
    assert stand.played[1:-1] != sorted(stand.played[1:-1])  # random order
    found = trust.trust([outcome.kept])
    assert found["refused"] == []
    assert found["summary"]["points"] == 3
    for run in outcome.runs:
        assert results.open_run(stand.out / run.header.run_id).header.run_id == run.header.run_id


@pytest.mark.parametrize("slow", [1.0, 30.0])  # the file asks for a part, or for far too much
def test_shares_of_the_capacity_become_loads(stand, slow):
    stand.profile = stand.profile.model_copy(update={"speed": slow})
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


def test_a_grid_that_is_changed_after_the_fit_is_predicted_and_played_as_changed(stand):
    change = "topics[0].payload.size=9 kB"
    outcome = go(stand, changes=(change,), points=(1.0,), repeats=1)
    fitted, then, bracket = (each.topics[0].payload.size for each in stand.deployed)
    assert (fitted, then, bracket) == (1600.0, 9000.0, 1600.0)  # the same light load, both times
    assert [each.topics[0].payload.size for each in stand.topologies] == [1600.0, 9000.0, 1600.0]
    document = outcome.document
    assert document["changes"] == [change]
    assert document["points"][0]["payload_bytes"] == pytest.approx(9000.0, rel=0.01)
    assert document["points"][0]["cpu"]["error"] == pytest.approx(0.0, abs=0.1)
    assert document["drift"]["value"] == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("change", ["controllers[0].profile=ejabberd-23", "controllers[0].name=b"])
def test_other_servers_than_those_fitted_are_refused(stand, change):
    more = ["brokers[0].controller=b", "platforms[0].controller=b", "platforms[1].controller=b"]
    changes = (change, *(more if change.endswith("=b") else ()))
    with pytest.raises(LoadError, match="of which no costs were fitted"):
        go(stand, changes=changes)
    assert stand.played == []


def test_cores_that_the_machine_cannot_spare_are_refused(stand):
    """A model of more cores than the server gets would be wrong without anybody's fault."""
    changes = ["controllers[0].profile=ejabberd-23", "controllers[0].cores=200"]
    told = topologies.parse(SMALL, overrides=changes)
    assert len(cores.cores_for(topologies.parse(SMALL))[0]) <= 1
    with pytest.raises(LoadError, match=r"controllers\[a\].cores: 200: this machine can spare"):
        cores.cores_for(told)


def test_each_run_has_a_light_load_of_its_own_also_when_it_is_resumed(stand):
    stand.stop_after = 6  # the pilot, two light loads with their runs, and a third light load
    with pytest.raises(KeyboardInterrupt):
        go(stand, ahead_s=AHEAD_S)
    stand.stop_after = None
    outcome = go(stand, ahead_s=AHEAD_S)
    document = outcome.document
    light = [each for each in stand.topologies if each.workload.duration == AHEAD_S]
    assert len(light) == 6 + 1  # the third run was not played: its light load is played again
    found = [each for point in document["points"] for each in point["evidence"]["bracketed"]]
    used = {each["light"]["run"] for each in found}
    assert len(used) == 6
    assert len(document["light_loads"]) == 1 + len(light) + 1  # the pilot, these, and the bracket
    assert used < {each["run"] for each in document["light_loads"]}
    assert trust.trust([outcome.kept])["refused"] == []
    for point in document["points"]:
        assert [each["begun"] for each in point["evidence"]["bracketed"]] == (
            point["evidence"]["begun"]
        )
        assert trust.problems(json.loads(json.dumps(point))) == []


def spoil(stand, monkeypatch, *numbers):
    """Other work spoils these of the runs, counted as they are played."""
    play = stand.play

    def spoiled(*given, **asked):
        run = play(*given, **asked)
        if len(stand.played) - 1 in numbers:
            verdict = run.header.verdict.model_copy(
                update={"valid": False, "reasons": ("other work took the core",)}
            )
            run.header = run.header.model_copy(update={"verdict": verdict})
        return run

    monkeypatch.setattr(validation.engine, "play", spoiled)


def test_a_pilot_that_does_not_count_is_played_again(stand, monkeypatch):
    spoil(stand, monkeypatch, 0, 1)
    document = go(stand, points=(1.0,), repeats=3).document
    assert [each["valid"] for each in document["light_loads"]] == [False, False, True, True]
    assert document["fit"]["pilot"] == document["light_loads"][2]["run"]
    assert document["points"][0]["cpu"]["not_scored"] == ""


def test_costs_of_a_pilot_that_never_counts_are_no_basis_for_a_score(stand, monkeypatch, capsys):
    spoil(stand, monkeypatch, 0, 1, 2)
    outcome = go(stand, points=(0.5, 1.0), repeats=3, ahead_s=AHEAD_S)
    document = outcome.document
    why = "the pilot that its costs rest on does not count: other work took the core"
    assert [each["valid"] for each in document["light_loads"]][:4] == [False, False, False, True]
    assert document["drift"] is None
    for point in document["points"]:
        assert (point["verdict"], point["cpu"]["error"]) == (
            {"verdict": "invalid", "reasons": [why]}, None,
        )  # fmt: skip
    assert [each for each in document["refuted"] if not each.get("bracketed")] == []
    scored = document["summary"]["servers"]["prosody"]
    for level in ("blind", "cost"):
        assert not any(score["points"] for score in scored[level].values())
    assert scored["structure"]["p50"]["points"] == scored["bracketed"]["cpu"]["points"] == 2
    found = trust.trust([outcome.kept])
    assert found["summary"]["servers"] == document["summary"]["servers"]
    assert found["unsteady"][0]["reasons"] == [f"{why}: nothing that rests on its costs is scored"]
    rich.print(twin_table.render(document))
    assert f"Not scored: {why}" in " ".join(capsys.readouterr().out.split())


def test_where_the_light_load_after_the_runs_does_not_count_nobody_knows_of_the_machine(
    stand, monkeypatch
):
    spoil(stand, monkeypatch, 4, 5, 6)  # after the pilot and three runs
    outcome = go(stand, points=(1.0,), repeats=3)
    assert outcome.document["drift"] is None
    found = trust.trust([outcome.kept])
    why = "no light load counts both before and after the runs: other work took the core"
    assert found["unsteady"] == [{"name": outcome.kept.stem, "reasons": [why]}]
    assert found["summary"]["points"] == 0


@pytest.mark.parametrize(
    ("spare", "given", "sharing"), [(1, False, 1), (2, False, 0), (1, True, 0)]
)
def test_servers_that_share_a_core_may_wait_for_each_other_where_a_pilot_tells(
    stand, monkeypatch, spare, given, sharing
):
    """A Controller and a component: one core for both, one each, or no pilot."""
    topology = topologies.varied(topologies.parse(SMALL), ["brokers[0].kind=component"])
    monkeypatch.setattr(validation, "cores_for", lambda _: (tuple(range(spare)), (7,)))
    terms = Terms(profile=stand.profile if given else None)
    told = SimpleNamespace()
    sweep = validation._Sweep(topology, topology, terms, stand.predict, stand.out, None, told)
    assert (sweep._settings.sharing, sweep._settings.beside) == (sharing, 0)
