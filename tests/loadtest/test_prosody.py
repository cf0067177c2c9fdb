"""Prosody as deployed: what it reads is what was written, and it serves whom it should."""

import asyncio
import contextlib
import os
import ssl
import subprocess

import psutil
import pytest
from sessions import WITHIN_S, Session, play
from slixmpp.xmlstream import ET

import topologies
from loadtest import deployment, prosody


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


@pytest.fixture
def grid(small, shelter):
    return deployment.up(small)


@pytest.mark.real
def test_the_server_is_configured_as_the_profiles_assume(grid, tmp_path):
    """No limits, no stream management, no federation; nothing but its two ports; TLS 1.3.

    No write waits for an acknowledgement.
    """
    served = grid.document()["controllers"]["alpha"]
    calls = tmp_path / "calls"
    command = ["strace", "-f", "-e", "trace=setsockopt", "-o", calls, "-p", str(served["pid"])]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert "attached" in tracer.stderr.readline()

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

    try:
        text, version = play(features())
    finally:
        tracer.terminate()
        tracer.communicate(timeout=WITHIN_S)
    assert "TCP_NODELAY, [1]" in calls.read_text()
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
