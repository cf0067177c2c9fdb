"""The benchmark measures engines that agree, and refuses to compare others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

import sim.commands
from sim import benchmark, benchmark_grids, benchmark_plays, benchmark_singles, benchmark_targets
from sim.benchmark_plays import BenchmarkError, Sample

WORKLOADS = [
    benchmark_grids.fan_out(300, 12, 40),
    benchmark_grids.one_publish(2_000),
    benchmark_grids.storm(400),
    benchmark_grids.campus(0.02, 0.5),
    benchmark_grids.events(0.05, 0.5),
]
LONG = benchmark_grids.workloads(quick=False)
README = Path(benchmark.__file__).with_name("README.md")


@pytest.fixture
def _same_cores(monkeypatch):
    monkeypatch.setattr("sim.benchmark_plays.os.sched_setaffinity", lambda process, cores: None)


@pytest.mark.usefixtures("_same_cores")
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_all_engines_see_the_same_latencies(workload):
    samples = {engine: [benchmark_plays.sample(workload, engine)] for engine in benchmark.ENGINES}
    simpy, gridlab = benchmark.compared(workload, samples)
    assert simpy["ratio_to_simpy"] == 1.0
    assert gridlab["p99_s"] == pytest.approx(simpy["p99_s"], rel=1e-9)
    assert gridlab["name"] == simpy["name"] == workload.name
    assert ("events_per_s" in gridlab) == (workload.name in ("storm", "events"))
    assert 0.0 < simpy["p50_s"] < simpy["p99_s"]
    assert gridlab["played"] >= simpy["played"] > 0


@pytest.mark.usefixtures("_same_cores")
def test_alerts_do_go_before_bulk_where_nothing_batches():
    """All Topics alike, the same publications have other latencies."""
    ranked = benchmark_grids.events(0.2, 0.2)
    alike = [each.model_copy(update={"priority": 0}) for each in ranked.short.topics]
    plain = replace(ranked, short=ranked.short.model_copy(update={"topics": tuple(alike)}))
    with_p99_s, without_p99_s = (
        benchmark_plays.sample(each, "simpy").p99_s for each in (ranked, plain)
    )
    assert with_p99_s > 1.02 * without_p99_s


@pytest.mark.usefixtures("_same_cores")
def test_ciw_sees_the_same_latencies():
    workload = benchmark_grids.small_fan_out(5, 50)
    assert benchmark.engines_of(workload) == ["simpy", "gridlab", "ciw"]
    samples = {engine: [benchmark_plays.sample(workload, engine)] for engine in ("simpy", "ciw")}
    rows = benchmark.compared(workload, samples)
    assert rows[1]["p99_s"] == pytest.approx(rows[0]["p99_s"], rel=1e-9)
    assert rows[1]["ratio_to_simpy"] < 50.0


def sampled(rate_per_s, p99_s=0.9, peak_rss_bytes=1):
    return Sample(1000, 1000 / rate_per_s, 1000, 510.0, 0.5, p99_s, 1.0, peak_rss_bytes)


def test_engines_that_differ_are_not_compared():
    right, wrong = sampled(1.0), sampled(900.0, 0.9 * (1 + 1e-8))
    with pytest.raises(BenchmarkError, match=r"p99_s: gridlab has .*; they must be the same"):
        benchmark.compared(WORKLOADS[0], {"simpy": [right], "gridlab": [right, wrong]})
    with pytest.raises(BenchmarkError, match=r"p99_s: gridlab-loop-turns has "):
        benchmark.compared(WORKLOADS[0], {"simpy": [right], "gridlab-loop-turns": [wrong, right]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("copies", 999),
        ("sum_s", 510.0 * (1 + 1e-8)),
        ("p50_s", 0.5 * (1 - 1e-8)),
        ("longest_s", 1.0 + 1e-8),
        *((name, float("nan")) for name in ("sum_s", "p50_s", "p99_s", "longest_s")),
    ],
)
def test_engines_are_held_to_all_of_their_latencies(name, value):
    wrong = replace(sampled(900.0), **{name: value})
    for samples in ([wrong], [sampled(900.0), wrong]):
        with pytest.raises(BenchmarkError, match=f"{name}: gridlab has "):
            benchmark.compared(WORKLOADS[0], {"simpy": [sampled(1.0)] * 2, "gridlab": samples})


def test_engines_that_play_everything_play_as_much():
    more = replace(sampled(900.0), played=1001)
    samples = {"simpy": [sampled(1.0)], "gridlab": [more]}
    assert len(benchmark.compared(WORKLOADS[0], samples)) == 2
    for workload in WORKLOADS[1:3]:
        with pytest.raises(BenchmarkError, match=r"played: gridlab has 1001, simpy 1000"):
            benchmark.compared(workload, samples)


def test_rates_are_medians_and_the_spread_is_said():
    slow = [sampled(rate, peak_rss_bytes=10) for rate in (1.0, 2.0, 4.0)]
    fast = [sampled(rate, peak_rss_bytes=70) for rate in (900.0, 1000.0, 1200.0)]
    rows = benchmark.compared(WORKLOADS[0], {"simpy": slow, "gridlab": fast})
    assert [row["ratio_to_simpy"] for row in rows] == [1.0, 500.0]
    assert rows[1]["spread"] == pytest.approx(0.3)
    assert rows[1]["peak_rss_bytes"] == 70
    assert [each["peak_rss_bytes"] for each in rows[1]["each_round"]] == [70, 70, 70]
    assert rows[1]["rounds"] == 3
    row = TypeAdapter(benchmark.Benchmark).json_schema()["$defs"]["BenchmarkRow"]
    assert set(row["properties"]) == {*rows[0], "events_per_s"}
    assert benchmark.render(rows).row_count == 2


@pytest.mark.parametrize(
    ("simpy", "gridlab", "ratio"),
    [
        # A machine half as fast in the second round moves no round's ratio.
        ((4.0, 2.0, 4.0), (2000.0, 1000.0, 2000.0), 500.0),
        # The ratio of the medians would be 1000 / 2 = 500.
        ((1.0, 2.0, 4.0), (1000.0, 2400.0, 600.0), 1000.0),
        # Of two rounds, the smaller.
        ((1.0, 2.0), (900.0, 1000.0), 500.0),
    ],
)
def test_a_ratio_is_of_plays_of_the_same_round(simpy, gridlab, ratio):
    samples = {
        name: [sampled(rate) for rate in rates]
        for name, rates in {"simpy": simpy, "gridlab": gridlab}.items()
    }
    row = benchmark.compared(WORKLOADS[0], samples)[1]
    assert row["ratio_to_simpy"] == ratio
    each = [fast / slow for slow, fast in zip(simpy, gridlab, strict=True)]
    assert [found["ratio_to_simpy"] for found in row["each_round"]] == each


def test_the_long_workloads_are_those_that_are_promised():
    assert [(each.name, each.size) for each in LONG] == [
        ("fan-out", 100), ("fan-out", 10_000), ("fan-out", 100_000), ("one-publish", 1_000_000),
        ("storm", 300_000), ("topology", 200), ("events", 8),
    ]  # fmt: skip
    assert all(each.rounds >= 2 for each in LONG)
    names = {each.name for each in LONG} | {name for name, _ in benchmark_singles.singles(False)}
    assert set(sim.commands.PLAYED) == names


def test_the_whole_is_expected_to_take_twelve_minutes_at_most():
    plays_s = sum(
        sum(benchmark._expected_s(each, turn)) for each in LONG for turn in range(each.rounds)
    )
    assert plays_s + sum(benchmark.SINGLE_S.values()) < 12 * 60


@pytest.mark.usefixtures("_same_cores")
@pytest.mark.parametrize("discipline", sorted(benchmark_grids.MEASURED))
def test_measured_disciplines_are_held_against_the_reference(discipline, monkeypatch):
    workload = benchmark_grids.fan_out(200, 2, 30)
    found = benchmark_plays.sample(workload, f"gridlab-{discipline}", checked=True)
    assert 0.0 < found.p50_s < found.p99_s
    samples = {"simpy": [sampled(2.0)], f"gridlab-{discipline}": [found]}
    rows = benchmark.compared(workload, samples)
    assert rows[1]["ratio_to_simpy"] == pytest.approx(found.rate_per_s / 2.0)
    monkeypatch.setattr("sim.benchmark_plays.TOLERANCE", -1.0)
    with pytest.raises(BenchmarkError, match="the reference"):
        benchmark_plays.sample(workload, f"gridlab-{discipline}", checked=True)


@pytest.mark.usefixtures("_same_cores")
def test_a_profile_says_where_the_time_went():
    found = benchmark_plays.sample(WORKLOADS[0], "gridlab", profiled=True)
    shares = [spot["share"] for spot in found.hottest]
    assert shares == sorted(shares, reverse=True)
    assert 0.1 < sum(shares) <= 1.0
    assert benchmark_plays.sample(WORKLOADS[0], "gridlab").hottest == ()


def test_cost_is_linear_in_deliveries():
    watch = benchmark_plays.Stopwatch()
    found = benchmark_singles.scaling(10**7, watch)
    set_up, *points = found["points"]
    assert set_up["deliveries"] < 10**5
    assert [round(np.log10(each["deliveries"])) for each in points] == [6, 7, 6]
    assert "in the last decade to the power of" in benchmark_singles.render(found)


def scaled(power, after=1.0):
    """Points of a cost that grows to that power on a set-up of 0.1 s; 20 s at 10^9."""
    sizes = (20_000, 10**6, 10**7, 10**8, 10**9, 10**8)
    points = [{"deliveries": n, "wall_s": 0.1 + 20.0 * (n / 10**9) ** power} for n in sizes]
    points[-1]["wall_s"] *= after
    return points


@pytest.mark.parametrize(
    ("points", "verdict"),
    [
        (scaled(1.0), "met"),
        (scaled(1.04), "met"),
        (scaled(1.06), "missed"),
        (scaled(1.15), "missed"),
        (scaled(1.15, after=1.5), "not decided"),
    ],
)
def test_a_cost_that_grows_too_fast_misses_its_target(points, verdict):
    found = benchmark_singles.slopes(points)
    target = next(each for each in benchmark_targets.TARGETS if each.name == "scaling")
    assert benchmark_targets.verdict(target, found) == verdict


def test_slopes_do_not_see_the_set_up():
    assert benchmark_singles.slopes(scaled(1.0)) == pytest.approx([1.0, 1.0], abs=1e-3)
    assert benchmark_singles.slopes(scaled(1.15)) == pytest.approx([1.15, 1.15], abs=1e-3)
    nothing = [{"deliveries": n, "wall_s": 0.1} for n in (20_000, 10**6, 10**7, 10**6)]
    assert benchmark_singles.slopes(nothing) == []


class Plays:
    """Stands in for processes: every engine plays alike, until one is interrupted."""

    def __init__(self, until=99):
        self.played, self._until = [], until

    def __call__(self, place, engine, *flags):
        if len(self.played) == self._until:
            raise KeyboardInterrupt
        self.played.append((place, engine, flags))
        return sampled(1.0 if engine == "simpy" else 500.0)


def play(monkeypatch, plays, path, quick=True, only=("fan-out",)):
    monkeypatch.setattr("sim.benchmark.in_fresh_process", plays)
    told = []
    document = benchmark.bench(
        quick, lambda share, remark: told.append((share, remark)), only, path
    )
    return document, told


def test_what_was_played_is_kept_and_gone_on_from(monkeypatch, tmp_path):
    path, whole, first, second = tmp_path / "kept.json", Plays(), Plays(until=8), Plays()
    want, told = play(monkeypatch, whole, None)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert "fan-out 10,000: gridlab-loop-turns, round 2 of 2; " in told[-2][1]
    with pytest.raises(KeyboardInterrupt):
        play(monkeypatch, first, path)
    got, _ = play(monkeypatch, second, path)
    assert got == want
    # The third round, of which two of four plays were over, is played anew.
    assert second.played == whole.played[6:]
    assert {flags for _, _, flags in whole.played} == {("quick",), ("quick", "checked")}
    play(monkeypatch, third := Plays(), path)
    assert third.played == []


def test_a_round_of_other_engines_is_played_anew(monkeypatch, tmp_path):
    """Such as of before ciw was installed, or after it was taken away."""
    path, small = tmp_path / "kept.json", benchmark_grids.small_fan_out(2, 4)
    for others in ((), ("ciw",), ()):
        at_hand = replace(small, others=others)
        monkeypatch.setattr("sim.benchmark.workloads", lambda quick, only=at_hand: [only])
        document, _ = play(monkeypatch, plays := Plays(), path)
        engines = ["simpy", "gridlab", *others]
        assert [row["engine"] for row in document["workloads"]] == engines
        assert [engine for _, engine, _ in plays.played] == engines * 2
        play(monkeypatch, again := Plays(), path)
        assert again.played == []


def test_a_miss_comes_with_its_profile(monkeypatch):
    spots = ({"where": "fifo.py:208 advance", "share": 0.9},)

    def slow(place, engine, *flags):
        profiled = spots if "profiled" in flags else ()
        rate_per_s = {"simpy": 1.0, "gridlab": 2_999.0}.get(engine, 401.0)
        return replace(sampled(rate_per_s), hottest=profiled)

    document, _ = play(monkeypatch, slow, None, quick=False)
    ratios = [each for each in document["targets"] if each["figure"] == benchmark_targets.RATIO]
    assert [(each["verdict"], len(each["profile"])) for each in ratios] == [("missed", 1)] * 2 + [
        ("met", 0)
    ] * 4
    text = benchmark_targets.render(document["targets"])
    assert text[0] == "missed       fan-out 10,000 gridlab: times naive SimPy 2,999, at least 3,000"
    assert text[1].split() == ["90%", "fifo.py:208", "advance"]


@pytest.mark.parametrize(
    ("figure", "rounds", "verdict"),
    [
        (benchmark_targets.RATIO, [300.0, 310.0], "met"),
        (benchmark_targets.RATIO, [299.0, 290.0], "missed"),
        (benchmark_targets.RATIO, [299.0, 900.0, 900.0], "not decided"),
        (benchmark_targets.WALL, [300.0, 290.0], "met"),
        (benchmark_targets.WALL, [301.0, 310.0], "missed"),
        (benchmark_targets.WALL, [301.0, 299.0, 299.0], "not decided"),
    ],
)
def test_a_target_that_rounds_straddle_is_not_decided(figure, rounds, verdict):
    target = benchmark_targets.Target("storm", 9, figure, 300.0)
    assert benchmark_targets.verdict(target, rounds) == verdict


def test_a_target_that_is_not_decided_says_what_rounds_found(monkeypatch):
    rates = iter([2_500.0, 3_500.0])

    def uneven(place, engine, *flags):
        assert "profiled" not in flags
        rate_per_s = {"simpy": 1.0, "gridlab": 3_000.0}.get(engine, 401.0)
        return sampled(next(rates, 3_000.0) if (place, engine) == (1, "gridlab") else rate_per_s)

    document, _ = play(monkeypatch, uneven, None, quick=False)
    first = benchmark_targets.render(document["targets"])[0]
    assert first.startswith(
        "not decided  fan-out 10,000 gridlab: times naive SimPy 3,000 (2,500 to"
    )
    assert first.endswith(" 3,500), at least 3,000")


def documented():
    """A document of all that is played, at one pace."""
    rows = [
        row
        for each in LONG
        for row in benchmark.compared(
            each, {engine: [sampled(1.0)] for engine in benchmark.engines_of(each)}
        )
    ]
    points = {"scaling": scaled(1.0)}
    one = [{"deliveries": 1, "wall_s": 1.0}]
    singles = [
        benchmark_singles._single(name, benchmark_singles.size_of(name), points.get(name, one), 1)
        for name, _ in benchmark_singles.singles(False)
    ]
    return {"workloads": rows, "singles": singles, "targets": []}


def test_every_target_is_of_a_figure_that_is_measured():
    assert len(benchmark_targets.judged(documented())) == len(benchmark_targets.TARGETS)


def test_a_target_whose_size_fits_no_more_is_an_error():
    document = documented()
    document["workloads"] = [
        each | {"size": 299_999} if each["name"] == "storm" else each
        for each in document["workloads"]
    ]
    with pytest.raises(BenchmarkError, match=r"storm 300,000 gridlab: .*: a target, but not"):
        benchmark_targets.judged(document)
    document["workloads"] = [row for row in document["workloads"] if row["name"] != "storm"]
    document["singles"][0] |= {"slopes": [], "slope": None}
    with pytest.raises(BenchmarkError, match=r"scaling 10,000 gridlab: .*: a target, but not"):
        benchmark_targets.judged(document)
    del document["singles"][0]
    verdicts = benchmark_targets.judged(document)
    assert len(verdicts) == len(benchmark_targets.TARGETS) - 2


def test_first_results_that_disagree_are_not_decided(monkeypatch):
    monkeypatch.setattr("sim.benchmark_singles._simulate_small", lambda: None)
    clock = iter([0.0, 9.0, 10.0, 10.8, 20.0, 21.1, 30.0, 30.9])
    monkeypatch.setattr("sim.benchmark_singles.time.perf_counter", lambda: next(clock))
    single = benchmark_singles.first_result()
    document = {"workloads": [], "singles": [single], "targets": []}
    found = benchmark_targets.judged(document)[0]
    assert found["rounds"] == pytest.approx([0.8, 1.1, 0.9])
    assert found["found"] == pytest.approx(0.9)
    assert found["verdict"] == "not decided"
    assert benchmark_singles.render(single).startswith("First result: 0.90 s for gridlab simulate")


def test_the_readme_has_the_targets():
    assert benchmark_targets.markdown() in README.read_text()
