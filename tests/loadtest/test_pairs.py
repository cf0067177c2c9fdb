"""Pairs of a gate: at once where both sides fit on the cores; what becomes of one that fails."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from loadtest import conduct, pairs, rails
from loadtest.problems import LoadError, RailsError

PLAYED_S = 4.0


class MadeRun(SimpleNamespace):
    """A record that only says what its servers used and why it ended."""

    def save(self, out):
        (out / self.name).touch()


class MadeSide:
    """A grid whose plays are known; every play is noted with its start [ns] and its settings."""

    def __init__(self, name, directory, log, *, busy_s=1.0, fails=None, lasts_s=0.0):
        self.name, self.log, self.busy_s, self.fails = name, log, busy_s, fails
        self.lasts_s = lasts_s
        self.grid = SimpleNamespace(directory=directory / name)
        self.grid.directory.mkdir(exist_ok=True)
        self.topology = SimpleNamespace(workload=SimpleNamespace(duration=PLAYED_S))

    def gap_s(self, number):
        return 0.1

    def play(self, number, settings, start):
        if self.fails is not None and settings.beside:
            raise self.fails
        start_ns = start()
        self.log.append((self.name, number, settings.beside, start_ns))
        stop, until_s = self.grid.directory / rails.STOP_NAME, time.monotonic() + self.lasts_s
        while settings.beside and time.monotonic() < until_s and not stop.exists():
            time.sleep(0.01)
        measurement = {"server": {"cpu_s": {"controller": self.busy_s}}, "stopped": None}
        header = SimpleNamespace(measurement=measurement)
        return MadeRun(name=f"{self.name}-{number}", header=header)


@pytest.fixture
def made(tmp_path):
    """Pairs of two made sides, and the log of what was played."""

    def make(base=None, head=None):
        log = []
        sides = [
            MadeSide(name, tmp_path, log, **(options or {}))
            for name, options in (("base", base), ("head", head))
        ]
        return pairs.Pairs(*sides, cores=(), usable=1, out=tmp_path), log

    return make


def test_a_pair_is_played_at_once_half_a_gap_apart_and_who_is_first_changes(made):
    play, log = made()
    for number in range(2):
        play(number)
    assert [(name, number, beside) for name, number, beside, _ in log[:2]] == [
        ("head", pairs.WARM_UP, 0), ("base", pairs.WARM_UP, 0)
    ]  # fmt: skip
    for number, first in ((0, "base"), (1, "head")):
        starts = {name: start for name, played, _, start in log if played == number}
        behind_ns = starts["head"] - starts["base"]
        assert behind_ns == (50_000_000 if first == "base" else -50_000_000)


def test_sides_that_do_not_fit_on_the_cores_are_played_in_turn(made):
    half_s = 0.5 * pairs.BUSY_MAX * PLAYED_S
    for extra_s, beside in ((-0.01, 1), (0.01, 0)):
        play, log = made(base={"busy_s": half_s}, head={"busy_s": half_s + extra_s})
        play(0)
        assert [each[2] for each in log[2:]] == [beside, beside]


def test_sides_that_are_more_than_the_caps_allow_together_are_played_in_turn(made):
    play, _ = made(base={"fails": RailsError("too many")}, head={"fails": RailsError("too many")})
    base, head = play(0)
    assert (base.name, head.name) == ("base-0", "head-0")
    assert not play.together


@pytest.mark.parametrize("failing", ["base", "head"])
def test_a_side_that_fails_is_told_and_the_other_does_not_wait_for_it(made, failing):
    play, _ = made(**{failing: {"fails": LoadError(f"{failing} is gone")}})
    begun_s = time.monotonic()
    with pytest.raises(LoadError, match=f"{failing} is gone"):
        play(0)
    assert time.monotonic() - begun_s < 30.0


@pytest.fixture
def interruptible():
    """A suite that runs in a shell's background passes on that interrupts are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_both_sides_and_keeps_what_they_measured(made, tmp_path):
    play, log = made(base={"lasts_s": 60.0}, head={"lasts_s": 60.0})

    def interrupt():
        while len(log) < 4:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    begun_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        play(0)
    assert time.monotonic() - begun_s < 30.0
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"base-0", "head-0"}


def test_a_play_in_turn_that_was_stopped_by_hand_is_kept_and_ends_the_gate(made, tmp_path):
    play, _ = made(base={"busy_s": PLAYED_S}, head={"busy_s": PLAYED_S})
    play(0)
    side = play._sides[1]
    before = side.play

    def stopped(*arguments):
        run = before(*arguments)
        run.header.measurement["stopped"] = conduct.BY_HAND
        return run

    side.play = stopped
    with pytest.raises(KeyboardInterrupt):
        play(1)
    assert (tmp_path / "head-1").exists()
