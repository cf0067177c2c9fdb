"""Compiled code reads counting sessions as the interpreter does: the same rows, and the same rest.

Both read the same bytes, which come in the same pieces, over real TLS and real sockets.
"""

import asyncio
import random
import ssl
import time

import pytest
from counted_sessions import Scene, both, notification, replay

from loadtest import compiled_reading
from loadtest.receiver import CHECK_EVERY, columns

PLAIN = [
    notification,
    lambda n: notification(n, "warnings", body="<data>" + "x" * 700 + "</data>"),
    lambda n: notification(n * 131 % 1000, "quotes").replace(b"'", b'"'),
]
ODD = [
    replay,
    lambda n: notification(n, tag="other"),
    lambda n: notification("9" * 10),
    lambda n: notification("12a"),
    lambda n: notification(""),
    lambda n: notification(n, body="<data/></item><item id='run-77'>"),
    lambda n: notification(n).replace(b"<data/>", b"<items/>"),
    lambda n: notification(n, "forged").replace(b"run-", b"run-1' x='"),
    lambda n: b"<iq type='get' id='p'><ping/></iq>",
    lambda n: b"<presence/>",
    lambda n: b" \n",
    lambda n: b"<message><body>run-1</body></message>",
    lambda n: b"<message type='headline'/>",
]


def records(draws, first):
    """Clear text of some records: stanzas, alone, several together, or cut in two."""
    stanzas = []
    for number in range(first, first + draws.randint(1, 6)):
        kinds = PLAIN if draws.random() < 0.75 else ODD
        stanzas.append(draws.choice(kinds)(number))
    joined, made = b"".join(stanzas), []
    if draws.random() < 0.6:
        return stanzas
    while joined:
        size = draws.randint(1, max(1, len(joined)))
        made.append(joined[:size])
        joined = joined[size:]
    return made


def altered(sealed):
    """Sealed bytes with the last one changed."""
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


ENDS = {
    "farewell": lambda peer: peer.send(peer.farewell()),
    "eof": lambda peer: peer.socket.close(),
    "stream error": lambda peer: peer.send(
        peer.sealed(b"<stream:error><reset/></stream:error></stream:stream>")
    ),
    "no XML": lambda peer: peer.send(peer.sealed(notification(1), b"what?")),
    "forged": lambda peer: peer.send(peer.sealed(notification(2)) + bytes(40)),
    "altered": lambda peer: peer.send(altered(peer.sealed(notification(2)))),
    "stop": lambda peer: peer.send(peer.sealed(b"<stop/>", notification(3))),
}


@pytest.mark.parametrize(
    ("seed", "room", "version"), [(0, 64, "1.3"), (1, 64, "1.2"), (2, 2, "1.3"), (3, 1, "1.3")]
)
def test_both_ways_note_the_same(contexts, seed, room, version, monkeypatch):
    """Also where tables have to grow, and where not all Topics are known by heart."""
    newest = ssl.TLSVersion.TLSv1_3 if version == "1.3" else ssl.TLSVersion.TLSv1_2
    monkeypatch.setattr(contexts[0], "maximum_version", newest)
    monkeypatch.setattr(compiled_reading, "_GROWN", room)
    monkeypatch.setattr(compiled_reading, "EVENTS_MAX", room)

    async def story(scene):
        draws = random.Random(seed)
        for number in range(12):
            await scene.enter(b"<presence" if number == 5 else b"")
        scene.sessions[5].peer.send(scene.sessions[5].peer.sealed(b"/>"))
        ends = dict(zip(draws.sample(range(12), len(ENDS)), ENDS.values(), strict=True))
        for turn in range(30):
            for number, session in enumerate(scene.sessions):
                if turn == 20 and number in ends:
                    ends[number](session.peer)
                if (turn >= 20 and number in ends) or draws.random() < 0.3:
                    continue
                data = session.peer.sealed(*records(draws, 10 * turn))
                cut = draws.choice([0, 0, draws.randint(0, len(data))])
                session.peer.send(data[:cut])
                if cut and draws.random() < 0.5:
                    await asyncio.sleep(0.001)
                session.peer.send(data[cut:])
            await scene.settle()

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert sum(map(len, compiled["rows"])) > 500
    assert sum(bool(each) for each in compiled["lost"]) == len(ENDS) - 1


