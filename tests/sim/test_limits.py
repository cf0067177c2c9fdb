"""Inbound limits: what was measured on real servers, what buckets promise, and what is refused."""

import numpy as np
import pytest
import worlds
from test_windows import PROFILES, assert_same, overloaded, tally

FREE = {"publish": "0 s", "copy": "0 s"}
PEOPLE = [
    {"name": "p", "count": 2, "publishes": ["t"]},
    {"name": "s", "count": 1, "subscribes": ["t"]},
]


def handled_s(given, server="none", **limits):
    """When each publication (instant, publisher, stanza size) is handled; nan if refused."""
    topology = worlds.topology(PEOPLE, duration="100 s", limits=limits)
    rows = [(instant, who, 0, size - 193) for instant, who, size in given]
    profile = worlds.profile("fifo", server=server, **FREE)
    got = worlds.compiled(topology, worlds.GivenPlan(topology, rows), profile)
    return got.publications["accepted_s"]


# Bursts of 500 B stanzas on one connection: bytes, limit, how long the servers took.
@pytest.mark.parametrize(
    ("server", "sent_bytes", "client", "measured_s"),
    [
        ("prosody", 200_000, {"rate": "20 kB/s", "burst": "40 kB"}, 9.96),
        ("prosody", 50_000, {"rate": "5 kB/s"}, 9.86),
        ("ejabberd", 200_000, {"rate": "20 kB/s", "burst": "60 kB"}, 6.91),
    ],
)
def test_bursts_take_as_long_as_real_servers_took(server, sent_bytes, client, measured_s):
    burst = [(0.0, 0, 500)] * (sent_bytes // 500)
    last_s = handled_s(burst, server, client=client).max()
    # A server's timers make it no faster; one read more or less is 4,096 B on Prosody.
    assert last_s == pytest.approx(measured_s, rel=0.02, abs=4096 / 20e3)


def test_prosody_reads_4096_bytes_and_pauses_for_what_they_are_worth():
    got = handled_s([(0.0, 0, 5000), (0.0, 0, 5000), (0.0, 1, 500), (3.0, 0, 500)], "prosody",
                    client={"rate": "10 kB/s", "burst": "1 MB"})  # fmt: skip
    # 4,096 B at 0, and at 0.4096 s as many, with which the first stanza is whole; the other 1,808 B
    # after 0.8192 s. The other client does not wait, and after 3 s nothing is left of the pause.
    np.testing.assert_allclose(got, [0.4096, 0.8192, 0.0, 3.0])


def test_ejabberd_takes_the_burst_at_once_and_pauses_for_its_debt():
    got = handled_s([(0.0, 0, 1000)] * 4, "ejabberd", client={"rate": "1 kB/s", "burst": "1 kB"})
    # Reads of 1,460 B: the first overdraws the credit by 460 B, the second comes at 0.46 s with
    # 2,920 B, the last one 1.46 s later with the rest.
    np.testing.assert_allclose(got, [0.0, 0.46, 1.92, 1.92])


def test_a_shaper_delays_and_a_policer_refuses_what_is_beyond_the_burst():
    stanzas, client = [(0.0, 0, 600)] * 3, {"rate": "1 kB/s", "burst": "1200 B"}
    np.testing.assert_allclose(handled_s(stanzas, client=client, shape="delay"), [0.0, 0.0, 0.6])
    got = handled_s([*stanzas, (0.7, 0, 600)], client=client, shape="drop")
    np.testing.assert_allclose(got, [0.0, 0.0, np.nan, 0.7])


def test_too_large_stanzas_and_too_many_publications_are_refused():
    np.testing.assert_allclose(handled_s([(0.0, 0, 900), (0.0, 0, 901)], client_stanza="900 B"),
                               [0.0, np.nan])  # fmt: skip
    got = handled_s([(0.0, 0, 500)] * 3 + [(1.0, 0, 500)], account={"rate": "1/s", "burst": 2})
    np.testing.assert_allclose(got, [0.0, 0.0, np.nan, 1.0])


@pytest.mark.parametrize("shape", ["delay", "drop"])
def test_no_stretch_of_time_lets_more_through_than_burst_and_rate(shape):
    rng = np.random.default_rng(5)
    instants = np.cumsum(rng.exponential(0.01, 800))
    sizes = rng.integers(200, 900, 800)
    got = handled_s(
        [(float(t), 0, int(size)) for t, size in zip(instants, sizes, strict=True)],
        client={"rate": "20 kB/s", "burst": "5 kB"}, shape=shape,
    )  # fmt: skip
    through, passed = np.isfinite(got), np.cumsum(np.where(np.isfinite(got), sizes, 0))
    for first in range(0, 800, 13):
        for last in range(first, 800, 17):
            if through[first] and through[last]:
                sent = passed[last] - passed[first] + sizes[first]
                assert sent <= 5e3 + 20e3 * (got[last] - got[first]) + 1e-6
    assert (shape == "drop") == (not through.all())
    assert passed[-1] > 0.95 * 20e3 * got[through][-1], "it is not slower than its rate either"


@pytest.mark.parametrize("server", ["prosody", "ejabberd", "none"])
def test_windows_and_feeding_do_not_matter_to_limits(server):
    limits = {"client": {"rate": "40 kB/s", "burst": "9 kB"}, "account": {"rate": "700/s"}}
    profile = PROFILES["fifo"].model_copy(update={"server": server})
    topology = overloaded(limits=limits)
    one = tally(topology, profile)
    assert one.rejected > 0
    assert one.expected == one.delivered + one.rejected + one.lost
    assert_same(one, tally(topology, profile, window_s=0.0137))
