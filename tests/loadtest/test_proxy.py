"""The fault proxy: what goes through it comes out as it should, late, slowly, damaged or not."""

import asyncio
import contextlib
import itertools
import os
import ssl
import time

import pytest

from loadtest import rails
from loadtest.ciphertext import Ciphertext
from loadtest.disturbance import CALM, Disturbance
from loadtest.gate import Gate
from loadtest.problems import LoadError, RailsError
from loadtest.proxy import Proxy

SERVER = "127.99.0.1"
FRONT = "127.99.0.2"
PORT = itertools.count(21_000)


def play(story):
    return asyncio.run(asyncio.wait_for(story, 20))


@contextlib.asynccontextmanager
async def echo_behind(gate=None, context=None):
    """A proxy in front of a server that sends everything back and notes who came."""
    seen = []

    async def serve(reader, writer):
        seen.append(writer.get_extra_info("peername")[0])
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    port = next(PORT)
    server = await asyncio.start_server(serve, SERVER, port, ssl=context)
    async with server, Proxy({(FRONT, port): (SERVER, port)}, gate) as proxy:
        yield proxy, port, seen


async def connect(port, source=None, **how):
    connection = await rails.dial_async(FRONT, port, source=source)
    return await asyncio.open_connection(sock=connection, **how)


async def round_trip(streams, data=b"hello"):
    reader, writer = streams
    begun_s = time.monotonic()
    writer.write(data)
    got = await reader.readexactly(len(data))
    return got, time.monotonic() - begun_s


def test_it_passes_everything_on_and_the_server_sees_who_comes():
    data = os.urandom(3_000_000)

    async def story():
        async with echo_behind() as (proxy, port, seen):
            streams = await connect(port, "127.99.7.7")
            got, _ = await round_trip(streams, data)
            streams[1].write_eof()
            assert await streams[0].read() == b""
            assert seen == ["127.99.7.7"]
            counts = proxy.counts
            assert (counts.bytes_to_server, counts.bytes_to_client) == (len(data),) * 2
            assert (counts.accepted, counts.refused, counts.cut, counts.damaged) == (1, 0, 0, 0)
            return got

    assert play(story()) == data


def test_it_delays_each_way_and_throttles():
    async def story():
        async with echo_behind() as (proxy, port, _):
            streams = await connect(port)
            _, calm_s = await round_trip(streams)
            proxy.disturb(Disturbance(delay_s=0.15))
            _, late_s = await round_trip(streams)
            proxy.disturb(Disturbance(rate_bytes_per_s=50_000))
            _, slow_s = await round_trip(streams, bytes(25_000))
            proxy.disturb(CALM)
            _, again_s = await round_trip(streams)
            return calm_s, late_s, slow_s, again_s

    calm_s, late_s, slow_s, again_s = play(story())
    assert max(calm_s, again_s) < 0.15
    assert 0.3 <= late_s < 0.45
    assert 0.5 <= slow_s < 0.8  # both ways at once, a step apart


@pytest.mark.parametrize("held", ["to-server", "to-client", "both"])
def test_what_is_held_arrives_once_the_way_is_open_again(held):
    async def story():
        async with echo_behind() as (proxy, port, _):
            streams, other = await connect(port, "127.99.7.7"), await connect(port, "127.99.7.8")
            await round_trip(streams)
            proxy.disturb(Disturbance(held=held), "127.99.7.7")
            streams[1].write(b"waits")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(streams[0].readexactly(5), 0.3)
            assert (await round_trip(other))[0] == b"hello"
            assert proxy.counts.bytes_to_server == (10 if held != "to-client" else 15)
            proxy.disturb(CALM)
            return await streams[0].readexactly(5)

    assert play(story()) == b"waits"


def test_cut_connections_are_reset_and_refused_ones_get_nowhere():
    async def story():
        async with echo_behind() as (proxy, port, seen):
            streams, other = await connect(port, "127.99.7.7"), await connect(port, "127.99.7.8")
            await round_trip(streams)
            await round_trip(other)
            assert proxy.cut("127.99.7.7") == 1
            with pytest.raises(ConnectionResetError):
                await streams[0].readexactly(1)
            assert (await round_trip(other))[0] == b"hello"
            proxy.disturb(Disturbance(refused=True))
            refused = await connect(port)
            assert await refused[0].read() == b""
            assert (proxy.counts.cut, proxy.counts.refused, len(seen)) == (1, 1, 2)

    play(story())


