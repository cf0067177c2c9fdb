"""What is sent for a publication, and how its answer is matched."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from loadtest.publications import WRITTEN
from loadtest.publisher import PublishShare, publish_stanza
from loadtest.shares import Login, Node, Spec

PUBSUB = "{http://jabber.org/protocol/pubsub}"
NODE = Node("news", "broker.grid.test", "iodef")


@pytest.fixture
def share(tmp_path):
    """A share whose Platform 7 publishes rows 1 and 3 of a plan, both of them on their way."""
    np.savez(
        tmp_path / "plan.npz",
        intended_s=np.array([0.0, 1.0, 2.0, 3.0]),
        publisher=np.array([5, 7, 5, 7], dtype=np.uint32),
        topic=np.zeros(4, dtype=np.uint16),
        payload_bytes=np.full(4, 500, dtype=np.uint32),
    )
    share = PublishShare(
        Spec(
            role="publish",
            number=1,
            tag="r1",
            parent_pid=1,
            doors={},
            logins=(Login(7, "sensor-7@grid.test/grid-publish", "secret", "alpha"),),
            topics_of=((),),
            nodes=(NODE,),
            prunes=(),
            logins_per_s=1.0,
            concurrent_logins=1,
            cores=(),
            plan_file=str(tmp_path / "plan.npz"),
            receivers="counting",
            result=str(tmp_path / "share-1"),
        )
    )
    share._publications.sent_ns[:] = 1
    share._publications.progress[WRITTEN] = 2
    return share


def left(share):
    """What is on disk at this moment: rows, sent_ns, answered_ns, refused."""
    return share.spool.read_publications().tolist()


def test_request_is_a_publish_of_xep_0060():
    stanza = publish_stanza(NODE, "r1", 42, 500)
    request = ET.fromstring(stanza)
    assert (request.tag, request.get("type"), request.get("id")) == ("iq", "set", "p42")
    assert request.get("to") == "broker.grid.test"
    item = request.find(f"{PUBSUB}pubsub/{PUBSUB}publish[@node='news']/{PUBSUB}item")
    assert item is not None
    assert item.get("id") == "r1-42"
    assert len(stanza[stanza.index(b"<IODEF") : stanza.index(b"</item>")]) == 500


@pytest.mark.parametrize(
    "answer",
    [
        b"<iq id='p3' type='result' to='a@grid.test/x' from='broker.grid.test'/>",
        b'<iq type="result" from="broker.grid.test" id="p3"><pubsub xmlns="x"/></iq>',
    ],
)
def test_result_is_matched_by_its_id(share, answer):
    assert share._answer(answer, 99)
    rows, sent_ns, answered_ns, refused = left(share)
    assert (rows, sent_ns, answered_ns, refused) == ([1, 3], [1, 1], [-1, 99], [0, 0])
    assert share.count()["unanswered"] == 1


def test_error_is_a_refusal_with_its_reason(share):
    answer = (
        b"<iq id='p1' type='error'><pubsub xmlns='http://jabber.org/protocol/pubsub'/>"
        b"<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
    assert share._answer(answer, 99)
    assert left(share)[3] == [1, 0]
    assert share.facts()["conditions"] == {"forbidden": 1}


@pytest.mark.parametrize(
    "stanza",
    [
        b"<iq id='p2' type='result'/>",
        b"<iq id='bind_1' type='result'/>",
        b"<iq id='p1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
        b"<message id='p1' type='result'/>",
    ],
    ids=["of another share", "of the library", "a question", "a message"],
)
def test_other_stanzas_are_not_taken(share, stanza):
    assert not share._answer(stanza, 99)
    assert share.count()["unanswered"] == 2


def test_second_answer_changes_nothing(share):
    share._answer(b"<iq id='p1' type='result'/>", 50)
    assert not share._answer(b"<iq id='p1' type='error'/>", 60)
    assert left(share)[2] == [50, -1]
