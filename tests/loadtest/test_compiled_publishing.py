"""Compiled code publishes as the interpreter does: the same stanzas, and the same account."""

import asyncio
import ctypes
import random

import numpy as np
import pytest
from published_sessions import NODES, Plan, Stage, both

from loadtest import compiled_tables, openssl, publisher
from loadtest.compiled_publishing import OFTEN
from loadtest.pacer import TOGETHER
from loadtest.publisher import publish_stanza
from loadtest.reactor import Reactor

PLATFORMS = (3, 4, 6, 7, 9)
OTHERS = (1, 5)  # another process's
RESULTS = [
    b"<iq type='result' id='p%d' to='sensor@peer.test/grid'/>",
    b'<iq id="p%d" type="result"/>',
    b"<iq xml:lang='en' to='a@peer.test/x' from='broker.peer.test' type='result' id='p%d'><pubsub "
    b"xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item id='i'/></publish>"
    b"</pubsub></iq>",
    b"<iq id='p%d' type='result' from='b' to='a'><pubsub xmlns='x'/></iq>",
]
ODD = [
    b"<iq type='error' id='p%d'><error type='wait'><resource-constraint "
    b"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    b"<iq type='error' id='p%d'><error type='auth'><forbidden "
    b"xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    b"<iq id='p%d' note='a &gt; b' type='result'/>",
    b"<iq id='p%d' type='result' ></iq>",
    b"<iq id='p%d' type='result'><x><![CDATA[</iq>]]></x></iq>",
]
BESIDE = [
    b"<iq type='result' id='p999999'/>",
    b"<iq type='result' id='p0'/>",  # another process's
    b"<iq type='result' id='q1'/>",
    b"<iq type='get' id='p3'><ping xmlns='urn:xmpp:ping'/></iq>",
    b"<message><body>p1</body></message>",
    b" ",
]


