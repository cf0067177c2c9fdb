"""One grid to a name; left-overs are cleared, what is held is not touched."""

import dataclasses
import subprocess

import pytest

from loadtest import lease, processes
from loadtest.problems import DeploymentError


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "gridlab"


def test_a_claim_is_private_and_exclusive(base):
    held = lease.claim("one")
    assert held.directory == base / "one"
    assert held.directory.stat().st_mode & 0o777 == 0o700
    assert base.stat().st_mode & 0o777 == 0o700
    with pytest.raises(DeploymentError, match='grid "one": is up already'):
        lease.claim("one")
    lease.release(lease.claim("two"))
    assert lease.names() == ["one"]
    lease.release(held)
    assert not base.exists()


def test_a_left_over_is_cleared_with_its_processes_and_its_servers_files(base, tmp_path):
    orphan = subprocess.Popen(["sleep", "60"])
    held = lease.claim("one")
    elsewhere = tmp_path / "server"
    elsewhere.mkdir()
    (elsewhere / "data").touch()
    (held.directory / "stale").touch()
    lease.write_json(
        held.directory / lease.LAUNCH_FILE, {"servers": [{"directory": str(elsewhere)}]}
    )
    identity = dataclasses.asdict(processes.Identity.of(orphan.pid))
    lease.write_json(
        held.directory / lease.STATE_FILE, {"supervisor": None, "servers": {"alpha": identity}}
    )
    held.close()  # as the kernel does for a killed supervisor
    lease.clear_leftovers()
    assert not base.exists()
    assert not elsewhere.exists()
    assert not processes.Identity(**identity).alive
    orphan.returncode = -15


def test_clearing_left_overs_spares_what_is_held(base):
    held = lease.claim("one")
    (held.directory / "file").touch()
    lease.clear_leftovers()
    assert (held.directory / "file").exists()
    lease.release(held)


def test_a_claimed_directory_is_empty(base):
    base.mkdir(mode=0o700)
    (base / "one" / "deep").mkdir(parents=True)
    (base / "one" / "link").symlink_to("/etc")
    held = lease.claim("one")
    assert list(held.directory.iterdir()) == []
    lease.release(held)


def test_a_late_release_spares_a_newer_grid_of_the_name(base):
    old = lease.claim("one")
    lease.clear_files(old.directory)  # its supervisor did this
    new = lease.claim("one")
    lease.release(old)
    assert new.directory.is_dir()
    lease.release(new)


@pytest.mark.parametrize("name", ["", "..", "a/b", "UP", ".hidden", "x" * 64, "a b", "é", "a\n"])
def test_a_name_cannot_leave_the_directory(base, name):
    with pytest.raises(DeploymentError, match="is not a name"):
        lease.claim(name)


@pytest.mark.parametrize("trap", ["link", "open"])
def test_a_directory_that_others_could_control_is_refused(base, tmp_path, trap):
    if trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        base.symlink_to(tmp_path / "elsewhere")
    else:
        base.mkdir()
        base.chmod(0o777)
    with pytest.raises(DeploymentError, match="not a directory of yours alone"):
        lease.claim("one")


def test_without_a_runtime_directory_the_temporary_one_serves(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    assert lease.base_directory().name.startswith("gridlab-")


def test_a_state_file_is_replaced_whole_and_is_private(tmp_path):
    path = tmp_path / "state.json"
    assert lease.read_json(path) == {}
    lease.write_json(path, {"state": "up"})
    lease.write_json(path, {"state": "failed"})
    assert lease.read_json(path) == {"state": "failed"}
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
