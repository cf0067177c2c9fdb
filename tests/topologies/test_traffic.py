"""Days with spikes, Zipf's law over Topics, heavy-tailed batches: each against its law."""

import numpy as np
import pytest
import yaml
from grids import data, grid
from scipy import stats

import topologies
from topologies import batches
from topologies.plan import Plan, offered
from topologies.workload import OFFICE_DAY, Batch

SIGNIFICANCE = 1e-4
DAY = {"process": "diurnal", "rate": "2/s", "period": "1200 s"}
SPIKES = {"every": "60 s", "length": "4 s", "height": 20}


def rows(arrivals, duration="1200 s", replication=0, **more):
    return Plan(grid(arrivals, duration=duration, **more), 1, replication).columns()


class TestDiurnal:
    def test_counts_follow_the_shape_hour_by_hour(self):
        """An hour's mean is 1/8, 3/4, 1/8 of it and its neighbours: linear between the middles."""
        counts = sum(
            np.histogram(rows(DAY, replication=r).intended_s, np.arange(25) * 50.0)[0]
            for r in range(10)
        )
        shape = np.array(OFFICE_DAY) / np.mean(OFFICE_DAY)
        want = 10 * 100 * (0.75 * shape + 0.125 * (np.roll(shape, 1) + np.roll(shape, -1)))
        chi_square = ((counts - want) ** 2 / want).sum()
        assert chi_square < stats.chi2.isf(SIGNIFICANCE, 24)
        assert 2.0 < shape.max() < 3.0

    def test_its_mean_is_that_of_the_file_and_of_what_is_offered(self):
        topology = grid(DAY, duration="1200 s")
        assert offered(topology)["alerts"] == pytest.approx(2.0)
        shifted = grid({**DAY, "shift": "400 s"}, duration="50 s")
        assert offered(shifted)["alerts"] == pytest.approx(
            2.0 * (0.75 * 2.6 + 0.125 * (1.7 + 2.2)) / np.mean(OFFICE_DAY)
        )

    def test_spikes_multiply_the_mean_by_what_they_add(self):
        spiky = {**DAY, "shape": [1, 1], "spikes": SPIKES}
        topology = grid(spiky, duration="1200 s")
        want = 2.0 * (1 + 19 * 4 / 64)
        assert offered(topology)["alerts"] == pytest.approx(want)
        totals = np.array([Plan(topology, 1, r).rows for r in range(60)]) / 1200.0
        error = totals.std(ddof=1) / np.sqrt(len(totals))
        assert abs(totals.mean() - want) < 4 * error < 0.2 * want

    def test_spikes_have_their_length_and_height(self):
        """At 100/s, tenths of a second tell silence (10 each) from spike (200 each)."""
        spiky = {**DAY, "rate": "100/s", "shape": [1, 1], "spikes": SPIKES}
        instants = rows(spiky, duration="4000 s").intended_s
        high = np.histogram(instants, np.arange(40_001) * 0.1)[0] > 90
        edges = np.flatnonzero(np.diff(high.astype(int)))
        starts, ends = edges[high[edges + 1]], edges[~high[edges + 1]]
        ends = ends[ends > starts[0]]
        lengths = (ends - starts[: len(ends)]) * 0.1
        assert len(lengths) > 30
        assert np.abs(lengths - 4.0).max() < 0.21
        assert np.histogram(instants, np.arange(40_001) * 0.1)[0][high].mean() == pytest.approx(
            200.0, rel=0.03
        )


class TestZipf:
    TOPICS = tuple(f"t{number}" for number in range(1, 6))

    def world(self, process, exponent=1.2):
        named = [
            {"name": name, "broker": "broker", "payload": {"size": "1 KB"}}
            for name in ("alerts", *self.TOPICS)
        ]
        arrivals = {**process, "further_topics": list(self.TOPICS), "exponent": exponent}
        return grid(arrivals, topics=named)

    def test_topics_are_as_popular_as_their_rank_to_the_exponent(self):
        topology = self.world({"process": "poisson", "rate": "500/s"})
        counts = np.bincount(Plan(topology).columns().topic, minlength=6)
        weights = np.arange(1, 7) ** -1.2
        want = weights / weights.sum() * counts.sum()
        assert stats.chisquare(counts, want).pvalue > SIGNIFICANCE
        assert list(offered(topology).values()) == pytest.approx(500.0 * weights / weights.sum())

    def test_together_they_are_one_poisson_process(self):
        instants = Plan(self.world({"process": "poisson", "rate": "200/s"})).columns().intended_s
        assert stats.kstest(np.diff(instants), "expon", args=(0, 1 / 200)).pvalue > SIGNIFICANCE

    @pytest.mark.parametrize(
        "process",
        [
            {"process": "step", "rates": ["10/s", "20/s"]},
            {"process": "ramp", "rate": "10/s", "final_rate": "20/s"},
            {"process": "batch", "rate": "5/s", "mean_size": 3},
        ],
    )
    def test_every_rate_is_shared_out(self, process):
        alone = sum(offered(grid(process)).values())
        shared = offered(self.world(process, exponent=0.0))
        assert sum(shared.values()) == pytest.approx(alone)
        assert shared["t5"] == pytest.approx(alone / 6)


