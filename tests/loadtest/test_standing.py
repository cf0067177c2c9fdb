"""Grids that run already: joined on loopback at once, elsewhere while their Broker consents."""

import datetime
import fcntl
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import topologies
from loadtest import conformance, consent, deployment, engine, rails
from loadtest.problems import DeploymentError, LoadError, RailsError

STORY = Path(__file__).with_name("consent_story.py")


@pytest.fixture
def joined(topology_file):
    """Callable: the small grid, described as one that runs where another is up."""

    def described(grid, **changes):
        served = grid.document()["controllers"]["alpha"]
        running = {
            "address": served["address"],
            "ca": served["ca_file"],
            "accounts": grid.document()["accounts_file"],
            **changes,
        }
        kind = [f"controllers[0].profile=test-{served['server']}"]
        wishes = [f"controllers[0].running.{key}={value}" for key, value in running.items()]
        return topologies.load(topology_file, kind + wishes)

    return described


@pytest.mark.real
def test_a_grid_on_loopback_is_joined_driven_and_left_alone(shared_grid, joined, shelter):
    grid = deployment.up(joined(shared_grid), "joined")
    served = grid.document()["controllers"]["alpha"]
    assert served["pid"] == shared_grid.server_pid("alpha")
    run = engine.play(joined(shared_grid), grid, seed=1, duration_s=2)
    ledger = run.header.measurement["ledger"]
    assert ledger["delivered"] == ledger["expected"] > 0
    assert run.header.measurement["server"]["cpu_per_delivery_s"] > 0
    report = conformance.conform_grid(grid)
    assert report.counts()["pass"] > 40
    assert deployment.down("joined")
    assert shared_grid.document()["state"] == "up"


@pytest.mark.real
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"address": "127.90.0.9"}, r"127\.90\.0\.9:5222: .*is it up\?"),
        ({"ca": "nowhere.pem"}, r"running\.ca: .*nowhere\.pem.*is no file"),
    ],
)
def test_a_grid_that_is_not_there_is_refused(shared_grid, joined, shelter, traces, changes, named):
    with pytest.raises(DeploymentError, match=named):
        deployment.up(joined(shared_grid, **changes), "joined")
    assert traces() == []


@pytest.mark.real
def test_missing_accounts_are_named(shared_grid, joined, shelter, tmp_path):
    accounts = tmp_path / "accounts.csv"
    accounts.write_text("jid,password\nadmin@alpha.test,x\n")
    with pytest.raises(DeploymentError, match=r"4 accounts are missing, sensor-0@alpha\.test"):
        deployment.up(joined(shared_grid, accounts=accounts), "joined")


def item(**changes):
    said = {
        "run": "far",
        "until": "2030-01-01T00:00:00Z",
        "sessions": "10",
        "connections": "5",
        "stanzas": "50",
    } | changes
    words = " ".join(f"{key}='{value}'" for key, value in said.items() if value is not None)
    return ET.fromstring(f"<item><consent xmlns='{consent.NODE}' {words}/></item>")


NOW_S = datetime.datetime(2029, 1, 1, tzinfo=datetime.UTC).timestamp()


def test_a_consent_says_what_until_when():
    allowed = consent.granted(item(), "far", NOW_S)
    assert allowed == {
        "until_s": datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC).timestamp(),
        "sessions": 10,
        "connections_per_s": 5,
        "stanzas_per_s": 50,
    }


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"run": "near"}, 'is for the run "near", this is "far"'),
        ({"until": "2028-01-01T00:00:00Z"}, "expired at 2028"),
        ({"until": "2030-01-01T00:00:00"}, "names no time zone"),
        ({"until": "soon"}, "needs until"),
        ({"stanzas": None}, "needs until .*stanzas"),
        ({"stanzas": "nan"}, "must be numbers, 0 or more"),
        ({"sessions": "-1"}, "must be numbers, 0 or more"),
    ],
)
def test_a_consent_that_does_not_hold_is_refused(changes, named):
    with pytest.raises(LoadError, match=named):
        consent.granted(item(**changes), "far", NOW_S)


def test_the_dialler_wants_a_consent_that_is_fresh(tmp_path, monkeypatch):
    path = tmp_path / rails.CONSENT_FILE
    now_s = NOW_S
    monkeypatch.setattr(rails.time, "time", lambda: now_s)
    rails.write_consent(path, "192.0.2.1", consent.granted(item(), "far", now_s))
    with pytest.raises(RailsError, match=r"192\.0\.2\.1.*is not a loopback"):
        rails.check_address("192.0.2.1")
    monkeypatch.setenv(rails.CONSENT_VARIABLE, str(path))
    with pytest.raises(RailsError):  # no supervisor holds the directory: a variable opens nothing
        rails.check_address("192.0.2.1")
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert rails.check_address("192.0.2.1") == "192.0.2.1"
    with pytest.raises(RailsError, match=r"192\.0\.2\.2"):
        rails.check_address("192.0.2.2")
    rails.check(rails.Caps(10, 5, 50, 60))
    with pytest.raises(RailsError, match="sessions: 11 is above the cap of 10"):
        rails.check(rails.Caps(11, 5, 50, 60))
    path.chmod(0o644)  # somebody else's hand
    with pytest.raises(RailsError):
        rails.check_address("192.0.2.1")
    path.chmod(0o600)
    rails.write_consent(path, "192.0.2.2", consent.granted(item(), "far", now_s))
    assert rails.check_address("192.0.2.1") == "192.0.2.1"
    rails.write_consent(path, "192.0.2.2", None)
    with pytest.raises(RailsError):
        rails.check_address("192.0.2.2")
    now_s += 26  # nobody has read it again
    with pytest.raises(RailsError):
        rails.check_address("192.0.2.1")
    os.close(held)


@pytest.mark.real
def test_elsewhere_a_grid_is_driven_while_its_broker_consents_and_no_longer(topology_file, shelter):
    """On a veth address in a network namespace of the test's own (see `consent_story.py`)."""
    unshare = ["unshare", "--net"]
    if os.geteuid() != 0:
        unshare += ["--map-current-user", "--keep-caps"]
    run = subprocess.run(
        [*unshare, sys.executable, str(STORY), str(topology_file)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=STORY.parent,
    )
    told = json.loads(run.stdout.splitlines()[-1]) if run.stdout else run.stderr
    assert told == {
        "without": "no consent",
        "too many": "above the cap of 2",
        "with": True,
        "retracted": "was retracted",
        "within_s": True,
        "afterwards": "is not a loopback address",
    }, run.stderr
