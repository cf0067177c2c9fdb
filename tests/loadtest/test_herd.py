"""Herds on a real server: the lean login, the books, what is deployed, and one that comes back."""

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import topologies
from loadtest import (
    burden,
    caller,
    casting,
    deployment,
    enactment,
    herd,
    kinds,
    notice,
    processes,
    returns,
    sites,
)
from loadtest.herd import Herd
from loadtest.membership import Books, Member, Turnstile
from loadtest.observation import cpu_s
from loadtest.problems import LoadError
from loadtest.retries import Retry
from topologies import overlays
from topologies.logins import Login
from topologies.returns import instants
from topologies.schema import Crash

ROOT = Path(__file__).parents[2]


def test_the_lean_login_answers_as_rfc_5802_does():
    """The exchange of RFC 5802 section 5."""
    said = "n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    challenge = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
    final = caller.answer_to(f"{said},{challenge}", "pencil", "sha1")
    nonce = challenge.partition(",")[0]
    assert final == f"c=biws,{nonce},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="


def test_connections_pass_at_once_up_to_their_limit_and_then_wait_for_the_second_to_end():
    async def pass_six():
        turnstile = Turnstile(4)
        return await asyncio.gather(*(turnstile.pass_through() for _ in range(6)))

    waits_s = asyncio.run(pass_six())
    assert max(waits_s[:4]) < 0.5  # at once, however busy the machine is
    assert min(waits_s[4:]) >= 0.9


def test_waits_for_the_caps_cast_doubt_once_the_server_is_up():
    early = Books(held_s=[(1.0, 0.2), (4.0, 0.0)], held_hostile_s=[(1.0, 0.0)], back_s=3.0)
    assert early.doubts() == ()
    late = Books(held_s=[(4.0, 0.0), (4.5, 0.25)], held_hostile_s=[(1.0, 0.1)], back_s=3.0)
    assert ["1 of 2 attempts" in each and "0.25 s" in each for each in late.doubts()] == [True]
    few = Books(held_s=[(4.0, 0.01), *[(4.0, 0.0)] * 999], back_s=3.0)
    assert few.doubts() == ()
    guesses = Books(held_hostile_s=[(1.0, 0.1), (1.1, 0.0)])
    assert ["1 of 2 hostile attempts" in each for each in guesses.doubts()] == [True]
    told = returns.measured(played(), "none", late, {}).document()
    assert told["doubts"] == list(late.doubts())
    assert "doubts" not in returns.measured(played(), "none", early, {}).document()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"<iq id='b' type='result'><bind xmlns='x'><jid>a@b/c</jid></bind></iq>", None),
        (b'<iq type="result" id="b"/></iq>', None),
        (b"<iq id='b' type='error'><error type='cancel'><conflict xmlns='y'/></error></iq>",
         "bind: conflict"),
        (b"<iq type='set' id='push1'><query xmlns='z'/></iq>", "bind: no result"),
    ],
)  # fmt: skip
def test_only_a_result_of_binding_makes_a_session(answer, problem, monkeypatch):
    async def bind():
        single = caller.Caller(None, caller.Account("sensor-0", "x"))

        async def answered(*_):
            return answer

        monkeypatch.setattr(single, "_ask", answered)
        await single.begin("bind")

    if problem is None:
        asyncio.run(bind())
    else:
        with pytest.raises(caller.Denied, match=problem):
            asyncio.run(bind())


@pytest.mark.parametrize(
    ("figures", "noticed"),
    [
        ((1.0, 1.2, 0.2), 0.0),  # all is paid for, and the end of the connection besides
        ((1.0, 0.2, 0.2), 1.0),
        ((1.0, 0.45, 0.2), 0.75),
        ((1.0, 1.5, 0.1), -0.4),  # abandoned ones cost more
    ],
)
def test_what_is_noticed_is_what_is_not_paid_for(figures, noticed):
    assert notice.share(*figures) == pytest.approx(noticed)


def test_what_is_noticed_has_an_interval_over_rounds_and_is_kept_below_zero():
    arms_s = np.array([[1.0, 0.1, 1.5], [1.0, 0.1, 1.3], [1.0, 0.1, 1.6], [1.0, 0.1, 1.4]])
    found = notice.summary(arms_s)
    assert found["noticed"] == pytest.approx(-0.35)
    half = 3.1824 * np.std([-0.4, -0.2, -0.5, -0.3], ddof=1) / 2.0  # t of 3 degrees of freedom
    assert (found["low"], found["high"]) == pytest.approx((-0.35 - half, -0.35 + half), rel=1e-3)
    assert notice.Notice(found).noticed == 0.0


def test_a_share_of_the_core_that_was_not_held_is_a_doubt():
    laid = overlays.scenario("S-PASS", None, ["none"], real=True).attacked["none"]
    told = [
        returns.measured(laid, "none", Books(), {"server_cpu_share": used}, 1 / 3).doubts
        for used in (0.28, 0.397)  # the first two of twelve seconds are quiet
    ]
    assert told[0] == ()
    assert "got 0.476 of its core under attack instead of 0.333" in told[1][0]


