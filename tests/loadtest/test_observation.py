"""Figures of a process, against what the process itself and the kernel's other books say."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from loadtest import measurement, observation, pulse, tempo
from loadtest.observation import Observer
from results import pacing

BUSY = "import time\nend = time.process_time() + {cpu_s}\nwhile time.process_time() < end: pass\n"


def test_cpu_time_is_what_the_process_counts_itself():
    before_s = time.process_time()
    seen_s = observation.cpu_s(os.getpid())
    assert before_s <= seen_s <= time.process_time()


def test_cpu_time_includes_threads_that_ended_and_agrees_with_the_scheduler():
    import threading

    def burn():
        end_s = time.thread_time() + 0.05
        while time.thread_time() < end_s:
            pass

    before_s = observation.cpu_s(os.getpid())
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
    assert observation.cpu_s(os.getpid()) - before_s >= 0.05


def test_memory_grows_with_what_is_written():
    before_bytes = observation.resident_bytes(os.getpid())
    block = np.ones(4_000_000)
    grown_bytes = observation.resident_bytes(os.getpid()) - before_bytes
    assert grown_bytes == pytest.approx(block.nbytes, rel=0.1)


def test_descriptors_are_counted():
    before = observation.descriptors(os.getpid())
    pipe = os.pipe()
    assert observation.descriptors(os.getpid()) == before + 2
    for end in pipe:
        os.close(end)


@pytest.mark.parametrize(
    "figure", [observation.cpu_s, observation.resident_bytes, observation.descriptors]
)
def test_a_process_that_has_ended_has_no_figures(figure):
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(ProcessLookupError):
        figure(child.pid)


def test_an_observer_sees_a_process_work_until_it_ends():
    child = subprocess.Popen([sys.executable, "-c", BUSY.format(cpu_s=0.3)])
    observer = Observer(child.pid, period_s=0.02).start()
    child.wait(10)
    seen = observer.stop()
    assert seen.ended
    assert len(seen.time_s) == len(seen.cpu_s) == len(seen.rss_bytes) > 5
    assert np.all(np.diff(seen.time_s) > 0)
    assert np.all(np.diff(seen.cpu_s) >= 0)
    assert 0.2 < seen.cpu_s[-1] < 0.6
    assert seen.rss_bytes.max() > 1e6


def test_an_observer_takes_a_sample_at_both_ends_and_keeps_its_period():
    observer = Observer(os.getpid(), period_s=0.05).start()
    begun_s = time.monotonic()
    time.sleep(0.26)
    ended_s = time.monotonic()
    seen = observer.stop()
    assert not seen.ended
    assert seen.time_s[0] <= begun_s
    assert seen.time_s[-1] >= ended_s
    assert 4 <= len(seen.time_s) <= 8


def test_an_observer_of_nobody_has_no_samples():
    child = subprocess.Popen(["true"])
    child.wait()
    seen = Observer(child.pid).start().stop()
    assert seen.ended
    assert seen.time_s.shape == (0,)


def test_a_block_that_fails_stops_the_observer():
    import threading

    with pytest.raises(RuntimeError), Observer(os.getpid()):
        raise RuntimeError
    assert not [t for t in threading.enumerate() if t.name.startswith("observe-")]


def seen(paces, used_s, spinning):
    """Samples a second apart: paces of the cores, CPU time used in between, and in which tenths of
    each second spinners ran for half of the time. [1/s], [s]
    """
    used = np.insert(np.cumsum(used_s), 0, 0.0)
    bins = [
        (second + tenth / 10.0 + part * 0.002, pace * 0.001, 0.001)
        for second, (pace, tenths) in enumerate(zip(paces, spinning, strict=True))
        for tenth in tenths
        for part in range(50)
    ]
    zeros, time_s = np.zeros(len(used)), np.arange(float(len(used)))
    spun, none = np.array(bins).reshape(-1, 3).T, np.empty((2, 0))
    return observation.Observation(time_s, used, zeros, zeros.astype(int), spun, none, False)


ALL = range(10)


def test_the_pace_is_that_at_which_all_that_was_done_would_have_taken_as_long():
    """As much in each second, or most in the second one: CPU time over what was done in it."""
    paces = np.array([4e7, 2e7, 1e7])
    for done in (np.ones(3), np.array([0.5, 4.0, 0.2])):
        used_s = 0.1 * done * (1e7 / paces) ** pacing.EXPONENT
        told = seen(paces, used_s, [ALL] * 3)
        mean_s = used_s.sum() / (0.1 * done.sum())
        assert told.pace_per_s(-1.0) == pytest.approx(
            1e7 * mean_s ** (-1.0 / pacing.EXPONENT), rel=0.02
        )
        assert told.pace_per_s(2.0) == pytest.approx(1e7)


def test_spells_between_two_samples_cost_by_their_share_of_the_time():
    """Even work; in each second one of 50 ms in which it takes six times as long."""
    instant_s = np.arange(0.0, 3.0, pulse.EVERY_S)
    took_s = np.where(instant_s % 1.0 // 0.05 == 9, 60e-6, 10e-6)
    told = replace(seen([2e7] * 3, [0.125] * 3, [ALL] * 3), pulses=np.array([instant_s, took_s]))
    times = 1.0 + 0.05 * (6.0**tempo.SPELL_EXPONENT - 1.0)
    assert told.pace_per_s(0.0) == pytest.approx(2e7 * times ** (-1.0 / pacing.EXPONENT), rel=0.03)


def test_what_a_run_says_of_a_servers_pace_is_told_once(monkeypatch):
    asked, steps = [], tempo.steps
    monkeypatch.setattr(tempo, "steps", lambda *told: asked.append(told) or steps(*told))
    played = SimpleNamespace(
        observations={"a": seen([4e7, 2e7], [0.1, 0.1], [ALL] * 2)}, start_ns=0,
        rows=range(10), counters={},
    )  # fmt: skip
    told = measurement._server(played, SimpleNamespace(delivered=10))
    assert len(asked) == 1
    assert 2e7 < told["pace_per_s"]["a"] < 4e7
    assert {pace for _, pace in told["paces"]["a"]} >= {2e7, 4e7}
    assert told["spells"] == {"a": None}


def test_there_is_no_pace_where_spinners_had_no_time_while_it_worked():
    assert seen([4e7, 2e7], [0.1, 1.0], [ALL, []]).pace_per_s(-1.0) is None
    assert seen([4e7, 2e7], [0.0, 0.0], [ALL, ALL]).pace_per_s(-1.0) is None
    assert seen([4e7, 2e7], [0.1, 1.0], [ALL, []]).course(-1.0) is None


def test_the_pace_over_time_has_a_step_wherever_it_changes():
    told = seen([4e7, 2e7, 9e7, 1e7], [0.1, 0.8, 0.1, 0.1], [ALL] * 4)
    begins_s, paces = zip(*told.course(0.0).rows(0.0), strict=True)
    assert begins_s[0] == 0.0
    steps = np.searchsorted(begins_s, [0.5, 1.5, 2.5, 3.5], side="right") - 1
    assert np.array(paces)[steps].tolist() == [4e7, 2e7, 9e7, 1e7]
    assert told.course(1.5).rows(1.5)[0] == [0.0, 2e7]


def test_waiting_is_that_of_the_thread_that_works_most():
    """Of two threads on one core the second hardly works; it waits for the first."""
    code = (
        "import os, threading, time\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "def now_and_then():\n"
        "    while True: time.sleep(0.001)\n"
        "threading.Thread(target=now_and_then, daemon=True).start()\n"
        "end = time.process_time() + 1.0\n"
        "while time.process_time() < end: pass\n"
        "print(flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        rows = [
            [int(word) for word in (task / "schedstat").read_text().split()]
            for task in Path(f"/proc/{child.pid}/task").iterdir()
        ]
        seen_s = observation.waited_s(child.pid)
        child.communicate(b"\n")
    assert len(rows) == 2
    assert seen_s == pytest.approx(max(rows)[1] / 1e9, abs=0.01)
