"""Ctrl-C that waits until somebody looks, so that nothing is dropped while it is being taken in."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_PATIENCE: Final = 2  # so many wait to be seen; one more is somebody who cannot


class Interrupts:
    """Counts interrupts instead of raising them.

    Attributes
    ----------
    count : int
        How many there were.
    """

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count those of SIGINT, and of SIGTERM where the program has a handler for it.

        They reach the main thread only; in any other there are none to count.
        """
        with ExitStack() as before:
            if threading.current_thread() is threading.main_thread():
                for number in _SIGNALS:
                    handler = signal.getsignal(number)
                    if callable(handler):  # else it is ignored, or ends the process
                        signal.signal(number, self._note)
                        before.callback(signal.signal, number, handler)
            yield

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > _PATIENCE:
            raise KeyboardInterrupt