BOOKS = Books(
    attempts=[
        ("analyst", 1.0, 3.0, "given up"),
        ("analyst", 1.0, 2.0, "ok"),
        ("analyst", 3.5, 4.0, "refused: not-authorized"),
        ("analyst", 4.5, 5.0, "ok"),
        ("guesser", 1.0, 1.5, "refused: not-authorized"),
    ],
    online=[("analyst", 1.0, 2.0), ("analyst", 1.0, 5.0)],
    lost=[("analyst", 0.5), ("analyst", 0.5)],
    back_s=1.25,
)


def played():
    return overlays.scenario("S-HERD", None, ["none"], real=True).attacked["none"]


def small(**changes):
    laid = played()
    analyst = next(each for each in laid.platforms if each.name == "analyst")
    return analyst.model_copy(update=changes)


def test_books_are_kept_as_a_record_has_them():
    edges_s = np.array([0.25, 1.0, 2.5, 6.0])
    entry = returns.entry(BOOKS, small(count=2), edges_s)
    assert entry["online"] == [[2, 0, 1, 2]]
    kept = {name: entry[name] for name in ("attempts", "logins", "given_up", "refused")}
    assert kept == {"attempts": 4, "logins": 2, "given_up": 1, "refused": 1}
    assert sum(entry["login_latency"]["counts"]) == 2


def test_what_is_deployed_has_nothing_that_is_played():
    laid = overlays.scenario("S-HERD", None, ["none"], real=True).attacked["none"]
    bare = casting.bare(laid)
    assert not bare.faults
    assert all(each.login is None for each in bare.platforms)
    assert [each.count for each in bare.platforms] == [each.count for each in laid.platforms]
    crowd = casting.pilot(laid)
    assert (crowd.platform_count, crowd.platforms[0].retry.timeout) == (120, casting.PILOT_S)
    assert instants(laid).back_s == 5.0


def logging_in(*logins, waits_s=5.0):
    """A topology with a population for each of these logins, whose last one waits so long."""
    crowds = [small(login=Login.model_validate(each)) for each in logins]
    retry = crowds[-1].retry.model_copy(update={"timeout": waits_s})
    patient = crowds[-1].model_copy(update={"retry": retry})
    return played().model_copy(update={"platforms": (*crowds[:-1], patient)})


def test_a_server_is_deployed_for_its_logins():
    assert casting.options(logging_in({}, {"mechanism": "plain"})).scram == "SHA-1"
    assert casting.options(logging_in({"mechanism": "scram-sha-256"})).scram == "SHA-256"
    assert casting.options(logging_in({"storage": "plain"})).storage == "plain"
    with pytest.raises(LoadError, match=r"external is not driven.*\n.*one for a whole server"):
        casting.options(logging_in({"mechanism": "external"}, {"storage": "plain"}))
    with pytest.raises(LoadError, match="P-256"):
        casting.options(logging_in({"key": "rsa-2048"}))


@pytest.mark.parametrize(("waits_s", "login_s"), [(1.0, 5), (47.5, 48)])
@pytest.mark.parametrize(
    ("server", "file", "setting"),
    [("prosody", "prosody.cfg.lua", "\nc2s_timeout = {} "),
     ("ejabberd", "ejabberd.yml", "\nnegotiation_timeout: {}\n")],
)  # fmt: skip
def test_a_login_may_take_as_long_as_the_most_patient_platform_waits(
    topology_file, shelter, server, file, setting, waits_s, login_s
):
    """5 s at least; servers take whole seconds."""
    options = casting.options(logging_in({}, {}, waits_s=waits_s))
    topology = topologies.load(topology_file, [f"controllers[0].profile=test-{server}"])
    directory = shelter / "grid"
    directory.mkdir(mode=0o700)
    (launch,) = sites.prepare(
        topology, "patient", directory, kinds.servers(topology), sites.Place(), options
    )
    assert setting.format(login_s) in Path(launch.directory, file).read_text()


def test_a_pilot_ends_at_once_if_somebody_asks_for_it(tmp_path, monkeypatch):
    grid = SimpleNamespace(directory=tmp_path, document=lambda: {"state": "up"})
    ends = []

    async def pilot(*_):
        (tmp_path / "STOP").touch()
        try:
            await asyncio.sleep(60.0)
        finally:
            ends.append("pilot")

    @contextlib.contextmanager
    def stage(*_):
        yield grid, lambda *_: None

    monkeypatch.setattr(enactment.Enactment, "_pilot", pilot)
    monkeypatch.setattr(enactment.Enactment, "_stage", stage)
    laid = overlays.scenario("S-HERD", None, ["none"], real=True).attacked["none"]
    begun_s = time.monotonic()
    with pytest.raises(LoadError, match="STOP asked for it"):
        enactment.Enactment(predict=None).fit(laid)
    assert time.monotonic() - begun_s < 2.0
    assert ends == ["pilot"]