def test_every_so_many_th_is_parsed_in_full_and_mismatches_are_seen(contexts):
    """A payload that closes its item too early passes for a plain one until it is parsed."""
    lie = notification(2 * CHECK_EVERY, body="<data></item></items></event></message>")

    async def story(scene):
        session = await scene.enter()
        for number in range(3 * CHECK_EVERY):
            session.peer.send(session.peer.sealed(notification(number)))
            if number % 32 == 31:
                await scene.settle()
        session.peer.send(session.peer.sealed(notification(1), lie, notification(CHECK_EVERY)))

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert compiled["counts"][2:] == (5, 1)
    assert len(compiled["rows"][0]) == 3 * CHECK_EVERY + 3


def test_session_that_pauses_misses_nothing_and_is_read_in_the_same_way_afterwards(contexts):
    async def story(scene):
        for _ in range(6):
            await scene.enter()
        for turn in range(10):
            if turn in (2, 5):
                scene.sessions[1].transport.pause_reading()
            if turn in (4, 8):
                scene.sessions[1].transport.resume_reading()
            for session in scene.sessions:
                session.peer.send(session.peer.sealed(notification(turn + 1)))
            await scene.settle()

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert compiled["rows"] == [[(turn + 1, False) for turn in range(10)]] * 6


def test_what_was_read_of_a_session_is_taken_before_another_one_makes_it_pause(contexts):
    """All are read before any is taken: one whose connection is let go meanwhile has its bytes."""

    async def story(scene):
        sessions = [await scene.enter() for _ in range(5)]

        def pause(stanza, received_ns):
            for each in sessions:
                each.transport.pause_reading()

        for session in sessions:
            session.transport._counting._other = pause
            session.peer.send(session.peer.sealed(notification(1)))
        await scene.settle()
        for session in sessions:
            session.peer.send(session.peer.sealed(b"<presence/>", notification(2)))
        await scene.settle()
        for session in sessions:
            session.transport.resume_reading()

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert compiled["rows"] == [[(1, False), (2, False)]] * 5


def test_several_in_one_record_are_noted_by_compiled_code(contexts):
    """As busy servers send them; after the one that is parsed in full the interpreter goes on."""
    noted = []

    async def story(scene):
        session = await scene.enter()
        session.peer.send(session.peer.sealed(notification(1)))
        await scene.settle()
        for first in (10, 240, 300):
            several = b"".join(map(notification, range(first, first + 30)))
            session.peer.send(session.peer.sealed(several))
            await scene.settle()
        session.peer.send(session.peer.sealed(notification(2) + replay(3) + notification(4)))
        await scene.settle()
        noted.append(scene.compiled and scene.compiled.noted)

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert len(compiled["rows"][0]) == 94
    assert noted == [None, 30 + 17 + 30 + 1]


@pytest.mark.parametrize(("size", "least"), [(8_192, 950), (1_000, 950), (257, 950), (7, 0)])
def test_stream_that_is_cut_into_records_of_one_size_is_noted_by_compiled_code(
    contexts, size, least
):
    """As Prosody cuts what it has for a session while it is busy: a stanza begins anywhere."""
    text = b"".join(PLAIN[n % 2](n) for n in range(1, 1_000 if size > 7 else 100))
    noted = []

    async def story(scene):
        session, other = await scene.enter(), await scene.enter()
        for each in (session, other):
            for kind in PLAIN[:2]:
                each.peer.send(each.peer.sealed(kind(0)))
            await scene.settle()
        for begin in range(0, len(text), size):
            for each in (session, other):
                each.peer.send(each.peer.sealed(text[begin : begin + size]))
            if begin // size % 16 == 15:
                await scene.settle()
        await scene.settle()
        noted.append(scene.compiled and scene.compiled.noted)

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert [len(set(rows)) for rows in compiled["rows"]] == [1_000 if size > 7 else 100] * 2
    assert noted[1] >= 2 * least


def test_message_longer_than_what_is_kept_of_one_is_the_interpreter_s(contexts):
    """Compiled code reads what comes after it again."""
    long = notification(3, body="<data>" + "x" * 2 * compiled_reading.LEFT_BYTES + "</data>")
    text = b"".join(map(notification, range(10, 200)))
    noted = []

    async def story(scene):
        sessions = [await scene.enter() for _ in range(2)]
        for each in sessions:
            each.peer.send(each.peer.sealed(notification(1)))
            await scene.settle()
            for part in (notification(2) + long, text):
                for begin in range(0, len(part), 1_000):
                    each.peer.send(each.peer.sealed(part[begin : begin + 1_000]))
                    await scene.settle()
        noted.append(scene.compiled and scene.compiled.noted)

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert [len(set(rows)) for rows in compiled["rows"]] == [193] * 2
    assert noted[1] > 150


