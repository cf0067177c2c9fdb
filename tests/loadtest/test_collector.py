"""What a Prosody's collector is seen to do becomes figures of its profile."""

import numpy as np
import pytest
from test_calibrate import FAN_OUTS, SIZES, collected, worked

import topologies
from loadtest import collector, costs

ALLOCATION = {"copy": 1.08, "byte": 3e-4, "publish": 6.0}
EVERY = 60.0
SESSIONS = 402


def publications(count=300, seed=1, over_s=75.0):
    """Columns of a light run of all cells, mixed."""
    draws = np.random.default_rng(seed)
    last_s = np.sort(draws.uniform(0.0, over_s, count))
    copies = draws.choice(FAN_OUTS, count)
    return {"last_s": last_s, "delivered": copies, "payload_bytes": draws.choice(SIZES, count)}


def cycles_s(columns, start_s):
    """Instants of the cycles that these publications drive."""
    beyond = columns["payload_bytes"] - 400.0
    units = columns["delivered"] * (ALLOCATION["copy"] + ALLOCATION["byte"] * beyond)
    total = np.cumsum(units + ALLOCATION["publish"])
    done = np.floor(total / EVERY).astype(int)
    return start_s + np.repeat(columns["last_s"], np.diff(done, prepend=0))


def log(cycle_s, whole_s, live_bytes):
    return collector.Log(np.array(cycle_s), np.array(whole_s), np.array(live_bytes))


@pytest.fixture
def base():
    return topologies.read_profile("prosody-0.12").costs


def seen(base, columns=None):
    columns = columns or publications()
    empty = log([], [2e-3] + [1.5e-3] * 6, [1.6e6] * 7)
    full = log(
        cycles_s(columns, 50.0), [2e-3] + [1.5e-3] * 6 + [15e-3, 10e-3, 9e-3, 11e-3, 10e-3, 10e-3],
        [1.6e6] * 7 + [10.04e6] * 6,
    )  # fmt: skip
    return collector.fit(columns, 50.0, empty, full, SESSIONS, base)


def test_cycles_are_counted_and_what_bytes_and_publications_add(base):
    found = seen(base)
    assert found.changes["collection_every"] == pytest.approx(EVERY, rel=0.05)
    assert found.changes["allocation_per_byte"] == pytest.approx(ALLOCATION["byte"], rel=0.1)
    assert found.changes["allocation_publish"] == pytest.approx(ALLOCATION["publish"], abs=6.0)
    estimate = found.figures["collection_every"]
    assert estimate["low"] < EVERY < estimate["high"]
    assert estimate["high"] - estimate["low"] < 0.2 * EVERY
    assert found.kept == {}


def test_the_heap_grows_with_the_sessions_and_cycles_are_as_long_as_it(base):
    found = seen(base).changes
    assert found["collection"] == pytest.approx(10e-3)  # the median but for the first
    assert found["heap"] == 1.6e6
    assert found["heap_session"] == pytest.approx(8.44e6 / SESSIONS)
    assert found["collection_sessions"] == SESSIONS


def test_what_was_not_seen_is_said(base):
    nothing = log([], [], [])
    found = collector.fit(publications(), 50.0, nothing, nothing, SESSIONS, base)
    assert set(found.kept) == {"collection", "collection_every"}
    assert found.changes == {"collection_sessions": SESSIONS}
    few = collector.fit(publications(over_s=5.0), 50.0, nothing, nothing, SESSIONS, base)
    assert "too few cycles" in few.kept["collection_every"]


def test_the_costs_are_fitted_beside_what_was_seen(base):
    """Where each publication has several cycles, two groups mislead: they have to be counted."""
    profile = topologies.read_profile("prosody-0.12").collecting(None, 60)
    true = profile.costs
    work = worked(collected(true), count=150, gap_s=true.write + 400 * true.write_per_byte)
    changes = {name: getattr(true, name) for name in (
        "collection", "collection_every", "allocation_per_byte", "allocation_publish",
        "collection_sessions", "heap", "heap_session",
    )}  # fmt: skip
    fitted = costs.fit(work, profile, collector.Collector(changes=changes))
    assert fitted.costs.collection_every == true.collection_every
    assert fitted.costs.build == pytest.approx(true.build, rel=0.1)
    assert "collection" not in fitted.kept
    blind = costs.fit(work, profile)
    assert blind.costs.collection_every > 2.0 * true.collection_every


def test_a_log_is_read_while_it_is_written(tmp_path):
    path = tmp_path / "collector.log"
    path.write_text("cycle 1.5\nwhole 0.010 2000\ncycle 2.5\nwhole 0.011\ncyc")
    found = collector.read(path)
    assert found.cycle_s.tolist() == [1.5, 2.5]
    assert found.whole_s.tolist() == [0.010]
    assert found.live_bytes.tolist() == [2000.0]
    waited = collector.asked(path, within_s=0.01)
    assert (tmp_path / "collector.log.ask").exists()
    assert waited.whole_s.tolist() == [0.010]
