"""Controllers federate: what is published on one reaches subscribers of the other, both ways."""

import asyncio
import ctypes
import multiprocessing
import os
import socket
import ssl
from pathlib import Path

import psutil
import pytest
from sessions import WITHIN_S, Session, play
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import ET

import topologies
from loadtest import deployment, namespace, pubsub
from loadtest.dialogue import Dialogue, Door

PR_SET_DUMPABLE = 4
PAIR = """
schema: 1
name: pair
controllers:
  - {name: alpha, domain: alpha.test, profile: test-prosody}
  - {name: beta, domain: beta.test, profile: test-prosody}
brokers:
  - {name: north, controller: alpha}
  - {name: south, controller: beta}
topics:
  - {name: up, broker: north, payload: {size: 500 B}, access: whitelist}
  - {name: down, broker: south, payload: {size: 500 B}}
platforms:
  - {name: sender, count: 1, controller: alpha, publishes: [up, down], subscribes: [down]}
  - {name: reader, count: 1, controller: beta, publishes: [up, down], subscribes: [up]}
  - {name: stranger, count: 1, controller: beta}
workload:
  duration: 2 s
  arrivals: [{topic: up, by: sender, process: poisson, rate: 5/s}]
"""


@pytest.fixture
def pair(topology_file):
    """Callable: a topology of two Controllers with the servers named."""

    def described(*servers):
        changes = [f"controllers[{k}].profile=test-{each}" for k, each in enumerate(servers)]
        path = topology_file.with_name("pair.yaml")
        path.write_text(PAIR)
        return topologies.load(path, changes)

    return described


async def published_arrives(grid, publisher, subscriber, broker, node):
    """Whether an item that one account publishes reaches another that subscribes."""
    received = asyncio.Queue()
    async with Session(grid, subscriber) as reader, Session(grid, publisher) as writer:
        reader.client.add_event_handler("pubsub_publish", received.put_nowait)
        await reader.pubsub.subscribe(broker, node)
        payload = ET.fromstring("<beacon xmlns='urn:test'>seen</beacon>")
        await writer.pubsub.publish(broker, node, id="item-1", payload=payload)
        message = await asyncio.wait_for(received.get(), WITHIN_S)
        await reader.pubsub.unsubscribe(broker, node)
    return str(message["from"]) == broker and message["pubsub_event"]["items"]["item"]["id"]


@pytest.mark.real
@pytest.mark.parametrize(
    "servers", [("prosody", "ejabberd"), ("ejabberd", "ejabberd"), ("prosody", "prosody")]
)
def test_an_item_reaches_the_other_controller_in_both_directions(pair, traces, servers):
    grid = deployment.up(pair(*servers))
    alpha, beta = "sender-0@alpha.test", "reader-0@beta.test"

    async def story():
        return [
            await published_arrives(grid, alpha, beta, "north.alpha.test", "up"),
            await published_arrives(grid, beta, alpha, "south.beta.test", "down"),
            # Publishing at the other's Broker, received at home.
            await published_arrives(grid, beta, beta, "north.alpha.test", "up"),
        ]

    assert play(story()) == ["item-1"] * 3
    for served in grid.document()["controllers"].values():
        sockets = psutil.Process(served["pid"]).net_connections("inet")
        listening = {each.laddr for each in sockets if each.status == psutil.CONN_LISTEN}
        assert listening == {(served["address"], port) for port in (5222, 5223, 5269)}
        peers = {each.raddr.ip for each in sockets if each.raddr}
        assert all(peer.startswith("127.") for peer in peers)
    deployment.down()
    assert traces() == []


@pytest.mark.real
def test_strangers_and_unknown_domains_are_told_so_at_once(pair, shelter):
    grid = deployment.up(pair("prosody", "ejabberd"))

    async def answer(account, broker, node):
        async with Session(grid, account) as session:
            try:
                await session.pubsub.subscribe(broker, node, timeout=WITHIN_S)
            except (IqError, IqTimeout) as error:
                return error.condition
            return "allowed"

    async def story():
        return [
            await answer("stranger-0@beta.test", "north.alpha.test", "up"),
            await answer("sender-0@alpha.test", "broker.elsewhere.example", "up"),
            await answer("reader-0@beta.test", "broker.elsewhere.example", "up"),
        ]

    assert play(story()) == ["forbidden", "remote-server-not-found", "remote-server-not-found"]


@pytest.mark.real
def test_the_federation_port_must_be_free_too(pair, traces, monkeypatch):
    monkeypatch.setattr("loadtest.addresses._CANDIDATES", 1)
    grid = deployment.up(pair("prosody", "prosody"))
    address = grid.document()["controllers"]["beta"]["address"]
    deployment.down()
    with (
        socket.create_server((address, 5269)),
        pytest.raises(deployment.DeploymentError, match=rf"{address}:5269: .*{os.getpid()}"),
    ):
        deployment.up(pair("prosody", "prosody"))
    assert traces() == []


def look_up(user, own, told):
    """In a process of its own, as `user`: what `/etc/hosts` says once ours is in its place."""
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # as it is for who always was this user
    namespace.show_own_files({"/etc/hosts": str(own)})
    told.put((Path("/etc/hosts").read_text(), os.geteuid()))


@pytest.mark.parametrize("user", [None, 65534])
def test_only_the_server_sees_the_grids_own_hosts(user, shelter):
    if os.geteuid() != 0:
        user = None
    own = shelter / "hosts"
    own.write_text("127.1.2.3 alpha.test\n")
    system = Path("/etc/hosts").read_text()
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    child = context.Process(target=look_up, args=(user, own, told))
    child.start()
    child.join(10)
    assert child.exitcode == 0
    assert told.get() == ("127.1.2.3 alpha.test\n", os.geteuid() if user is None else user)
    assert Path("/etc/hosts").read_text() == system


@pytest.mark.real
def test_a_kernel_that_forbids_namespaces_is_named(pair, traces, monkeypatch):
    """Mounting over what does not exist is refused as a forbidden mount is."""
    from loadtest import ejabberd

    monkeypatch.setattr(ejabberd, "_own_files", lambda site: {"/nowhere/hosts": "/etc/hosts"})
    with pytest.raises(
        deployment.DeploymentError,
        match=r'controller "beta" .*erl cannot be started .*does not let it have an own /nowhere',
    ):
        deployment.up(pair("prosody", "ejabberd"))
    assert traces() == []


@pytest.mark.real
@pytest.mark.parametrize("flaw", ["expired", "wrong-name", "wrong-authority"])
def test_controllers_with_bad_certificates_do_not_federate_and_say_so(pair, shelter, flaw):
    """Each answers for the other at once; nothing is delivered, and nobody waits for ever."""
    options = deployment.Options(server_certificate=flaw)
    grid = deployment.up(pair("prosody", "ejabberd"), options=options)
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    passwords = grid.credentials()

    async def answer(controller, account, broker, node):
        served = grid.document()["controllers"][controller]
        ports = served["port"], served["direct_tls_port"]
        door = Door(served["address"], *ports, served["domain"], blind)
        stream = await Dialogue.open(door)
        try:
            await stream.authenticate(account.partition("@")[0], passwords[account])
            await stream.bind("r")
            reply = await stream.ask("set", broker, pubsub.subscribe(node, account), WITHIN_S)
        finally:
            await stream.leave()
        return "error" if not reply.ok and "remote-server" in reply.text else reply.text

    async def story():
        return [
            await answer("alpha", "sender-0@alpha.test", "south.beta.test", "down"),
            await answer("beta", "reader-0@beta.test", "north.alpha.test", "up"),
        ]

    assert play(story()) == ["error", "error"]
