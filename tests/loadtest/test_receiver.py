"""Deliveries are read off the stream whatever else it holds and wherever it was cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest import receiver
from loadtest.payload import payload
from loadtest.receiver import DeliveryLog, Receiver, StreamError, columns

EVENT = b"<event xmlns='http://jabber.org/protocol/pubsub#event'>"
DELAY = b"<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"


def notification(*publications: int, tag: str = "r1", after: bytes = b"", size: int = 400) -> bytes:
    items = b"".join(
        b"<item id='%s-%d'>%s</item>" % (tag.encode(), number, payload("iodef", size, number))
        for number in publications
    )
    head = b"<message to='a@grid.test' type='headline' id='x'>" + EVENT + b"<items node='T'>"
    return head + items + b"</items></event>" + after + b"</message>"


def publications(log: DeliveryLog) -> list[int]:
    return columns(log.take())[0].tolist()


def received(*chunks: bytes) -> tuple[DeliveryLog, list[bytes]]:
    log, others = DeliveryLog(), []
    session = Receiver(7, "r1", log, lambda stanza, _: others.append(stanza))
    for instant, chunk in enumerate(chunks):
        session.feed(chunk, 1000 + instant, instant)
    return log, others


NESTED = (
    b"<message><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='T'>"
    b"<item id='r1-8'><forwarded><message><body>in</body></message></forwarded></item>"
    b"</items></event></message>"
)
ODD = {
    "the stream's header": b"<?xml version='1.0'?><stream:stream from='grid.test' id=\"a>b\">",
    "the stream's end": b"</stream:stream>",
    "an empty element": b"<r xmlns='urn:xmpp:sm:3'/>",
    "a quoted bracket": b'<presence from="a>\'b"><show>dnd</show></presence>',
    "a query": b"<iq type='get' id='1'><query xmlns='x'><iq/><a b='/>'/></query></iq>",
    "a plain message": b"<message><body>item id='r1-3'</body></message>",
    "text in a CDATA section": b"<message><body><![CDATA[</message><a>]]></body></message>",
    "a message in a message": b"<message><forwarded><message>x</message></forwarded></message>",
    "a retraction": b"<message>"
    + EVENT
    + b"<items node='T'><retract id='r1-5'/></items></event></message>",
    "a like-named child": b"<message><messages></messages ><message\t/></message>",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_odd_stanzas_pass_whole_between_deliveries(odd: bytes) -> None:
    log, others = received(notification(1) + odd + notification(2))
    assert publications(log) == [1, 2]
    assert b"".join(others) == odd


def test_delivery_is_noted_with_session_and_instants() -> None:
    log, _ = received(b"", notification(12))
    noted = [column.tolist() for column in columns(log.take())]
    assert noted == [[12], [7], [1001], [1], [False]]


def test_log_forgets_what_was_taken_and_counts_it_still() -> None:
    log, _ = received(notification(1), notification(2))
    assert publications(log) == [1, 2]
    assert (publications(log), len(log)) == ([], 2)


def test_number_that_no_plan_has_is_foreign() -> None:
    log, others = received(notification(10**9 - 1) + notification(10**9) + notification(10**40))
    assert (publications(log), log.foreign, others) == ([10**9 - 1], 2, [])


def test_all_items_of_one_notification_are_deliveries() -> None:
    log, others = received(notification(1, 2, 3))
    assert (publications(log), others) == ([1, 2, 3], [])


def test_item_around_a_forwarded_message_is_one_delivery() -> None:
    log, others = received(NESTED + notification(9))
    assert (publications(log), others) == ([8, 9], [])


def test_delayed_item_is_a_replay() -> None:
    log, _ = received(notification(1), notification(2, after=DELAY), notification(3))
    assert columns(log.take())[4].tolist() == [False, True, False]


def test_item_of_another_run_is_foreign() -> None:
    log, others = received(
        notification(1, tag="r0"), notification(1, 2), notification(4, tag="r11")
    )
    assert (publications(log), log.foreign, others) == ([1, 2], 2, [])


def test_self_check_parses_one_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "CHECK_EVERY", 4)
    log, _ = received(*(notification(number) for number in range(13)))
    # Of session 7 publications 1, 5 and 9; another session's are others, so that they spread.
    assert (len(log), log.checked, log.mismatches) == (13, 3, 0)


def test_self_check_sees_what_the_shortcut_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "CHECK_EVERY", 1)
    # Not well-formed between head and tail: only the full parse looks there.
    broken = notification(1).replace(b"<Contact ", b"<Contact <")
    log, _ = received(broken)
    assert (len(log), log.mismatches) == (1, 1)


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request", b"</message>", b"\x00\xff"])
def test_what_is_no_stream_is_refused(junk: bytes) -> None:
    with pytest.raises(StreamError):
        received(notification(1) + junk)


def test_endless_stanza_is_refused() -> None:
    with pytest.raises(StreamError, match="more than"):
        received(b"<message><body>" + b"x" * (1 << 20), b"x" * 20)


stanzas = st.one_of(
    st.sampled_from([odd for odd in ODD.values() if odd != ODD["the stream's end"]]),
    st.just(NESTED),
    st.builds(notification, st.integers(0, 10**6), tag=st.sampled_from(["r1", "r2"])),
    st.builds(notification, st.integers(0, 99), st.integers(0, 99)),
    st.builds(notification, st.integers(0, 99), after=st.just(DELAY)),
    st.sampled_from([b" ", b"\r\n"]),
)


def noted(log: DeliveryLog) -> tuple[list[int], list[bool]]:
    """What does not depend on when it was read."""
    publication, _, _, _, replayed = columns(log.take())
    return publication.tolist(), replayed.tolist()


@settings(max_examples=300, deadline=None)
@given(st.lists(stanzas, max_size=8), st.data())
def test_any_split_of_the_stream_gives_the_same(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, others_whole = received(stream)
    split, others_split = received(*chunks)
    for ours, theirs in zip(noted(split), noted(whole), strict=True):
        assert ours == theirs
    assert split.foreign == whole.foreign
    assert others_split == others_whole


def test_byte_by_byte_gives_the_same() -> None:
    stream = b"".join([*ODD.values(), notification(1), NESTED, notification(2, 3)])
    whole, others_whole = received(stream)
    split, others_split = received(*(stream[i : i + 1] for i in range(len(stream))))
    assert (publications(split), others_split) == (publications(whole), others_whole)


PLAIN_ANSWERS = [
    b"<iq type='result' id='p1'/><iq",
    b"<iq type='result' id='p1'><pubsub/></iq><presence/>",
    b"<iq type='result' id='p1'></iq><iq></iq>",
    b'<iq id="a" to="b"><x a=\'"\'/></iq>',
]
OTHERS = [
    b"<iq type='result' id='p1'/",
    b"<iq type='result' id='p1'",
    b"<iq type='result' id='p1'><pubsub/></i",
    b"<iq id='/>' to='b'/><presence/>",
    b'<iq id="a/>b" to="it\'s"><x a="</x>"/></iq>',
    b"<iq id='>' to=\"'>\"><x/></iq>",
    b"<iq id='1'><iq/></iq><iq></iq>",
    b"<iq id='1'><![CDATA[</iq>]]></iq>",
    b"<iq id='1'><x/></iq ><iq></iq>",
    b"<iq>",
    b"<presence/>",
]


def test_end_of_a_plain_answer_is_found_without_a_pattern():
    ends = [receiver._iq_end(each, 0) for each in PLAIN_ANSWERS]
    assert ends == [receiver.element_end(each, 0) for each in PLAIN_ANSWERS]
    assert min(ends) > 0
    assert [receiver._iq_end(each, 0) for each in OTHERS] == [0] * len(OTHERS)
