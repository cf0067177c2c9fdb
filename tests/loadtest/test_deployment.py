"""Grids go up, are found, go down; nothing is left, whatever is killed."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import topologies
from loadtest import deployment, lease, processes, rails, sites
from loadtest.problems import DeploymentError

WITHIN_S = 15.0
PLAY = """
import os, signal, sys, time, topologies
from loadtest import deployment
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
topology = topologies.load(sys.argv[1])
{story}
"""


def eventually(fact):
    """Whether `fact` comes true in time."""
    deadline_s = time.monotonic() + WITHIN_S
    while not fact():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def play(story, topology_file, **how):
    return subprocess.Popen(
        [sys.executable, "-c", PLAY.format(story=story), str(topology_file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


@pytest.mark.real
def test_a_grid_goes_up_is_found_and_goes_down(small, traces, listens):
    begun_s = time.monotonic()
    grid = deployment.up(small, "one")
    print(f"ready after {time.monotonic() - begun_s:.2f} s")
    document = deployment.status("one").document()
    assert document == grid.document()
    served = document["controllers"]["alpha"]
    assert document["state"] == "up"
    assert document["brokers"] == {"broker": "broker.alpha.test"}
    assert (served["domain"], served["server"]) == ("alpha.test", "prosody")
    assert served["address"].startswith("127.")
    assert (served["port"], served["direct_tls_port"]) == (5222, 5223)
    assert listens(served["address"], 5222)
    assert listens(served["address"], 5223)
    assert grid.server_pid("alpha") == served["pid"]
    assert set(grid.credentials()) == {
        f"{localpart}@alpha.test"
        for localpart in ("admin", "sensor-0", "tool-0", "tool-1", "insider-0")
    }
    assert deployment.names() == ["one"]
    assert deployment.down("one")
    assert traces() == []
    assert not listens(served["address"], 5222)
    assert not deployment.down("one")
    with pytest.raises(DeploymentError, match=r'grid "one": is not up \(up: none\)'):
        grid.document()


@pytest.mark.real
def test_five_times_up_and_down_leave_nothing(small, traces, open_descriptors):
    deployment.up(small)
    deployment.down()
    before = open_descriptors()
    for _ in range(4):
        deployment.up(small)
        deployment.down()
        assert traces() == []
    assert open_descriptors() == before


@pytest.mark.real
def test_secrets_are_for_their_owners_alone(small, shelter):
    grid = deployment.up(small)
    document = grid.document()
    assert grid.directory.stat().st_mode & 0o777 == 0o700
    assert grid.directory.parent.stat().st_mode & 0o777 == 0o700
    assert Path(document["accounts_file"]).stat().st_mode & 0o777 == 0o600
    own = Path(document["controllers"]["alpha"]["server_directory"])
    server_user = os.stat(f"/proc/{grid.server_pid('alpha')}").st_uid
    assert server_user != 0
    assert own.stat().st_uid == server_user
    for path in (own, *own.rglob("*"), *grid.directory.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    passwords = grid.credentials().values()
    for path in own.rglob("*"):
        assert path.is_dir() or not any(word in path.read_text() for word in passwords), path


@pytest.mark.real
def test_two_grids_have_addresses_of_their_own(small, traces):
    one, two = deployment.up(small, "one"), deployment.up(small, "two")
    places = [grid.document()["controllers"]["alpha"]["address"] for grid in (one, two)]
    assert places[0] != places[1]
    with pytest.raises(DeploymentError, match='grid "one": is up already'):
        deployment.up(small, "one")
    assert one.document()["state"] == "up"
    assert sorted(deployment.down_all()) == ["one", "two"]
    assert traces() == []


@pytest.mark.real
def test_servers_die_with_a_killed_supervisor_and_down_clears_the_rest(small, traces):
    grid = deployment.up(small)
    server = processes.Identity.of(grid.server_pid("alpha"))
    os.kill(grid.document()["supervisor_pid"], signal.SIGKILL)
    assert eventually(lambda: not server.alive)
    assert deployment.names() == []
    assert deployment.down()
    assert traces() == []


@pytest.mark.real
def test_the_next_grid_clears_what_a_killed_supervisor_left(small, traces):
    grid = deployment.up(small, "one")
    supervisor = processes.Identity.of(grid.document()["supervisor_pid"])
    os.kill(supervisor.pid, signal.SIGKILL)
    assert eventually(lambda: not supervisor.alive)
    other = deployment.up(small, "two")
    assert lease.names() == ["two"]
    assert not grid.directory.exists()
    assert other.document()["state"] == "up"
    deployment.down("two")
    assert traces() == []


@pytest.mark.real
def test_an_ephemeral_grid_ends_with_its_block(small, traces):
    with contextlib.suppress(RuntimeError), deployment.ephemeral(small) as grid:
        assert grid.document()["state"] == "up"
        raise RuntimeError
    assert traces() == []


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_an_ephemeral_grid_ends_with_its_process(topology_file, shelter, traces, number):
    story = (
        "with deployment.ephemeral(topology) as grid:\n"
        "    print(grid.server_pid('alpha'), flush=True)\n"
        "    time.sleep(60)"
    )
    child = play(story, topology_file)
    server = processes.Identity.of(int(child.stdout.readline()))
    child.send_signal(number)
    child.communicate(timeout=WITHIN_S)
    assert eventually(lambda: traces() == [])
    assert not server.alive


@pytest.mark.real
def test_a_port_in_use_is_named_with_its_holder(small, traces):
    with (
        socket.create_server(("127.77.1.2", 15223)),
        pytest.raises(
            DeploymentError, match=rf"127\.77\.1\.2:15223: .*process {os.getpid()} .*choose another"
        ),
    ):
        deployment.up(small, address="127.77.1.2", port=15222)
    assert traces() == []
    grid = deployment.up(small, address="127.77.1.2", port=15222)
    served = grid.document()["controllers"]["alpha"]
    assert (served["address"], served["port"], served["direct_tls_port"]) == (
        "127.77.1.2",
        15222,
        15223,
    )


@pytest.mark.real
def test_a_port_that_is_lost_at_the_last_moment_is_reported(small, traces, monkeypatch):
    monkeypatch.setattr(sites.addresses, "check_free", lambda *_: None)
    with (
        socket.create_server(("127.77.1.3", 15223)),
        pytest.raises(DeploymentError, match=r"127\.77\.1\.3:15222.*(?s:.*)in use"),
    ):
        deployment.up(small, address="127.77.1.3", port=15222)
    assert traces() == []


@pytest.mark.parametrize("address", ["0.0.0.0", "localhost", "192.0.2.1"])
def test_only_loopback_addresses_are_listened_on(small, traces, address):
    with pytest.raises(rails.RailsError, match=address):
        deployment.up(small, address=address)
    assert traces() == []


def test_a_missing_package_is_named(small, traces, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match=r"controllers\[0\].*apt-get install prosody"):
        deployment.up(small)
    assert traces() == []


def test_a_stop_file_keeps_a_grid_down(small, shelter):
    base = lease.base_directory()
    base.mkdir(mode=0o700)
    (base / "STOP").touch()
    with pytest.raises(DeploymentError, match="STOP: asks every run to stop"):
        deployment.up(small)
    (base / "STOP").unlink()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("server: prosody", "server: none", "is not deployed"),
        ("{name: tool, count: 2", "{name: tool, count: 20001", "sessions: 20003 is above the cap"),
    ],
)
def test_what_cannot_be_deployed_is_refused(topology_file, traces, old, new, named):
    for path in topology_file.parent.glob("*.yaml"):
        path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=named):
        deployment.up(topologies.load(topology_file))
    assert traces() == []


@pytest.mark.real
def test_two_controllers_are_two_servers(topology_file, traces):
    text = topology_file.read_text().replace(
        "brokers:", "  - {name: beta, domain: beta.test, profile: test-prosody}\nbrokers:"
    )
    topology_file.write_text(text)
    grid = deployment.up(topologies.load(topology_file))
    served = grid.document()["controllers"]
    assert served["alpha"]["address"] != served["beta"]["address"]
    assert served["alpha"]["pid"] != served["beta"]["pid"]
    deployment.down()
    assert traces() == []


@pytest.mark.real
def test_a_server_that_dies_is_reported_and_the_grid_still_goes_down(small, traces):
    grid = deployment.up(small)
    os.kill(grid.server_pid("alpha"), signal.SIGKILL)
    assert eventually(lambda: grid.document()["state"] == "failed")
    with pytest.raises(DeploymentError, match=r'controller "alpha" .*ended with signal 9'):
        grid.check()
    deployment.down()
    assert traces() == []


@pytest.mark.real
def test_a_server_beyond_its_memory_is_stopped(topology_file, traces):
    topology = topologies.load(topology_file, ["controllers[0].memory=1 MiB"])
    grid = deployment.up(topology)
    server = processes.Identity.of(grid.server_pid("alpha"))
    assert eventually(lambda: grid.document()["state"] == "failed")
    assert "more memory than its Controller has" in grid.document()["problem"]
    assert not server.alive


@pytest.mark.real
def test_a_stop_file_ends_the_servers(small, shelter):
    grid = deployment.up(small)
    (grid.directory / "STOP").touch()
    assert eventually(lambda: grid.document()["state"] == "failed")
    with pytest.raises(DeploymentError, match="STOP: asked every run to stop"):
        grid.check()


@pytest.mark.real
@pytest.mark.parametrize(
    ("script", "mode", "named"),
    [
        ("echo no such luck; exit 3", 0o755, r"ended with exit code 3(?s:.*)no such luck"),
        ("exit 0", 0o700, "prosody cannot be started as .*Permission denied"),
    ],
)
def test_a_start_that_fails_says_why(small, shelter, traces, monkeypatch, script, mode, named):
    program = shelter / "state" / "prosody"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(mode)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(DeploymentError, match=rf'controller "alpha" .*{named}'):
        deployment.up(small)
    assert traces() == []


@pytest.mark.real
@pytest.mark.parametrize("moment", ["accounts", "start"])
def test_an_interrupted_start_leaves_nothing(small, traces, monkeypatch, moment):
    def interrupt(*_):
        raise KeyboardInterrupt

    if moment == "accounts":
        monkeypatch.setattr("loadtest.prosody.scram_keys", interrupt)
    else:
        monkeypatch.setattr(deployment, "_read_line", interrupt)
    with pytest.raises(KeyboardInterrupt):
        deployment.up(small)
    assert traces() == []


@pytest.mark.real
@pytest.mark.parametrize("moment", ["sites.prepare", "_read_line"])
def test_a_killed_start_leaves_nothing_for_long(topology_file, shelter, traces, moment):
    """Killed before the servers are started, or before the supervisor has reported."""
    story = (
        f"deployment.{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "deployment.up(topology)"
    )
    assert play(story, topology_file).wait(WITHIN_S) == -signal.SIGKILL
    assert eventually(lambda: traces() == [])


@pytest.mark.real
def test_the_audit_log_tells_the_grids_life(small, shelter):
    deployment.up(small, "one")
    deployment.down("one")
    entries = [json.loads(line) for line in rails.audit_file().read_text().splitlines()]
    assert [(entry["event"], entry["what"], entry["why"]) for entry in entries] == [
        ("start", "grid one", "asked for"),
        ("end", "grid one", "taken down"),
    ]


@pytest.mark.real
def test_people_read_how_to_reach_it(small, shelter):
    grid = deployment.up(small, "one")
    text = deployment.render(grid)
    assert grid.document()["controllers"]["alpha"]["address"] in text
    assert "gridlab grid down one" in text


@pytest.mark.real
def test_a_server_runs_on_the_cores_that_it_is_given(small, traces):
    core = min(os.sched_getaffinity(0))
    grid = deployment.up(small, cores=[core])
    assert os.sched_getaffinity(grid.server_pid("alpha")) == {core}
    deployment.down()
    with pytest.raises(DeploymentError, match=r"cannot be started as .* on cores \[1000\]"):
        deployment.up(small, cores=[1000])
    assert traces() == []
