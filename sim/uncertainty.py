"""How far an answer moves when the inputs are as uncertain as their provenance says.

Every input is drawn from its spread (`sim.inputs`), all at once, along a Sobol sequence. The
CPU that a point asks for on paper, relative to that of the file's figures, scales the answer, whose
head-room the simulation found. More cores bear somewhat more each: the upper end errs on the safe
side.
"""

from __future__ import annotations

import math

import numpy as np

from results.statistics import Estimate
from sim.axes import sobol
from sim.inputs import inputs, on_paper
from sim.planning import Plan
from sim.scenarios import base
from topologies import TopologyError

POINTS = 128


def cores(plan: Plan) -> Estimate:
    """Cores of the whole answer with the interval that holds 95 % of the points; `n` are points."""
    if not plan.possible:
        return {"value": None, "low": None, "high": None, "n": 0, "reason": "there is no answer"}
    start = base(plan.topology, seed=plan.seed, profiles=plan.profiles)
    known = inputs(plan.topology, plan.profiles)
    usual, totals = on_paper(start, ()), []
    for point in sobol(len(known), POINTS, plan.seed % 2**32):
        settings = tuple((i.path, i.text(share)) for i, share in zip(known, point, strict=True))
        try:
            asked = on_paper(start, settings)
        except TopologyError:  # changes that contradict each other say nothing about cores
            continue
        total = 0
        for sizing in plan.sizings:
            kept = math.sqrt(sizing.headroom[0] * sizing.headroom[1])  # load that the answer bears
            more = asked[sizing.controller] / usual[sizing.controller]
            total += max(math.ceil(more * sizing.design.cores_total / kept), 1)
        totals.append(total)
    value = sum(sizing.design.cores_total for sizing in plan.sizings)
    if not totals:
        reason = "no variation of the description can be read"
        return {"value": value, "low": None, "high": None, "n": 0, "reason": reason}
    low, high = np.quantile(totals, [0.025, 0.975], method="inverted_cdf")
    return {"value": value, "low": float(low), "high": float(high), "n": len(totals)}
