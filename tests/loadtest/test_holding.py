"""Sessions held by one process, in short: a few hundred on the null server and on ejabberd."""

import pytest

from loadtest import holding

pytestmark = pytest.mark.real


@pytest.mark.parametrize("server", ["null", "ejabberd"])
def test_sessions_are_held_and_get_their_copies(server):
    document, run = holding.hold(server, 450, 900.0, 3.0, lambda share, remark: None)
    assert document["delivered"] == document["expected"] > 0
    assert document["balanced"]
    assert run.header.measurement["generator"]["lost_sessions"] == []
    # Beyond what one process needs without any, a session costs no more than 48 kB.
    assert document["rss_bytes"] < 100e6 + 450 * 48e3
    told, claims = holding.render(document), document["claims"]
    assert f"{450:,} sessions on {server}" in told
    assert {claims[name]["verdict"] for name in ("delivered", "lost", "memory")} == {"met"}
    assert claims["rate"]["asked"] < 900.0
    assert f"{claims['rate']['verdict']:<12}  deliveries per second" in told


def test_idle_sessions_get_one_copy_each():
    document, _ = holding.hold("null", 420, 0.0, 2.0, lambda share, remark: None)
    assert document["delivered"] == document["expected"] == 420
    assert "rate" not in document["claims"]


def test_groups_share_all_sessions_out():
    described = holding.topology(1_001, 2_000.0, 10.0, "prosody-0.12")
    sizes = [each.count for each in described.platforms if each.name != "sensor"]
    assert (sum(sizes), len(described.topics)) == (1_001, 5)
    assert max(sizes) - min(sizes) <= 1