def test_beginning_of_a_stanza_is_not_lost_when_the_interpreter_goes_on(contexts):
    """A session pauses, or ends, or has something odd in the middle of a stanza."""
    text = notification(7, body="<data>" + "x" * 700 + "</data>")

    async def story(scene):
        sessions = [await scene.enter() for _ in range(4)]
        for number, each in enumerate(sessions):
            each.peer.send(each.peer.sealed(notification(1)))
            await scene.settle()
            each.peer.send(each.peer.sealed(notification(2) + text[:400]))
            await scene.settle()
            if number == 1:
                each.transport.pause_reading()
                each.transport.resume_reading()
            if number == 2:
                each.peer.send(each.peer.sealed(text[400:-1], b"><presence/>" + text[:20]))
                each.peer.send(each.peer.sealed(text[20:]))
            elif number == 3:
                each.peer.send(each.peer.sealed(text[400:410]) + bytes(40))
            else:
                each.peer.send(each.peer.sealed(text[400:] + replay(3)))
            await scene.settle()

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert [len(rows) for rows in compiled["rows"]] == [4, 4, 4, 2]


def test_many_come_and_go_and_find_room(contexts):
    """More rows than are kept at once, numbers of sessions given anew."""

    async def story(scene):
        for turn in range(3):
            first = await scene.enter()
            await scene.enter()
            data = b"".join(first.peer.sealed(notification(n)) for n in range(1_600))
            for start in range(0, len(data), 65_536):
                first.peer.send(data[start : start + 65_536])
                await scene.settle()
            if turn < 2:
                first.transport.close()
            await asyncio.sleep(0)

    interpreted, compiled = both(contexts, story)
    assert compiled == interpreted
    assert [len(each) for each in compiled["rows"]] == [1_600, 0] * 3


def test_receipt_is_the_kernel_s_where_the_reader_was_busy(contexts):
    async def story():
        scene = Scene(contexts, True)
        session = await scene.enter()
        session.peer.send(session.peer.sealed(notification(1)))  # which the interpreter takes
        await scene.settle()
        sealed = session.peer.sealed(notification(2))
        before_ns = time.monotonic_ns()
        session.peer.send(sealed)
        sent_ns = time.monotonic_ns()
        while time.monotonic_ns() < sent_ns + 80_000_000:
            pass  # the bytes are in the kernel, and nobody reads them
        await scene.settle()
        noted, (_, _, received_ns, delay_ns, _) = scene.compiled.noted, columns(scene.log.take())
        scene.close()
        return noted, before_ns, received_ns[1], sent_ns, delay_ns[1]

    noted, before_ns, received_ns, sent_ns, delay_ns = asyncio.run(story())
    assert noted == 1
    assert before_ns - 1_000_000 <= received_ns <= sent_ns + 1_000_000
    assert delay_ns > 60_000_000


def test_error_of_a_handler_loses_nothing(contexts):
    """It goes to the event loop; what was read of others is taken in the next turn."""

    async def story():
        scene, errors = Scene(contexts, True), []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: errors.append(told))
        sessions = [await scene.enter() for _ in range(4)]
        for session in sessions:
            session.peer.send(session.peer.sealed(notification(1)))
        await scene.settle()

        def fail(stanza, received_ns):
            raise RuntimeError("a mistake")

        sessions[0].transport._counting._other = fail
        for session in sessions:
            session.peer.send(session.peer.sealed(*[b"<presence/>"] * (session is sessions[0])))
            session.peer.send(session.peer.sealed(notification(2)))
        await scene.settle()
        sessions[1].peer.send(sessions[1].peer.sealed(notification(3)))
        await scene.settle()
        told = len(errors), scene.outcome()["rows"]
        scene.close()
        return told

    errors, rows = asyncio.run(story())
    assert errors == 1
    assert rows[1:] == [[(1, False), (2, False), (3, False)], *[[(1, False), (2, False)]] * 2]


def test_more_topics_than_are_searched_are_noted_by_their_sessions(contexts, monkeypatch):
    monkeypatch.setattr("loadtest.compiled_reading.SEARCHED_MAX", 2)

    async def story():
        scene = Scene(contexts, True)
        sessions = [await scene.enter() for _ in range(5)]
        for number in range(3):
            for place, session in enumerate(sessions):
                text = notification(number).replace(b"incidents", b"topic-%d" % place)
                session.peer.send(session.peer.sealed(text))
            await scene.settle()
        told = scene.compiled.noted, scene.outcome()["rows"]
        scene.close()
        return told

    noted, rows = asyncio.run(story())
    assert rows == [[(0, False), (1, False), (2, False)]] * 5
    assert noted == 5 * 2  # all but the first of each, which the interpreter takes
