"""Who does the work: this process, others on this machine, or the workers of a Dask cluster.

An executor maps a function over tasks and yields results as they come, in any order. A worker that
dies takes nothing with it but time: its tasks are given to others. Tasks and results are plain
data, and what a task gives does not depend on who works it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from sim import workers
from topologies import TopologyError

Task = TypeVar("Task")
Result = TypeVar("Result")
CLUSTER_WITHIN_S = 10.0  # for a scheduler, and then for its first worker, to answer
LOSSES_MAX = 4  # workers that may die without any task done in between


class Executor(Protocol):
    """Works tasks somewhere."""

    def map(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """The results as they come."""
        ...


class InPlace:
    """One task after another, here."""

    def map(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """The results in order."""
        return map(work, tasks)


class Processes:
    """Processes of this machine.

    Parameters
    ----------
    count : int
        How many.
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def map(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """The results as they come; what a killed worker had in hand is done again.

        Raises
        ------
        RuntimeError
            Workers die one after another and nothing gets done.
        """
        left, losses = list(tasks), 0
        while left:
            done: set[int] = set()
            try:
                for number, result in self._round(work, left):
                    done.add(number)
                    yield result
            except BrokenProcessPool:
                losses = 1 if done else losses + 1
                if losses >= LOSSES_MAX:
                    raise RuntimeError(
                        f"{losses} workers died in a row with nothing done; a scenario may need "
                        "more memory than there is: use fewer processes"
                    ) from None
            left = [task for number, task in enumerate(left) if number not in done]

    def _round(
        self, work: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """Numbers of tasks and their results, until all are done or a worker dies."""
        with workers.pool(min(self._count, len(tasks))) as pool:
            futures: dict[Future[Result], int] = {
                pool.submit(work, task): number for number, task in enumerate(tasks)
            }
            for future in as_completed(futures):
                if future.exception() is None:
                    yield futures[future], future.result()
            lost = (future.exception() for future in futures if future.exception())
            if (error := next(lost, None)) is not None:
                raise error


class Cluster:
    """Workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Connected to its scheduler.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def map(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """The results as they come; the scheduler gives a lost worker's tasks to others."""
        from distributed import as_completed as completed

        futures = [self._client.submit(work, task, pure=False, retries=2) for task in tasks]
        try:
            for future in completed(futures, loop=self._client.loop):
                yield future.result()
                future.release()
        finally:
            self._client.cancel(futures, force=True)


def prepare(processes: int | None = None, cluster: str | None = None) -> None:
    """Let workers get ready while there is still something else to do; returns at once."""
    if cluster is None and _count(processes) > 1:
        workers.ready()


def _count(processes: int | None) -> int:
    return processes or workers.cores()


def fingerprint() -> str:
    """What a worker says of its code; see `sim.scenarios.code`."""
    from sim.scenarios import code

    return code()


@contextmanager
def executor(processes: int | None = None, cluster: str | None = None) -> Iterator[Executor]:
    """The executor that a command line asks for; by default a process for each core.

    Raises
    ------
    TopologyError
        The cluster cannot be reached, has no workers, or works with other code than this.
    """
    if cluster is None:
        count = _count(processes)
        yield InPlace() if count == 1 else Processes(count)
        return
    client = _connected(cluster)
    try:
        _require_same_code(client, cluster)
        yield Cluster(client)
    finally:
        client.close()


def _connected(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        rule = "the package distributed is not installed; make extras, or outside of a checkout "
        rule += "pip install 'xmpp-grid-lab[cluster]'"
        raise TopologyError([f"--cluster {address}: {rule}"]) from None
    try:
        client = Client(address, timeout=CLUSTER_WITHIN_S, set_as_default=False)
        client.wait_for_workers(1, timeout=CLUSTER_WITHIN_S)
    except (OSError, TimeoutError, ValueError) as error:
        rule = f"no workers can be reached ({error}); start a scheduler and workers there"
        raise TopologyError([f"--cluster {address}: {rule}"]) from None
    return client


def _require_same_code(client: Any, address: str) -> None:
    """Other code would give other outcomes under the same keys."""
    own = fingerprint()
    said = client.run(_said, on_error="return")
    other = [worker for worker, code in said.items() if code != own]
    if other:
        rule = f"{', '.join(other[:4])}: has not the same version of the lab; install this one"
        raise TopologyError([f"--cluster {address}: {rule}"])


def _said() -> str:
    """Runs on a worker."""
    return fingerprint()
