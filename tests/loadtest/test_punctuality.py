"""How late publications start is told, of plays that are on time and of some that are not."""

import json
import os
from dataclasses import dataclass

import jsonschema
import numpy as np
import pytest

from gridlab import typed_schema
from loadtest import half_load, nullgrid, punctuality
from loadtest.half_load import CoreUse, Way
from loadtest.shares import COMPILED_FROM

WAYS = {each.path: each for each in (Way("interpreted", 20, 200.0), Way("compiled", 2, 2_700.0))}
DURATION_S = {"interpreted": 3.0, "compiled": 4.0}
SLEEP_S = 0.03
# What a publishing process loads before all else: its pacers sleep before they send.
ASLEEP = f"""
import json, sys, time

def sleepy(owner, name):
    function = getattr(owner, name)
    async def later(*arguments):
        result = await function(*arguments)
        time.sleep({SLEEP_S})
        return result
    def at_once(*arguments):
        time.sleep({SLEEP_S})
        return function(*arguments)
    setattr(owner, name, later if name == "_wait_until" else at_once)

if "loadtest.share" in sys.orig_argv:
    with open(sys.orig_argv[-1]) as spec:
        if json.load(spec)["role"] == "publish":
            from loadtest import compiled_publishing, pacer
            sleepy(pacer.Pacer, "_wait_until")
            sleepy(compiled_publishing.CompiledPublishing, "_turn")
"""


@pytest.fixture(scope="module", params=sorted(WAYS))
def way(request):
    return WAYS[request.param]


@pytest.fixture(scope="module")
def grid(way):
    with nullgrid.ephemeral(way.topology(), cores=sorted(os.sched_getaffinity(0))[:1]) as grid:
        yield grid


@pytest.fixture(scope="module")
def play(way, grid):
    return punctuality.measure(way, grid, way.rate_per_s, DURATION_S[way.path])


def test_a_plan_is_played_by_the_code_that_it_is_for(way, play):
    late = play["lateness"]
    assert play["dropped"] == 0
    assert late["publications"] == pytest.approx(way.rate_per_s * DURATION_S[way.path], rel=0.2)
    assert (late["publications"] >= COMPILED_FROM) == (way.path == "compiled")
    assert punctuality.claims([play])[f"{way.path}_code"]["verdict"] == "met"
    assert play["deliveries_per_s"] == pytest.approx(
        way.subscribers * play["load"]["publications_per_s"]
    )


def test_publications_start_when_they_are_due(play):
    late = play["lateness"]
    assert 0.0 <= late["p50_s"] < 5e-3
    assert late["p50_s"] <= late["p99_s"]["value"] <= late["max_s"]
    assert late["p99_s"]["n"] == punctuality.PARTS


def test_both_processes_of_the_generator_are_seen_at_work(play):
    assert 0.01 < play["publishing_core_share"] < play["load"]["core_share"] < 1.2
    assert 0.01 < play["load"]["server_core_share"] < 1.2


def test_a_pacer_that_sleeps_is_found_out(way, grid, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(ASLEEP)
    search_path = filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(search_path))
    play = punctuality.measure(way, grid, way.rate_per_s, DURATION_S[way.path])
    late = play["lateness"]
    assert late["max_s"] >= late["p99_s"]["value"] > 0.5 * SLEEP_S
    assert late["late_share"] > 0.5
    assert play["limited_seconds"] > 0
    assert punctuality.claims([play])[f"{way.path}_lateness"]["verdict"] == "missed"


def test_document_has_its_schema_and_says_what_was_found(play):
    document = {"plays": [{**play, "pilots": [play["load"]]}], "claims": punctuality.claims([play])}
    schema = typed_schema("loadtest.punctuality", "Punctuality")
    jsonschema.validate(json.loads(json.dumps(document)), schema)
    told = punctuality.render(document)
    assert f"{play['path']}: {play['lateness']['publications']:,} publications in" in told
    assert "p99 of sent minus intended in ms" in told


