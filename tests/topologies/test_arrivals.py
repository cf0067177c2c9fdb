"""Each arrival process against its theory; tolerances come from standard errors."""

import numpy as np
import pytest
from grids import grid
from scipy import stats

from topologies import TopologyError
from topologies.arrivals import cell_edges, read_trace
from topologies.plan import Plan, offered

SIGNIFICANCE = 1e-4  # fixed seeds: a test that passes keeps passing


def instants(arrivals, duration="100 s", seed=1, replication=0):
    return Plan(grid(arrivals, duration=duration), seed, replication).columns().intended_s


def counts(times, width_s, duration_s):
    return np.histogram(times, np.arange(0.0, duration_s + width_s / 2, width_s))[0]


def totals(arrivals, replications=200):
    topology = grid(arrivals)
    return np.array([Plan(topology, 1, replication).rows for replication in range(replications)])


@pytest.mark.parametrize("duration_s", [1e-3, 0.7, 1.0, 600.0, 4096.0, 86_400.0, 3e7])
def test_cells_cover_the_run_with_one_width_that_is_a_power_of_two(duration_s):
    edges = cell_edges(duration_s)
    assert edges[0] == 0.0
    assert edges[-1] == duration_s
    assert 4096 <= len(edges) - 1 <= 8192
    mantissa, _ = np.frexp(edges[1])
    assert mantissa == 0.5
    assert (np.diff(edges) > 0.0).all()


class TestPoisson:
    TIMES = instants({"process": "poisson", "rate": "200/s"})

    def test_gaps_are_exponential(self):
        assert stats.kstest(np.diff(self.TIMES), "expon", args=(0, 1 / 200)).pvalue > SIGNIFICANCE

    def test_gaps_are_independent(self):
        gaps = np.diff(self.TIMES)
        correlation = np.corrcoef(gaps[:-1], gaps[1:])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(len(gaps))

    def test_instants_are_uniform_also_inside_a_cell(self):
        assert stats.kstest(self.TIMES / 100.0, "uniform").pvalue > SIGNIFICANCE
        width = cell_edges(100.0)[1]
        assert stats.kstest(self.TIMES % width / width, "uniform").pvalue > SIGNIFICANCE

    def test_counts_per_second_have_the_variance_of_their_mean(self):
        got = counts(self.TIMES, 0.1, 100.0)
        dispersion = got.var(ddof=1) / got.mean()
        assert abs(dispersion - 1.0) < 4 * np.sqrt(2 / len(got))
        cells = np.bincount(np.minimum(got, 35), minlength=36)[5:]
        want = stats.poisson.pmf(np.arange(36), 20.0)
        want[35] += stats.poisson.sf(35, 20.0)
        want = want[5:] / want[5:].sum() * cells.sum()
        assert stats.chisquare(cells, want).pvalue > SIGNIFICANCE


@pytest.mark.parametrize(
    ("arrivals", "mean", "variance"),
    [
        ({"process": "poisson", "rate": "10/s"}, 1000, 1000),
        ({"process": "sine", "rate": "10/s", "period": "50 s"}, 1000, 1000),
        ({"process": "ramp", "rate": "5/s", "final_rate": "15/s"}, 1000, 1000),
        ({"process": "step", "rates": ["5/s", "15/s"]}, 1000, 1000),
        # M^X: var = rate T E[X^2]; geometric sizes of mean 4 have E[X^2] = 2 * 16 - 4
        ({"process": "batch", "rate": "2.5/s", "mean_size": 4}, 1000, 250 * 16),
        (
            {"process": "batch", "rate": "2.5/s", "mean_size": 4, "distribution": "geometric"},
            1000,
            250 * 28,
        ),
        # interrupted Poisson: mean rate 10/s; its variance is checked below
        ({"process": "on-off", "rate": "20/s", "mean_on": "1 s", "mean_off": "1 s"}, 1000, None),
    ],
    ids=lambda value: value["process"] if isinstance(value, dict) else "",
)
def test_totals_over_replications_have_mean_and_variance_of_the_theory(arrivals, mean, variance):
    got = totals(arrivals)
    error = got.std(ddof=1) / np.sqrt(len(got))
    assert abs(got.mean() - mean) < 4 * error
    assert error < 10.0, "the interval must be narrow for the test to mean something"
    if variance is not None:
        assert abs(got.var(ddof=1) / variance - 1.0) < 4 * np.sqrt(2 / len(got))


