"""A mount namespace of a process's own, in which it sees files of ours in place of the system's.

ejabberd finds its peers by the system's `/etc/hosts` and nothing else, so each of a grid's servers
is shown one of its own; the system's is not touched. See mount_namespaces(7), user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 0x40000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def show_own_files(own_files: Mapping[str, str]) -> None:
    """Put `own_files` (path of the system's: path of ours) in place, for the calling process alone.

    For use after fork, while the process has one thread. An ordinary user does it inside a user
    namespace in which it stays who it is.

    Raises
    ------
    OSError
        The kernel forbids it.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _unshare(_CLONE_NEWNS)
    else:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount("none", "/", _MS_REC | _MS_PRIVATE)  # what is mounted here is not seen elsewhere
    for system, own in own_files.items():
        _mount(own, system, _MS_BIND)


def _unshare(flags: int) -> None:
    if _LIBC.unshare(flags) != 0:
        raise _error("a mount namespace of its own")


def _mount(source: str, target: str, flags: int) -> None:
    if _LIBC.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None) != 0:
        raise _error(f"an own {target}")


def _error(wish: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"the kernel does not let it have {wish}: {os.strerror(number)}")
