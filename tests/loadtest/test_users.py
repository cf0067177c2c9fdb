"""Users dealt out to populations, and Locust's rows fed in bulk."""

import importlib

import pytest

from loadtest.problems import LoadError
from results import histogram


@pytest.fixture(scope="module")
def users():
    """The module, with Locust imported so that it does not patch this process for gevent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
        return importlib.import_module("loadtest.users")


@pytest.mark.parametrize(
    ("counts", "wanted", "dealt"),
    [
        pytest.param({"a": 2, "b": 200}, 202, {"a": 2, "b": 200}, id="all of them"),
        pytest.param({"a": 2, "b": 200}, 50, {"a": 1, "b": 49}, id="at least one each"),
        pytest.param({"a": 50, "b": 50}, 5, {"a": 2, "b": 3}, id="an odd one to the last"),
        pytest.param({"a": 1, "b": 1, "c": 98}, 3, {"a": 1, "b": 1, "c": 1}, id="one each"),
        pytest.param({"a": 10, "b": 20, "c": 70}, 50, {"a": 5, "b": 10, "c": 35}, id="exact"),
    ],
)
def test_users_are_dealt_out_by_the_file_s_shares(users, counts, wanted, dealt):
    found = users.shares(counts, wanted)
    assert sum(found.values()) == wanted
    assert found == dealt or sorted(found.values()) == sorted(dealt.values())


@pytest.mark.parametrize("wanted", [1, 203])
def test_too_few_or_too_many_users_are_refused(users, wanted):
    with pytest.raises(LoadError, match="choose 2 to 202"):
        users.shares({"a": 2, "b": 200}, wanted)


def pairs(*latencies_s):
    bins, counts = histogram.sparse(histogram.count(latencies_s))
    return [bins.tolist(), counts.tolist()]


@pytest.fixture
def stats(users):
    return users.RequestStats()


@pytest.fixture
def shown(users, stats):
    """The board after one piece of news."""
    board = users.Board(stats, "small")
    board.show(
        {
            "logins": [{"login": pairs(0.02, 0.03), "query": pairs(0.004)}],
            "windows": [
                {"role": "publish", "answer": pairs(0.01, 0.5), "refused": 1, "limited": 1},
                {"role": "receive", "latency": pairs(*[0.1] * 99, 2.0), "read_bytes": 5000},
            ],
        },
        1000.5,
    )
    return board


def test_rows_hold_counts_and_latencies(shown, stats):
    methods = ("CONN", "IQ", "PUBLISH", "LIMIT", "DELIVER")
    rows = {method: stats.entries[("small", method)] for method in methods}
    assert [row.num_requests for row in rows.values()] == [2, 1, 2, 1, 100]
    deliver = rows["DELIVER"]
    assert deliver.get_response_time_percentile(0.5) == pytest.approx(100, abs=1)
    assert deliver.max_response_time == pytest.approx(2000, rel=0.005)
    assert deliver.avg_response_time == pytest.approx(119, rel=0.005)
    assert deliver.total_content_length == 5000
    assert dict(deliver.num_reqs_per_sec) == {1000: 100}


def test_deliveries_do_not_distort_the_aggregate(shown, stats):
    assert stats.total.num_requests == 5
    assert stats.total.max_response_time < 600
    assert stats.total.last_request_timestamp == 1000.5


def test_refused_publications_are_failures(shown, stats):
    assert stats.entries[("small", "PUBLISH")].num_failures == 1
    assert stats.total.num_failures == 1
    (error,) = stats.errors.values()
    assert (error.error, error.occurrences) == ("refused by the server", 1)


def test_silent_second_changes_nothing(shown, stats):
    shown.show({"windows": [{"role": "receive", "latency": [[], []], "read_bytes": 0}]}, 1001.0)
    assert stats.entries[("small", "DELIVER")].num_requests == 100
