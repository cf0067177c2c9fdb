"""An external Broker beside each kind of server: what it answers, and that it comes and goes with
its grid."""

import asyncio
import xml.etree.ElementTree as ET

import pytest
from sessions import WITHIN_S, Session, play
from slixmpp.exceptions import IqError

import topologies
from loadtest import deployment, pubsub
from loadtest.component_service import Service
from loadtest.component_stanzas import text
from loadtest.component_topics import Topic
from loadtest.problems import DeploymentError

OWNER = "admin@alpha.test"
BROKER = "broker.alpha.test"


@pytest.fixture
def component_of(topology_file):
    """Callable: the small grid with its Broker as a component of this kind of server."""

    def described(server, *changes):
        wishes = [f"controllers[0].profile=test-{server}", "brokers[0].kind=component"]
        return topologies.load(topology_file, [*wishes, *changes])

    return described


async def published_arrives(grid, publisher, subscriber, topic):
    received = asyncio.Queue()
    async with Session(grid, subscriber) as reader, Session(grid, publisher) as writer:
        reader.client.add_event_handler("pubsub_publish", received.put_nowait)
        await reader.pubsub.subscribe(BROKER, topic)
        payload = ET.fromstring("<beacon xmlns='urn:test'>s&amp;en<x a='1'/></beacon>")
        await writer.pubsub.publish(BROKER, topic, id="item-1", payload=payload)
        message = await asyncio.wait_for(received.get(), WITHIN_S)
        item = message["pubsub_event"]["items"]["item"]
        return item["id"], ET.tostring(item["payload"]) == ET.tostring(payload)


async def refusal(request):
    with pytest.raises(IqError) as refused:
        await request
    return refused.value.condition


@pytest.mark.real
@pytest.mark.parametrize("server", ["prosody", "ejabberd"])
def test_items_reach_subscribers_and_rights_hold(component_of, traces, listens, server):
    grid = deployment.up(component_of(server))
    served = grid.document()["controllers"]["alpha"]
    assert listens(served["address"], 5347)

    async def story():
        assert await published_arrives(grid, "sensor-0", "tool-0", "indicators") == ("item-1", True)
        async with Session(grid, "tool-1") as tool, Session(grid, "insider-0") as insider:
            assert await refusal(tool.pubsub.subscribe(BROKER, "secrets")) == "not-allowed"
            assert await refusal(tool.pubsub.publish(BROKER, "secrets")) == "forbidden"
            await insider.pubsub.subscribe(BROKER, "secrets")
            found = await tool.client.plugin["xep_0030"].get_items(jid=served["domain"])
            assert BROKER in {str(jid) for jid, _, _ in found["disco_items"]["items"]}

    play(story())
    deployment.down()
    assert traces() == []
    assert not listens(served["address"], 5347)


@pytest.mark.real
def test_an_owner_approves_by_form(component_of, shelter):
    grid = deployment.up(component_of("prosody", "topics[0].access=authorize"))
    received = asyncio.Queue()

    async def story():
        async with Session(grid, "admin") as owner, Session(grid, "insider-0") as insider:
            owner.client.add_event_handler("message_xform", received.put_nowait)
            owner.client.register_plugin("xep_0004")
            pending = await insider.pubsub.subscribe(BROKER, "indicators")
            assert pending["pubsub"]["subscription"]["subscription"] == "pending"
            asked = await asyncio.wait_for(received.get(), WITHIN_S)
            said = pubsub.form(
                "submit",
                {"node": "indicators", "subscriber_jid": "insider-0@alpha.test", "allow": "true"},
                f"{pubsub.PUBSUB}#subscribe_authorization",
            )
            owner.client.send_raw(f"<message to='{BROKER}' id='{asked['id']}'>{said}</message>")
            for _ in range(100):
                state = await insider.pubsub.get_subscriptions(BROKER)
                if "'subscribed'" in str(state).replace('"', "'"):
                    return True
                await asyncio.sleep(0.02)
        return False

    assert play(story())


def ask(service, kind, sender, content):
    """What the service says to an iq, as elements: the answer, then what others are told."""
    stanza = ET.fromstring(
        f"<iq xmlns='jabber:component:accept' type='{kind}' id='q' from='{sender}'>{content}</iq>"
    )
    said = [ET.fromstring(each) for each in service.answer(stanza)]
    answers = [each for each in said if each.tag == "iq"]
    assert [(each.get("id"), each.get("to")) for each in answers] == [("q", sender)]
    error = answers[0].find("error")
    told = answers[0].get("type") if error is None else error[0].tag.rpartition("}")[2]
    return told, [each for each in said if each.tag != "iq"]


@pytest.fixture
def service():
    topic = Topic("news", affiliations={OWNER: "owner", "sensor@alpha.test": "publisher"})
    return Service(BROKER, [topic], [OWNER])


