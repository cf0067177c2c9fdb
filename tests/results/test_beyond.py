"""Beyond the points' own metrics: what-ifs, capacity, knee, storms of logins, limiters."""

import json

import numpy as np
import pytest
from test_trust import document, kept, point

from results import beyond, histogram, trust, twin

CHANGE = "controllers[0].collection.growth=50 %"


def full(load, predicted, measured, used=1.0, **more):
    """A point as far as this module looks: an evidence with one latency and one throughput."""

    def side(values):
        throughput, latency_s = values
        return {
            "used": {"a": used},
            "totals": [{"seconds": 10.0, "offered": 100, "delivered": round(10.0 * throughput),
                        "busy_s": 1.0, "memory_bytes": 1e6}],
            "latency": [beyond_text(latency_s)], "last": [beyond_text(latency_s)], "parts": {},
        }  # fmt: skip

    estimates = [{"value": values[0], "low": None, "high": None, "n": 1}
                 for values in (predicted, measured)]  # fmt: skip
    metric = {"predicted": estimates[0], "measured": estimates[1]}
    return {
        "server": "prosody", "load": load, "repeats": 1, "utilisation": used,
        "throughput": metric, "memory": metric, "given_pace": {},
        "evidence": {"predicted": side(predicted), "measured": side(measured)}, **more,
    }  # fmt: skip


def beyond_text(latency_s):
    """A histogram of one latency, many times."""
    bins, held = histogram.sparse(histogram.count(np.full(200, latency_s)))
    return f"{bins[0]}:{held[0]}"


def test_capacity_and_memory_are_shown_where_the_server_is_full_and_the_knee_of_all():
    loads = [0.25, 0.5, 0.75, 1.0, 2.0]
    curve = [(25.0, 0.0133), (50.0, 0.02), (75.0, 0.04), (80.0, 0.5), (80.0, 2.0)]
    used = [0.25, 0.5, 0.75, 0.98, 1.0]
    points = [full(*each) for each in zip(loads, curve, curve, used, strict=True)]
    rows = beyond.of_points(points)
    assert [(each["figure"], each["where"]) for each in rows] == [
        ("capacity", "load 1"), ("memory", "load 1"), ("capacity", "load 2"), ("memory", "load 2"),
        ("knee", "5 loads"),
    ]  # fmt: skip
    assert all(each["error"] == pytest.approx(0.0) for each in rows)
    knee = rows[-1]["measured"]
    assert knee == pytest.approx(0.5, rel=0.02)  # an M/M/1 of capacity 1
    slower = [full(2.0, (88.0, 2.0), (80.0, 2.0)), *points[:4]]
    assert beyond.of_points(slower)[2]["error"] == pytest.approx(0.1)


def test_capacity_and_knee_are_shown_given_the_pace_where_that_is_known():
    paced = {"throughput": {"predicted": {"value": 82.0}, "measured": {"value": 80.0}}}
    points = [full(share, (1.0, 0.01 / (1.0 - share)), (1.0, 0.01 / (1.0 - share)), share)
              for share in (0.2, 0.4, 0.6)]  # fmt: skip
    points.append(full(2.0, (88.0, 2.0), (80.0, 2.0), given_pace=paced))
    for each in points:  # on slower cores all of it comes at four fifths of the load
        given = {**each["evidence"]["predicted"], "used": {"a": min(1.25 * each["load"], 1.0)}}
        each["evidence"]["given_pace"] = given
    rows = {(each["figure"], each["where"]): each for each in beyond.of_points(points)}
    assert rows["capacity", "load 2, given pace"]["error"] == pytest.approx(0.025)
    assert rows["knee", "4 loads, given pace"]["error"] != rows["knee", "4 loads"]["error"]
    del points[-1]["evidence"]["given_pace"]  # a full server: no pace is told beside it
    fewer = {(each["figure"], each["where"]): each for each in beyond.of_points(points)}
    same = rows["knee", "4 loads, given pace"]["predicted"]
    assert fewer["knee", "3 loads, given pace"]["predicted"] == pytest.approx(same)