def plan(seed, count=400, lasting_s=0.25):
    """Some together, some alone, of all sizes, to all Topics."""
    draws = np.random.default_rng(seed)
    intended_s = np.sort(draws.choice(draws.uniform(0.0, lasting_s, count // 3), count))
    sizes = draws.choice([40, 300, 700, 5_000, 30_000], count, p=[0.2, 0.3, 0.38, 0.1, 0.02])
    publishers = draws.choice(PLATFORMS + OTHERS, count)
    publishers[0] = OTHERS[0]
    return Plan(intended_s, publishers, draws.integers(0, len(NODES), count), sizes)


def answering(seed):
    """How peers answer: always the same for the same row."""

    def answer(peer, row):
        draws = random.Random(seed * 1_000_003 + row)
        form = draws.choice(RESULTS if draws.random() < 0.85 else ODD)
        stanzas = [form % row]
        if draws.random() < 0.1:
            stanzas.append(draws.choice(RESULTS) % row)  # a second answer
        if draws.random() < 0.2:
            stanzas.insert(draws.randint(0, 1), draws.choice(BESIDE))
        if draws.random() < 0.05:
            del stanzas[:]
        text = b"".join(stanzas)
        cut = draws.randint(0, len(text)) if draws.random() < 0.2 else len(text)
        peer.send(peer.sealed(*filter(None, (text[:cut], text[cut:]))))

    return answer


@pytest.mark.parametrize("seed", [1, 2])
def test_both_ways_send_and_account_the_same(contexts, tmp_path, monkeypatch, seed):
    async def story(stage):
        await stage.enter()
        stage.listen()
        await stage.play()
        await asyncio.sleep(0.2)
        before = -1
        while before != (before := stage.share.count()["unanswered"]):
            await asyncio.sleep(0.3)

    made = plan(seed)
    interpreted, compiled = both(
        contexts, tmp_path, made, PLATFORMS, story, monkeypatch, answering(seed)
    )
    path = compiled.pop("path")
    interpreted.pop("path")
    assert compiled == interpreted
    assert path["interpreted"] < 0.1 * path["compiled"]
    assert all(compiled["sent"])
    assert 0 < compiled["counts"]["unanswered"] < 0.1 * len(compiled["sent"])
    assert set(compiled["facts"]["conditions"]) == {"resource-constraint", "forbidden"}


def test_stanzas_are_those_that_the_interpreter_writes(contexts, tmp_path, monkeypatch):
    """Each once, in the order of the plan, whole, whatever its size."""
    sizes = [1, 39, 40, 41, 200, 700, 12_000, 15_500, 16_000, 16_300, 17_000, 40_000] * 3
    made = Plan(
        np.linspace(0.0, 0.05, len(sizes)), [7] * len(sizes), np.repeat([0, 1, 2], 12), sizes
    )

    async def story(stage):
        await stage.enter()
        stage.listen()
        await stage.play()
        await stage.settle()

    def answer(peer, row):
        peer.send(peer.sealed(RESULTS[0] % row))

    _, compiled = both(contexts, tmp_path, made, (7,), story, monkeypatch, answer)
    expected = [
        publish_stanza(NODES[row // 12], "run", row, size) for row, size in enumerate(sizes)
    ]
    assert compiled["published"][7] == b"".join(expected)
    assert compiled["path"]["interpreted"] == sum(size >= 16_300 for size in sizes) > 0


def test_full_socket_takes_the_rest_later_and_nothing_is_lost(contexts, tmp_path, monkeypatch):
    """The peer of one session reads late; once it has, compiled code sends to it again."""
    due_s = np.concatenate([np.arange(120) / 1_000.0, 1.5 + np.arange(40) / 1_000.0])
    sizes = [8_000] * 120 + [300] * 40
    made = Plan(due_s, np.arange(160) % 2, [2] * 160, sizes)
    waiting, before = {}, []

    async def story(stage):
        await stage.enter(buffer_bytes=16_384)
        stage.listen(1)
        playing = asyncio.ensure_future(stage.play())
        compiled = stage.share._compiled
        late = stage.share.sessions[0].transport
        async with asyncio.timeout(1.0):
            while late.get_write_buffer_size() <= 8_000:
                await asyncio.sleep(0.02)
        waiting[compiled is not None] = late.get_write_buffer_size()
        stage.listen(0)
        await asyncio.sleep(0.4)
        before.append(compiled.sent if compiled else None)
        await playing
        await stage.settle()

    def answer(peer, row):
        peer.send(peer.sealed(RESULTS[0] % row))

    interpreted, compiled = both(contexts, tmp_path, made, (0, 1), story, monkeypatch, answer)
    path = compiled.pop("path")
    interpreted.pop("path")
    assert compiled == interpreted
    assert all(compiled["answered"])
    assert [each.count(b"</iq>") for each in compiled["published"].values()] == [80, 80]
    assert set(waiting) == {False, True}
    assert min(waiting.values()) > 8_000
    assert path["compiled"] - before[1] >= 30


def test_what_waits_in_python_is_not_overtaken(contexts, tmp_path, monkeypatch):
    """A session of which Python has bytes that the kernel did not take is left to Python."""
    made, held = Plan([0.0, 0.0], [0, 1], [2, 2], [300, 300]), []

    def stuck(stage):
        session = stage.share._compiled._reading.tables.sessions[0]
        return bool(session["sealed"] & compiled_tables.STUCK)

    async def story(stage):
        await stage.enter(buffer_bytes=16_384)
        transport = stage.share.sessions[0].transport
        for size in (0, 400_000):
            transport.write(b" " * size)
            waits = transport.get_write_buffer_size() > 0
            assert waits == (size > 0)
            if stage.share._compiled is not None:
                held.append(stuck(stage))
        await stage.play()
        stage.listen()
        await stage.settle()
        if stage.share._compiled is not None:
            held.append(stuck(stage))

    def answer(peer, row):
        peer.send(peer.sealed(RESULTS[0] % row))

    interpreted, compiled = both(contexts, tmp_path, made, (0, 1), story, monkeypatch, answer)
    assert held == [False, True, False]
    for each in (interpreted, compiled):
        assert each["answered"] == [True, True]
        assert each["lost"] == [None, None]


def test_lost_session_leaves_its_publications_unsent(contexts, tmp_path, monkeypatch):
    count = 300
    made = Plan(np.arange(count) / 500.0, np.arange(count) % 3, [0] * count, [600] * count)

    async def story(stage):
        await stage.enter()
        stage.listen(0, 2)
        asyncio.get_running_loop().call_later(0.1, stage.peers[1].socket.close)
        await stage.play()
        await asyncio.sleep(0.1)

    def answer(peer, row):
        peer.send(peer.sealed(RESULTS[2] % row))

    for outcome in both(contexts, tmp_path, made, (0, 1, 2), story, monkeypatch, answer):
        sent, answered = np.array(outcome["sent"]), np.array(outcome["answered"])
        lost = np.arange(count) % 3 == 1
        assert sent[~lost].all()
        assert answered[~lost].all()
        assert 0 < sent[lost].sum() < lost.sum()
        assert not answered[lost].any()
        assert outcome["counts"] == {"sent": sent.sum(), "unanswered": sent[lost].sum()}
        assert outcome["window"]["sent"] == sent.sum()
        assert [bool(each) for each in outcome["lost"]] == [False, True, False]


def test_deadlines_are_kept_while_answers_come(contexts, tmp_path, monkeypatch):
    """None is early, many go out at once; a halt leaves the rest unsent."""
    count = 600
    made = Plan(np.arange(count) / 400.0, [7] * count, [2] * count, [300] * count)
    lateness_s = []

    async def story(stage):
        await stage.enter()
        stage.listen()
        playing = asyncio.ensure_future(stage.play())
        await asyncio.sleep(0.3)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await stage.settle()
        ours = stage.share._publications
        sent = ours.sent_ns >= 0
        due_s = stage.share._intended_s[sent]
        lateness_s.append((ours.sent_ns[sent] - stage.share.start_ns) / 1e9 - due_s)

    def answer(peer, row):
        peer.send(peer.sealed(RESULTS[1] % row))

    both(contexts, tmp_path, made, (7,), story, monkeypatch, answer)
    for late_s in lateness_s:
        assert 20 < len(late_s) < count
        assert late_s.min() >= -1e-9
        assert np.quantile(late_s, 0.25) < 0.05


def test_of_a_large_burst_the_last_are_noted_as_sent_later(contexts, tmp_path, monkeypatch):
    count = 10 * TOGETHER
    made = Plan(np.full(count, 0.01), [7] * count, [2] * count, [300] * count)
    instants = []

    async def story(stage):
        await stage.enter()
        stage.listen()
        await stage.play()
        instants.append(stage.share._publications.sent_ns.copy())

    def answer(peer, row):
        peer.send(peer.sealed(RESULTS[1] % row))

    both(contexts, tmp_path, made, (7,), story, monkeypatch, answer)
    for sent_ns in instants:
        assert (np.diff(sent_ns) >= 0).all()
        assert len(np.unique(sent_ns)) >= 10


@pytest.mark.parametrize(("count", "kept"), [(OFTEN, True), (OFTEN - 1, False)])
def test_sessions_that_publish_often_keep_their_buffers(
    contexts, tmp_path, monkeypatch, count, kept
):
    monkeypatch.setattr(publisher, "COMPILED_FROM", 1)
    made = Plan(np.zeros(count), [7] * count, [2] * count, [300] * count)
    words = (ctypes.c_size_t, ctypes.c_int, ctypes.c_long, ctypes.c_size_t)
    control = ctypes.CFUNCTYPE(ctypes.c_long, *words)(openssl.address("SSL_ctrl"))

    async def gives_them_back():
        stage = Stage(contexts, made.share(tmp_path, (7,)))
        try:
            await stage.enter()
            tls = stage.share.sessions[0].transport.get_extra_info("ssl_object")
            mode = control(openssl.ssl_of(tls), ssl_ctrl_mode, 0, 0)
            return bool(mode & ssl_mode_release_buffers)
        finally:
            await stage.close()

    ssl_ctrl_mode, ssl_mode_release_buffers = 33, 0x10  # openssl/ssl.h
    assert asyncio.run(gives_them_back()) is not kept


@pytest.mark.parametrize(
    ("fails", "because"), [("sending", "TypeError: not compiled"), ("reading", "no_such_function")]
)
def test_where_it_cannot_work_the_interpreter_does(contexts, tmp_path, monkeypatch, fails, because):
    def fail(*_):
        raise TypeError("not compiled")

    if fails == "sending":
        monkeypatch.setattr("loadtest.compiled_sending.publish", fail)
    else:
        monkeypatch.setattr("loadtest.compiled_tables.FUNCTIONS", ("no_such_function",))
    monkeypatch.setattr(publisher, "COMPILED_FROM", 1)

    async def prepared():
        share = plan(1).share(tmp_path, PLATFORMS)
        share.prepare()
        return share._compiled, share.facts()["publish_path"], Reactor.of_loop()

    compiled, path, _ = asyncio.run(prepared())
    assert compiled is None
    assert because in path["because"]
