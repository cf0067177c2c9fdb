"""When compiled code sends, reads and gives way: on a clock that the test turns."""

import ctypes
from dataclasses import dataclass, field

import numpy as np
import pytest

from loadtest import compiled_sending, compiled_tables
from loadtest.compiled_reading import _tables
from loadtest.compiled_sending import ANSWERS_WITHIN_NS, READ_BEFORE_NS, READ_EVERY_NS, Sending
from loadtest.pacer import EARLY_NS, TOGETHER
from loadtest.publications import ANSWERED, BEGUN, Publications
from loadtest.spool import Spool

WORD = ctypes.c_longlong
CALL = ctypes.CFUNCTYPE(WORD, *[WORD] * 4)
US, MS = 1_000, 1_000_000
TICK_NS, LATE_NS, WRITE_NS, LOOK_NS = 50, 5 * US, 20 * US, 30 * US
TURN_NS = 25 * MS


@dataclass
class Stage:
    """Publications whose sessions Python writes for, and the system's calls, played.

    Attributes
    ----------
    looks_ns, sent_ns : list of int
        When it looked what has come, and when each publication was written. [ns]
    gives_way : list of int
        When it gave the event loop a turn. [ns]
    """

    directory: object
    due_ns: np.ndarray
    answers: object = lambda stage: 0  # how many come with a look
    now_ns: int = 10**12
    looks_ns: list = field(default_factory=list)
    sent_ns: list = field(default_factory=list)
    gives_way: list = field(default_factory=list)

    def __post_init__(self):
        self.due_ns = self.now_ns + np.asarray(self.due_ns, dtype=np.int64)
        ours = Publications(np.arange(len(self.due_ns)), Spool(str(self.directory / "spool")))
        self.progress = ours.progress
        self._buffer = memoryview(bytearray(compiled_tables.READY_MAX * compiled_tables.SLOT_BYTES))
        self._tables = _tables(-1, self._buffer, ours)
        self._calls = [CALL(each) for each in (self._tell, self._sleep, self._look)]
        for name, call in zip(
            ("clock_gettime", "clock_nanosleep", "epoll_wait"), self._calls, strict=True
        ):
            self._tables.addresses[name] = ctypes.cast(call, ctypes.c_void_p).value
        rows = np.zeros(len(self.due_ns), compiled_sending.PUBLICATION)
        rows["due_ns"] = self.due_ns
        self._sending = Sending(
            state=np.zeros(1, compiled_sending.SENDING),
            publications=rows,
            nodes=np.zeros(1, compiled_sending.NODE),
            doors=np.full(1, compiled_tables.NOBODY, np.int64),
            dirty=np.zeros(TOGETHER, np.int64),
            stanza=np.zeros(compiled_tables.RECORD_BYTES, np.uint8),
        )
        self._sending.state["early_ns"] = EARLY_NS

    def _tell(self, clock, where, *_):
        self.now_ns += TICK_NS
        WORD.from_address(where).value = self.now_ns // 10**9
        WORD.from_address(where + 8).value = self.now_ns % 10**9
        return 0

    def _sleep(self, clock, flags, where, *_):
        seconds, nanoseconds = (WORD.from_address(where + 8 * k).value for k in range(2))
        self.now_ns = max(self.now_ns, seconds * 10**9 + nanoseconds) + LATE_NS
        return 0

    def _look(self, *_):
        self.looks_ns.append(self.now_ns)
        self.now_ns += LOOK_NS
        self.progress[ANSWERED] += self.answers(self)
        return 0

    def play(self):
        """Send all."""
        turn, state = self._tables.turn[0], self._sending.state[0]
        while True:
            turn["polled"], state["yield_ns"] = 0, self.now_ns + TURN_NS
            state["read_ns"] = max(state["read_ns"], self.now_ns)
            while (
                why := compiled_sending.publish(self._tables, self._sending)
            ) == compiled_tables.WRITE:
                self.sent_ns.append(self.now_ns)
                self.now_ns += WRITE_NS
            if why == compiled_tables.DONE:
                return self
            assert why == compiled_tables.LATER
            self.gives_way.append(self.now_ns)
            begun = int(self.progress[BEGUN])
            self.now_ns = max(self.now_ns + US, int(self.due_ns[begun]) - EARLY_NS)

    def gives_way_after(self, instant_ns):
        """When it next gave the event loop a turn."""
        return next(each for each in self.gives_way if each > instant_ns)

    @property
    def lateness_ns(self):
        """Of each publication."""
        return np.array(self.sent_ns) - self.due_ns

    @property
    def left_ns(self):
        """From each look until the next deadline."""
        looks = np.array(self.looks_ns)
        following = np.searchsorted(self.due_ns, looks)
        known = following < len(self.due_ns)
        return self.due_ns[following[known]] - looks[known]


