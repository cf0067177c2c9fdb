"""Whether memory grows is told from series whose slope is known."""

import endurance
import numpy as np
import pytest

BOUND = endurance.BOUND_MIB_PER_H["real"]
HOURS = np.linspace(0.0, 1.0, 900)


def series(slope_per_h, *, sawtooth=0.0, noise=0.2, seed=1):
    """About 100 MiB that grow so fast, with collections of garbage every few minutes."""
    draws = np.random.default_rng(seed)
    filled = -30.0 * np.exp(-HOURS / 0.03)  # what is only at the start shall not count
    tooth = sawtooth * ((HOURS * 13.0) % 1.0)
    return 100.0 + filled + slope_per_h * HOURS + tooth + draws.normal(0.0, noise, len(HOURS))


@pytest.mark.parametrize("sawtooth", [0.0, 8.0])
def test_what_is_level_is_steady(sawtooth):
    found = endurance.slope(HOURS, series(0.0, sawtooth=sawtooth), BOUND)
    assert found["steady"]
    assert not found["grows"]
    assert found["per_h"]["low"] < 0.0 < found["per_h"]["high"]


@pytest.mark.parametrize("sawtooth", [0.0, 8.0])
def test_a_leak_grows(sawtooth):
    found = endurance.slope(HOURS, series(20.0, sawtooth=sawtooth), BOUND)
    assert found["grows"]
    assert not found["bounded"]
    assert found["per_h"]["low"] < 20.0 < found["per_h"]["high"]


def test_little_growth_is_called_growth_and_within_its_bound():
    found = endurance.slope(HOURS, series(3.0), BOUND)
    assert found["grows"]
    assert found["bounded"]
    assert not found["steady"]
    assert "grows, by less than 5 MiB/h" in endurance.table({"memory": {"conductor": found}})


def test_what_varies_too_much_to_tell_is_neither():
    found = endurance.slope(HOURS[::20], series(0.0, noise=60.0)[::20], BOUND)
    assert not found["grows"]
    assert not found["steady"]
    table = endurance.table({"memory": {"server": found}})
    assert "not known" in table


def test_only_the_time_of_the_load_counts(monkeypatch):
    """Logging in comes before, and what the record of the run takes afterwards is no leak."""
    now_s = [0.0]
    monkeypatch.setattr(endurance.time, "monotonic", lambda: now_s[0])
    course, rows = endurance.Course(), []
    for now_s[0] in np.arange(100.0, 1921.0):  # the load lasts for half an hour of it
        state = "logging in" if now_s[0] < 101 else "playing" if now_s[0] < 1901 else "draining"
        course({"state": state, "elapsed_s": now_s[0] - 101.0, "duration_s": 1800.0})
        rows.append((now_s[0], {"logging in": 60.0, "playing": 88.0, "draining": 150.0}[state]))
    playing = course.playing(rows)
    assert len(playing) == 1800
    assert playing[0] == (0.0, 88.0)
    assert endurance.slope(*zip(*playing, strict=True), BOUND)["steady"]
    late = [(at_s / 3600.0, held) for at_s, held in rows]
    assert not endurance.slope(*zip(*late, strict=True), BOUND)["bounded"]  # as it was once told


def test_an_interval_of_what_is_level_holds_zero_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        found = endurance.slope(HOURS[::10], series(0.0, noise=2.0, seed=seed)[::10], BOUND)
        hits += found["per_h"]["low"] < 0.0 < found["per_h"]["high"]
    assert hits >= 0.95 * 200 - 4.0 * np.sqrt(200 * 0.95 * 0.05)
