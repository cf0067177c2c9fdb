"""One TLS connection that knows when the kernel received what it reads.

asyncio's own TLS hides the socket, so it can give no kernel time stamps (SO_TIMESTAMPNS,
socket(7)), and it keeps a read buffer of 256 KiB for each connection. Here the socket is read into
one buffer shared by all connections of the process and decrypted through a memory BIO.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any, Protocol

from loadtest.reactor import ANCILLARY_BYTES, Reactor
from loadtest.receiver import Receiver

BUFFER_BYTES = 65_536
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_TIMESPEC = struct.Struct("@qq")
_unpack = _TIMESPEC.unpack
_RECORD_BYTES = 16_384  # most that one TLS record holds (RFC 8446 section 5.1)

# One event loop runs in one thread, so one buffer serves all its connections.
_ENCRYPTED = memoryview(bytearray(BUFFER_BYTES))
_BUFFERS = [_ENCRYPTED]


class Stream(Protocol):
    """What stands behind a transport."""

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Take bytes, received by the kernel at `received_ns`, `delay_ns` ago. [ns]

        A ValueError that it raises closes the connection.
        """

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

    def __init__(self, connection: socket.socket, stream: Stream) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._stream = stream
        self.hand_to: Callable[[bytes, int, int], None] = stream.bytes_received
        self._receive = connection.recvmsg_into
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._handshake: asyncio.Future[None] | None = None
        self._counting: Receiver | None = None
        self._unsent = bytearray()
        self._closing = False
        # While a session logs in, each of our segments is acknowledged at once: a server that
        # leaves Nagle's algorithm on would otherwise wait 40 ms for it, at every step.
        self.quick = True
        with contextlib.suppress(OSError):  # then the instants are those of reading
            connection.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._reactor = Reactor.of_loop()
        self._reactor.watch(connection.fileno(), self._served)

    def set_stream(self, stream: Stream) -> None:
        """Put another stream behind the transport."""
        self._stream = stream
        self.hand_to = stream.bytes_received

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

    def _served(self, events: int) -> None:
        """Serve the socket, which is ready for `events` of epoll."""
        if events & select.EPOLLOUT:
            self._writable()
            if self._closing or not events & ~select.EPOLLOUT:
                return
        try:
            size, ancillary, _, _ = self._receive(_BUFFERS, ANCILLARY_BYTES)
        except OSError as error:
            self._failed(error)
            return
        received_ns = time.monotonic_ns()
        delay_ns = 0
        if ancillary:
            # The stamp is on the wall clock. Only a difference is taken, right here, so that that
            # clock's steps and drift do not matter.
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            delay_ns = max(0, time.time_ns() - seconds * 1_000_000_000 - nanoseconds)
            received_ns -= delay_ns
        if not size:
            self._lose(None)
            return
        self._reactor.read_bytes += size
        if self.quick:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        tls = self._tls
        try:
            if tls is None:
                self.hand_to(bytes(_ENCRYPTED[:size]), received_ns, delay_ns)
                return
            self._incoming.write(_ENCRYPTED[:size])
            if self._handshake is None or self._shake_hands():
                self._decrypt(tls, received_ns, delay_ns)
        except (ssl.SSLError, ValueError) as error:
            self._lose(error)

    def _failed(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._lose(error)

    def count(self, receiver: Receiver) -> None:
        """From now on let `receiver` take what comes, by the shortest way there is.

        It does what `_served` and `Receiver.feed` do where each TLS record holds one plain
        notification like the one before, and leaves all else to them.
        """
        assert self._tls is not None
        self.hand_to = receiver.feed
        self._counting = receiver
        if not self._counted_by_compiled_code(receiver):
            self._count_here(receiver)

    def _counted_by_compiled_code(self, receiver: Receiver) -> bool:
        compiled = self._reactor.compiled
        if compiled is None or self._tls is None:
            return False
        from loadtest.compiled_reading import Counted

        counted = Counted(self, receiver, self._tls, self._incoming, self._outgoing)
        return compiled.add(self._socket.fileno(), counted)

    def _count_here(self, receiver: Receiver) -> None:
        """Count by the interpreter's shortest way, which calls nothing of ours.

        What belongs to the connection stands close together as default arguments: at thousands of
        sessions a delivery finds little of its own in the processor's caches.
        """
        assert self._tls is not None
        own_read = getattr(self._tls, "_sslobj", self._tls).read  # without the method around it

        def take(
            encrypted: memoryview,
            ancillary: list[Any],
            received_ns: int,
            wall_ns: int,
            transport: TimedTransport = self,
            receiver: Receiver = receiver,
            incoming: ssl.MemoryBIO = self._incoming,
            read: Callable[[int], bytes] = own_read,
        ) -> None:
            delay_ns = 0
            if ancillary:
                seconds, nanoseconds = _unpack(ancillary[0][2])
                delay_ns = max(wall_ns - seconds * 1_000_000_000 - nanoseconds, 0)
                received_ns -= delay_ns
            incoming.write(encrypted)
            data = b""
            try:
                while receiver.note(data := read(_RECORD_BYTES), received_ns, delay_ns):
                    if not incoming.pending:
                        return
            except ssl.SSLWantReadError:
                data = b""
            except ssl.SSLError as error:
                transport._lose(error)
                return
            else:
                if not data:  # closed by the other side
                    transport.close()
                    return
            transport.rest(len(encrypted), data, received_ns, delay_ns)

        self._reactor.read_for(self._socket.fileno(), self._receive, take)

    def again(self, size: int, received_ns: int, delay_ns: int) -> None:
        """Decrypt what compiled code has read and cannot take, and find out why."""
        assert self._tls is not None
        try:
            data = self._tls.read(_RECORD_BYTES)
        except ssl.SSLWantReadError:
            data = b""
        except ssl.SSLError as error:
            self._lose(error)
            return
        else:
            if not data:  # closed by the other side
                self.close()
                return
        self.rest(size, data, received_ns, delay_ns)

    def rest(self, size: int, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Take what is not one plain notification; `data` was decrypted already."""
        assert self._tls is not None
        if self._closing:  # by what was taken just before
            return
        if not size:
            self._lose(None)
            return
        try:
            if data:
                self.hand_to(data, received_ns, delay_ns)
            self._decrypt(self._tls, received_ns, delay_ns)
        except (ssl.SSLError, ValueError) as error:
            self._lose(error)

    def _decrypt(self, tls: ssl.SSLObject, received_ns: int, delay_ns: int) -> None:
        incoming, data = self._incoming, b""
        while incoming.pending:
            try:
                more = tls.read(_RECORD_BYTES)
            except ssl.SSLWantReadError:
                break
            if not more:  # closed by the other side
                if data:
                    self.hand_to(data, received_ns, delay_ns)
                self.close()
                return
            data = data + more if data else more
        if self._outgoing.pending:
            self._flush()
        if data:
            self.hand_to(data, received_ns, delay_ns)

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
            self._reactor.want_write(self._socket.fileno(), True)
        self._unsent += data
        self._tell_waiting()

    def send_rest(self, data: bytes) -> None:
        """Send encrypted bytes, and then what else is encrypted already."""
        if not self._closing:
            self._send(data)
            self._flush()

    def _writable(self) -> None:
        try:
            del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not self._unsent:
            self._reactor.want_write(self._socket.fileno(), False)
            self._tell_waiting()

    def _tell_waiting(self) -> None:
        """What waits here must leave before anything that compiled code sends."""
        if (compiled := self._reactor.compiled) is not None:
            compiled.hold(self._socket.fileno())

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet. [B]"""
        return len(self._unsent)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The `socket` or the `ssl_object` of the connection."""
        known = {"socket": self._socket, "ssl_object": self._tls}
        return known.get(name) or default

    def pause_reading(self) -> None:
        """Leave what comes to the kernel, and to TCP; nothing is written meanwhile either."""
        if not self._closing:
            self._reactor.forget(self._socket.fileno())

    def resume_reading(self) -> None:
        """Read again."""
        if not self._closing:
            self._reactor.watch(self._socket.fileno(), self._served)
            if self._counting is not None:
                self.count(self._counting)
            if self._unsent:
                self._reactor.want_write(self._socket.fileno(), True)

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
        self._reactor.forget(self._socket.fileno())
        self._socket.close()
        self._settle_handshake(error or ConnectionResetError("the server closed the connection"))
        self._loop.call_soon(self._stream.connection_lost, error)
