"""OpenSSL as Python's `ssl` uses it: its functions, and its objects behind Python's.

`ssl` gives no way to decrypt without the interpreter. Here the addresses of the library's functions
are found, and those of the objects behind an `ssl.SSLObject` and an `ssl.MemoryBIO`, so that
compiled code can work on the very same connection. Where these addresses stand in Python's objects
is no interface: it is looked at only where it is known, without following a pointer that is not
readable, and believed only where OpenSSL itself says that both belong together.
"""

from __future__ import annotations

import _ssl
import ctypes
import os
import ssl
import sys
from functools import cache
from typing import Final

KNOWN: Final = ((3, 11), (3, 12), (3, 13))
"""Versions of CPython whose objects were looked at."""

_WORD: Final = ctypes.sizeof(ctypes.c_void_p)
_SSL_BYTES: Final = 256  # of an SSL, no more than its first members
_CLEAR_MODE: Final = 78  # SSL_CTRL_CLEAR_MODE
_RELEASE_BUFFERS: Final = 0x10  # SSL_MODE_RELEASE_BUFFERS


class ForeignError(RuntimeError):
    """OpenSSL's objects are not where they are expected."""


@cache
def library() -> ctypes.CDLL:
    """The library that Python's `ssl` is linked to, and no other version of it.

    Raises
    ------
    ForeignError
        It cannot be had: `ssl` is built into the interpreter, say.
    """
    path = getattr(_ssl, "__file__", None)
    if path is None:
        raise ForeignError("Python's ssl is no library of its own here")
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise ForeignError(f"the library of Python's ssl cannot be opened: {error}") from None


def address(name: str) -> int:
    """Where a function of the library, or of the C library, begins.

    Raises
    ------
    ForeignError
        There is none of that name.
    """
    try:
        found = ctypes.cast(getattr(library(), name), ctypes.c_void_p).value
    except AttributeError:
        found = None
    if not found:
        raise ForeignError(f"{name} is not found in the library of Python's ssl")
    return found


def bio_of(buffer: ssl.MemoryBIO) -> int:
    """Address of the BIO behind a memory BIO."""
    return _member(buffer, 0)


def ssl_of(connection: ssl.SSLObject) -> int:
    """Address of the SSL behind a connection."""
    return _member(connection._sslobj, 1)  # type: ignore[attr-defined]


def _member(of: object, place: int) -> int:
    """One of an object's members, all of them words, after what all objects have."""
    offset = object.__basicsize__ + place * _WORD
    if type(of).__basicsize__ < offset + _WORD:
        raise ForeignError(f"{type(of).__name__} is smaller than expected")
    return ctypes.c_size_t.from_address(id(of) + offset).value


def keep_buffers(connection: ssl.SSLObject) -> None:
    """Let a connection keep its buffers from one record to the next, 34 kB in all.

    Python's `ssl` gives them back after each record (SSL_MODE_RELEASE_BUFFERS). To get them again
    costs 0.5 us a record, and five times as much where the allocator has left the caches.
    """
    words = (ctypes.c_size_t, ctypes.c_int, ctypes.c_long, ctypes.c_size_t)
    control = ctypes.CFUNCTYPE(ctypes.c_long, *words)(address("SSL_ctrl"))
    control(ssl_of(connection), _CLEAR_MODE, _RELEASE_BUFFERS, 0)


def require_known() -> None:
    """Check that this Python and this machine are such as were looked at.

    Raises
    ------
    ForeignError
        They are not.
    """
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in KNOWN:
        raise ForeignError(f"{sys.implementation.name} {sys.version.split()[0]} is not known here")
    if _WORD != 8 or sys.byteorder != "little":
        raise ForeignError("only 64-bit machines that are little-endian are known here")


def require(connection: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    """Check that the addresses found are what they should be, without trusting them.

    Raises
    ------
    ForeignError
        They are not, or it cannot be known.
    """
    require_known()
    found = ssl_of(connection)
    head = _readable(found, _SSL_BYTES)
    ends = {"SSL_get_rbio": bio_of(incoming), "SSL_get_wbio": bio_of(outgoing)}
    for function, expected in ends.items():
        _readable(expected, _WORD)
        if expected.to_bytes(8, "little") not in head:
            raise ForeignError("no SSL is where it is expected")
        getter = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_size_t)(address(function))
        if getter(found) != expected:
            raise ForeignError(f"{function} gives another BIO than Python's")


def _readable(start: int, size: int) -> bytes:
    """What stands in this process's memory; an error, and no crash, where nothing does."""
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            found = os.pread(memory.fileno(), size, start)
    except (OSError, OverflowError) as error:
        raise ForeignError(f"no memory at {start:#x}: {error}") from None
    if len(found) < size:
        raise ForeignError(f"no memory at {start:#x}")
    return found