def test_sine_follows_its_rate():
    arrivals = {
        "process": "sine",
        "rate": "500/s",
        "period": "20 s",
        "amplitude": 0.8,
        "shift": "5 s",
    }
    got = counts(instants(arrivals), 0.5, 100.0)
    middle = np.arange(0.25, 100.0, 0.5)
    want = 250.0 * (1.0 + 0.8 * np.sin(2 * np.pi * (middle + 5.0) / 20.0) * np.sinc(0.5 / 20.0))
    score = ((got - want) ** 2 / want).sum()
    assert stats.chi2.sf(score, len(got)) > SIGNIFICANCE
    assert stats.chi2.cdf(score, len(got)) > SIGNIFICANCE


def test_ramp_grows_in_a_straight_line():
    times = instants({"process": "ramp", "rate": "20/s", "final_rate": "400/s"})
    mass = 20.0 * times + 3.8 * times**2 / 2.0
    assert stats.kstest(mass / (20.0 * 100 + 1.9 * 100**2), "uniform").pvalue > SIGNIFICANCE


def test_step_changes_at_equal_parts_of_its_window():
    arrivals = {
        "process": "step",
        "rates": ["100/s", "1/s", "300/s"],
        "start": "10 s",
        "end": "70 s",
    }
    got = counts(instants(arrivals), 10.0, 100.0)
    want = np.array([0, 1000, 1000, 10, 10, 3000, 3000, 0, 0, 0])
    assert (np.abs(got - want) <= 4 * np.sqrt(want)).all()


INTERRUPTED = {"process": "on-off", "rate": "1000/s", "mean_on": "0.5 s", "mean_off": "1.5 s"}
BATCHES = {"process": "batch", "rate": "50/s", "mean_size": 8, "distribution": "geometric"}


class TestOnOff:
    def test_counts_are_overdispersed_as_the_theory_says(self):
        """Var N(w) = m + 2 r^2 p (1 - p) (w / a - (1 - exp(-a w)) / a^2), a = 1/on + 1/off."""
        got = np.concatenate(
            [counts(instants(INTERRUPTED, "400 s", seed), 4.0, 400.0) for seed in range(10)]
        )
        share, decay, width = 0.25, 1 / 0.5 + 1 / 1.5, 4.0
        mean = 1000.0 * share * width
        spread = width / decay - (1.0 - np.exp(-decay * width)) / decay**2
        variance = mean + 2 * 1000.0**2 * share * (1 - share) * spread
        assert abs(got.mean() - mean) < 4 * np.sqrt(variance / len(got)) * 1.2
        assert abs(got.var(ddof=1) / variance - 1.0) < 4 * np.sqrt(2 / len(got)) * 1.2

    def test_silences_are_silent_and_as_long_as_said(self):
        gaps = np.diff(instants(INTERRUPTED, "4000 s"))
        silences = gaps[gaps > 0.05]  # at 1000/s no gap within an on-time is that long
        error = 1.5 / np.sqrt(len(silences))
        assert len(silences) > 1500
        assert abs(silences.mean() - 1.55) < 4 * error


class TestBatch:
    def test_all_of_a_batch_at_one_instant_with_geometric_sizes(self):
        _, sizes = np.unique(instants(BATCHES), return_counts=True)
        largest = 30
        got = np.bincount(np.minimum(sizes, largest), minlength=largest + 1)[1:]
        want = stats.geom.pmf(np.arange(1, largest + 1), 1 / 8)
        want[-1] += stats.geom.sf(largest, 1 / 8)
        assert stats.chisquare(got, want * len(sizes)).pvalue > SIGNIFICANCE

    def test_fixed_sizes_are_fixed(self):
        times = instants({"process": "batch", "rate": "5/s", "mean_size": 7})
        assert set(np.unique(times, return_counts=True)[1]) == {7}


