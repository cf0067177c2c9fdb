"""Two ejabberd nodes that share a domain: one Broker, sessions on both, nothing left behind."""

import asyncio
import dataclasses
from pathlib import Path

import psutil
import pytest

import topologies
from loadtest import deployment, engine, pubsub
from loadtest.activity import read
from loadtest.dialogue import Dialogue, Silence
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


def ours(process, served):
    """Whether a process was started for one of the servers: it has the home of one."""
    homes = {psutil.Process(pid).environ()["HOME"] for pid in served["pids"]}
    try:
        return process.environ().get("HOME") in homes
    except (psutil.AccessDenied, psutil.NoSuchProcess):  # somebody else's, or gone
        return False


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
        assert ours(psutil.Process(pid), served)
    mappers = [each for each in psutil.process_iter(["name"]) if each.info["name"] == "epmd"]
    assert not [each for each in mappers if ours(each, served)]  # Tsung starts one elsewhere
    deployment.down()
    assert traces() == []


@pytest.mark.real
def test_one_proxy_stands_before_all_nodes_and_limits_addresses_over_them(topology_file, shelter):
    changes = ["profile=test-ejabberd", "nodes=2", "limits.address={connections: 2, per: 1 h}"]
    wishes = [f"controllers[0].{each}" for each in changes]
    with deployment.ephemeral(topologies.load(topology_file, wishes)) as grid:
        served = grid.document()["controllers"]["alpha"]
        doors, proxy = served["addresses"], grid.proxy("alpha")
        assert len({*doors, served["server_address"]}) == 3

        async def story():
            tools = [await enter(grid, f"tool-{k}", each) for k, each in enumerate(doors)]
            with pytest.raises((Silence, OSError)):
                await enter(grid, "sensor-0", doors[1])
            for tool in tools:
                await tool.leave()

        asyncio.run(asyncio.wait_for(story(), 30))
        counts = proxy.counts()
        assert (counts["accepted"], counts["refused"], counts["failed"]) == (2, 1, 0)


@pytest.mark.real
def test_load_comes_to_every_node(clustered, shelter):
    with deployment.ephemeral(clustered, options=deployment.Options(activity=True)) as grid:
        run = engine.play(clustered, grid, seed=1, duration_s=3)
        places = [Path(each).parent for each in grid.document()["activity_files"]]
        came = [[each["jid"] for each in read([place / "activity.log"])] for place in places]
    assert run.header.measurement["ledger"]["lost"] == 0
    assert run.header.measurement["ledger"]["delivered"] > 0
    assert any("tool-0@" in jid for jid in came[1]) != any("tool-0@" in jid for jid in came[0])
    assert any("tool-1@" in jid for jid in came[0]) != any("tool-1@" in jid for jid in came[1])
    assert all(came)


def test_prosody_forms_no_clusters(topology_file, traces):
    with pytest.raises(DeploymentError, match="prosody forms no clusters"):
        deployment.up(topologies.load(topology_file, ["controllers[0].nodes=2"]))
    assert traces() == []
