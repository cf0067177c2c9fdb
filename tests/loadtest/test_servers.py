"""What both servers do for a topology: who may log in, publish, subscribe; what a Topic keeps."""

import asyncio

import pytest
from sessions import WITHIN_S, Session, play
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

REFUSED = {"prosody": "forbidden", "ejabberd": "not-allowed"}  # to subscribe to a whitelist


@pytest.fixture
def grid(grid_of_each):
    return grid_of_each[1]


@pytest.mark.real
def test_a_publication_reaches_a_subscriber_over_verified_tls(grid):
    async def story():
        received = asyncio.Queue()
        async with Session(grid, "tool-0") as tool, Session(grid, "sensor-0") as sensor:
            tool.client.add_event_handler("pubsub_publish", received.put_nowait)
            await tool.pubsub.subscribe("broker.alpha.test", "indicators")
            payload = ET.fromstring("<beacon xmlns='urn:test'>seen</beacon>")
            await sensor.pubsub.publish(
                "broker.alpha.test", "indicators", id="item-1", payload=payload
            )
            message = await asyncio.wait_for(received.get(), WITHIN_S)
        assert message["type"] == "headline"
        item = message["pubsub_event"]["items"]["item"]
        assert (item["id"], item["payload"].text) == ("item-1", "seen")

    play(story())


@pytest.mark.real
def test_who_may_do_what_follows_from_the_topology(grid_of_each):
    server, grid = grid_of_each

    async def allowed(localpart, act):
        async with Session(grid, localpart, tls="starttls") as session:
            try:
                await act(session.pubsub)
            except IqError as error:
                return error.condition
            return "allowed"

    def publish(node):
        payload = ET.fromstring("<beacon xmlns='urn:test'/>")
        return lambda pubsub: pubsub.publish("broker.alpha.test", node, payload=payload)

    def subscribe(node):
        return lambda pubsub: pubsub.subscribe("broker.alpha.test", node)

    async def story():
        return [
            await allowed("sensor-0", publish("indicators")),
            await allowed("tool-0", publish("indicators")),
            await allowed("insider-0", subscribe("secrets")),
            await allowed("tool-0", subscribe("secrets")),
            await allowed("sensor-0", publish("secrets")),
            await allowed("insider-0", publish("secrets")),
            await allowed("tool-0", lambda p: p.create_node("broker.alpha.test", "own")),
        ]

    assert play(story()) == [
        "allowed",
        "forbidden",
        "allowed",
        REFUSED[server],
        "allowed",
        "forbidden",
        "forbidden",
    ]


@pytest.mark.real
def test_the_owner_reads_back_the_configuration_and_only_the_newest_items_stay(grid):
    async def story():
        async with Session(grid, "sensor-0") as sensor:
            for k in range(5):
                payload = ET.fromstring(f"<beacon xmlns='urn:test'>{k}</beacon>")
                await sensor.pubsub.publish(
                    "broker.alpha.test", "secrets", id=f"item-{k}", payload=payload
                )
        async with Session(grid, "admin") as admin:
            configuration = await admin.pubsub.get_node_config("broker.alpha.test", "secrets")
            items = await admin.pubsub.get_items("broker.alpha.test", "secrets")
        form = configuration["pubsub_owner"]["configure"]["form"].get_values()
        return form, {item["id"] for item in items["pubsub"]["items"]}

    form, items = play(story())
    settings = {name.removeprefix("pubsub#"): value for name, value in form.items()}
    assert settings["access_model"] == "whitelist"
    assert settings["publish_model"] == "publishers"
    assert settings["persist_items"] is True
    assert settings["max_items"] == "3"
    assert settings["send_last_published_item"] == "never"
    assert settings["notify_retract"] is False
    assert settings["deliver_payloads"] is True
    assert settings["notification_type"] == "headline"
    assert items == {"item-2", "item-3", "item-4"}


@pytest.mark.real
def test_a_wrong_password_and_a_wrong_authority_are_refused(grid, tmp_path):
    from loadtest.authority import Authority

    (tmp_path / "other.pem").write_bytes(Authority().certificate_pem)

    async def refused(**wrong):
        async with Session(grid, "tool-0", tls="starttls", **wrong):
            return "let in"

    with pytest.raises(ConnectionError, match="failed_all_auth"):
        play(refused(password="wrong"))
    with pytest.raises(ConnectionError, match="ssl_invalid_chain"):
        play(refused(trust=tmp_path / "other.pem"))
