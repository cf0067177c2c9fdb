"""Work on a core whose speed changes: by hand, and a whole procedure that is told of it."""

import importlib

import numpy as np
import pytest
from procedure_stories import outcomes, shaped

from results import histogram
from results.variants import Measured
from sim import reenactments
from sim.procedures.outcome import Occasion
from sim.procedures.paced import Core
from topologies import overlays, procedures

SPELL = ((0.0, 1.0), (2.0, 5.0), (2.5, 1.0))


@pytest.mark.parametrize(
    ("slower", "start_s", "work_s", "done_s"),
    [
        ((), 3.0, 0.5, 3.5),
        (((1.0, 2.0),), 3.0, 0.5, 4.0),
        (((1.0, 2.0),), 0.5, 0.5, 1.5),  # what is before the first step is as it is
        (SPELL, 1.0, 0.5, 1.5),
        (SPELL, 1.5, 0.5, 2.0),
        (SPELL, 1.5, 0.55, 2.25),  # 0.5 before, 0.05 at a fifth of the speed
        (SPELL, 1.5, 1.0, 2.9),  # 0.5 before, 0.1 in it, 0.4 after
        (SPELL, 2.1, 0.04, 2.3),
        (SPELL, 4.0, 0.0, 4.0),
    ],
)
def test_work_is_done_when_its_core_has_done_it(slower, start_s, work_s, done_s):
    assert Core(slower).done_s(start_s, work_s) == pytest.approx(done_s)


def asked(**changes):
    return procedures.LargeAnswers.model_validate(
        {"model": "large-answers", "rate": "20/s", "receivers": 1, "askers": 4, "items": 100,
         "answer": "5 ms", "item": "100 us", "size": "1 KB", "think": "1 s", "publication": "2 ms",
         "downlink": "1 GB/s", "round_trip": "1 ms", "duration": "40 s", **changes}
    )  # fmt: skip


@pytest.mark.parametrize("server", ["prosody-0.12", "fifo-sketch"])
def test_on_a_core_of_half_the_speed_all_costs_are_twice_as_much(server):
    module = importlib.import_module("sim.procedures.large_answers")
    slow = module.play(asked(), Occasion(shaped(server), 1, 0, ((0.0, 2.0),)))
    (dear,) = outcomes(asked(answer="10 ms", item="200 us", publication="4 ms"), 1, shaped(server))
    assert slow.figures == pytest.approx(dear.figures)
    assert (slow.latency == dear.latency).all()


def test_spells_make_a_tail_and_leave_the_middle_alone():
    """A fifteenth of the time ten times as slow: a sixteenth of what comes meets one."""
    spells = tuple(
        step for at_s in range(40) for step in ((float(at_s), 10.0), (at_s + 1 / 15, 1.0))
    )
    module = importlib.import_module("sim.procedures.large_answers")
    calm, slow = (
        np.sum([module.play(asked(), Occasion(shaped(), 1, number, steps)).latency
                for number in range(4)], axis=0)
        for steps in ((), spells)
    )  # fmt: skip
    median_s, p99_s = ([histogram.quantile(each, q) for each in (calm, slow)] for q in (0.5, 0.99))
    assert median_s[1] < 1.2 * median_s[0]
    assert p99_s[1] > 2.0 * p99_s[0]


class Slower:
    """A machine that is half as fast as its pilot, whose core's pace says so."""

    def fit_procedure(self, procedure, topology):
        costs = {"item": 3e-4, "answer": 2e-3, "publication": 4e-3}
        return procedure.model_copy(update=costs)

    def predicted(self, topology):
        pass

    def perform(self, procedure, topology, defence):
        slower = ((0.0, 2.0),)
        told = reenactments._foretold(defence, procedure, topology, 9, slower)
        return Measured(defence, "", told.samples, told.curve, slower=slower)


def test_a_play_on_a_slower_core_is_met_once_its_pace_is_known():
    laid = overlays.scenario("S-BIGQ", None, ["none"], ["procedure.duration=20 s"], real=True)
    document = reenactments.compared(laid, Slower(), seed=2).document
    blind, told = (
        {each["figure"]: each["ratio"] for each in document[side]}
        for side in ("agreement", "given_pace")
    )
    for figure in ("p99_s", "sync_s", "answer_cpu_s"):
        assert blind[figure] > 1.5
        assert told[figure] == pytest.approx(1.0, abs=0.15)