def test_a_server_that_is_not_there_is_counted():
    async def story():
        port = next(PORT)
        async with Proxy({(FRONT, port): (SERVER, port)}) as proxy:
            reader, _ = await connect(port)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            assert proxy.counts.failed == 1
            assert proxy.connections == 0

    play(story())


def test_an_address_may_open_so_many_in_so_long():
    async def story():
        async with echo_behind(Gate(3, 60.0)) as (proxy, port, _):
            for _ in range(5):
                await connect(port, "127.99.7.7")
            await round_trip(await connect(port, "127.99.7.8"))
            assert (proxy.counts.accepted, proxy.counts.refused) == (4, 2)

    play(story())


def test_the_gate_refills_and_forgets(monkeypatch):
    now_s = [0.0]
    gate = Gate(2, 10.0, lambda: now_s[0])
    assert [gate.admits("a") for _ in range(3)] == [True, True, False]
    now_s[0] = 5.0
    assert [gate.admits("a") for _ in range(2)] == [True, False]
    now_s[0] = 100.0
    assert [gate.admits("a") for _ in range(3)] == [True, True, False]
    monkeypatch.setattr("loadtest.gate._KEPT", 10)
    assert all(gate.admits(f"b{k}") for k in range(1000))
    assert len(gate._buckets) <= 11


def certified(tmp_path):
    from loadtest.authority import Authority

    authority = Authority()
    (tmp_path / "server.pem").write_bytes(authority.issue_server(["echo.test"]).pem)
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "server.pem")
    return server, ssl.create_default_context(cafile=tmp_path / "ca.pem")


def test_damaged_ciphertext_ends_the_session_and_never_becomes_data(tmp_path):
    server, client = certified(tmp_path)

    async def story():
        async with echo_behind(context=server) as (proxy, port, _):
            streams = await connect(port, ssl=client, server_hostname="echo.test")
            await round_trip(streams)
            assert proxy.counts.records >= 2
            proxy.disturb(Disturbance(corrupt_every_bytes=100))
            streams[1].write(bytes(1000))
            with contextlib.suppress(OSError):
                assert await streams[0].read() == b""
            assert proxy.counts.damaged > 0
            streams[1].close()

    play(story())


@pytest.mark.parametrize("piece", [1, 3, 7, 1000])
def test_only_the_content_of_application_records_is_changed(piece):
    def record(kind, content):
        return bytes([kind, 3, 3, *len(content).to_bytes(2), *content])

    clear, handshake = b"<starttls/>" * 9, record(22, bytes(90))
    data = clear + handshake + record(23, bytes(100)) + record(21, bytes(9)) + record(23, bytes(50))
    records = Ciphertext()
    passed = b"".join(records.passed(data[k : k + piece], 30) for k in range(0, len(data), piece))
    start = len(clear) + len(handshake) + 5
    second = start + 100 + 14 + 5
    wanted = [start + 29, start + 59, start + 89, second + 19, second + 49]
    assert [k for k in range(len(data)) if data[k] != passed[k]] == wanted
    assert (records.records, records.damaged) == (2, 5)


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ({"delay_s": -1}, "delay_s: -1 is not between"),
        ({"held": "sideways"}, '"sideways" is none of none, to-server'),
        ({"colour": 1}, "colour: unknown; there is delay_s"),
        ({"rate_bytes_per_s": 0, "corrupt_every_bytes": -3}, "0 is not between.*-3 is negative"),
    ],
)
def test_what_no_proxy_can_do_is_refused(what, named):
    with pytest.raises(LoadError, match=named):
        Disturbance.of(what)


def test_it_stays_on_loopback():
    async def story():
        async with Proxy({("192.0.2.1", 5222): (SERVER, 5222)}):
            pass

    with pytest.raises(RailsError, match=r"192\.0\.2\.1"):
        play(story())
