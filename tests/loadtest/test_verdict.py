"""Whether a run is the server's or the generator's, as small stories."""

import pytest

from loadtest.verdict import Limits, Second, judge, limits, seconds, starved

CALM = {"lateness_s": 0.0002, "lag_s": 0.003, "cpu_s": 0.2, "unread_bytes": 0, "delay_s": 0.001}
BOUNDS = Limits(lateness_s=0.002)


def run(*changes: dict[str, float]) -> list[Second]:
    return seconds([{**CALM, "second": k, **change} for k, change in enumerate(changes)], BOUNDS)


@pytest.mark.parametrize(
    ("change", "exceeded"),
    [
        pytest.param({}, (), id="a calm second"),
        pytest.param({"lateness_s": 0.0021}, ("lateness_s",), id="sent late"),
        pytest.param({"lag_s": 0.2}, ("lag_s",), id="the loop stood still"),
        pytest.param({"cpu_s": 0.95}, ("cpu_share",), id="a full core"),
        pytest.param({"unread_bytes": 1e5}, ("unread_bytes",), id="bytes left unread"),
        pytest.param({"delay_s": 0.2}, ("delay_s",), id="slow to read"),
        pytest.param({"cpu_s": 1.0, "lag_s": 1.0}, ("lag_s", "cpu_share"), id="two at once"),
    ],
)
def test_second_is_limited_by(change: dict[str, float], exceeded: tuple[str, ...]) -> None:
    assert run(change)[0].exceeded == exceeded


def test_the_worst_process_decides() -> None:
    windows = [{"second": 0, "lag_s": 0.01}, {"second": 0, "lag_s": 0.5}, {"second": 1}]
    assert [second.exceeded for second in seconds(windows, BOUNDS)] == [("lag_s",), ()]


def test_calm_run_is_valid() -> None:
    judgement = judge(run(*[{}] * 20), 20e-6, 200e-6)
    assert (judgement.reasons, judgement.warnings) == ([], [])


def test_one_limited_second_in_twenty_is_a_warning() -> None:
    judgement = judge(run({"lag_s": 0.3}, *[{}] * 19), 20e-6, 200e-6)
    assert judgement.reasons == []
    assert judgement.warnings == [
        "generator limited in 1 of 20 s: lag_s up to 0.3; "
        "its event loop stood still; free a core for the generator; "
        "what was published then is cut from the figures"
    ]


def test_one_limited_second_of_a_short_run_is_a_warning() -> None:
    judgement = judge(run({"lag_s": 0.3}, {}), 20e-6, 200e-6)
    assert (judgement.reasons, len(judgement.warnings)) == ([], 1)


def test_too_many_limited_seconds_are_invalid() -> None:
    judgement = judge(run(*[{"lateness_s": 0.04}] * 3, *[{}] * 17), 20e-6, 200e-6)
    assert "lateness_s up to 0.04" in judgement.reasons[0]


def test_generator_slower_than_the_server_is_a_warning() -> None:
    judgement = judge(run({}), 50e-6, 40e-6)
    assert judgement.reasons == []
    assert "would be the limit" in judgement.warnings[0]


def test_unknown_costs_are_no_reason() -> None:
    judgement = judge(run({}), float("nan"), 40e-6)
    assert (judgement.reasons, judgement.warnings) == ([], [])


@pytest.mark.parametrize(("latency_s", "lateness_s"), [(0.01, 0.005), (0.2, 0.02), (2.0, 0.2)])
def test_lateness_may_be_a_tenth_of_the_latency(latency_s: float, lateness_s: float) -> None:
    assert limits(latency_s).lateness_s == pytest.approx(lateness_s)


def test_delay_in_here_is_bounded_where_it_is_part_of_the_latency() -> None:
    assert limits(0.1, stamped=False).delay_s == pytest.approx(0.01)
    assert limits(0.1).delay_s == pytest.approx(0.1)


def test_generator_slower_than_the_server_is_a_reason_where_it_shows_in_the_latency() -> None:
    judgement = judge(run({}), 50e-6, 40e-6, stamped=False)
    assert "would be the limit" in judgement.reasons[0]


def test_a_server_kept_from_its_core_is_told_and_one_that_ran_freely_is_not():
    told = starved({"a": 4.0, "b": 4.0}, {"a": 2.0, "b": 0.01})
    assert len(told) == 1
    assert told[0].startswith("a waited 2 s for a core and ran 4 s")
