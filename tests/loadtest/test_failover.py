"""Platforms that must find another Controller: what is counted of them, and a small play."""

import asyncio
import math
import threading
import time
from pathlib import Path

import pytest

from loadtest import casting, deployment, failover
from loadtest.caller import Account
from loadtest.herd import unless_stopped
from loadtest.problems import LoadError
from loadtest.server import Options
from topologies import overlays
from topologies.loading import varied


def laid(**changes):
    scenario = overlays.scenario("S-FO", None, ["none"], real=True)
    return scenario.attacked["none"], scenario.procedures["none"].model_copy(update=changes)


def test_who_goes_over_and_who_stays_are_counted_from_the_silence_on():
    _, procedure = laid(duration=10.0)
    played = object.__new__(failover.Failover)
    played.start_s, played.back_s, played.late_s = 2.0, 8.0, 0.0
    played.due_s = [float(each) for each in range(10)]
    gone = failover.Watch(3.0, 4.5, {1: 1.01, 5: 5.01, 6: 6.01})
    stayed = failover.Watch(items_s={1: 1.01, 3: 8.2, 9: 9.01})
    played.watches = [gone, stayed]
    found = failover.measured(played, procedure, "none", deadline_s=1.0)
    assert found.sample("time_to_detect_s").value == 1.0
    assert found.sample("lost_items").value == (3 + 7) / 2  # due at 2, 3, 4 and at 2 to 8
    assert found.sample("goodput_per_s").value == pytest.approx(3 / 8.0)
    assert found.sample("age_p99_s").value == pytest.approx(6.2, abs=0.05)
    assert found.sample("time_to_recover_s").value == pytest.approx(0.2, abs=0.05)
    played.watches = [stayed]
    asleep = failover.measured(played, procedure, "none", deadline_s=1.0)
    assert asleep.document()["time_to_detect_s"]["reason"] == "nobody noticed"


def test_items_and_answers_are_told_apart_wherever_reads_end():
    async def story():
        watch = failover.Watch()
        watcher = failover.Watcher(None, Account("a", "x"), watch, [1.0])
        watcher.listens = True
        for part in (
            b"<message><item id='liv",
            b"e-7'/></message><iq id=\"beat-",
            b"3\" type='e'/>",
        ):
            watcher.bytes_received(part, 3_000_000_000, 0)
        return watch.items_s, watcher.answered

    assert asyncio.run(story()) == ({7: 2.0}, 3)


def test_what_is_not_played_is_refused():
    _, procedure = laid(alerts=True, second=False, idle=1.0)
    with pytest.raises(LoadError, match=r"alerts: .*\n.*second: .*\n.*idle: .*\n.*fewer accounts"):
        failover.Failover(None, procedure, [], (None, None), 1)


@pytest.mark.real
def test_a_halted_controller_is_left_and_wakes_whatever_happens(shelter):
    topology, procedure = laid(
        platforms=6, rate=10.0, start=0.3, silence=3.0, heartbeat=0.6, answer_within=0.3,
        duration=3.0,
    )  # fmt: skip
    topology = varied(topology, ["platforms[archive].count=6", "platforms[firewall].count=6"])
    with deployment.ephemeral(casting.bare(topology), options=Options(scram="SHA-1")) as grid:
        pairs, doors = casting.pairs_on(grid, topology)
        failing = failover.Failover(grid, procedure, pairs, doors, 1)
        asyncio.run(failing.play())
        for each in failing.watches:
            assert 0.3 <= each.noticed_s - failing.start_s < 1.5  # 0.9 s, and a busy machine
            assert each.noticed_s < each.online_s < math.inf
            assert max(each.items_s.values()) > each.online_s
        threading.Timer(1.5, (grid.directory / "STOP").touch).start()
        begun_s = time.monotonic()
        endless = failover.Failover(
            grid, procedure.model_copy(update={"duration": 60.0}), pairs, doors, 2
        )
        with pytest.raises(LoadError, match="STOP"):
            asyncio.run(unless_stopped(grid, endless.play()))
        assert time.monotonic() - begun_s < 1.5 + 2.0
        status = Path(f"/proc/{grid.server_pid('cert')}/stat").read_text()
        assert status.rpartition(")")[2].split()[0] != "T"
