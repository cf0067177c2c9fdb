"""Compiled code takes for an answer what the interpreter takes for one, and for the same one."""

import contextlib
import itertools
import random

import numpy as np
import pytest

from loadtest import compiled_answers, compiled_reading
from loadtest.publications import ANSWERED, BEGUN, WRITTEN, Publications
from loadtest.publisher import _ANSWER
from loadtest.receiver import DeliveryLog, Receiver, StreamError
from loadtest.spool import Spool

ROWS = np.array([2, 3, 5, 70, 800, 1_234_567_890])
USUAL = {
    "the null server": b"<iq type='result' id='p5' to='sensor-0@grid.test/grid-publish'/>",
    "Prosody": b"<iq id='p5' type='result' to='sensor-0@grid.test/g' from='broker.grid.test'>"
    b"<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='incidents'>"
    b"<item id='r1-5'/></publish></pubsub></iq>",
    "ejabberd": b"<iq xml:lang='en' to='sensor-0@grid.test/g' from='broker.grid.test' "
    b"type='result' id='p5'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
    b"<publish node='incidents'><item id='r1-5'/></publish></pubsub></iq>",
    "the largest row": b'<iq type="result" id="p1234567890"/>',
}


class Desk:
    """Publications on their way, and both ways to take an answer to one of them."""

    def __init__(self, directory):
        self._directory, self._number = directory, itertools.count()
        self.tables = compiled_reading._tables(0, memoryview(bytearray(64)), self._publications())

    def _publications(self):
        made = Publications(ROWS, Spool(str(self._directory / f"share-{next(self._number)}")))
        made.sent_ns[:-1] = 1  # the last is not on its way
        made.progress[[BEGUN, WRITTEN]] = len(ROWS) - 1
        return made

    def compiled(self, text):
        """(place, end) of the answer that compiled code takes at the beginning; or None."""
        tables = self.tables
        tables.answered_ns[:], tables.sent_ns[:] = -1, 1
        tables.progress[ANSWERED] = 0
        tables.clear[: len(text)] = np.frombuffer(text, np.uint8)
        tables.clear[len(text) : len(text) + 64] = ord("'")
        turn = tables.turn[0]
        turn["clear_from"], turn["clear_to"], turn["clear_bytes"] = 0, 0, len(text)
        if not compiled_answers.note_answer(tables, 99):
            assert (tables.answered_ns == -1).all()
            return None
        assert tables.progress[ANSWERED] == 1
        assert tables.answered_ns[tables.answers[0]] == 99
        return int(tables.answers[0]), int(turn["clear_to"])

    def interpreted(self, text):
        """Likewise of the interpreter: the first stanza, if it is a result."""
        taken = []

        def other(stanza, _):
            taken.append(stanza)

        with contextlib.suppress(StreamError):
            Receiver(0, "run", DeliveryLog(), other).feed(text, 1, 0)
        if not taken or not text.startswith(taken[0]):
            return None
        answer = _ANSWER.match(taken[0])
        if answer is None or answer[2] != b"result" or int(answer[1]) not in ROWS:
            return None
        return int(np.searchsorted(ROWS, int(answer[1]))), len(taken[0])


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(tmp_path_factory.mktemp("answers"))


@pytest.mark.parametrize("text", USUAL.values(), ids=USUAL)
def test_usual_answers_are_taken(desk, text):
    assert desk.compiled(text) == desk.interpreted(text) != None  # noqa: E711
    assert desk.compiled(text + text) == desk.compiled(text)


PIECES = [
    *(b"<iq", b" ", b" type='result'", b' type="result"', b" type='error'", b" type='get'"),
    *(b" id='p5'", b' id="p70"', b" id='p4'", b" id='p'", b" id='5'", b" xid='p5'", b" id='p5x'"),
    *(b" to='a'", b" from='b>c'", b" note='\"'", b" id = 'p5'", b"/>", b">", b"</iq>", b"<iq/>"),
    *(b"<![CDATA[</iq>]]>", b"<item id='p3'/>", b"<iq id='p3' type='result'/>", b"/", b"'", b"<"),
    *(b" type='results'", b" type='resul'", b" id='p12345678901'", b" id='p05'", b"&lt;"),
]


def test_what_compiled_code_takes_the_interpreter_takes_likewise(desk):
    draws, taken = random.Random(1), 0
    for _ in range(20_000):
        if draws.random() < 0.5:
            text = bytearray(draws.choice(list(USUAL.values())))
            for _ in range(draws.randint(0, 3)):
                place = draws.randrange(len(text))
                text[place : place + draws.randint(0, 2)] = draws.choice(PIECES)
            text = bytes(text)
        else:
            text = b"<iq" + b"".join(draws.choices(PIECES, k=draws.randint(1, 7)))
        found = desk.compiled(text)
        if found is not None:
            taken += 1
            assert found == desk.interpreted(text), text
    assert taken > 1_500


def test_every_beginning_of_an_answer_is_left_until_it_is_whole(desk):
    for text in USUAL.values():
        for size in range(len(text)):
            assert desk.compiled(text[:size]) is None


def test_answer_is_noted_once_and_only_for_what_is_on_its_way(tmp_path):
    made = Publications(ROWS, Spool(str(tmp_path / "share")))
    assert made.answer(5, 10) is None
    made.sent_ns[2], made.progress[WRITTEN] = 7, 3
    assert (made.answer(4, 10), made.answer(5, 10), made.answer(5, 11)) == (None, 2, None)
    assert made.answered_ns.tolist() == [-1, -1, 10, -1, -1, -1]
    made.never_sent(1)
    assert made.unanswered == 1