def test_capacity_and_knee_are_shown_as_each_run_was_predicted_from_its_light_load():
    ahead = {"throughput": {"predicted": {"value": 79.0}, "measured": {"value": 80.0}}}
    points = [full(share, (1.0, 0.01 / (1.0 - share)), (1.0, 0.012 / (1.0 - share)), share)
              for share in (0.2, 0.4, 0.6)]  # fmt: skip
    points.append(full(2.0, (88.0, 2.0), (80.0, 2.0), bracketed=ahead))
    for each in points:
        kept = each["evidence"]
        kept["begun"], kept["measured"]["runs"] = ["12:00", "12:01"], ["a", "b"]
        for name in ("latency", "last", "totals"):
            kept["measured"][name] = 2 * kept["measured"][name]
        kept["measured"]["created"] = kept["begun"]
        for side in ("predicted", "measured"):
            kept[side] |= {"publications": 100, "span": None}
        kept["predicted"] |= {"runs": ["p"], "created": ["11:59"]}
        slow = {**kept["predicted"], "used": {"a": min(1.25 * each["load"], 1.0)}}
        kept["bracketed"] = [{"begun": "12:01", "predicted": slow}]
    rows = {(each["figure"], each["where"]): each for each in beyond.of_points(points)}
    assert rows["capacity", "load 2, bracketed"]["error"] == pytest.approx(-0.0125)
    plain, told = (rows["knee", f"4 loads{how}"] for how in ("", ", bracketed"))
    assert told["predicted"] != plain["predicted"]  # of slower cores
    assert told["measured"] == pytest.approx(plain["measured"])  # of one of two equal repeats


def test_without_a_full_server_there_is_nothing_beyond():
    assert beyond.of_points([full(1.0, (9.0, 0.1), (9.0, 0.1), used=0.9)]) == []


def test_a_what_if_has_a_row_for_each_load():
    changed = point(speed=1.25)
    (found,) = [each for each in beyond.of_points([changed], [CHANGE])
                if each["figure"] == "what-if CPU"]  # fmt: skip
    assert found["where"] == f"{CHANGE}; load 1"
    assert found["error"] == pytest.approx(changed["cpu_per_publication"]["error"], rel=1e-9)
    assert found["bound"] == 0.15


@pytest.mark.parametrize(
    ("server", "looser"),
    [("prosody", False), ("ejabberd", False), ("prosody (changed)", True),
     ("component+prosody", True), ("ejabberd+prosody", True)],
)  # fmt: skip
def test_grids_that_share_a_core_or_were_changed_have_looser_bounds(server, looser):
    for level, metrics in twin.BOUNDS.items():
        for metric in metrics:
            plain = twin.bound("ejabberd", level, metric)
            assert (twin.bound(server, level, metric) > plain) == (
                looser or (server, level, metric) in twin.LOOSER
            )


def test_storms_and_limits_of_other_proofs_are_shown_beside(tmp_path):
    herd = {
        "id": "S-HERD",
        "agreement": [
            {"defence": "none", "figure": "makespan_s", "predicted": {"value": 9.0},
             "measured": {"value": 10.0}},
            {"defence": "spread-15", "figure": "makespan_s", "predicted": {"value": None},
             "measured": {"value": 11.9}},
            {"defence": "none", "figure": "online_share", "predicted": {"value": 1.0},
             "measured": {"value": 1.0}},
        ],
    }  # fmt: skip
    limits = {
        "server": "prosody 0.12.3", "configured": {"rate_bytes_per_s": 1e5, "burst_bytes": 0.0},
        "predicted": {"rate_bytes_per_s": 8.9e4, "burst_bytes": 8192.0, "ping_s": 6e-4},
        "rate_bytes_per_s": {"value": 9e4}, "burst_bytes": {"value": 3692.0},
    }  # fmt: skip
    for name, other in (("herd", herd), ("limits", limits), ("else", {"agreement": 0.97})):
        kept(tmp_path, {"document": other}, name)
    found = trust.trust(kept(tmp_path, document(), "good"))
    json.dumps(found, allow_nan=False)
    rows = {(each["proof"], each["figure"], each["where"]): each for each in found["beyond"]}
    assert set(rows) == {
        ("herd", "makespan", "S-HERD none"), ("herd", "makespan", "S-HERD spread-15"),
        ("limits", "limiter rate", "100,000 B/s"), ("limits", "limiter burst", "100,000 B/s"),
    }  # fmt: skip
    assert rows["herd", "makespan", "S-HERD none"]["error"] == pytest.approx(-0.1)
    assert rows["herd", "makespan", "S-HERD spread-15"]["error"] is None
    assert rows["limits", "limiter rate", "100,000 B/s"]["bound"] == 0.02
    burst = rows["limits", "limiter burst", "100,000 B/s"]
    assert burst["error"] == pytest.approx(8192.0 / 3692.0 - 1.0)
    page = trust.markdown(found)
    assert "| herd | – | makespan | S-HERD none | 9.00 s | 10.0 s | −10.0 % | 10% |" in page
