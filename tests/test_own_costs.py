"""The lab under its own gate: CPU time of its hot paths, by the judge of `gridlab regress`.

A pair is the plain way (*base*) and ours (*head*), one after the other in this process: CPU time,
never the clock's, so that who else uses the machine matters little. What head may cost is a share
of base (`budgets.yaml`); the gate fails only when the whole interval is beyond it by `BUDGET`.
"""

import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import yaml

from loadtest.payload import payload
from loadtest.receiver import DeliveryLog, Receiver
from results import ratios
from sim import benchmark_grids, benchmark_plays
from sim.naive import NaiveGrid
from topologies.plan import Plan

SHARES = yaml.safe_load((Path(__file__).parent / "budgets.yaml").read_text())
BUDGET = (
    0.5  # what else works on the machine shares its caches, and moves ratios by tens of percent
)
PAIRS = (7, 21)
TRIES = 2  # of which the cheaper counts: what disturbs only ever adds
SLOWER = 3.0  # a path so many times as slow is to fail by its stored budget: none may be idly wide
FAN_OUT, NOTIFICATIONS = 1_000, 2_000


def cost_s(work):
    """CPU time of this thread for each thing done; work gives their number. [s]"""
    costs = []
    for _ in range(TRIES):
        started_s = time.thread_time()
        count = work()
        costs.append((time.thread_time() - started_s) / count)
    return min(costs)


def naive():
    """A fan-out as a user of SimPy would write it first."""
    workload = benchmark_grids.fan_out(FAN_OUT, 2, 2)
    rows = Plan(workload.short, benchmark_plays.SEED).columns()

    def play():
        return len(NaiveGrid(workload.short, rows, workload.profile, benchmark_plays.SEED, 0).run())

    return play


def kernels(discipline):
    """The same in the kernels, of a server that works like this."""
    if discipline == "fifo":
        workload = benchmark_grids.fan_out(FAN_OUT, 2, 800)
    else:
        workload = benchmark_grids.measured_fan_out(FAN_OUT, 2, 50, discipline)

    def play():
        grid, _ = benchmark_plays.grid_of(workload.full, workload, traced=False)
        return grid.run()[0].delivered

    return play


def stream():
    """What a subscriber gets, in pieces of 8 KiB."""
    one = (
        "<message to='a@grid.test' type='headline'><event "
        "xmlns='http://jabber.org/protocol/pubsub#event'><items node='T'><item id='r1-{}'>{}"
        "</item></items></event></message>"
    )
    whole = "".join(
        one.format(number, payload("iodef", 800, number).decode())
        for number in range(NOTIFICATIONS)
    ).encode()
    return [whole[at : at + 8192] for at in range(0, len(whole), 8192)]


def parser():
    """Every element of it as a tree."""
    pieces = [b"<stream>", *stream()]

    def play():
        pull, seen = ET.XMLPullParser(["end"]), 0
        for piece in pieces:
            pull.feed(piece)
            for _, element in pull.read_events():
                if element.tag == "message":
                    seen += 1
                    element.clear()
        return seen

    return play


def receiver():
    """Ours, which reads numbers off the bytes."""
    pieces = stream()

    def play():
        log = DeliveryLog()
        session = Receiver(7, "r1", log, lambda stanza, _: None)
        for piece in pieces:
            session.feed(piece, 1, 2)
        return len(log)

    return play


PATHS = {
    "fan-out over naive SimPy": (naive, lambda: kernels("fifo")),
    "loop turns over naive SimPy": (naive, lambda: kernels("loop-turns")),
    "fan-out process over naive SimPy": (naive, lambda: kernels("fanout-process")),
    "receiver over a parser": (parser, receiver),
}


def measured(path):
    """Costs of plain way and ours in pairs, until the gate decides, on slower ones too. [s]"""
    plain, ours = (make() for make in PATHS[path])
    plain(), ours()  # what is compiled or read once
    costs = []
    while len(costs) < PAIRS[1]:
        turn = (plain, ours) if len(costs) % 2 else (ours, plain)
        pair = [cost_s(work) for work in turn]
        costs.append(pair if len(costs) % 2 else pair[::-1])
        verdicts = [judged(path, each, SHARES[path])["verdict"] for each in (costs, slower(costs))]
        if len(costs) >= PAIRS[0] and verdicts == ["pass", "fail"]:
            break
    return costs


def slower(costs):
    """The same pairs, had our way been slower."""
    return [[plain, SLOWER * ours] for plain, ours in costs]


def judged(path, costs, share):
    base, head = np.array(costs).T
    return ratios.judged(path, share * base, head, BUDGET)


def test_every_path_has_a_budget():
    assert set(SHARES) == set(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_it_costs_what_it_may_and_the_gate_would_see_if_not(path):
    costs = measured(path)
    verdict = judged(path, costs, SHARES[path])
    assert verdict["verdict"] != "fail", verdict
    seen = judged(path, slower(costs), SHARES[path])
    assert seen["verdict"] == "fail", (
        f"its budget is idly wide, lower it in budgets.yaml: {verdict}"
    )


if __name__ == "__main__":
    for path in sys.argv[1:] or PATHS:
        ratio = judged(path, measured(path), 1.0)
        print(f"{path}: {ratio['ratio']:.4g} ({ratio['low']:.4g} to {ratio['high']:.4g})")
