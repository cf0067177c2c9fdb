"""Which cores the servers of a measurement get, and which its generator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from loadtest.problems import LoadError

if TYPE_CHECKING:
    from topologies.schema import Topology


def split_cores(wanted: int = 1) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """So many cores for the servers, the others for the generator, which has at least one.

    All for both where there is but one.
    """
    cores = tuple(sorted(os.sched_getaffinity(0)))
    most = min(wanted, len(cores) - 1)
    return (cores[:most], cores[most:]) if most else ((), ())


def cores_for(topology: Topology) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cores for the servers of a topology, as many as they can use, and for the generator.

    Raises
    ------
    LoadError
        One of its servers would have fewer than the model takes it to have.
    """
    uses = {controller.name: controller.cores for controller in topology.controllers}
    servers, generator = split_cores(sum(uses.values()))
    for name, cores in uses.items():
        if cores > max(len(servers), 1):
            raise LoadError(
                f"controllers[{name}].cores: {cores}: this machine can spare {len(servers)} for "
                "servers, the rest is the generator's; lower it, or use a larger machine"
            )
    return servers, generator
