"""Platforms that ask for everything: what is counted, what is refused, and a small play."""

import asyncio
import threading
import time

import numpy as np
import pytest

from loadtest import asking, deployment
from loadtest.caller import Account, Listener
from loadtest.casting import bare, door_of
from loadtest.herd import unless_stopped
from loadtest.problems import LoadError
from loadtest.server import Options
from results import pacing
from topologies import overlays
from topologies.loading import varied


def laid(**changes):
    scenario = overlays.scenario("S-BIGQ", None, ["none"], real=True)
    return scenario.attacked["none"], scenario.procedures["none"].model_copy(update=changes)


def test_a_publication_is_there_with_its_last_copy():
    _, procedure = laid(receivers=2, duration=10.0, publication=0.01)
    found = asking.Inquiry(
        intended_ns={0: 0, 1: 10**9, 2: 2 * 10**9, 3: 9 * 10**9},
        come_ns={0: [10**7, 2 * 10**7], 1: [11 * 10**8, 31 * 10**8], 2: [21 * 10**8]},
        syncs_s=[0.1, 0.3],
        answers_bytes=[1000, 1000],
        asked=3,  # one is on its way
        used_s=0.24,
        memory_bytes=[5e6, 8e6, 6e6],
    )
    shown = asking.measured(found, procedure, "none", deadline_s=1.0)
    assert shown.sample("goodput_per_s").value == 2 * 1 / 10.0  # one in time; one is incomplete
    assert shown.sample("answer_cpu_s").value == pytest.approx((0.24 - 4 * 0.01) / 3)
    assert shown.sample("requests_per_s").value == 0.2
    assert shown.sample("sync_s").value == pytest.approx(0.2)
    assert shown.sample("peak_memory_bytes").value == 3e6
    assert ["instead of 3.6 as in the pilot" in each for each in shown.doubts] == [True]
    late = asking.measured(
        asking.Inquiry(memory_bytes=[0.0], late_s=0.05), procedure, "none", deadline_s=1.0
    )
    assert ["late by 0.05 s" in each for each in late.doubts] == [True]


def test_a_play_says_how_much_slower_its_core_was_than_the_pilots():
    _, procedure = laid(receivers=1, duration=10.0)
    paces = [[0.0, 1e7], [4.0, 5e6]]
    found = asking.Inquiry(memory_bytes=[0.0], pace_per_s=8e6, paces=paces)
    shown = asking.measured(found, procedure, "none", 1.0, piloted_per_s=1e7)
    assert shown.slower == ((0.0, 1.0), (4.0, pytest.approx(2.0**pacing.EXPONENT)))
    assert shown.sample("pace_per_s").value == 8e6
    for unknown in (None, 1e7):
        found = asking.Inquiry(memory_bytes=[0.0], pace_per_s=None if unknown else 8e6, paces=paces)
        assert not asking.measured(found, procedure, "none", 1.0, piloted_per_s=unknown).slower


def test_answers_of_many_records_end_with_the_last():
    async def story():
        asker = asking.Asker(None, Account("a", "x"))
        waiting = asyncio.ensure_future(asker.ask("b", "<x/>"))
        await asyncio.sleep(0)
        for part in (b"<iq><item>&lt;/iq></item>", b"<item/>", b"</iq>"):
            asker.bytes_received(part, 0, 0)
        return await waiting

    assert asyncio.run(story()) == len(b"<iq><item>&lt;/iq></item><item/></iq>")


def test_copies_are_stamped_when_they_are_whole():
    async def story():
        found = asking.Inquiry()
        listener = Listener(None, Account("a", "x"), found.copy_came)
        listener.listen()
        listener.bytes_received(b"<message><item id='live-7'/></mess", 1, 0)
        listener.bytes_received(b"age><message><item id='live-8'/></message><mes", 2, 0)
        for instant_ns, piece in enumerate((b"sage><item id='live-9'/></mess", b"a", b"ge>"), 3):
            listener.bytes_received(piece, instant_ns, 0)
        return found.come_ns

    assert asyncio.run(story()) == {7: [2], 8: [2], 9: [5]}


@pytest.mark.real
def test_what_is_asked_is_answered_and_paid_for_until_somebody_says_stop(shelter):
    topology, procedure = laid(askers=2, receivers=3, items=40, think=0.1, rate=20.0, duration=2.0)
    topology = varied(topology, ["platforms[analyst].count=5"])
    with deployment.ephemeral(bare(topology), options=Options(scram="SHA-1")) as grid:
        passwords = grid.credentials()
        names = [f"analyst-{place}" for place in range(5)]
        accounts = [Account(each, passwords[f"{each}@grid.test"]) for each in names]
        hall = asking.Hall(grid, procedure, door_of(grid, topology), accounts, 1)
        asyncio.run(hall.play())
        found = hall.found
        assert len(found.syncs_s) > 4
        assert np.min(found.answers_bytes) > 40 * procedure.size
        whole = [len(found.come_ns.get(each, ())) for each in found.intended_ns]
        assert whole[:-2] == [3] * (len(whole) - 2)  # the last may be on their way at the end
        assert found.used_s > 0.0
        threading.Timer(1.0, (grid.directory / "STOP").touch).start()
        begun_s = time.monotonic()
        endless = asking.Hall(grid, procedure, door_of(grid, topology), accounts, 2)
        with pytest.raises(LoadError, match="STOP"):
            asyncio.run(unless_stopped(grid, endless.pilot()))
        assert time.monotonic() - begun_s < 1.0 + 2.0


def test_what_no_server_has_is_refused():
    with pytest.raises(
        LoadError, match=r"page: .*\n.*per_minute: .*\n.*receivers: there are fewer"
    ):
        asking.Hall(None, laid(page=20, per_minute=2)[1], None, [], 1)
