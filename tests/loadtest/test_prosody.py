"""Prosody as deployed: what it reads is what was written, and it serves whom it should."""

import asyncio
import contextlib
import os
import ssl
import subprocess

import psutil
import pytest
import slixmpp
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET

import topologies
from loadtest import deployment, prosody

PUBSUB = "http://jabber.org/protocol/pubsub"
WITHIN_S = 10.0
FAILURES = ("failed_all_auth", "connection_failed", "ssl_invalid_chain", "stream_error")


def test_lua_reads_back_what_is_written():
    values = {"plain": "a-b.c", "odd": 'quote" back\\ new\nline nul\0 é', "yes": True, "n": -3}
    program = (
        f"local t = {prosody.lua({**values, 'deep': {'no': False}})}\n"
        "assert(t.plain == 'a-b.c' and t.yes == true and t.n == -3 and t.deep.no == false)\n"
        "io.write(t.odd)"
    )
    run = subprocess.run(["lua5.4", "-"], input=program.encode(), capture_output=True, timeout=10)
    assert run.stdout.decode() == values["odd"], run.stderr


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("alpha.test", "alpha%2etest"),
        ("tool-12", "tool%2d12"),
        ("under_score", "under%5fscore"),
        ("../x", "%2e%2e%2fx"),
        ("é", "%c3%a9"),
    ],
)
def test_names_become_file_names_as_prosody_spells_them(name, spelling):
    assert prosody.data_name(name) == spelling


def test_only_root_changes_the_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert prosody.Prosody().user() is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert prosody.Prosody().user() == "prosody"


class Session:
    """A Platform that is logged in; `login` raises ConnectionError with the reason it is not."""

    def __init__(self, grid, localpart, *, password=None, tls="direct", trust=None):
        self._served = grid.document()["controllers"]["alpha"]
        jid = f"{localpart}@{self._served['domain']}"
        trusted = ssl.create_default_context(cafile=trust or self._served["ca_file"])
        self.client = slixmpp.ClientXMPP(
            f"{jid}/grid",
            password or grid.credentials()[jid],
            sasl_mech="SCRAM-SHA-256",
            ssl_context=trusted,
        )
        self.client.enable_direct_tls = tls == "direct"
        self.client.enable_starttls = tls != "direct"
        self.client.register_plugin("xep_0060")
        self.pubsub = self.client.plugin["xep_0060"]
        self._port = self._served["direct_tls_port" if tls == "direct" else "port"]

    async def __aenter__(self):
        outcome = asyncio.get_running_loop().create_future()

        def settle(event, _=None):
            if not outcome.done():
                outcome.set_result(event)

        for event in ("session_start", *FAILURES):
            self.client.add_event_handler(event, lambda _, event=event: settle(event))
        self.client.connect(self._served["address"], self._port)
        event = await asyncio.wait_for(outcome, WITHIN_S)
        if event != "session_start":
            self.client.abort()
            raise ConnectionError(event)
        self.client.send_presence()
        return self

    async def __aexit__(self, *_):
        await self.client.disconnect(wait=0.5)


@pytest.fixture
def grid(small, shelter):
    return deployment.up(small)


def play(story):
    return asyncio.run(asyncio.wait_for(story, 20))


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
def test_who_may_do_what_follows_from_the_topology(grid):
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
        "forbidden",
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


@pytest.mark.real
def test_the_server_is_configured_as_the_profiles_assume(grid):
    """No limits, no stream management, no federation; nothing but its two ports; TLS 1.3."""
    served = grid.document()["controllers"]["alpha"]

    async def features():
        trusted = ssl.create_default_context(cafile=served["ca_file"])
        reader, writer = await asyncio.open_connection(
            served["address"],
            served["direct_tls_port"],
            ssl=trusted,
            server_hostname=served["domain"],
        )
        writer.write(
            b"<stream:stream to='alpha.test' version='1.0' xmlns='jabber:client' "
            b"xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        text = await asyncio.wait_for(reader.readuntil(b"</stream:features>"), WITHIN_S)
        version = writer.get_extra_info("ssl_object").version()
        writer.close()
        with contextlib.suppress(ssl.SSLError):
            await writer.wait_closed()
        return text.decode(), version

    text, version = play(features())
    assert version == "TLSv1.3"
    assert "SCRAM-SHA-256" in text
    assert "urn:xmpp:sm" not in text
    assert served["version"].startswith("0.12")
    sockets = psutil.Process(served["pid"]).net_connections("inet")
    listening = {tuple(each.laddr) for each in sockets if each.status == psutil.CONN_LISTEN}
    assert listening == {
        (served["address"], served["port"]),
        (served["address"], served["direct_tls_port"]),
    }


@pytest.mark.real
def test_an_unusable_topic_name_cannot_reach_another_file(topology_file, shelter):
    text = topology_file.read_text().replace("name: secrets", "name: s..e.crets")
    topology_file.write_text(
        text.replace("secrets]", "s..e.crets]").replace("topic: secrets", "topic: s..e.crets")
    )
    grid = deployment.up(topologies.load(topology_file))

    async def story():
        async with Session(grid, "sensor-0") as sensor:
            await sensor.pubsub.publish(
                "broker.alpha.test", "s..e.crets", payload=ET.fromstring("<b xmlns='urn:t'/>")
            )

    play(story())
