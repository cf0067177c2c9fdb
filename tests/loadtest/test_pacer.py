"""The pacer keeps absolute deadlines on a clock that the test turns by hand."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest

from loadtest.pacer import Pacer
from loadtest.spool import NEVER

MS = 1_000_000


@dataclass
class Clock:
    """Stands still but for sleeps, and one microsecond per look."""

    oversleep_ns: int = 0
    send_ns: int = 0
    now_ns: int = 0
    sends: list[tuple[int, int]] = field(default_factory=list)
    yields: int = 0

    def look(self) -> int:
        self.now_ns += 1_000
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        self.yields += 1
        if seconds > 0:
            self.now_ns += round(seconds * 1e9) + self.oversleep_ns
        await asyncio.sleep(0)

    def nap(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    def send(self, first: int, last: int) -> None:
        self.sends.append((first, last))
        self.now_ns += self.send_ns


def paced(clock: Clock, *due_ms: float) -> Pacer:
    due_ns = np.array([round(due * MS) for due in due_ms], dtype=np.int64)
    return Pacer(due_ns, clock.send, clock=clock.look, sleep=clock.sleep, nap=clock.nap)


@pytest.mark.parametrize(
    ("due_ms", "clock", "sends", "sent_ms"),
    [
        pytest.param((), Clock(), [], (), id="nothing to send"),
        pytest.param((10, 30), Clock(), [(0, 1), (1, 2)], (10, 30), id="on time"),
        pytest.param(
            (10, 10, 30), Clock(), [(0, 2), (2, 3)], (10, 10, 30), id="two due together go in one"
        ),
        pytest.param(
            (10, 10.5),
            Clock(),
            [(0, 1), (1, 2)],
            (10, 10.5),
            id="half a millisecond apart is apart",
        ),
        pytest.param(
            (10, 30),
            Clock(oversleep_ns=1 * MS),
            [(0, 1), (1, 2)],
            (10, 30),
            id="a loop 1 ms late is in time",
        ),
        pytest.param(
            (10, 12, 40),
            Clock(oversleep_ns=5 * MS),
            [(0, 2), (2, 3)],
            (13.5, 13.5, 43.5),
            id="overslept: sent late, at once",
        ),
        pytest.param(
            (0, 1, 2, 3),
            Clock(send_ns=2 * MS),
            [(0, 1), (1, 3), (3, 4)],
            (0, 2, 2, 4),
            id="a slow send makes others late",
        ),
        pytest.param(
            (10,) * 40,
            Clock(send_ns=1 * MS),
            [(0, 32), (32, 40)],
            (10,) * 32 + (11,) * 8,
            id="the last of a large burst are sent later than the first",
        ),
        pytest.param((-5, 10), Clock(), [(0, 1), (1, 2)], (0, 10), id="due before the start"),
    ],
)
def test_publications_go_out_when_due(
    due_ms: tuple[float, ...],
    clock: Clock,
    sends: list[tuple[int, int]],
    sent_ms: tuple[float, ...],
) -> None:
    pacer = paced(clock, *due_ms)
    asyncio.run(pacer.run())
    assert clock.sends == sends
    assert pacer.sent_ns / MS == pytest.approx(sent_ms, abs=0.02)


def test_no_publication_is_early() -> None:
    clock = Clock()
    due_ms = np.sort(np.random.default_rng(1).uniform(0, 500, 200))
    pacer = paced(clock, *due_ms)
    asyncio.run(pacer.run())
    lateness_ns = pacer.sent_ns - (due_ms * MS)
    assert lateness_ns.min() >= -0.5
    assert lateness_ns.max() < 10_000


def test_a_late_pacer_still_lets_others_run() -> None:
    clock = Clock(send_ns=10 * MS)
    asyncio.run(paced(clock, *range(50)).run())
    assert clock.yields == len(clock.sends)


def test_stopped_pacer_leaves_the_rest_unsent() -> None:
    async def story() -> Pacer:
        clock = Clock()
        pacer = paced(clock, 1, 2, 3)
        task = asyncio.ensure_future(pacer.run())
        while len(clock.sends) < 2:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return pacer

    sent_ns = asyncio.run(story()).sent_ns
    assert list(sent_ns == NEVER) == [False, False, True]