class TestRowColumns:
    def test_publishers_are_uniform(self):
        rows = Plan(grid({"process": "poisson", "rate": "500/s"})).columns()
        assert stats.chisquare(np.bincount(rows.publisher, minlength=4)).pvalue > SIGNIFICANCE

    def test_log_normal_payloads_have_mean_and_spread(self):
        size = {"size": "1 KB", "cv": 0.5, "max": "50 KB"}
        topics = [{"name": "alerts", "broker": "broker", "payload": size}]
        rows = Plan(grid({"process": "poisson", "rate": "500/s"}, topics=topics)).columns()
        sizes = rows.payload_bytes.astype(float)
        assert abs(sizes.mean() - 1000.0) < 4 * 500.0 / np.sqrt(len(sizes))
        sigma = np.sqrt(np.log(1.25))
        scores = (np.log(sizes) - np.log(1000.0) + sigma**2 / 2) / sigma
        assert stats.kstest(scores, "norm").pvalue > SIGNIFICANCE

    def test_payloads_are_cut_and_never_empty(self):
        size = {"size": "2 B", "cv": 3.0, "max": "9 B"}
        topics = [{"name": "alerts", "broker": "broker", "payload": size}]
        rows = Plan(grid({"process": "poisson", "rate": "500/s"}, topics=topics)).columns()
        assert rows.payload_bytes.min() == 1
        assert rows.payload_bytes.max() == 9


class TestTrace:
    @pytest.fixture
    def trace(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        def write(text):
            (tmp_path / "trace.csv").write_text(text)
            return {"process": "trace", "file": "trace.csv"}

        return write

    def test_rows_are_sorted_and_keep_their_payloads(self, trace):
        arrivals = trace("intended_s,payload_bytes\n2.5,30\n0.5,10\n99.9,40\n1.5,20\n100,50\n")
        rows = Plan(grid(arrivals)).columns()
        assert rows.intended_s.tolist() == [0.5, 1.5, 2.5, 99.9]
        assert rows.payload_bytes.tolist() == [10, 20, 30, 40]
        assert offered(grid(arrivals))["alerts"] == 0.04

    def test_load_plays_it_faster_and_over_again(self, trace):
        arrivals = {**trace("intended_s\n10\n11\n14\n"), "start": "10 s", "end": "20 s"}
        twice = Plan(grid(arrivals), load=2.0).columns()
        assert twice.intended_s.tolist() == [10.0, 10.5, 12.0, 15.0, 15.5, 17.0]
        half = Plan(grid(arrivals), load=0.5).columns()
        assert half.intended_s.tolist() == [10.0, 12.0, 18.0]
        assert set(half.payload_bytes) == {1000}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "trace.csv: has another header; write intended_s"),
            ("time\n1\n", "trace.csv: has another header"),
            ("intended_s\n1\nx\n", 'trace.csv: line 3: "x": is no row'),
            ("intended_s\n-1\n", 'line 2: "-1": is no row'),
            ("intended_s\nnan\n", 'line 2: "nan": is no row'),
            ("intended_s\ninf\n", 'line 2: "inf": is no row'),
            ("intended_s\n1,2\n", 'line 2: "1,2": is no row; write 1 figures'),
            ("intended_s,payload_bytes\n1,0\n", 'line 2: "1,0": is no payload'),
            ("intended_s,payload_bytes\n1,2.5\n", "write whole bytes"),
            ("intended_s\n\x00\x01\n", "is no row"),
        ],
    )
    def test_a_broken_trace_is_named_with_its_line(self, trace, text, message):
        with pytest.raises(TopologyError) as caught:
            Plan(grid(trace(text)))
        assert message in str(caught.value)

    def test_a_missing_trace_is_named(self, tmp_path):
        with pytest.raises(TopologyError, match=r"gone\.csv: cannot be read"):
            read_trace(tmp_path / "gone.csv")
        with pytest.raises(TopologyError, match="is not a file"):
            read_trace(tmp_path)