def test_reading_makes_no_publication_late(tmp_path):
    """At 8,000 publications a second it reads in the gaps, and only where they are long enough."""
    gaps_ns = np.random.default_rng(1).integers(45 * US, 205 * US, 2_000)
    stage = Stage(tmp_path, np.cumsum(gaps_ns) + MS).play()
    assert stage.left_ns.min() > READ_BEFORE_NS - 10 * TICK_NS
    assert stage.lateness_ns.max() < LATE_NS + 20 * TICK_NS
    assert stage.lateness_ns.min() >= 0
    looks = np.diff(stage.looks_ns)[1:-1]  # the first and the last are before and after all
    assert looks.min() >= READ_EVERY_NS
    assert looks.max() < 2 * READ_EVERY_NS


@pytest.mark.parametrize("gap_us", [45, 25])
def test_reading_is_not_put_off_for_ever(tmp_path, gap_us):
    """Where no gap is long enough it reads half as often."""
    stage = Stage(tmp_path, np.arange(4_000) * gap_us * US + MS).play()
    looks = np.diff(stage.looks_ns)
    assert looks.max() < 2 * READ_EVERY_NS + LOOK_NS + TOGETHER * (WRITE_NS + US)
    assert np.median(looks) >= 2 * READ_EVERY_NS


def test_answers_are_awaited_while_they_come(tmp_path):
    """After a burst it looks again and again, without the event loop, until the last has come."""
    due_ns = np.repeat([MS, 21 * MS], 40)
    taken = []

    def ten(stage):
        taken.append(min(10, len(stage.sent_ns) - int(stage.progress[ANSWERED])))
        return taken[-1]

    stage = Stage(tmp_path, due_ns, ten).play()
    last_ns = stage.sent_ns[39]
    looks = [each for each in stage.looks_ns if last_ns < each < stage.due_ns[40] - EARLY_NS]
    assert len(looks) == 4
    assert np.diff(looks).min() >= READ_EVERY_NS
    assert np.diff(looks).max() < 2 * READ_EVERY_NS
    assert stage.gives_way_after(last_ns) < looks[-1] + READ_EVERY_NS


def test_answers_that_do_not_come_are_left_to_the_event_loop(tmp_path):
    stage = Stage(tmp_path, [MS, 21 * MS]).play()
    waited_ns = stage.gives_way_after(stage.sent_ns[0]) - stage.sent_ns[0]
    assert ANSWERS_WITHIN_NS <= waited_ns < ANSWERS_WITHIN_NS + 2 * READ_EVERY_NS


def test_an_answer_that_never_comes_is_not_waited_for_again(tmp_path):
    """Of later publications, each far from the next, only its own answer is: it comes at once."""
    due_ns = MS + 21 * MS * np.arange(6)

    def all_but_the_first(stage):
        return max(len(stage.sent_ns) - 1 - int(stage.progress[ANSWERED]), 0)

    stage = Stage(tmp_path, due_ns, all_but_the_first).play()
    waited_ns = [stage.gives_way_after(sent_ns) - sent_ns for sent_ns in stage.sent_ns[:-1]]
    assert waited_ns[0] >= ANSWERS_WITHIN_NS
    assert max(waited_ns[1:]) < 3 * READ_EVERY_NS
