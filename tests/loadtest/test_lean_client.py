"""What is closed of slixmpp's own ways: it does the same, and slixmpp says what that is."""

import asyncio
import functools
import inspect
import ssl
import xml.etree.ElementTree as ET

import pytest
from slixmpp import ClientXMPP
from slixmpp.stanza import Iq, Message, Presence, StreamFeatures
from slixmpp.util.stringprep_profiles import StringPrepError
from slixmpp.xmlstream import register_stanza_plugin
from slixmpp.xmlstream.matcher import MatchXPath, StanzaPath
from slixmpp.xmlstream.stanzabase import StanzaBase

from loadtest import lean_client
from loadtest.lean_client import UNUSED, LeanClient


def in_full(function):
    """How slixmpp does it."""
    return inspect.signature(function).parameters["in_full"].default


@pytest.mark.parametrize(
    "text", [bytes(range(32, 127)).decode(), " ", "user", "", "I\u00adX", "\u2168", "\u00aa"]
)
def test_words_are_prepared_as_by_slixmpp(text):
    assert lean_client._saslprep(text) == in_full(lean_client._saslprep)(text)


@pytest.mark.parametrize("text", ["\x7f", "a\tb", "\u0627\u0031"])
def test_words_that_may_not_be_are_refused(text):
    for prepared in (lean_client._saslprep, in_full(lean_client._saslprep)):
        with pytest.raises(StringPrepError):
            prepared(text)


@pytest.mark.parametrize("cdata", [False, True])
@pytest.mark.parametrize("text", ["", "plain", "a&b", "<", ">", "'", '"', "\u00e9 & \u00fc"])
def test_text_is_escaped_as_by_slixmpp(text, cdata):
    assert lean_client._escape(text, cdata) == in_full(lean_client._escape)(text, cdata)


class Handlers:
    def plain(self):
        pass

    async def waiting(self):
        pass

    __call__ = plain


@pytest.mark.parametrize(
    "handler",
    [
        Handlers.plain,
        Handlers.waiting,
        Handlers().plain,
        Handlers().waiting,
        Handlers(),
        functools.partial(Handlers.waiting, None),
        lambda: None,
        print,
    ],
)
def test_coroutines_are_told_from_others(handler):
    told = lean_client._is_coroutine_function(handler)
    assert told == inspect.iscoroutinefunction(handler)


STANZAS = [
    "<iq xmlns='jabber:client' type='set'><query xmlns='jabber:iq:roster'/></iq>",
    "<iq xmlns='jabber:client' type='get'><query xmlns='jabber:iq:roster'/></iq>",
    "<iq xmlns='jabber:client' type='set'/>",
    "<message xmlns='jabber:client'><body>a</body></message>",
    "<message xmlns='jabber:client'><error/></message>",
    "<features xmlns='http://etherx.jabber.org/streams'/>",
    "<features xmlns='urn:other'/>",
]
PATHS = [
    "{jabber:client}message/{jabber:client}body",
    "{jabber:client}message/{jabber:client}error",
    "{jabber:client}message",
    "{http://etherx.jabber.org/streams}features",
    "{jabber:client}*",
    "{jabber:client}*/{jabber:client}body",
    "{jabber:client}message[@type]",
    "message",
]


@pytest.mark.parametrize("path", PATHS)
def test_stanzas_match_the_paths_that_they_match_for_slixmpp(path):
    matcher = MatchXPath(path)
    found = [StanzaBase(xml=ET.fromstring(text)) for text in STANZAS]
    want = [in_full(lean_client._match)(matcher, each) for each in found]
    assert [matcher.match(each) for each in found] == want


@pytest.mark.parametrize("path", ["iq@type=set/roster", "iq", "iq@type=set", "message/roster"])
def test_a_path_is_taken_to_pieces_once(path):
    LeanClient("a@peer.test", "", ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    matcher = StanzaPath(path)
    for text in STANZAS[:3]:
        stanza = Iq(xml=ET.fromstring(text))
        twice = stanza.match(matcher._criteria) or stanza.match(matcher._raw_criteria)
        assert matcher.match(stanza) == twice


def client():
    return LeanClient("a@peer.test", "", ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def maps():
    return [(kind.plugin_tag_map, kind.plugin_attrib_map) for kind in (Iq, StreamFeatures)]


def test_a_second_client_teaches_the_classes_nothing():
    async def story():
        client()
        before = maps()
        client()
        assert all(
            one is other
            for pairs in zip(before, maps(), strict=True)
            for one, other in zip(*pairs, strict=True)
        )
        # What another plugin took the name of is registered again, as by slixmpp.
        query = Iq.plugin_attrib_map["bind"]
        register_stanza_plugin(Iq, type("Bind", (query,), {"namespace": "urn:other"}))
        client()
        assert Iq.plugin_attrib_map["bind"] is query

    asyncio.run(story())


def test_stanzas_are_of_the_kinds_that_they_are_for_slixmpp():
    async def story():
        lean = client()
        full = ClientXMPP("a@peer.test", "", ssl_context=lean.ssl_context)
        tags = [*lean._kinds, "{jabber:client}features", "{jabber:client}other", "{urn:x}iq"]
        assert len(tags) > 12
        for tag in tags:
            made = [each._build_stanza(ET.Element(tag)) for each in (lean, full)]
            assert type(made[0]) is type(made[1]), tag
        assert set(full.plugin) - set(lean.plugin) == set(UNUSED)
        for each in (lean, full):
            each.remove_stanza(Message)
        made = [each._build_stanza(ET.Element(Message.tag_name())) for each in (lean, full)]
        assert type(made[0]) is type(made[1]) is not Message

    asyncio.run(story())


class Wire:
    """A transport that keeps what is written."""

    def __init__(self):
        self.said = []

    def write(self, data):
        self.said.append(data)


def iq(number):
    return Iq(stype="get", sid=str(number))


def test_stanzas_leave_at_once_and_in_their_order():
    async def story():
        lean, wire = client(), Wire()
        lean._session_started = True
        lean.send(iq(0))  # there is no connection
        assert lean.waiting_queue.qsize() == 1
        lean.waiting_queue.get_nowait()
        lean.waiting_queue.task_done()
        lean.transport, running = wire, asyncio.ensure_future(lean.run_filters())
        lean.send(iq(1))
        assert len(wire.said) == 1
        lean.send(Presence())  # which slixmpp's own filter sees
        lean.send(iq(2))
        assert len(wire.said) == 1
        await lean.waiting_queue.join()
        lean.add_filter("out", lambda stanza: None if stanza["id"] == "3" else stanza)
        for number in (3, 4):
            lean.send(iq(number))
        await lean.waiting_queue.join()
        running.cancel()
        return [ET.fromstring(each).get("id", "presence") for each in wire.said]

    assert asyncio.run(story()) == ["1", "presence", "2", "4"]
