"""Streams by hand end once, however often and however abruptly they are left."""

import asyncio
import contextlib
import ssl

from loadtest.dialogue import Dialogue, Door


async def left_twice():
    """Leave a stream whose first leaving is cancelled while it waits for the connection's end."""

    async def deaf(reader, writer):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(5.0)

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        streams = await asyncio.open_connection("127.0.0.1", port)
        door = Door("127.0.0.1", port, port, "a.test", ssl.create_default_context())
        session = Dialogue(door, *streams)
        streams[1].write(bytes(2**25))  # more than sockets hold: the connection cannot end yet
        leaving = asyncio.ensure_future(session.leave())
        await asyncio.sleep(0.1)
        leaving.cancel()
        await asyncio.wait([leaving])
        await session.leave()
        streams[1].transport.abort()
        return leaving.cancelled()


def test_a_stream_can_be_left_again_after_leaving_was_cancelled():
    assert asyncio.run(asyncio.wait_for(left_twice(), 20.0))
