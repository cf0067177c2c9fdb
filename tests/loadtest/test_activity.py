"""What Platforms do is noted: who, when, which Topic, and how it ended; for their owner's eyes."""

import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

import topologies
from gridlab import cli, typed_schema
from loadtest import activity, deployment, pubsub
from loadtest.dialogue import Dialogue, Silence
from loadtest.problems import DeploymentError
from loadtest.testbed import door_of

BROKER = "broker.alpha.test"


async def enter(grid, localpart):
    stream = await Dialogue.open(door_of(grid))
    await stream.authenticate(localpart, grid.credentials()[f"{localpart}@alpha.test"])
    return await stream.bind("r")


async def story(grid):
    sensor, tool, owner = [await enter(grid, each) for each in ("sensor-0", "tool-0", "admin")]
    wrong = await Dialogue.open(door_of(grid))
    with pytest.raises(Silence):
        await wrong.authenticate("tool-1", "not its password")
    for session, wish in (
        (tool, pubsub.subscribe("indicators", tool.bare)),
        (sensor, pubsub.publish("secrets", 'forged","outcome":"')),
        (tool, pubsub.publish("indicators", "not-mine")),
        (sensor, pubsub.retract("secrets", 'forged","outcome":"')),
        (owner, pubsub.affiliate("secrets", tool.bare, "member")),
        (tool, pubsub.unsubscribe("indicators", tool.bare)),
    ):
        await session.ask("set", BROKER, wish)
    for session in (sensor, tool, owner, wrong):
        await session.leave()


DEEDS = [
    ("tool-0", "subscribe", "indicators", "account", "tool-0@alpha.test", "ok"),
    ("sensor-0", "publish", "secrets", "item", 'forged","outcome":"', "ok"),
    ("tool-0", "publish", "indicators", "item", "not-mine", "forbidden"),
    ("sensor-0", "retract", "secrets", "item", 'forged","outcome":"', "ok"),
    ("admin", "affiliations", "secrets", "state", "member", "ok"),
    ("tool-0", "unsubscribe", "indicators", "account", "tool-0@alpha.test", "ok"),
]


async def settled(grid):
    """The log once all three have left: a server notes it in its own time."""
    for _ in range(100):
        entries = grid.activity()
        if sum(each["action"] == "logout" for each in entries) >= 3:
            return entries
        await asyncio.sleep(0.05)
    raise AssertionError(entries)


@pytest.mark.real
@pytest.mark.parametrize(
    ("server", "kind"),
    [("prosody", "in-process"), ("ejabberd", "in-process"), ("prosody", "component")],
)
def test_each_deed_is_one_line(topology_file, shelter, server, kind):
    wishes = [f"controllers[0].profile=test-{server}", f"brokers[0].kind={kind}"]
    options = deployment.Options(activity=True)
    began = datetime.now(UTC) - timedelta(milliseconds=1)
    with deployment.ephemeral(topologies.load(topology_file, wishes), options=options) as grid:

        async def all_of_it():
            await story(grid)
            return await settled(grid)

        entries = asyncio.run(asyncio.wait_for(all_of_it(), 30))
        for path in map(Path, grid.document()["activity_files"]):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        shown = CliRunner().invoke(cli, ["grid", "log", "--name", grid.name, "--json"])
        document = json.loads(shown.stdout)
        assert document["entries"] == entries
        jsonschema.validate(document, typed_schema("loadtest.documents", "Log"))
        told = CliRunner().invoke(
            cli, ["grid", "log", "--name", grid.name, "--account", "tool-0@alpha.test"]
        )
    assert told.exit_code == 0
    assert len(told.stdout.splitlines()) == 5, told.stdout
    assert "publish: broker broker.alpha.test topic indicators" in told.stdout
    for each in entries:
        assert began <= datetime.fromisoformat(each["at"]) <= datetime.now(UTC)
        assert set(each) <= set(activity.FIELDS)
    logins = [each for each in entries if each["action"] == "login"]
    assert sorted((each["jid"], each["outcome"]) for each in logins) == [
        ("admin@alpha.test/r", "ok"),
        ("sensor-0@alpha.test/r", "ok"),
        ("tool-0@alpha.test/r", "ok"),
        ("tool-1@alpha.test", "not-authorized"),
    ]
    assert all(each["address"].startswith("127.") for each in logins)
    for who, action, topic, named, value, outcome in DEEDS:
        assert [
            each["outcome"]
            for each in entries
            if (each["jid"], each["action"], each.get("topic"), each.get(named))
            == (f"{who}@alpha.test/r", action, topic, value)
        ] == [outcome], (who, action, entries)
    assert len(entries) == len(DEEDS) + 4 + 3


@pytest.mark.real
def test_without_it_the_way_to_it_is_told(shared_grid):
    with pytest.raises(DeploymentError, match="gridlab grid up --activity"):
        shared_grid.activity()


def test_a_terminal_is_not_steered():
    entry = {"at": "now", "jid": "a@b", "action": "publish", "topic": "x\x1b[2J", "outcome": "ok"}
    assert "\x1b" not in activity.render(entry)
