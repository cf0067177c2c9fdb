"""Direct flow as it is foretold for a real grid: figures of simulated herds that fetch."""

from __future__ import annotations

import numpy as np

from results import Run, pulls
from results.figures import Figures
from results.variants import Measured
from topologies.plan import Plan
from topologies.schema import Topology


def foretold(name: str, topology: Topology, run: Run) -> Measured:
    """The figures of a simulated run whose items may refer to their payload.

    Parameters
    ----------
    name : str
        Of the defence.
    run : Run
        Of all its replications.
    """
    herds = _herds(topology, run)
    samples = pulls.figures(herds, topology.workload.duration)
    reasons = {"collateral": "the defence strikes no legitimate Platform"}
    return Measured(name, "", samples, pulls.curve(herds), reasons, {"attacked": run.header.run_id})


def _herds(topology: Topology, run: Run) -> list[pulls.Herds]:
    """One for each replication."""
    latencies = Figures([run]).latency().parts
    rows, table = run.publications, run.intervals
    found = []
    for replication, latency in zip(np.unique(table["replication"]), latencies, strict=True):
        own = {name: values[rows["replication"] == replication] for name, values in rows.items()}
        whole = own["delivered"] == own["expected"]
        last_s = np.where(whole, own["last_s"] - own["intended_s"], np.inf)
        here, items = table["replication"] == replication, max(len(last_s), 1)
        found.append(
            pulls.Herds(
                latency,
                last_s.tolist(),
                int(table["timely"][here].sum()),
                _published_bytes(topology, Plan(topology, run.header.seed, int(replication))),
                float(table["egress_bytes"][here].sum()) / items,
            )
        )
    return found


def _published_bytes(topology: Topology, plan: Plan) -> float:
    """What leaves Publishers for an item on average: it, and a payload for each who fetches. [B]

    Of an item with direct flow the record has the size of its reference, the plan the payload's.
    """
    fan_out, rows, found = topology.fan_out(), plan.columns(), []
    for number, payload_bytes in zip(rows.topic.tolist(), rows.payload_bytes.tolist(), strict=True):
        topic = topology.topics[number]
        fetches = fan_out[topic.name] if topic.flow == "direct" else 0
        fetched_bytes = fetches * (payload_bytes + topic.fetch.overhead)
        found.append(topic.item_bytes(payload_bytes) + fetched_bytes)
    return float(np.mean(found)) if found else 0.0
