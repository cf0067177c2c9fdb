"""Revoked is revoked: neither server leaves a way in once all three steps are done."""

import asyncio

import jsonschema
import pytest

import topologies
from gridlab import typed_schema
from loadtest import deployment, pubsub, revocation
from loadtest.dialogue import Dialogue
from loadtest.problems import DeploymentError
from loadtest.testbed import about, door_of

BROKER = "broker.alpha.test"


async def enter(grid, localpart):
    stream = await Dialogue.open(door_of(grid))
    await stream.authenticate(localpart, grid.credentials()[f"{localpart}@alpha.test"])
    session = await stream.bind("r")
    session.say("<presence/>")
    return session


@pytest.mark.real
@pytest.mark.parametrize("server", ["prosody", "ejabberd"])
@pytest.mark.parametrize("topic", ["indicators", "secrets"])
def test_a_revoked_platform_is_out(topology_file, shelter, server, topic):
    topology = topologies.load(topology_file, [f"controllers[0].profile=test-{server}"])
    options = deployment.Options(administration=True)
    with deployment.ephemeral(topology, options=options) as grid:

        async def story():
            insider, sensor = await enter(grid, "insider-0"), await enter(grid, "sensor-0")
            wish = pubsub.subscribe(topic, insider.bare)
            assert (await insider.ask("set", BROKER, wish)).ok
            await sensor.ask("set", BROKER, pubsub.publish(topic, "before"))
            assert await insider.hear(about(topic, "before"))
            done = await asyncio.to_thread(revocation.revoke, grid, "insider-0@alpha.test")
            jsonschema.validate(done.document(), typed_schema("loadtest.documents", "Revoked"))
            assert (done.topics, done.subscriptions, done.sessions_ended) == (2, 1, True)
            await insider.hear(lambda _: insider.closed is not None)
            assert insider.closed is not None
            again = await enter(grid, "insider-0")
            assert (await sensor.ask("set", BROKER, pubsub.publish(topic, "after"))).ok
            assert not (await again.ask("set", BROKER, wish)).ok
            assert await again.hear(about(topic, "after"), within_s=0.8) is None
            for session in (again, sensor):
                await session.leave()

        asyncio.run(asyncio.wait_for(story(), 40))


@pytest.mark.real
def test_without_administration_the_way_to_it_is_told(shared_grid):
    with pytest.raises(DeploymentError, match=r"no account nobody@alpha\.test"):
        revocation.revoke(shared_grid, "nobody@alpha.test")
    with pytest.raises(DeploymentError, match=r"Options\(administration=True\)"):
        revocation.revoke(shared_grid, "tool-1@alpha.test")


@pytest.mark.real
def test_topics_that_the_list_of_the_server_leaves_out_are_not_forgotten(topology_file, shelter):
    """ejabberd lists a hundred at most, and says nothing of the others."""
    count = 130
    text = topology_file.read_text()
    more = "".join(
        f"  - {{name: more-{k}, broker: broker, payload: {{size: 500 B}}}}\n" for k in range(count)
    )
    names = ", ".join(f"more-{k}" for k in range(count))
    text = text.replace("publishes: [indicators,", f"publishes: [{names}, indicators,")
    topology_file.write_text(text.replace("platforms:\n", f"{more}platforms:\n"))
    topology = topologies.load(topology_file, ["controllers[0].profile=test-ejabberd"])
    options = deployment.Options(administration=True)
    with deployment.ephemeral(topology, options=options) as grid:
        done = revocation.revoke(grid, "tool-0@alpha.test")
    assert done.topics == count + 2
