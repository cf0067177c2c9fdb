"""A stored prediction of what is about to be played, if somebody has made one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.live import curve

if TYPE_CHECKING:
    from topologies.schema import Topology


def newest(directory: Path, topology: Topology, load: float) -> dict[str, Any] | None:
    """The newest simulated run of this topology, whatever its duration, at this load.

    Parameters
    ----------
    directory : Path
        Where run records are kept.
    topology : Topology
        What will be played.
    load : float
        Factor on its rates.

    Returns
    -------
    dict or None
        The prediction's `run_id` and its `curve` of (quantile, latency [s]).
    """
    import results
    from loadtest.engine import lasting
    from topologies import identity

    wanted = identity.sha256(topology)
    found = []
    for file in directory.glob("*/run.json"):
        try:
            run = results.open_run(file.parent)
            header = run.header
            if header.origin != "simulated" or header.measurement.get("load", 1.0) != load:
                continue
            described = identity.described(header.topology.text)
            as_long = lasting(described, topology.workload.duration)
        except (ValueError, OSError):
            continue  # of another version, or half written: no prediction of ours
        if identity.sha256(as_long) == wanted:
            found.append((header.created, run))
    if not found:
        return None
    run = max(found, key=lambda each: each[0])[1]
    return {"run_id": run.header.run_id, "curve": curve(run.latencies.counts())}