def test_the_command_looks_for_half_load_and_plays_there(called, monkeypatch):
    monkeypatch.setitem(half_load.WAYS, "interpreted", Way("interpreted", 20, 50.0))
    monkeypatch.setattr(half_load, "PILOTS", 1)
    monkeypatch.setattr(half_load, "PILOT_S", 1.0)
    told = called("bench", "pace", "--path", "interpreted", "--duration", "2", "--json")
    document = json.loads(told.stdout)
    (play,) = document["plays"]
    assert told.returncode == (0 if play["valid"] else 3), told.stderr
    (pilot,) = play["pilots"]
    assert pilot["publications_per_s"] == pytest.approx(50.0, rel=0.7)
    assert play["load"]["publications_per_s"] > 1.2 * pilot["publications_per_s"]
    assert set(document["claims"]) == {
        f"interpreted_{what}" for what in ("code", "load", "lateness")
    }


def test_lateness_is_of_what_was_sent():
    late_s = np.tile([0.0, 2e-4, 4e-4, np.nan, 3e-3], 200)
    found = punctuality.lateness(late_s)
    assert (found["publications"], found["max_s"]) == (800, 3e-3)
    assert found["late_share"] == pytest.approx(0.25)
    assert found["p50_s"] == pytest.approx(3e-4, abs=1e-4)
    assert found["p99_s"] == {"value": 3e-3, "low": 3e-3, "high": 3e-3, "n": punctuality.PARTS}


def test_interval_of_the_p99_is_as_wide_as_the_plan_is_uneven():
    calm = np.random.default_rng(1).exponential(1e-4, 10_000)
    stormy = np.where(np.arange(10_000) < 1_000, 20.0, 1.0) * calm
    widths = [
        (found["high"] - found["low"]) / found["value"]
        for found in (punctuality.lateness(each)["p99_s"] for each in (calm, stormy))
    ]
    assert widths[0] < 0.2  # about 0.1: its standard error is 2.2 % of it
    assert widths[1] > 0.3


@dataclass
class Machine:
    """A generator and a server that take so much of their cores for a publication and at rest."""

    each_s: float
    rest: float
    server_s: float

    def play(self, rate_per_s):
        shares = self.rest + self.each_s * rate_per_s, self.server_s * rate_per_s
        names = ("publications_per_s", "core_share", "server_core_share")
        return dict(zip(names, (rate_per_s, *shares), strict=True))


@pytest.mark.parametrize(
    ("machine", "share"),
    [
        pytest.param(Machine(1e-4, 0.1, 1e-5), half_load.AIM, id="from below"),
        pytest.param(Machine(2e-3, 0.0, 1e-5), half_load.AIM, id="from above"),
        pytest.param(Machine(1e-4, 0.0, 1e-3), 0.085, id="the server is the limit"),
    ],
)
def test_half_load_is_found(machine, share):
    rate_per_s, pilots = half_load.search(1_000.0, machine.play)
    assert machine.play(rate_per_s)["core_share"] == pytest.approx(share, rel=0.1)
    assert 1 < len(pilots) <= half_load.PILOTS
    assert pilots[0]["publications_per_s"] == 1_000.0


def test_plans_stay_with_their_code():
    compiled, interpreted = (half_load.WAYS[path] for path in ("compiled", "interpreted"))
    assert compiled.within(10.0, 60.0) * 60.0 > COMPILED_FROM > interpreted.within(1e6, 60.0) * 60.0
    assert compiled.within(4_000.0, 60.0) == 4_000.0
    assert compiled.pilot_s(1_000.0) * 1_000.0 > COMPILED_FROM
    assert compiled.pilot_s(1e5) == interpreted.pilot_s(10.0) == half_load.PILOT_S


def test_core_use_is_of_whole_seconds_and_of_all_processes():
    use = CoreUse()
    window = {"second": 0, "role": "receive", "cpu_s": 0.3}
    later = {"second": 1, "role": "publish", "cpu_s": 0.1}
    use.add({"windows": [window, later, {"second": 0, "role": "publish", "cpu_s": 0.2}]})
    use.add({"windows": [{"role": "publish"}, {"second": 2, "role": "receive", "cpu_s": 9.0}]})
    assert use.share(2.5) == pytest.approx(0.3)
    assert use.share(2.5, ("publish",)) == pytest.approx(0.15)
