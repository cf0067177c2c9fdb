"""A Controller behind its fault proxy: sessions pass through it, and are disturbed on request."""

import asyncio

import pytest
from sessions import Session, play

from loadtest import deployment
from loadtest.disturbance import Disturbance
from loadtest.problems import DeploymentError, LoadError

PROXIED = deployment.Options(proxied=True)


@pytest.mark.real
def test_sessions_pass_through_and_are_cut_on_request(small, traces):
    grid = deployment.up(small, "behind", options=PROXIED)
    served = grid.document()["controllers"]["alpha"]
    assert served["address"] != served["server_address"]
    proxy = grid.proxy("alpha")

    async def story():
        ended = asyncio.Event()
        async with Session(grid, "tool-0") as session:
            session.client.add_event_handler("disconnected", lambda _: ended.set())
            proxy.disturb(Disturbance(corrupt_every_bytes=50))
            session.client.send_raw("<presence/>")
            await asyncio.wait_for(ended.wait(), 10)
        proxy.calm()
        async with Session(grid, "tool-1", tls="starttls"):
            assert proxy.counts()["connections"] == 1
            assert proxy.cut() == 1
        async with Session(grid, "tool-0"):
            proxy.disturb(Disturbance(refused=True))
            with pytest.raises(ConnectionError):
                async with Session(grid, "tool-1"):
                    pass

    play(story())
    counts = proxy.counts()
    assert (counts["accepted"], counts["cut"]) == (3, 1)
    assert counts["damaged"] > 0
    assert counts["refused"] > 0
    with pytest.raises(LoadError, match="delay_s: 99 is not between"):
        proxy._ask({"disturb": {"delay_s": 99}})
    deployment.down("behind")
    assert traces() == []
    with pytest.raises(DeploymentError, match="does not answer"):
        proxy.counts()


@pytest.mark.real
def test_a_proxy_that_dies_is_reported_as_a_server_is(small, shelter):
    import psutil

    grid = deployment.up(small, options=PROXIED)
    supervisor = psutil.Process(grid.document()["supervisor_pid"])
    ours = [each for each in supervisor.children() if "loadtest.front" in each.cmdline()]
    ours[0].kill()
    for _ in range(200):
        if grid.document()["state"] == "failed":
            break
        asyncio.run(asyncio.sleep(0.02))
    assert 'controller "proxy of alpha"' in grid.document()["problem"]


@pytest.mark.real
def test_without_a_proxy_the_way_to_one_is_told(shared_grid):
    with pytest.raises(DeploymentError, match=r"has no proxy .*--proxied"):
        shared_grid.proxy("alpha")
