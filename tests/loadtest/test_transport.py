"""One TLS connection: whole in both directions, and honest about when bytes came."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator

import pytest

from loadtest import rails
from loadtest.reactor import MANY
from loadtest.receiver import DeliveryLog, Receiver, columns
from loadtest.transport import TimedTransport

MS = 1_000_000


class Taken:
    """A stream that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.times: list[tuple[int, int]] = []
        self.lost = asyncio.Event()

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        self.data += data
        self.times.append((received_ns, delay_ns))

    def connection_lost(self, exception: BaseException | None) -> None:
        self.lost.set()

    async def holds(self, size: int) -> None:
        while len(self.data) < size:
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def connected(contexts, serve) -> AsyncIterator[tuple[TimedTransport, Taken]]:
    """A secured transport to a server that runs `serve(reader, writer)`."""
    server_context, client_context = contexts
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
    taken = Taken()
    port = server.sockets[0].getsockname()[1]
    transport = TimedTransport(await rails.dial_async("127.0.0.1", port), taken)
    await transport.secure(client_context, "peer.test")
    try:
        yield transport, taken
    finally:
        transport.close()
        await taken.lost.wait()
        server.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def test_a_megabyte_comes_back_whole(contexts):
    async def story() -> bool:
        async with connected(contexts, echo) as (transport, taken):
            sent = bytes(range(256)) * 8_192
            for start in range(0, len(sent), 100_000):
                transport.write(sent[start : start + 100_000])
            await asyncio.wait_for(taken.holds(len(sent)), 10)
            assert transport.get_write_buffer_size() == 0
            return taken.data == sent

    assert asyncio.run(story())


def test_what_the_kernel_does_not_take_waits_here(contexts):
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await echo(reader, writer)

    async def story() -> int:
        async with connected(contexts, deaf) as (transport, taken):
            transport.write(bytes(16_000_000))
            waiting = transport.get_write_buffer_size()
            await asyncio.wait_for(taken.holds(16_000_000), 20)
            return waiting

    assert asyncio.run(story()) > 0


def test_receipt_is_the_kernel_s_also_where_the_reader_was_busy(contexts):
    async def story() -> tuple[int, int, int]:
        served: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.set_result(writer)
            await echo(reader, writer)

        async with connected(contexts, serve) as (_, taken):
            writer = await served
            await asyncio.sleep(0.05)
            sent_ns = time.monotonic_ns()
            writer.write(b"now")
            while time.monotonic_ns() < sent_ns + 80 * MS:
                pass  # the bytes are in the kernel, and nobody reads them
            await taken.holds(3)
            return sent_ns, *taken.times[-1]

    sent_ns, received_ns, delay_ns = asyncio.run(story())
    assert 0 <= received_ns - sent_ns < 20 * MS
    assert delay_ns > 60 * MS


def test_wrong_name_is_refused(contexts):
    async def story() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts[0])
        taken = Taken()
        port = server.sockets[0].getsockname()[1]
        transport = TimedTransport(await rails.dial_async("127.0.0.1", port), taken)
        with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.test"):
            await transport.secure(contexts[1], "other.test")
        transport.close()
        await taken.lost.wait()
        server.close()

    asyncio.run(story())


def test_end_of_the_connection_is_told(contexts):
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    async def story() -> bytes:
        async with connected(contexts, rude) as (transport, taken):
            await asyncio.wait_for(taken.lost.wait(), 5)
            transport.write(b"too late")
            assert transport.is_closing()
            return taken.data

    assert asyncio.run(story()) == b"bye"


def notification(publication: int) -> bytes:
    """What a server sends to a subscriber."""
    return (
        "<message from='broker.peer.test' to='tool@peer.test'>"
        "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='incidents'>"
        f"<item id='run-{publication}'><data/></item></items></event></message>"
    ).encode()


def test_counting_sessions_lose_nothing_whether_few_or_many_are_ready(contexts):
    """Plain ones, one cut in two, one among other stanzas; one connection ends meanwhile."""
    count = 3 * MANY
    log, others = DeliveryLog(), []

    async def story() -> list[bool]:
        writers: list[asyncio.StreamWriter] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await echo(reader, writer)

        async with contextlib.AsyncExitStack() as stack:
            ends = []
            for number in range(count):
                at = connected(contexts, serve)
                transport, taken = await stack.enter_async_context(at)
                transport.count(Receiver(number, "run", log, lambda *told: others.append(told[0])))
                ends.append(taken.lost)
            while len(writers) < count:
                await asyncio.sleep(0.005)
            for turn, chosen in enumerate([*[writers] * 4, *[[each] for each in writers]]):
                for writer in (each for each in chosen if not each.is_closing()):
                    data = notification(turn)
                    if writer is writers[1]:
                        writer.write(data[:50])
                        await writer.drain()
                        await asyncio.sleep(0.005)
                        data = data[50:]
                    if writer is writers[2]:
                        data = b"<presence/>" + data + b"<iq/>"
                    writer.write(data)
                if turn == 2:
                    writers[3].close()
                await asyncio.sleep(0.02)
            await asyncio.wait_for(ends[3].wait(), 5)
            return [each.is_set() for each in ends]

    lost = asyncio.run(story())
    assert [number for number, is_lost in enumerate(lost) if is_lost] == [3]
    publication, session, *_ = columns(log.take())
    received = sorted(zip(session.tolist(), publication.tolist(), strict=True))
    assert received == sorted(
        (number, turn)
        for number in range(count)
        for turn in (*range(3 if number == 3 else 4), 4 + number)
        if (number, turn) != (3, 7)
    )
    assert others == [b"<presence/>", b"<iq/>"] * 5
