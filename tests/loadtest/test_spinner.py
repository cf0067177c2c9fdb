"""Spinners keep cores awake, give way to work, and end with whoever started them."""

import os
import subprocess
import sys
import time

import numpy as np
import psutil

from loadtest import observation, spinner

# Works 30 ms and sleeps 20 ms for two seconds, in a session of its own, as a server does.
WORK = """
import os, time
os.setsid()
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
end = time.monotonic() + 2
while time.monotonic() < end:
    begun = time.process_time()
    while time.process_time() < begun + 0.03:
        pass
    time.sleep(0.02)
print(open("/proc/self/schedstat").read())
"""


def spinners() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "loadtest.spinner" in child.cmdline()]


def waited_share() -> float:
    """Time that the work waited for its core over the time that it ran."""
    output = subprocess.run(
        [sys.executable, "-c", WORK], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    ran, waited = map(int, output.split()[:2])
    return waited / ran


def test_one_a_core_busy_and_gone_afterwards():
    with spinner.awake(30.0):
        time.sleep(1.0)
        started = spinners()
        assert len(started) == len(os.sched_getaffinity(0))
        assert all(observation.cpu_s(process.pid) > 0.05 for process in started)
    assert spinners() == []


def test_they_tell_the_pace_of_their_cores():
    """As many rounds in a CPU second as the same loop makes here, within what guests may differ."""
    core = min(os.sched_getaffinity(0))
    begun_s = time.monotonic()
    assert spinner.kept([core], begun_s - 9.0, begun_s).shape == (3, 0)
    with spinner.awake(30.0):
        bins = spinner.kept([core], begun_s, begun_s + 25.0)
        while bins[2].sum() < 0.2 and time.monotonic() < begun_s + 25.0:
            time.sleep(0.1)  # others' work goes first
            bins = spinner.kept([core], begun_s, time.monotonic())
        assert spinner.kept([4095], begun_s, time.monotonic()).shape == (3, 0)
        middle_s = bins[0, bins.shape[1] // 2]
        later = spinner.kept([core], middle_s, bins[0, -1])
    assert (bins[0] >= begun_s - 0.002).all()
    assert (np.diff(bins[0]) > 0.0).all()
    half = bins[:, bins.shape[1] // 2 : -1]  # the last one was not over yet
    assert np.array_equal(later[:, : half.shape[1]], half)
    rounds, used_s = bins[1].sum(), bins[2].sum()
    place = spinner.ring()
    began_s = time.process_time()
    for _ in range(10 * spinner.ROUNDS):
        place = place[0]
    here_per_s = 10 * spinner.ROUNDS / (time.process_time() - began_s)
    assert used_s > 0.0
    assert here_per_s / 6.0 < rounds / used_s < 6.0 * here_per_s
    assert spinner.kept([core], begun_s, time.monotonic()).shape == (3, 0)


def test_rounds_in_which_another_had_a_turn_do_not_count_nor_those_after_them():
    """Three times alone, a server's turn of 2 ms with slow rounds around it, and twice more."""
    tally, passed_ns, used_ns = spinner.Tally(0, 0), 0, 0
    steps_us = [(300, 0), (300, 0), (300, 5), (400, 2000), (500, 0), (300, 0), (300, 0)]
    counted = []
    for own_us, others_us in steps_us:
        used_ns += 1000 * own_us
        passed_ns += 1000 * (own_us + others_us)
        counted.append(tally.add(passed_ns, used_ns))
    assert counted == [False, True, True, False, False, True, True]


def test_the_ring_leads_through_all_its_places():
    start = place = spinner.ring()
    places = 0
    while places == 0 or place is not start:
        place, places = place[0], places + 1
    assert places == spinner.RING


def test_a_server_in_its_own_session_hardly_waits_for_them():
    """A plain idle-class loop would make it wait about as long as it runs."""
    with spinner.awake(30.0):
        time.sleep(0.5)
        shares = [waited_share() for _ in range(3)]
    assert min(shares) < 0.3


def test_it_ends_by_itself_and_without_its_parent():
    command = [sys.executable, "-m", "loadtest.spinner", str(min(os.sched_getaffinity(0)))]
    begun_s, board = time.monotonic(), os.memfd_create("board")
    os.truncate(board, 8 * (spinner.BINS + 2 * 301))  # of 0.6 s
    for limit_s, parent in (("0.3", os.getpid()), ("600", 1)):  # whose parent is another
        arguments = [*command, limit_s, str(parent), str(board)]
        subprocess.run(arguments, timeout=30, check=True, pass_fds=[board])
    os.close(board)
    assert time.monotonic() - begun_s < 20.0
