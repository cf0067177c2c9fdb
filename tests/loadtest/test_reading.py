"""Bursty readers of a topology: who they are, and that they rest and read in turn."""

import asyncio
from types import SimpleNamespace

import pytest

from loadtest import reading
from loadtest.receiving import ActingReceivers
from topologies import overlays


def laid():
    return overlays.scenario("S-SLOW", None, ["none"], real=True).attacked["none"]


def test_servers_are_deployed_without_what_is_played():
    topology = laid()
    plain = reading.deployed(topology)
    assert all(each.reader is None for each in plain.platforms)
    assert all(each.queue is None for each in plain.controllers)
    script = reading.script(topology, 7)
    first = sum(each.count for each in topology.platforms[:-1])
    assert script.parameters == {"readers": [[first, 10, 1.0, 3600.0]]}
    assert (script.receivers, script.end_s) == (reading.NAME, 30.0)
    assert reading.script(plain, 7) is None


@pytest.mark.parametrize("end_s", [0.02, 0.55])
def test_readers_read_and_rest_in_turn_and_read_again_when_all_is_over(end_s):
    """0.1 s of reading and 0.2 s of rest, wherever the first of them falls."""
    seen = []

    async def story():
        transport = SimpleNamespace(
            pause_reading=lambda: seen.append("rest"), resume_reading=lambda: seen.append("read")
        )
        share = SimpleNamespace(script=SimpleNamespace(seed=3))
        bursts = asyncio.ensure_future(
            ActingReceivers._bursts(share, 5, transport, on_s=0.1, off_s=0.2)
        )
        await asyncio.sleep(end_s)
        bursts.cancel()
        await asyncio.gather(bursts, return_exceptions=True)

    asyncio.run(story())
    assert seen == ["rest", "read"] * (len(seen) // 2)
    assert (len(seen) > 2) or end_s < 0.1
