"""ejabberd as deployed: what it is told, and that nothing but its own ports is there."""

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from loadtest import deployment, ejabberd, erlang
from loadtest.erlang import Atom
from loadtest.problems import DeploymentError


def test_erlang_reads_back_what_is_written(tmp_path):
    odd = 'quote" back\\ new\nline nul\0 é'
    value = (Atom("it's"), [True, -3, odd, b"\xff\x00"], ("plain", ()))
    (tmp_path / "terms").write_text(f"{erlang.term(value)}.\n")
    program = (
        "{ok, [{'it\\'s', [true, -3, Odd, <<255, 0>>], {<<\"plain\">>, {}}}]} ="
        ' file:consult("terms"), file:write_file("odd", Odd), halt().'
    )
    run = subprocess.run(
        ["erl", "-noinput", "-boot", "no_dot_erlang", "-eval", program],
        cwd=tmp_path,
        capture_output=True,
        timeout=20,
    )
    assert (tmp_path / "odd").read_text() == odd, run.stdout


def epmds():
    return [each.pid for each in psutil.process_iter(["name"]) if each.info["name"] == "epmd"]


@pytest.mark.real
def test_it_goes_up_within_five_seconds_and_leaves_nothing(
    small_ejabberd, traces, listens, open_descriptors
):
    before = open_descriptors()
    grid = deployment.up(small_ejabberd)
    document = grid.document()
    served = document["controllers"]["alpha"]
    print(f"ready after {document['ready_s']:.2f} s")
    assert document["ready_s"] < 5.0
    assert served["server"] == "ejabberd"
    assert served["version"].startswith("23.")
    process = psutil.Process(served["pid"])
    listening = {
        tuple(each.laddr)
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == {(served["address"], 5222), (served["address"], 5223)}
    assert epmds() == []
    family = [process, *process.children(recursive=True)]
    deployment.down()
    assert traces() == []
    assert not listens(served["address"], 5222)
    assert not any(each.is_running() for each in family)
    assert open_descriptors() == before


@pytest.mark.real
def test_its_files_are_its_own_and_hold_no_password(small_ejabberd, shelter):
    grid = deployment.up(small_ejabberd)
    own = Path(grid.document()["controllers"]["alpha"]["server_directory"])
    passwords = [password.encode() for password in grid.credentials().values()]
    assert own.owner() == "ejabberd"
    for path in (own, *own.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
        assert path.is_dir() or not any(word in path.read_bytes() for word in passwords), path


def test_a_missing_package_is_named(small_ejabberd, traces, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match=r"controllers\[0\].*apt-get install ejabberd"):
        deployment.up(small_ejabberd)
    assert traces() == []


@pytest.mark.real
def test_a_start_that_fails_says_why(small_ejabberd, traces, monkeypatch):
    monkeypatch.setattr(ejabberd, "_grid_terms", lambda site: "{accounts, nobody}.")
    with pytest.raises(DeploymentError, match=r"ended with exit code 1(?s:.*)badmatch"):
        deployment.up(small_ejabberd)
    assert traces() == []


@pytest.mark.real
def test_the_machine_ends_with_ejabberd(small_ejabberd, traces, monkeypatch):
    """A crash inside does not leave a process that only looks like a server."""
    program = ejabberd.program
    crash = b"spawn(fun() -> timer:sleep(500), exit(whereis(ejabberd_sup), kill) end).\n"
    monkeypatch.setattr(ejabberd, "program", lambda: program() + crash)
    grid = deployment.up(small_ejabberd)
    deadline_s = time.monotonic() + 10.0
    while grid.document()["state"] == "up" and time.monotonic() < deadline_s:
        time.sleep(0.02)
    with pytest.raises(DeploymentError, match="ended with exit code 1"):
        grid.check()
    deployment.down()
    assert traces() == []
