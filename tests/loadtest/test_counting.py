"""A session without slixmpp behind it still behaves: it answers requests and notices its end."""

import xml.etree.ElementTree as ET

import pytest

from loadtest.counting import CountingSession

STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"


class Written:
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def session():
    session = CountingSession.__new__(CountingSession)
    session.number, session.lost, session.transport = 7, None, Written()
    return session


@pytest.mark.parametrize("kind", ["get", "set"])
def test_request_is_answered_with_an_error(session, kind):
    session._other(f"<iq type='{kind}' id='p1' from='grid.test'><ping/></iq>".encode(), 0)
    answer = ET.fromstring(session.transport.data)
    assert (answer.tag, answer.get("type"), answer.get("id")) == ("iq", "error", "p1")
    assert answer.get("to") == "grid.test"
    assert answer.find(f"error/{STANZAS}service-unavailable") is not None


@pytest.mark.parametrize(
    "stanza",
    [
        b"<iq type='result' id='p1'/>",
        b"<iq type='error' id='p1'><error/></iq>",
        b"<presence from='a@grid.test'/>",
        b"<message><body>hello</body></message>",
    ],
)
def test_nothing_else_is_answered(session, stanza):
    session._other(stanza, 0)
    assert session.transport.data == b""
    assert session.lost is None


def test_first_reason_for_its_end_is_kept(session):
    error = b"<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    session._other(error + b"</stream:error>", 0)
    session.connection_lost(None)
    assert session.lost == "stream error system-shutdown"
    assert session.transport is None


def test_lost_connection_is_a_reason(session):
    session.connection_lost(ConnectionResetError("reset by peer"))
    assert session.lost == "the server closed the connection (reset by peer)"
    session.leave()  # nothing left to close


def test_leaving_closes_the_stream(session):
    transport = session.transport
    session.leave()
    assert (transport.data, transport.closed) == (b"</stream:stream>", True)
