"""Processes on one core each that write what they see on a board of memory, which we read.

A board is a row of words of 8 bytes; its memory is taken only where it is written.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

WORD_BYTES: Final = 8
Boards = dict[int, mmap.mmap]  # by core


@contextmanager
def kept(boards: Boards, module: str, core: int, limit_s: float, words: int) -> Iterator[None]:
    """Let `python -m MODULE CORE SECONDS PARENT DESCRIPTOR` write on a board, which is among
    `boards` meanwhile, and end it afterwards.

    It is in a session of its own, so that Ctrl-C does not reach it.
    """
    descriptor = os.memfd_create(f"{module}-{core}")
    os.truncate(descriptor, WORD_BYTES * words)
    board = mmap.mmap(descriptor, WORD_BYTES * words)
    arguments = [str(each) for each in (core, limit_s, os.getpid(), descriptor)]
    writer = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], pass_fds=[descriptor], start_new_session=True
    )
    os.close(descriptor)
    former = boards.get(core)
    boards[core] = board
    try:
        yield
    finally:
        writer.kill()
        writer.wait()
        if former is None:
            del boards[core]
        else:
            boards[core] = former
