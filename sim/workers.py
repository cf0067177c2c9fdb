"""Worker processes of this machine, and how they start at once.

Workers are forked off a server that has nothing but what a worker needs (`sim.worker_imports`): a
worker that imports all that by itself takes three seconds of a core, and as long as a small sweep
to go away again. The server has one thread, so that a fork is safe whatever threads this process
has; it starts while this process still reads and checks (`ready`), and ends with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from typing import Any

IMPORTS = "sim.worker_imports"
PROGRAM = "gridlab"  # a worker imports the program again that it works for
_starting = threading.Lock()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def ready() -> None:
    """Start the server of workers, if it does not run yet; returns at once.

    It finds modules where this process finds them, and not where it happens to stand: otherwise
    workers might have another version of the lab than the one that names their outcomes.
    """
    with _starting:
        here = os.pathsep.join(place or os.getcwd() for place in sys.path)
        changed = {"PYTHONPATH": here, "PYTHONSAFEPATH": "1"}
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        # The server and its workers hear no interrupt: the process that has them decides. The
        # tracker starts first, since its start lets interrupts through again.
        resource_tracker.ensure_running()
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.set_forkserver_preload([IMPORTS, *({PROGRAM} & sys.modules.keys())])
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class Pool(ProcessPoolExecutor):
    """Processes, of which one may start with each task that is submitted."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Give a task to the workers."""
        with _interrupt_later():
            return super().submit(work, *arguments, **named)


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Hold an interrupt back: a worker that is half started is known to nobody who could end it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, Any]] = []
    answered = signal.signal(signal.SIGINT, lambda *call: came.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, answered)
        if came and callable(answered):
            answered(*came[0])


@contextmanager
def pool(count: int) -> Iterator[Pool]:
    """Some workers; whatever ends the block early ends them and what they have in hand."""
    ready()
    others = multiprocessing.active_children()
    context = multiprocessing.get_context("forkserver")
    with Pool(count, mp_context=context, initializer=_leave_along) as workers:
        try:
            yield workers
        except BaseException:  # above all an interrupt: nobody waits for work that is not wanted
            workers.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                if child not in others:
                    child.terminate()
            raise


def _leave_along() -> None:
    """In a worker: end with the process that has it, whatever ends that one."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
