"""Sequential stopping: so many replications that a quantile's interval is narrow enough.

After the first replications the interval's half-width h says how many are needed, n (h / asked)^2;
at most twice as many as before are made at a step, since the half-width itself is uncertain when
there are few. The length of a replication is the file's: its warm-up is cut as always.

References
----------
A. M. Law, W. D. Kelton, "Simulation Modeling and Analysis," section 9.4.1 (relative precision).
"""

from __future__ import annotations

import math
from dataclasses import replace

from results.records import Draft
from results.run import Run
from topologies import TopologyError
from topologies.schema import Topology

REPLICATIONS_MAX = 512
MARGIN = 1.1  # more than what the half-width asks for, as it is an estimate


def require_steady(topology: Topology, precision: float | None) -> None:
    """Precision is for what has one answer.

    Raises
    ------
    TopologyError
        The study is a campaign, or the precision is not between 0 and 1.
    """
    if precision is None:
        return
    problems = []
    if not 0.0 < precision < 1.0:
        problems.append(f'precision: "{precision}": must be between 0 and 1; write for example 2 %')
    if topology.workload.study != "steady":
        rule = "replications are added to a steady study only"
        problems.append(f'workload.study: "campaign": {rule}; leave --precision out, or say steady')
    if problems:
        raise TopologyError(problems)


def half_width(run: Run) -> float:
    """Half-width of the interval of the 99th percentile of latency, relative to it. [1]

    Infinite where there is none.
    """
    p99 = run.summary()["latency_s"]["p99"]
    value, low, high = p99["value"], p99["low"], p99["high"]
    if not value or low is None or high is None:
        return math.inf
    return 0.5 * (high - low) / value


def replications_needed(run: Run, precision: float) -> int:
    """Replications in all, at least those that there are, at most twice as many."""
    there, found = run.header.replications, half_width(run)
    if found <= precision:
        return there
    if math.isinf(found):
        return min(2 * there, REPLICATIONS_MAX)
    needed = math.ceil(MARGIN * there * (found / precision) ** 2)
    return min(max(needed, there + 1), 2 * there, REPLICATIONS_MAX)


def with_warning(made: Draft, precision: float) -> Draft:
    """The record with a warning if its replications were not enough."""
    found = half_width(Run(made))
    if found <= precision:
        return made
    said = (
        f"the 99th percentile is known to {100 * found:.2g} %, not {100 * precision:.2g} %, after "
        f"{made.header.replications} replications: make the run longer or ask for less"
    )
    verdict = made.header.verdict
    verdict = verdict.model_copy(update={"warnings": (*verdict.warnings, said)})
    return replace(made, header=made.header.model_copy(update={"verdict": verdict}))