def affiliate(jid, right):
    return (
        f"<pubsub xmlns='{pubsub.OWNER}'><affiliations node='news'>"
        f"<affiliation jid='{jid}' affiliation='{right}'/></affiliations></pubsub>"
    )


def test_revocation_leaves_nothing_behind(service):
    """Unlike both servers' own Brokers, it ends the subscriptions of those whom it shuts out."""
    jid = "tool@alpha.test"
    assert ask(service, "set", f"{jid}/r", pubsub.subscribe("news", jid))[0] == "result"
    _, told = ask(service, "set", "sensor@alpha.test/r", pubsub.publish("news", "1"))
    assert [each.get("to") for each in told] == [jid]
    answer, told = ask(service, "set", f"{OWNER}/r", affiliate(jid, "outcast"))
    assert answer == "result"
    assert 'subscription="none"' in ET.tostring(told[0]).decode()
    _, told = ask(service, "set", "sensor@alpha.test/r", pubsub.publish("news", "2"))
    assert told == []
    assert ask(service, "set", f"{jid}/r", pubsub.subscribe("news", jid))[0] == "forbidden"
    assert ask(service, "set", f"{OWNER}/r", affiliate(OWNER, "none"))[0] == "not-acceptable"


@pytest.mark.parametrize(
    ("kind", "sender", "content", "answer"),
    [
        ("set", "tool@alpha.test/r", pubsub.publish("news", "1"), "forbidden"),
        ("set", "tool@alpha.test/r", pubsub.subscribe("news", "sensor@alpha.test"), "bad-request"),
        ("set", "tool@alpha.test/r", pubsub.subscribe("nothing", "tool@alpha.test"),
         "item-not-found"),
        ("set", "tool@alpha.test/r", pubsub.unsubscribe("news", "tool@alpha.test"),
         "unexpected-request"),
        ("set", "tool@alpha.test/r", pubsub.create("mine", {}), "forbidden"),
        ("set", "tool@alpha.test/r", pubsub.delete("news"), "forbidden"),
        ("set", OWNER, pubsub.create("news", {}), "conflict"),
        ("set", OWNER, pubsub.create("more", {"access_model": "presence"}), "not-acceptable"),
        ("set", OWNER, pubsub.create("more", {"max_items": 999}), "not-acceptable"),
        ("set", OWNER, pubsub.create("more", {"colour": "red", "max_items": "max"}), "result"),
        ("get", OWNER, "<ping xmlns='urn:xmpp:ping'/>", "feature-not-implemented"),
        ("get", OWNER, f"<query xmlns='{pubsub.DISCO}#info'/>", "result"),
    ],
)  # fmt: skip
def test_it_answers_as_the_extension_says(service, kind, sender, content, answer):
    assert ask(service, kind, sender, content)[0] == answer


def test_only_the_newest_items_are_kept(service):
    news = service.topics["news"]
    news.configure({"max_items": "2"}, 256)
    for number in ("1", "2", "3", "2"):
        ask(service, "set", "sensor@alpha.test/r", pubsub.publish("news", number))
    assert list(news.items) == ["3", "2"]
    news.configure({"persist_items": "0"}, 256)
    ask(service, "set", "sensor@alpha.test/r", pubsub.publish("news", "4"))
    assert list(news.items) == []


@pytest.mark.parametrize(
    "said",
    [
        "<a xmlns='urn:a' b='1'>t&amp;<c xmlns='urn:c'/>z<d/></a>",
        "<a xmlns='urn:a' xmlns:p='urn:p' p:b='&quot;&lt;' xml:lang='en'/>",
        "<p:a xmlns:p='urn:a'><b/></p:a>",
    ],
)
def test_a_payload_is_written_as_it_was_read(said):
    element = ET.fromstring(said)
    again = ET.fromstring(text(element))
    assert ET.canonicalize(ET.tostring(again)) == ET.canonicalize(ET.tostring(element))


@pytest.mark.real
@pytest.mark.parametrize("kind", ["component", "in-process"])
def test_a_load_runs_over_topics_whose_owner_has_approved(component_of, shelter, kind):
    from loadtest import engine

    changes = ["topics[0].access=authorize", f"brokers[0].kind={kind}"]
    topology = component_of("ejabberd", *changes)
    with deployment.ephemeral(topology) as grid:
        run = engine.play(topology, grid, seed=1, duration_s=2)
    ledger = run.header.measurement["ledger"]
    assert ledger["delivered"] == ledger["expected"] > 0


def test_prosodys_own_broker_cannot_authorize(topology_file, traces):
    topology = topologies.load(topology_file, ["topics[0].access=authorize"])
    with pytest.raises(DeploymentError, match=r"topics\[0\].*kind: component"):
        deployment.up(topology)
    assert traces() == []
