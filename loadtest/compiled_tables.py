"""What compiled code works on: its tables, and the foreign functions that it calls by address.

Addresses of functions and of what is compared come in tables. Code kept on disk is looked up by its
own module's date and by the types of its arguments; a hash of all modules that are compiled is part
of those types, so that no old code is taken for new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.extending import intrinsic

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

READY_MAX: Final = 64  # descriptors that are read before what they gave is taken
READY_MOST: Final = 16  # likewise where publications shall not wait for it
SLOT_BYTES: Final = 8_256  # no power of two: neighbours shall not compete for the same cache lines
RECORD_BYTES: Final = 16_384  # most that one TLS record holds (RFC 8446 section 5.1)
ROWS_MAX: Final = 4_096
LEFT_BYTES: Final = 4_160  # of a stanza's beginning that are kept for a session
LEFT_MAX: Final = 20_000  # sessions for which they can be: no run has more

# Why a turn gives way to Python.
OVER: Final = 0  # nothing is ready any more, or its time is up
HANDLER: Final = 1  # a descriptor is for its handler
ODD: Final = 2  # what was decrypted is for `Receiver.feed`
CHECK: Final = 3  # noted, and to be parsed in full as well
FAILED: Final = 4  # no clear text: reading once more tells why, and what is to be sent goes out
FULL: Final = 5  # no room for more rows

# Why publications give way to Python, beside these.
LATER: Final = 6  # nothing is due for a while, or others shall run meanwhile
WRITE: Final = 7  # the publication before the number of written ones is for Python to write
BLOCKED: Final = 8  # the kernel does not take all that a session has to send
DONE: Final = 9  # all are written

# Instead of an entry's session.
NOBODY: Final = -1  # it is its handler's
TAKEN: Final = -2  # Python has taken it already

# Instead of how much is left of a session's last record.
ELSEWHERE: Final = -1  # Python has it

FUNCTIONS: Final = (
    "epoll_wait", "recvmsg", "clock_gettime", "memcmp", "memchr", "memmem",
    "SSL_read", "SSL_get_error", "BIO_write", "BIO_ctrl_pending",
    "SSL_write", "BIO_read", "send", "clock_nanosleep", "memcpy", "memset",
)  # fmt: skip
BUFFERS: Final = (
    "ready", "encrypted", "clear", "left", "message", "time", "head", "tail", "item",
    "iq_open", "iq_close", "mark",
)  # fmt: skip
SOURCES: Final = (  # of all kernels
    *("compiled_tables", "compiled_turn", "compiled_answers", "compiled_sending"),
    "publications",
)


def words(*names: str) -> np.dtype[np.void]:
    """A record of 64-bit words."""
    return np.dtype([(name, np.int64) for name in names])


def _fingerprint() -> str:
    here = Path(__file__).parent
    text = b"".join((here / f"{name}.py").read_bytes() for name in SOURCES)
    return f"code_{hashlib.sha256(text).hexdigest()[:12]}"


ADDRESSES: Final = words(*FUNCTIONS, *BUFFERS, _fingerprint())
MESSAGE: Final = words(  # struct msghdr, iovec, cmsghdr and timespec, one after another
    *("name", "name_bytes", "parts", "part_count", "control", "control_bytes", "flags"),
    *("part", "part_bytes", "stamp_bytes", "stamp_kind", "stamp_s", "stamp_ns"),
)
TIME: Final = words("s", "ns")  # struct timespec
SESSION: Final = words(  # a cache line
    *("ssl", "incoming", "outgoing", "key"),
    "event",  # which event its newest notification had
    "left",  # bytes of a stanza that its last record began; ELSEWHERE
    "number",  # its descriptor; NOBODY
    "sealed",  # whether something waits to be sent, or the kernel has not taken all: see below
)
SEALED: Final = 1
STUCK: Final = 2
EVENT: Final = words("address", "size", "quote")
ENTRY: Final = words(  # what a ready descriptor gave
    *("number", "happened", "session", "size", "received_ns", "delay_ns")
)
TURN: Final = words(
    *("poll", "ready_words", "ready_most", "patience_ms", "end_ns", "polled"),
    "again_from",  # so many have to be ready for a second look in the same turn
    *("check_every", "events"),
    *("head_bytes", "tail_bytes", "item_bytes"),  # how long what is compared is
    *("position", "count"),  # of entries, and how many were taken
    *("rows", "read_bytes", "publication"),
    *("clear_from", "clear_to", "clear_bytes"),  # of the clear text: a stanza, and where it ends
    *("id_from", "type_from"),  # of that stanza's attributes
)


class Tables(NamedTuple):
    """All that a turn works on."""

    addresses: npt.NDArray[Any]  # ADDRESSES, one
    turn: npt.NDArray[Any]  # TURN, one
    message: npt.NDArray[Any]  # MESSAGE, one
    time: npt.NDArray[Any]  # TIME, one
    ready: npt.NDArray[np.uint32]  # struct epoll_event, as words
    entries: npt.NDArray[Any]  # ENTRY, READY_MAX
    clear: npt.NDArray[Any]  # clear text: what was left, and a record
    left: npt.NDArray[np.uint8]  # by session: the beginning of a stanza; LEFT_BYTES for each
    session_of: npt.NDArray[np.int32]  # by descriptor; NOBODY
    sessions: npt.NDArray[Any]  # SESSION
    events: npt.NDArray[Any]  # EVENT
    rows: npt.NDArray[np.int64]  # ROWS_MAX as `DeliveryLog` has them
    # As `Publications` has them.
    progress: npt.NDArray[np.int64]
    published: npt.NDArray[np.int64]
    sent_ns: npt.NDArray[np.int64]
    answered_ns: npt.NDArray[np.int64]
    answers: npt.NDArray[np.int64]


def compiled(function: Kernel) -> Kernel:
    """Compile a kernel, and keep it on disk where there is a place for it."""
    options = {"nogil": True, "error_model": "numpy", "_nrt": False}
    try:
        kernel: Kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        kernel = numba.njit(**options)(function)
    return kernel


def _call(returned: ir.Type) -> Callable[..., Any]:
    """How to call the C function at an address; those of fewer parameters do not see the rest."""

    @intrinsic
    def call(context: Any, address: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        def generate(context: Any, builder: Any, sign: Any, values: Any) -> Any:
            function = ir.FunctionType(returned, [_WORD] * 4).as_pointer()
            found = builder.call(builder.inttoptr(values[0], function), values[1:])
            return found if returned is _WORD else builder.sext(found, _WORD)

        return signature(types.int64, *[types.int64] * 5), generate

    return cast(Callable[..., Any], call)


_WORD: Final = ir.IntType(64)
foreign: Final = _call(_WORD)  # of a function that returns a pointer, a size or nothing
foreign_int: Final = _call(ir.IntType(32))