HEAVY = [
    {"distribution": "log-normal", "mean_size": 12, "cv": 3.0},
    {"distribution": "log-normal", "mean_size": 2.5, "cv": 0.7},
    {"distribution": "pareto", "mean_size": 30, "tail": 2.5},
    {"distribution": "pareto", "mean_size": 8, "tail": 1.2, "max_size": 2000},
]


class TestHeavyTailedBatches:
    @pytest.mark.parametrize(
        "law", HEAVY, ids=lambda law: f"{law['distribution']} {law['mean_size']}"
    )
    def test_sizes_follow_their_law(self, law):
        batch = Batch(topic="t", by="p", process="batch", rate="1/s", **law)
        sizes = batches.sizes(batch, ("test", 1), 0, 200_000)
        mean, square = batches.moments(batch)
        error = np.sqrt((square - mean**2) / len(sizes))
        assert abs(sizes.mean() - mean) < 4 * error
        assert sizes.min() >= 1
        assert sizes.max() <= batch.max_size
        limits = np.array([2, 3, 5, 10, 20, 50, 100])
        at_least = np.diff(batches._mean_below(batch, np.arange(101.0)))[limits - 1]
        got = (sizes[:, None] >= limits).mean(axis=0)
        assert (np.abs(got - at_least) < 4.5 * np.sqrt(at_least / len(sizes)) + 1e-9).all()

    def test_the_mean_is_the_files_where_nothing_is_cut(self):
        batch = Batch(topic="t", by="p", process="batch", rate="1/s", **HEAVY[0])
        assert batches.moments(batch)[0] == pytest.approx(12.0, rel=1e-3)

    def test_the_tail_falls_as_a_power(self):
        """Hill's estimator over the largest thousand of 200,000 sizes."""
        batch = Batch(topic="t", by="p", process="batch", rate="1/s", distribution="pareto",
                      mean_size=100, tail=1.5, max_size=1_000_000)  # fmt: skip
        sizes = np.sort(batches.sizes(batch, ("test", 2), 0, 200_000) + 49.0)  # 1 + y / lambda
        largest = np.log(sizes[-1001:])
        hill = 1.0 / (largest[1:] - largest[0]).mean()
        assert abs(hill - 1.5) < 4 * 1.5 / np.sqrt(1000)

    def test_the_plan_asks_for_what_is_offered(self):
        topology = grid({"process": "batch", "rate": "20/s", **HEAVY[2]})
        totals = np.array([Plan(topology, 1, r).rows for r in range(40)]) / 100.0
        error = totals.std(ddof=1) / np.sqrt(len(totals))
        assert abs(totals.mean() - offered(topology)["alerts"]) < 4 * error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"process": "deterministic", "rate": "1/s", "further_topics": ["health"]},
            "a deterministic process has one Topic",
        ),
        ({**DAY, "shape": [0, 0]}, "shape: is nowhere above 0"),
        ({**DAY, "period": "1 ms"}, "period: .* is shorter than a 10,000th of the run"),
        ({**DAY, "spikes": {"every": "1 us", "length": "1 us"}}, "come more than"),
        (
            {"process": "poisson", "rate": "1/s", "further_topics": ["alerts"]},
            "names a Topic twice",
        ),
        ({"process": "poisson", "rate": "1/s", "further_topics": ["gone"]}, "is not declared"),
    ],
)
def test_wrong_traffic_is_refused(change, message):
    with pytest.raises(topologies.TopologyError, match=message):
        topologies.parse(yaml.safe_dump(data(change)))
