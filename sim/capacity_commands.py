"""The commands of capacity planning: what if, how many, what matters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from results.commands import LOAD, Output, common
from topologies.commands import reads_topology

SEED = click.option(
    "--seed", default=1, type=click.IntRange(0, 2**63 - 1), help="Seed of plan and draws."
)
OUT = click.option("--out", type=click.Path(path_type=Path), help="Directory for results.")
PROCESSES = click.option(
    "--processes", type=click.IntRange(1, 1024), help="Worker processes; default: one a core."
)
REPLICATIONS = click.IntRange(1, 10_000)


@click.command()
@reads_topology
@click.option(
    "--vary",
    multiple=True,
    required=True,
    metavar="PATH=VALUES",
    help="Field and its values a,b,c or range low:high[:log]; also load and profile.FIELD.",
)
@click.option("--samples", metavar="sobol:N", help="Points over the ranges.")
@click.option("--replications", default=1, type=REPLICATIONS, help="Seeded repetitions of each.")
@PROCESSES
@click.option("--cluster", metavar="ADDRESS", help="A Dask scheduler whose workers shall do it.")
@LOAD
@SEED
@OUT
@common
def sweep(
    output: Output,
    topology: Any,
    vary: tuple[str, ...],
    samples: str | None,
    seed: int,
    replications: int,
    load: float,
    out: Path | None,
    **arguments: Any,
) -> None:
    """Simulate many scenarios; the same command again goes on where it was stopped.

    \b
    gridlab sweep campus-nac --vary controllers[0].cores=2,3,4,6,8 --set attacks=[]
    gridlab sweep single-broker --vary load=0.5:3 --vary profile.speed=0.7:1.4 --samples sobol:64
    gridlab sweep single-broker --vary platforms[analyst].count=100,200,400 --cluster tcp://host:8786
    """
    import results
    from results import outcomes
    from sim import axes, scenarios, sweeps

    directory = results.claim_directory(out)
    base = scenarios.base(topology, seed=seed, replications=replications, load=load)
    with output.progress("sweeping") as advance:
        done = sweeps.sweep(
            base,
            axes.axes(vary),
            directory,
            samples=axes.samples_of(samples),
            progress=advance,
            **arguments,
        )
    rows = outcomes.rows(done.outcomes)
    kept = done.directory
    shown = os.path.relpath(kept) if kept.is_relative_to(Path.cwd()) else str(kept)
    output.document(
        {
            "topology": topology.name,
            "directory": shown,
            "seed": seed,
            "replications": replications,
            "worked": done.worked,
            "wall_s": done.wall_s,
            "scenarios": rows,
        }
    )
    output.say(outcomes.render(rows))
    output.say(f"{len(rows):,} scenarios, {done.worked:,} of them worked now; kept in {shown}")
