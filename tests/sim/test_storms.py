"""A connection storm: windows give what a SimPy process for each Platform gives."""

import numpy as np
import pytest
import simpy
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sim.storms import finish_times_s


def one_by_one(start_s, round_trip_s, work_s, cores):
    """The same as SimPy processes."""
    env = simpy.Environment()
    server, finish_s = simpy.Resource(env, cores), np.empty(len(start_s))

    def platform(number):
        yield env.timeout(start_s[number])
        for each_s in work_s[number]:
            with server.request() as turn:
                yield turn
                yield env.timeout(each_s)
            yield env.timeout(round_trip_s[number])
        finish_s[number] = env.now

    for number in range(len(start_s)):
        env.process(platform(number))
    env.run()
    return finish_s


@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    st.integers(1, 60), st.integers(1, 4), st.integers(1, 5), st.floats(0.001, 3.0),
    st.integers(0, 2**31),
)  # fmt: skip
def test_windows_finish_when_processes_do(platforms, cores, steps, span_s, seed):
    draw = np.random.default_rng(seed)
    start_s = draw.uniform(0.0, span_s, platforms)
    round_trip_s = draw.uniform(0.02, 0.08, platforms)
    work_s = 0.02 * draw.standard_exponential((platforms, steps))
    finish_s, windows = finish_times_s(start_s, round_trip_s, work_s, cores)
    expected_s = one_by_one(start_s, round_trip_s, work_s, cores)
    np.testing.assert_allclose(finish_s, expected_s, rtol=1e-9, atol=0)
    assert windows <= platforms * steps


@pytest.mark.parametrize(("span_s", "cores"), [(60.0, 1), (10.0, 1), (10.0, 3)])
def test_a_herd_drains_in_its_spread_or_its_work(span_s, cores):
    """Last one done at max(w, N c / k): attacks on paper, uniform herd of fixed work."""
    platforms, each_s, round_trip_s = 20_000, 0.005, 0.01
    start_s = np.random.default_rng(1).uniform(0.0, span_s, platforms)
    work_s = np.full((platforms, 1), each_s)
    finish_s, _ = finish_times_s(start_s, np.full(platforms, round_trip_s), work_s, cores)
    drained_s = max(span_s, platforms * each_s / cores)
    # the first comes after w / N on average; at the end of a stable spread a few still wait
    assert finish_s.max() - round_trip_s == pytest.approx(drained_s, rel=2e-3)


def test_an_overloaded_storm_takes_few_windows():
    draw = np.random.default_rng(3)
    platforms, means_s = 30_000, np.array([60, 300, 30, 90, 60]) * 1e-6
    start_s = draw.uniform(0.0, 1.0, platforms)
    round_trip_s = draw.uniform(0.02, 0.08, platforms)
    work_s = draw.standard_exponential((platforms, 5)) * means_s
    finish_s, windows = finish_times_s(start_s, round_trip_s, work_s, 4)
    assert windows < 60
    busy_s = work_s.sum() / 4
    assert finish_s.max() == pytest.approx(busy_s, rel=0.05)
