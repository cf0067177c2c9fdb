"""The commands of capacity planning at the front door: documents, exit codes, clear refusals."""

import json

import jsonschema
import pytest
from test_front_door import SMALL, gridlab

from sim import executors

SHORT = ("--set", "workload.duration=10 s", "--set", "platforms[consoles].count=10")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("topology") / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def schema(called):
    """Callable: the JSON Schema of a command's document."""
    return lambda command: json.loads(called("schema", command).stdout)


def test_a_sweep_prints_its_document_and_goes_on(small, called, schema, tmp_path):
    arguments = ("sweep", small, *SHORT, "--vary", "load=0.5,1", "--vary", "profile.speed=1,2",
                 "--processes", 1, "--out", tmp_path, "--json")  # fmt: skip
    first, again = (json.loads(called(*arguments).stdout) for _ in range(2))
    jsonschema.validate(first, schema("sweep"))
    assert (first["worked"], again["worked"]) == (4, 0)
    assert first["scenarios"] == again["scenarios"]
    assert [row["settings"] for row in first["scenarios"]][1] == {
        "load": "0.5",
        "profile.speed": "2",
    }


def test_an_impossible_promise_is_an_answer(small, called, schema):
    run = called("plan", small, "--slo", "p99 < 1 us", "--json")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    jsonschema.validate(document, schema("plan"))
    assert document["answer"] is None
    assert all(each["verdict"] == "refused" for each in document["evidence"])


def test_a_plan_is_checked_and_written_as_a_page(small, schema, tmp_path):
    page = tmp_path / "plan.html"
    run = gridlab("plan", small, "--processes", 1, "--check", "--report", page, "--json",
                  "--slo", "p99 < 300 ms", timeout_s=280)  # fmt: skip
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    jsonschema.validate(document, schema("plan"))
    assert document["answer"]["controllers"] == 1
    assert document["check"]["answer_meets"]
    assert "1 Controller with 1 core" in page.read_text()


def test_a_picture_is_drawn_and_told(small, called, tmp_path):
    picture = tmp_path / "small.svg"
    document = json.loads(called("draw", small, "--to", picture, "--json").stdout)
    assert document["path"] == str(picture)
    assert "sensors to broker 6/s" in document["description"]
    assert picture.read_text().startswith("<svg")


def test_two_topologies_are_compared_on_the_same_plans(called, schema, tmp_path):
    """As campaigns: of steady studies each loses a warm-up of its own."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    run = called("compare", path, "--set", "workload.study=campaign",
                  "--set-b", "platforms[consoles].count=100",
                  "--replications", 3, "--processes", 1, "--json")  # fmt: skip
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    jsonschema.validate(document, schema("compare"))
    assert document["paired"]
    (phase,) = document["phases"]
    assert phase["offered_load_per_s"]["ratio"]["value"] == 1.0
    ratio = phase["throughput_per_s"]["ratio"]["value"]  # what comes after the end is not in it
    assert ratio == pytest.approx(2.0, rel=0.01)
    assert phase["latency_s"]["p50"]["difference"]["low"] > 0.0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("sweep", "single-broker", "--vary", "controllers[0].coers=1,2"), "did you mean"),
        (("sweep", "single-broker", "--vary", "load=0.5:2"), "--samples sobol:64"),
        (("sweep", "single-broker", "--vary", "load=1", "--cluster", "tcp://[::1]:9"), "--cluster"),
        (("plan", "single-broker", "--slo", "p42 < 1 s"), "p99 < 200 ms"),
        (("plan", "single-broker", "--report", "/no/such/place.html"), "choose another file"),
        (("plan", "single-broker", "--report", "plan.pdf"), "let it end in .html"),
        (("compare", "single-broker", "campus-nac"), "set workload.study alike"),
        (("check", "S-FLOOD"), "play it with: gridlab attack S-FLOOD"),
        (("draw", "no-such-topology"), "no such file"),
        (("compare", "single-broker", "no-such-thing"), "no such file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_message(arguments, word, called, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(executors, "CLUSTER_WITHIN_S", 1.0)  # nobody is there
    run = called(*arguments)
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert word in run.stderr
