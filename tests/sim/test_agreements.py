"""A model that is told what a play did cost: a slower machine is no wrong model."""

import pytest

from results.statistics import Sample
from results.variants import Measured
from sim import agreements, reenactments
from sim.replications import simulate
from topologies import overlays, profile

FLOOD = ["workload.duration=8 s", "attacks[flood].start=2 s", "attacks[flood].duration=3 s"]


def other_p99_s(run):
    return run.latency.quantile(0.99)["value"]


def test_a_play_on_a_slower_machine_is_met_once_its_cpu_time_is_known():
    topology = overlays.scenario("S-FLOOD", None, ["none"], FLOOD, real=True).attacked["none"]
    fitted = {"controller": profile(topology, "controller")}
    slower = {"controller": fitted["controller"].model_copy(update={"speed": 1.6})}
    runs = [
        simulate(topology, seed=2, replications=4, profiles=each, processes=1, door="a test")
        for each in (fitted, slower)
    ]
    told = agreements.told_the_cost(topology, fitted, (runs[0], runs[1]), seed=2)
    assert other_p99_s(runs[1]) > 1.2 * other_p99_s(runs[0])
    assert other_p99_s(told) == pytest.approx(other_p99_s(runs[1]), rel=0.02)


def test_the_costs_of_large_answers_add_up_to_what_the_server_used():
    laid = overlays.scenario("S-BIGQ", None, ["none"], real=True)
    costs = {"item": 1e-3, "answer": 2e-3, "publication": 4e-3}
    procedure = laid.procedures["none"].model_copy(update=costs)
    figures = {"requests_per_s": Sample(5.0), "answer_cpu_s": Sample(0.061)}
    told = agreements.at_its_cost(procedure, Measured("none", "", figures))
    expected, used = 5 * (0.002 + 120 * 0.001) + 8 * 0.004, 5 * 0.061 + 8 * 0.004
    factor = used / expected
    assert [told.item, told.answer, told.publication] == pytest.approx(
        [factor * each for each in costs.values()]
    )
    assert agreements.at_its_cost(laid.procedures["none"], Measured("none", "", figures)) is None


def test_what_is_played_is_laid_beside_a_model_that_is_told_its_cost():
    laid = overlays.scenario("S-FLOOD", None, ["none"], FLOOD, real=True)

    class Slower:
        """A machine that is half as slow again as its pilot."""

        def fit(self, topology):
            return {"controller": profile(topology, "controller")}

        def predicted(self, topology):
            pass

        def play(self, topology):
            slower = profile(topology, "controller").model_copy(update={"speed": 1.5})
            return simulate(topology, seed=2, replications=1, profiles={"controller": slower},
                            processes=1, door="a test")  # fmt: skip

    document = reenactments.compared(laid, Slower(), seed=2).document
    blind, told = (
        {each["figure"]: each["ratio"] for each in document[side]}["other_topics_p99_s"]
        for side in ("agreement", "given_cost")
    )
    assert blind > 1.25
    assert told == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("defence", ["published", "unlimited", "relay", "sealed-rotated"])
def test_messages_one_by_one_are_told_what_they_cost_server_and_publisher(defence):
    """A play on a machine 1.5 times as slow, and a publisher that is twice as slow, is met."""
    laid = overlays.scenario("S-E2E", None, [defence], real=True)
    piloted = {"relayed": 0.3e-3, "publication": 9e-3, "encrypt": 0.1e-3, "cipher": 40e-6}
    procedure = laid.procedures[defence].model_copy(update=piloted)
    slow = {name: (1.5 if name in ("relayed", "publication") else 2.0) * each
            for name, each in piloted.items()}  # fmt: skip
    played = reenactments._foretold(
        defence, procedure.model_copy(update=slow), laid.attacked[defence], 1
    )
    told = agreements.at_its_cost(procedure, played)
    assert {name: getattr(told, name) for name in slow} == pytest.approx(
        slow if defence != "published" else slow | {"encrypt": 0.1e-3, "cipher": 40e-6}
    )
    unknown = procedure.model_copy(update={"relayed": None})
    assert agreements.at_its_cost(unknown, played) is None
