"""Two ejabberd nodes that share a domain: one Broker, sessions on both, nothing left behind."""

import asyncio
import dataclasses
from pathlib import Path

import psutil
import pytest

import topologies
from loadtest import deployment, pubsub
from loadtest.dialogue import Dialogue
from loadtest.problems import DeploymentError
from loadtest.testbed import about, door_of


@pytest.fixture
def clustered(topology_file):
    """The small grid on two ejabberd nodes."""
    return topologies.load(
        topology_file, ["controllers[0].profile=test-ejabberd", "controllers[0].nodes=2"]
    )


async def enter(grid, localpart, address):
    stream = await Dialogue.open(dataclasses.replace(door_of(grid), address=address))
    await stream.authenticate(localpart, grid.credentials()[f"{localpart}@alpha.test"])
    session = await stream.bind("r")
    session.say("<presence/>")
    return session


@pytest.mark.real
def test_what_is_published_on_one_node_reaches_subscribers_on_the_other(clustered, traces):
    grid = deployment.up(clustered)
    served = grid.document()["controllers"]["alpha"]
    first, second = served["addresses"]
    assert first == served["address"] != second

    async def story():
        tools = [await enter(grid, f"tool-{k}", each) for k, each in enumerate((first, second))]
        sensor = await enter(grid, "sensor-0", second)
        for tool in tools:
            wish = pubsub.subscribe("indicators", tool.bare)
            assert (await tool.ask("set", "broker.alpha.test", wish)).ok
        said = pubsub.publish("indicators", "item-1")
        assert (await sensor.ask("set", "broker.alpha.test", said)).ok
        heard = [await tool.hear(about("indicators", "item-1")) for tool in tools]
        for session in (*tools, sensor):
            await session.leave()
        return all(heard)

    assert asyncio.run(asyncio.wait_for(story(), 30))
    for pid, address in zip(served["pids"], served["addresses"], strict=True):
        sockets = psutil.Process(pid).net_connections("inet")
        listening = {each.laddr for each in sockets if each.status == psutil.CONN_LISTEN}
        assert listening == {(address, port) for port in (5222, 5223, 4370)}
        words = psutil.Process(pid).cmdline()
        cookie = Path(psutil.Process(pid).cwd(), ".erlang.cookie")
        assert cookie.stat().st_mode & 0o777 in (0o400, 0o600)
        assert cookie.read_text() not in " ".join(words)
    assert not [each for each in psutil.process_iter(["name"]) if each.info["name"] == "epmd"]
    deployment.down()
    assert traces() == []


def test_prosody_forms_no_clusters(topology_file, traces):
    with pytest.raises(DeploymentError, match="prosody forms no clusters"):
        deployment.up(topologies.load(topology_file, ["controllers[0].nodes=2"]))
    assert traces() == []