def test_what_nobody_stops_returns_what_it_found(tmp_path):
    async def work(found):
        await asyncio.sleep(2.0 * herd.WATCH_S)
        return found / 2

    grid = SimpleNamespace(directory=tmp_path, document=lambda: {"state": "up"})
    assert asyncio.run(herd.unless_stopped(grid, work(4))) == 2
    with pytest.raises(TypeError):
        asyncio.run(herd.unless_stopped(grid, work("four")))


@pytest.mark.parametrize("share", [0.0, 0.04, 1.5])
def test_a_share_of_a_core_is_a_share(share):
    with pytest.raises(LoadError, match=r"share: .*: must be 0.05 to 1"), burden.held(share, 0):
        pass


def test_an_allowance_grows_at_the_share_and_is_saved_up_to_a_bound():
    allowance = burden.Allowance(0.25, 0.0, 5.0)
    assert not allowance.spent(0.004, 5.0)
    assert allowance.left_s == pytest.approx(0.001)
    assert not allowance.spent(60.0, 5.0)
    assert allowance.left_s == burden.ALLOWANCE_S
    assert allowance.spent(60.0, 5.014)  # 10 ms too much: 40 ms until it may go on
    assert allowance.spent(60.039, 5.014)
    assert not allowance.spent(60.041, 5.014)


BUSY = """
import threading
for _ in range(3):
    threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()
"""


@pytest.fixture
def busy():
    """A process that uses all that it gets."""
    started = subprocess.Popen([sys.executable, "-c", BUSY])
    yield started
    started.kill()
    started.wait()


def test_a_busy_process_gets_its_share_and_no_more(busy):
    time.sleep(0.2)
    with burden.held(0.2, busy.pid):
        time.sleep(0.3)
        begun_s, used_s = time.monotonic(), cpu_s(busy.pid)
        time.sleep(1.0)
        share = (cpu_s(busy.pid) - used_s) / (time.monotonic() - begun_s)
    assert 0.02 < share < 0.2 * 1.1  # less only where others are busy
    assert Path(f"/proc/{busy.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"


def test_a_server_is_let_go_when_the_parent_of_who_holds_it_is_killed(busy):
    story = (
        "import sys, time\nfrom loadtest import burden\n"
        "with burden.held(0.05, int(sys.argv[1]), (), 60.0):\n"
        "    print('held', flush=True)\n    time.sleep(60)"
    )
    command = [sys.executable, "-c", story, str(busy.pid)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout.readline() == b"held\n"
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    (holder,) = [processes.Identity.of(int(each)) for each in children]
    parent.kill()
    parent.wait()
    deadline_s = time.monotonic() + 2.0
    while holder.alive and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert not holder.alive
    assert Path(f"/proc/{busy.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"


def test_a_cancellation_that_gets_lost_is_said_again():
    async def story():
        tried = []

        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:  # as wait_for loses one
                    tried.append(1)
                    if len(tried) == 3:
                        raise

        task = asyncio.ensure_future(stubborn())
        await asyncio.sleep(0)
        await asyncio.wait_for(herd.ended([task]), 5.0)
        return len(tried)

    assert asyncio.run(story()) == 3


@pytest.mark.real
def test_a_herd_comes_back_to_a_server_that_was_killed_and_stops_when_told(topology_file, shelter):
    crash = Crash.model_validate(
        {"kind": "restart", "name": "reboot", "controller": "alpha", "start": "0.1 s",
         "duration": "1 s"}
    )  # fmt: skip
    topology = topologies.load(topology_file)
    with deployment.ephemeral(topology) as grid:
        place = grid.document()["controllers"]["alpha"]
        passwords = grid.credentials()
        names = ["sensor-0", "tool-0", "tool-1", "insider-0"]
        door = casting.door_of(grid, topology)
        retry = Retry("fixed", 0.2, 0.2, 100, 0.0, 5.0)
        members = [
            Member(
                "platform",
                number,
                caller.Account(name, passwords[f"{name}@alpha.test"], "SCRAM-SHA-256"),
                retry,
            )
            for number, name in enumerate(names)
        ]

        async def story():
            crowd = Herd(grid, door, members)
            await crowd.enter(members)
            assert crowd.online == 4
            await crowd.play([crash], 20.0)
            assert crowd.online == 4
            books = crowd.books
            assert len(books.lost) == len(books.online) == 4
            times = grid.restarted()
            assert books.down_s == times["answered_s"] - times["killed_s"]
            assert max(online_s for _, _, online_s in books.online) >= books.back_s > books.down_s
            assert grid.document()["controllers"]["alpha"]["pid"] != place["pid"]
            again = crash.model_copy(update={"duration": 10.0})
            playing = asyncio.ensure_future(crowd.play([again], 70.0))
            while grid.document()["state"] != "restarting":
                await asyncio.sleep(0.02)
            (grid.directory / "STOP").touch()
            begun_s = time.monotonic()
            with pytest.raises(LoadError, match=r"STOP"):
                await playing
            crowd.leave()
            while (state := grid.document())["state"] == "restarting":
                await asyncio.sleep(0.02)
            assert time.monotonic() - begun_s < 2.0
            assert state["state"] == "failed"
            assert "STOP" in state["problem"]

        asyncio.run(story())
