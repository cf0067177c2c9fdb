"""One TLS connection on the event loop that knows when the kernel received what it reads.

asyncio's own TLS hides the socket, so it can give no kernel time stamps (SO_TIMESTAMPNS,
socket(7)), and it keeps a read buffer of 256 KiB for each connection. Here the socket is read into
one buffer shared by all connections of the process and decrypted through a memory BIO.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

BUFFER_BYTES = 65_536
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)

# One event loop runs in one thread, so one pair of buffers serves all its connections.
_ENCRYPTED = memoryview(bytearray(BUFFER_BYTES))
_PLAIN = memoryview(bytearray(BUFFER_BYTES))


class Stream(Protocol):
    """What stands behind a transport."""

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Take bytes, received by the kernel at `received_ns`, `delay_ns` ago. [ns]"""

    def connection_lost(self, exception: BaseException | None) -> None:
        """Learn that the connection has ended."""


class TimedTransport(asyncio.Transport):
    """A connected socket, in the clear until `secure` is called.

    Parameters
    ----------
    connection : socket
        Connected and non-blocking; the transport owns it from now on.
    stream : Stream
        Gets the bytes, decrypted.
    """

    read_bytes: ClassVar[int] = 0  # from all sockets of the process, encrypted

    def __init__(self, connection: socket.socket, stream: Stream) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._stream = stream
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._handshake: asyncio.Future[None] | None = None
        self._unsent = bytearray()
        self._closing = False
        # While a session logs in, each of our segments is acknowledged at once: a server that
        # leaves Nagle's algorithm on would otherwise wait 40 ms for it, at every step.
        self.quick = True
        with contextlib.suppress(OSError):  # then the instants are those of reading
            connection.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._loop.add_reader(connection, self._readable)

    async def secure(self, context: ssl.SSLContext, name: str) -> None:
        """Put TLS on the connection, the server's certificate being verified for `name`.

        Raises
        ------
        ssl.SSLError, OSError
            The handshake failed.
        """
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._handshake = self._loop.create_future()
        self._shake_hands()
        try:
            await self._handshake
        finally:
            self._handshake = None

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is through."""
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the server why
            self._settle_handshake(error)
            return False
        self._flush()
        self._settle_handshake(None)
        return True

    def _settle_handshake(self, error: BaseException | None) -> None:
        if self._handshake is None or self._handshake.done():
            return
        if error is None:
            self._handshake.set_result(None)
        else:
            self._handshake.set_exception(error)

    def _readable(self) -> None:
        try:
            size, ancillary, _, _ = self._socket.recvmsg_into([_ENCRYPTED], _ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        received_ns = time.monotonic_ns()
        delay_ns = _since_receipt_ns(ancillary)
        received_ns -= delay_ns
        if not size:
            self._lose(None)
            return
        TimedTransport.read_bytes += size
        if self.quick:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if self._tls is None:
            self._stream.bytes_received(bytes(_ENCRYPTED[:size]), received_ns, delay_ns)
            return
        self._incoming.write(_ENCRYPTED[:size])
        if self._handshake is None or self._shake_hands():
            self._decrypt(self._tls, received_ns, delay_ns)

    def _decrypt(self, tls: ssl.SSLObject, received_ns: int, delay_ns: int) -> None:
        read: Callable[[int, memoryview], int] = tls.read  # type: ignore[assignment]
        size, closed = 0, False
        lost: ssl.SSLError | None = None
        while self._incoming.pending and size < BUFFER_BYTES and not closed:
            try:
                got = read(BUFFER_BYTES - size, _PLAIN[size:])
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                lost = error
                break
            size, closed = size + got, not got
        if self._outgoing.pending:
            self._flush()
        if size:
            self._stream.bytes_received(bytes(_PLAIN[:size]), received_ns, delay_ns)
        if lost is not None:
            self._lose(lost)
        elif closed:
            self.close()
        elif self._incoming.pending and not self._closing:
            self._decrypt(tls, received_ns, delay_ns)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, encrypted; what the kernel does not take yet waits here."""
        if self._closing:
            return
        if self._tls is None:
            self._send(data)
        else:
            self._tls.write(data)
            self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._send(self._outgoing.read())

    def _send(self, data: bytes | bytearray | memoryview) -> None:
        if not self._unsent:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError as error:
                self._lose(error)
                return
            if not data:
                return
            self._loop.add_writer(self._socket, self._writable)
        self._unsent += data

    def _writable(self) -> None:
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet. [B]"""
        return len(self._unsent)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The `socket` or the `ssl_object` of the connection."""
        known = {"socket": self._socket, "ssl_object": self._tls}
        return known.get(name) or default

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._closing

    def close(self) -> None:
        """Tell the other side and close; what it has not taken yet is lost."""
        if self._tls is not None and not self._closing:
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._lose(None)

    abort = close

    def _lose(self, error: BaseException | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._settle_handshake(error or ConnectionResetError("the server closed the connection"))
        self._loop.call_soon(self._stream.connection_lost, error)


def _since_receipt_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    """How long ago the kernel received the newest byte that was read; 0 where it does not say. [ns]

    The stamp is on the wall clock; only a difference is taken, right here, so that clock's steps
    and drift do not matter.
    """
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return max(0, time.time_ns() - int(seconds) * 1_000_000_000 - int(nanoseconds))
    return 0
