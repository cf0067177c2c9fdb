"""What one run passes on to those who look on, beside what it keeps."""

import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from loadtest import conduct as courses
from loadtest.conduct import BY_HAND, Conduct
from loadtest.interrupts import Interrupts


class Told:
    """A generator whose processes say these events once they are told to finish."""

    def __init__(self, *events):
        self.commands, self._events, self.specs = [], events, ()

    def tell(self, **command):
        self.commands.append(command)

    def wait_for(self, name, within_s):
        assert name == self._events[-1]["event"]
        yield from self._events


def test_second_that_closes_while_the_drain_ends_is_passed_on_too(tmp_path):
    window = {"event": "window", "place": 0, "role": "publish", "second": 1, "answer": [[7], [23]]}
    rest = {"event": "rest", "place": 0, "role": "publish", "answer": [[], []]}
    news = []
    topology = SimpleNamespace(workload=SimpleNamespace(duration=2.0))
    cast = SimpleNamespace(sessions=24)
    conduct = Conduct(topology, None, (), cast, None, tmp_path, news.append)
    told = Told(window, rest, {"event": "done", "place": 0})
    conduct.take_over(told)
    assert told.commands == [{"finish": True}]
    assert [each for one in news for each in one["windows"]] == [window, rest]
    assert [each["second"] for each in conduct.windows[0]] == [1]


WINDOWS = [{"event": "window", "place": 0, "role": "receive", "second": each} for each in (0, 1)]


@pytest.fixture
def ctrl_c():
    """Raise as Ctrl-C does: where tests run in the background, a shell lets it be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


class Interrupted(Told):
    """Processes that tell of two seconds again and again; at first, Ctrl-C comes in between."""

    def __init__(self, ctrl_c, times=1):
        super().__init__()
        self._ctrl_c, self._times = ctrl_c, times

    def events(self, wait_s):
        time.sleep(max(wait_s, 0.0))
        yield WINDOWS[0]
        while self._times:
            self._times -= 1
            self._ctrl_c()
        yield WINDOWS[1]


def interrupted(place, news):
    """A course that has begun and goes on for an hour."""
    topology = SimpleNamespace(workload=SimpleNamespace(duration=3600.0))
    cast = SimpleNamespace(sessions=24, subscribers=[np.arange(3)])
    rows = SimpleNamespace(intended_s=np.empty(0), topic=np.empty(0, int))
    grid = SimpleNamespace(directory=place, check=lambda: None)
    course = Conduct(topology, grid, rows, cast, None, place, news.append)
    course.start_ns, course._publishing = courses.soon_ns(), {0}
    return course


def test_ctrl_c_drops_nothing_of_what_is_being_taken_in(ctrl_c, tmp_path):
    news = []
    course, told = interrupted(tmp_path, news), Interrupted(ctrl_c)
    course._play_to_the_end(told, 3600.0)
    assert course.stopped == BY_HAND
    assert course.played_s < 60.0
    assert told.commands[0] == {"halt": True}
    assert [each["windows"] for each in news] == [WINDOWS] * len(news)
    assert [each["second"] for each in course.windows[0]] == [0, 1] * len(news)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_third_ctrl_c_is_somebody_who_cannot_wait(ctrl_c, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path, [])._play_to_the_end(Interrupted(ctrl_c, times=3), 3600.0)


def test_what_is_ignored_stays_ignored(ctrl_c):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts = Interrupts()
    with interrupts.counted():
        ctrl_c()
    assert interrupts.count == 0
