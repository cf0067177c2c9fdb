"""Items that refer to their payload (XEP-0447), and how a subscriber has it from its Publisher.

A reference names one loopback address, a size and a hash. The one dialler opens the connection, so
that an item that refers elsewhere makes nobody connect there; the server's certificate is verified
for the address with the grid's authority, the payload by its hash.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import ssl
from dataclasses import dataclass
from typing import Final, Self

from loadtest import rails
from loadtest.problems import LoadError
from loadtest.transport import TimedTransport

SHARING: Final = "urn:xmpp:sfs:0"
FILE: Final = "urn:xmpp:file:metadata:0"
HASHES: Final = "urn:xmpp:hashes:2"
URL: Final = "http://jabber.org/protocol/url-data"
FETCH_WITHIN_S: Final = 60.0
_TARGET: Final = re.compile(rb"target=['\"]https://([0-9.]{7,15}):(\d{1,5})/([\w.-]{1,200})['\"]")
_SIZE: Final = re.compile(rb"<size>(\d{1,12})</size>")
# A server may write attributes in another order.
_HASH: Final = re.compile(rb"<hash\b[^>]*sha-256[^>]*>([A-Za-z0-9+/=]{44})<")
_HEAD: Final = re.compile(rb"HTTP/1\.1 (\d{3})[^\r]*\r\n(?:[^\r]+\r\n)*?Content-Length: (\d+)\r\n")


@dataclass(frozen=True)
class Reference:
    """Where a payload is, how large [B], and its SHA-256 in base 64."""

    address: str
    port: int
    name: str
    size_bytes: int
    sha256: str

    @classmethod
    def to(cls, address: str, port: int, name: str, payload: bytes) -> Self:
        """The reference to a payload."""
        return cls(address, port, name, len(payload), _digest(payload))

    @classmethod
    def heard(cls, message: bytes) -> Self:
        """What a notification refers to.

        Raises
        ------
        LoadError
            To nothing that could be fetched.
        """
        target, size, digest = (each.search(message) for each in (_TARGET, _SIZE, _HASH))
        if target is None or size is None or digest is None:
            raise LoadError(f"no reference in {message[:200]!r}")
        address, port, name = (part.decode() for part in target.groups())
        return cls(address, int(port), name, int(size[1]), digest[1].decode())

    def xml(self, size_bytes: int = 0) -> str:
        """The item's payload; a description fills it up to a size. [B]"""
        head = f"<file-sharing xmlns='{SHARING}'><file xmlns='{FILE}'>"
        tail = (
            f"<size>{self.size_bytes}</size><hash xmlns='{HASHES}' algo='sha-256'>{self.sha256}"
            f"</hash></file><sources><url-data xmlns='{URL}' "
            f"target='https://{self.address}:{self.port}/{self.name}'/></sources></file-sharing>"
        )
        room = size_bytes - len(head) - len(tail) - len("<desc></desc>")
        return f"{head}<desc>{'x' * room}</desc>{tail}" if room > 0 else head + tail


class Fetch:
    """One fetch; `done` has the payload and when the kernel had the last of it. [ns]"""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._heard = bytearray()
        self._size: int | None = None
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self, context: ssl.SSLContext) -> int:
        """When the kernel had the last byte of what was referred to. [ns]

        Raises
        ------
        LoadError
            It was refused, or is not what was referred to.
        RailsError
            The reference leads where nobody may connect to.
        """
        where = self._reference
        try:
            async with asyncio.timeout(FETCH_WITHIN_S):
                connection = await rails.dial_async(where.address, where.port, FETCH_WITHIN_S)
                transport = TimedTransport(connection, self)
                try:
                    await transport.secure(context, where.address)
                    host = f"{where.address}:{where.port}"
                    request = f"GET /{where.name} HTTP/1.1\r\nHost: {host}\r\n\r\n"
                    transport.write(request.encode())
                    return await self.done
                finally:
                    transport.close()
                    if not self.done.cancel() and not self.done.cancelled():
                        self.done.exception()  # nobody awaits it where TLS had failed before
        except (OSError, TimeoutError) as problem:
            raise LoadError(f"{where.name}: not fetched: {problem or 'no answer'}") from None

    def bytes_received(self, data: bytes, received_ns: int, delay_ns: int) -> None:
        """Take the answer until it is whole."""
        self._heard += data
        if self.done.done():
            return
        if self._size is None:
            end = self._heard.find(b"\r\n\r\n")
            if end < 0:
                return
            head = _HEAD.match(self._heard)
            if head is None or head[1] != b"200" or int(head[2]) != self._reference.size_bytes:
                said = bytes(self._heard[:60])
                self.done.set_exception(LoadError(f"{self._reference.name}: refused: {said!r}"))
                return
            self._size = end + 4 + int(head[2])
        if len(self._heard) >= self._size:
            body = bytes(self._heard[self._size - self._reference.size_bytes : self._size])
            if _digest(body) == self._reference.sha256:
                self.done.set_result(received_ns)
            else:
                problem = LoadError(f"{self._reference.name}: is not what was referred to")
                self.done.set_exception(problem)

    def connection_lost(self, exception: BaseException | None) -> None:
        """Nothing more will come."""
        if not self.done.done():
            self.done.set_exception(ConnectionResetError("the Publisher closed the connection"))


def _digest(payload: bytes) -> str:
    return base64.b64encode(hashlib.sha256(payload).digest()).decode()
