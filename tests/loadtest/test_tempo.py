"""From what spinners and pulses did to one pace over time, on machines made up here."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from loadtest import boards, pulse, spinner, tempo
from results import pacing

PACE_PER_S = 3e7


def beats(seconds, spells=(), interrupts=()):
    """Pulses of 10 us or so; in spells, (from [s], to [s], times), so many times as long."""
    instant_s = 50.0 + np.arange(0.0, seconds, pulse.EVERY_S)
    took_s = 10e-6 * np.random.default_rng(7).uniform(0.9, 1.3, len(instant_s))
    for begin_s, end_s, times in spells:
        took_s[(instant_s >= 50.0 + begin_s) & (instant_s < 50.0 + end_s)] *= times
    for at_s in interrupts:
        took_s[np.searchsorted(instant_s, 50.0 + at_s)] += 60e-6
    return np.array([instant_s, took_s])


def idle(seconds, pace_per_s=PACE_PER_S):
    """Bins of an idle loop that has the core every other 10 ms."""
    begin_s = 50.0 + np.arange(0.0, seconds, 0.002)
    begin_s = begin_s[((begin_s - 50.0) % 0.02 < 0.01)]
    spun_s = np.full(len(begin_s), 0.0018)
    return np.array([begin_s, np.broadcast_to(pace_per_s, spun_s.shape) * spun_s, spun_s])


def at(told, instant_s):
    edges_s, paces, _ = told
    return paces[np.searchsorted(edges_s, 50.0 + instant_s, side="right") - 1]


def test_a_spell_is_found_with_its_length_and_how_slow_it_is():
    pulses = beats(2.0, [(0.7, 0.73, 6.0), (1.5, 1.52, 3.5)])
    slower = tempo.slower(pulses)
    instant_s = pulses[0] - 50.0
    assert (slower > 1.0).sum() * pulse.EVERY_S == pytest.approx(0.05, abs=pulse.EVERY_S)
    inside = (instant_s >= 0.7) & (instant_s < 0.73)
    assert slower[inside].mean() == pytest.approx(6.0, rel=0.25)
    assert (slower[instant_s < 0.69] == 1.0).all()
    told = tempo.spells(pulses)
    assert told["count"] == 2
    assert told["share"] == pytest.approx(0.025, rel=0.1)
    assert told["mean_s"] == pytest.approx(0.025, rel=0.1)
    assert told["factor"] == pytest.approx(0.6 * 6.0 + 0.4 * 3.5, rel=0.2)


def test_an_interrupt_beside_one_pulse_is_no_spell():
    assert (tempo.slower(beats(2.0, interrupts=(0.3, 0.9, 1.7))) == 1.0).all()
    assert tempo.slower(np.empty((2, 0))).shape == (0,)
    assert tempo.spells(np.empty((2, 0))) is None


def test_a_spell_at_the_very_end_is_one():
    assert tempo.spells(beats(2.1, [(2.02, 2.09, 6.0)]))["count"] == 1


def test_a_machine_that_is_slower_for_seconds_has_no_spell():
    assert tempo.spells(beats(4.0, [(2.0, 4.0, 2.0)])) is None


def test_a_spell_that_fades_is_one_until_it_has_faded():
    fading = [(0.7 + k * 0.01, 0.71 + k * 0.01, times) for k, times in enumerate((8, 5, 3, 2, 1.8))]
    told = tempo.spells(beats(2.0, fading))
    assert told["count"] == 1
    assert told["mean_s"] == pytest.approx(0.05, abs=0.005)


def test_work_in_a_spell_takes_as_many_times_as_long():
    told = tempo.steps(idle(2.0), beats(2.0, [(0.7, 0.74, 6.0)]), 50.0, 52.0)
    calm, slow = at(told, 0.5), at(told, 0.72)
    assert calm == pytest.approx(PACE_PER_S)
    assert pacing.slowdown(slow, calm) == pytest.approx(6.0, rel=0.25)
    seconds = np.diff(told[0])[told[1] < 0.9 * calm].sum()
    assert seconds == pytest.approx(0.04, abs=0.01)
    assert told[2].all()


def test_what_the_idle_loop_did_in_a_spell_does_not_count_twice():
    spell = (0.65, 0.85, 4.0)
    paces = np.where(np.abs(idle(2.0)[0] - 50.75) < 0.101, PACE_PER_S / 4.0, PACE_PER_S)
    told = tempo.steps(idle(2.0, paces), beats(2.0, [spell]), 50.0, 52.0)
    times = pacing.slowdown(at(told, 0.75), at(told, 0.3))
    assert times == pytest.approx(4.0**tempo.SPELL_EXPONENT, rel=0.2)


def test_a_bin_in_which_a_spell_begins_is_not_what_the_core_does_between_them():
    """Bins of the idle loop begin just before pulses; one ends in the spell that the next sees."""
    begin_s = 50.0 + np.arange(0.0, 2.0, 0.002) - 0.0001
    paces = np.where(np.abs(begin_s + 0.002 - 50.7195) < 0.0210, PACE_PER_S / 6.0, PACE_PER_S)
    kept = np.array([begin_s, paces * 0.0018, np.full(len(begin_s), 0.0018)])
    told = tempo.steps(kept, beats(2.0, [(0.7, 0.74, 6.0)]), 50.0, 52.0)
    calm = told[1][told[1] > PACE_PER_S / 3.0]
    assert len(calm) >= 2
    assert calm == pytest.approx(PACE_PER_S)


def test_a_core_that_changes_for_longer_is_told_by_the_idle_loop():
    paces = np.where(idle(2.0)[0] < 51.0, PACE_PER_S, PACE_PER_S / 2.0)
    told = tempo.steps(idle(2.0, paces), beats(2.0), 50.0, 52.0)
    assert [at(told, 0.5), at(told, 1.5)] == pytest.approx([PACE_PER_S, PACE_PER_S / 2.0])


def test_nothing_is_known_without_an_idle_loop_nor_far_from_one():
    assert tempo.steps(np.empty((3, 0)), beats(2.0), 50.0, 52.0) is None
    early = idle(4.0)[:, idle(4.0)[0] < 51.0]
    edges_s, _, known = tempo.steps(early, np.empty((2, 0)), 50.0, 54.0)
    assert known[0]
    assert not known[-1]
    assert edges_s[-1] == 54.0


def test_a_long_run_has_a_bounded_number_of_steps_and_all_that_was_slow(monkeypatch):
    """Cells of 60 ms, in which spells of 30 ms five times as slow are one mean."""
    monkeypatch.setattr(tempo, "CELLS_MAX", 1_000)
    slow = [(at_s, at_s + 0.03, 5.0) for at_s in np.arange(0.2, 60.0, 0.5)]
    edges_s, paces, _ = tempo.steps(idle(60.0), beats(60.0, slow), 50.0, 110.0)
    assert len(slow) < len(paces) <= 1_000
    slower = pacing.slowdown(paces, PACE_PER_S)
    assert (np.diff(edges_s) * slower).sum() == pytest.approx(
        60.0 + len(slow) * 0.03 * (5.0**tempo.SPELL_EXPONENT - 1.0), rel=0.02
    )


def test_pulses_beat_while_cores_are_kept_awake():
    core = min(os.sched_getaffinity(0))
    assert pulse.kept([core], 0.0, time.monotonic()).shape == (2, 0)
    with spinner.awake(30.0):
        begun_s = time.monotonic()
        while pulse.kept([core], begun_s, time.monotonic()).shape[1] < 200:
            time.sleep(0.1)
            assert time.monotonic() < begun_s + 25.0
        instant_s, took_s = pulse.kept([core], begun_s, time.monotonic())
    assert 0.8 * pulse.EVERY_S < np.median(np.diff(instant_s)) < 4.0 * pulse.EVERY_S
    assert 2e-6 < np.median(took_s) < 2e-4
    assert pulse.kept([core], begun_s, time.monotonic()).shape == (2, 0)


def test_pulses_end_by_themselves_and_without_their_parent():
    core, begun_s, board = min(os.sched_getaffinity(0)), time.monotonic(), os.memfd_create("board")
    os.truncate(board, boards.WORD_BYTES * (1 + 2 * 301))  # of 0.6 s
    for limit_s, parent in (("0.3", os.getpid()), ("600", 1)):  # whose parent is another
        command = [
            sys.executable,
            "-m",
            "loadtest.pulse",
            str(core),
            limit_s,
            str(parent),
            str(board),
        ]
        subprocess.run(command, timeout=30, check=True, pass_fds=[board])
    os.close(board)
    assert time.monotonic() - begun_s < 20.0
