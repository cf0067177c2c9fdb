"""Nobody gets round the rails: targets, caps, STOP file, audit log."""

import asyncio
import contextlib
import json
import math
import os
import re
import socket
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from loadtest import rails
from loadtest.rails import Caps, RailsError


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "gridlab" / "audit.log"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.1.2", "::1", "0:0:0:0:0:0:0:1"])
def test_loopback_may_be_driven(address):
    assert rails.check_address(address) in (address, "::1")


@pytest.mark.parametrize(
    "address",
    [
        "localhost",  # a name: /etc/hosts could send it anywhere
        "example.org",
        "127.1",  # short and numeric forms that a libc would accept
        "2130706433",
        "0x7f.0.0.1",
        "127.000.000.001",
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "::1%lo",
        "::1%1",
        "126.255.255.255",
        "128.0.0.1",
        "10.0.0.1",
        "192.0.2.1",
        "2001:db8::1",
        "127.0.0.1 ",
        "127.0.0.1\n",
        "127.0.0.1:5222",
        "",
        2130706433,
        b"\x7f\x00\x00\x01",
    ],
)
def test_everything_else_is_refused_before_a_socket_exists(address, monkeypatch):
    monkeypatch.setattr(rails.Meter, "admit", lambda _: pytest.fail("a socket would be opened"))
    with pytest.raises(RailsError, match=r"numeric|loopback"):
        rails.dial(address, 5222)
    with pytest.raises(RailsError, match=r"numeric|loopback"):
        asyncio.run(rails.dial_async(address, 5222))


def test_an_address_that_changes_its_spelling_gains_nothing():
    class TwoFaced(str):
        def __str__(self):
            return "127.0.0.1"

    with pytest.raises(OSError, match="refused"):  # it dialled 127.0.0.1, not what it was made of
        rails.dial(TwoFaced("192.0.2.1"), 1)


def test_the_dialler_connects_without_nagle(listener):
    with rails.dial("127.0.0.1", listener) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_asynchronous_dialler_hands_over_a_socket_that_does_not_block(listener):
    with asyncio.run(rails.dial_async("127.0.0.1", listener)) as connection:
        assert connection.getpeername() == ("127.0.0.1", listener)
        assert not connection.getblocking()


def test_the_meter_refuses_the_connection_above_the_cap_and_forgets_after_a_second():
    instants_s = iter([0.0, 0.1, 0.2, 0.99, 1.0, 1.05])
    meter = rails.Meter(3, clock=lambda: next(instants_s))
    for _ in range(3):
        meter.admit()
    with pytest.raises(RailsError, match="more than 3 connections within one second"):
        meter.admit()
    meter.admit()
    with pytest.raises(RailsError):
        meter.admit()


def test_a_run_at_the_caps_is_allowed():
    rails.check(Caps(20_000, 1_000.0, 20_000.0, 3_600.0))


@pytest.mark.parametrize(
    ("planned", "named"),
    [
        (Caps(sessions=20_001), "sessions: 20001 is above the cap of 20000"),
        (Caps(connections_per_s=1_000.5), "connections_per_s: 1000.5 is above"),
        (Caps(stanzas_per_s=math.inf), "stanzas_per_s: inf is no figure"),
        (Caps(stanzas_per_s=20_000.1), "stanzas_per_s"),
        (Caps(duration_s=math.nan), "duration_s: nan is no figure"),
        (Caps(duration_s=3_601.0), "play a shorter part"),
        (Caps(sessions=-1), "sessions: -1 is no figure"),
    ],
)
def test_a_run_above_a_cap_is_refused(planned, named):
    with pytest.raises(RailsError, match=named):
        rails.check(planned)


def test_all_excesses_are_named_at_once():
    with pytest.raises(RailsError) as refusal:
        rails.check(Caps(10**6, 10.0**6, 10.0**6, 10.0**6))
    assert len(str(refusal.value).splitlines()) == 4


def test_nobody_raises_the_caps(monkeypatch):
    with pytest.raises(FrozenInstanceError):
        rails.CAPS.sessions = 10**9
    monkeypatch.setattr(rails, "CAPS", Caps(sessions=10**9))
    with pytest.raises(RailsError):
        rails.check(Caps(sessions=20_001))


def test_a_stop_file_is_seen_in_the_grid_and_above_it(tmp_path):
    grid = tmp_path / "grid"
    grid.mkdir()
    assert rails.stop_file(grid) is None
    for place in (tmp_path / "STOP", grid / "STOP"):
        place.touch()
        assert rails.stop_file(grid) == place


def test_the_audit_log_says_who_what_when_how_hard_and_why_it_ended(log):
    with rails.audited("load small", {"sessions": 3}) as ending:
        ending.why = "STOP file"
    start, end = map(json.loads, log.read_text().splitlines())
    assert start["event"] == "start"
    assert start["how_hard"] == {"sessions": 3}
    assert start["who"]
    assert start["when"] <= end["when"]
    assert (end["event"], end["what"], end["why"]) == ("end", "load small", "STOP file")
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [RuntimeError("broke"), KeyboardInterrupt()])
def test_a_run_that_fails_is_logged_with_its_reason(log, error):
    with contextlib.suppress(type(error)), rails.audited("load", {}):
        raise error
    assert json.loads(log.read_text().splitlines()[-1])["why"].startswith(type(error).__name__)


def test_a_line_cannot_be_forged_and_the_log_only_grows(log):
    rails.audit("start", 'x"}\n{"who": "mallory', {}, "why")
    first = log.read_text()
    rails.audit("end", "x", {}, "why")
    assert log.read_text().startswith(first)
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == ["start", "end"]


def test_no_run_without_a_log(log):
    log.parent.mkdir()
    log.symlink_to("/dev/null")
    with (
        pytest.raises(RailsError, match="audit log cannot be opened"),
        rails.audited("load", {}),
    ):
        pytest.fail("it ran unaudited")
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(RailsError, match="audit log"):
        rails.audit("start", "load", {}, "why")


def test_no_other_module_of_the_load_side_opens_a_connection():
    # A stream may be opened on a socket that the dialler made: `open_connection(sock=...)`.
    ways = re.compile(
        r"open_connection\((?!\s*sock=)|create_connection\(|sock_connect|connect_ex|\.connect\(\("
    )
    modules = Path(rails.__file__).parent.glob("*.py")
    assert [path.name for path in modules if ways.search(path.read_text())] == ["rails.py"]
