"""The commands of capacity planning: what if, how many, what matters."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from results.commands import GATE_FAILED, LOAD, PAGES, SEED, Output, common
from topologies.commands import TOPOLOGY, Sides, reads_sides, reads_topology

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
    gridlab sweep campus-nac --vary 'controllers[0].cores=2,3,4,6,8' --set 'attacks=[]'
    gridlab sweep single-broker --vary load=0.5:3 --vary profile.speed=0.7:1.4 --samples sobol:64
    gridlab sweep single-broker --vary 'platforms[analyst].count=100,200,400' --cluster tcp://host:8786
    """
    _prepare(**arguments)
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


@click.command()
@reads_topology
@click.option(
    "--slo", multiple=True, metavar="'p99 < 1 s'", help="In place of the file's; may be repeated."
)
@click.option("--controllers-max", default=32, type=click.IntRange(1, 1000), help="Budget.")
@click.option("--cores-max", default=16, type=click.IntRange(1, 256), help="Budget, of each.")
@click.option("--attacks", is_flag=True, help="Keep the promise while all attacks last, too.")
@click.option("--check", "checks", is_flag=True, help="Simulate the answer and one size less.")
@click.option(
    "--check-real",
    "real_s",
    type=click.FloatRange(5, 3600),
    metavar="SECONDS",
    help="Fit this machine's costs first, then play answer and one size less on a real server.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a page (HTML, or Markdown if it ends in .md).",
)
@OUT
@PROCESSES
@SEED
@common
def plan(
    output: Output,
    topology: Any,
    controllers_max: int,
    cores_max: int,
    checks: bool,
    real_s: float | None,
    report: Path | None,
    out: Path | None,
    **arguments: Any,
) -> None:
    """Say how many Controllers, cores and gigabytes keep the promise, and how sure that is.

    \b
    gridlab plan campus-nac
    gridlab plan campus-nac --slo 'p99 < 50 ms' --slo 'timely > 99.9 %' --check
    gridlab plan campus-nac --slo 'p99 < 1 s' --slo 'whole < 90 s'
    gridlab plan campus-nac --set 'platforms[siem].count=170' --report plan.html
    gridlab plan single-broker --set 'workload.arrivals[0].rate=30/s' --check-real 20
    """
    import results
    from results import plan_report, plan_table
    from sim import answers, planning, proofs

    started = time.perf_counter()
    budget, page = planning.Budget(controllers_max, cores_max), None
    if report is not None:
        page = results.check_target(report, *PAGES, ".md")
    with output.progress("planning") as advance:
        real, profiles = None, None
        if real_s is not None:
            place = results.claim_directory(out)
            make_real = click.get_current_context().obj
            real = make_real(out=place, seed=arguments["seed"], progress=advance)
            profiles = real.fit(topology)
        for _ in range(proofs.ROUNDS):
            found = planning.plan(
                topology, budget=budget, profiles=profiles, progress=advance, **arguments
            )
            document = answers.document(found, time.perf_counter() - started)
            if real is None or real_s is None or not found.possible:
                break
            document, profiles = proofs.rehearsed(found, document, real.play, real_s)
            if proofs.drift(document) < proofs.DRIFT:
                break
        if checks and found.possible:
            advance(1.0, "checking the answer and one size less")
            document = proofs.checked(found, document)
    output.document(document)
    output.say(plan_table.render(document))
    if page is not None:
        plan_report.write(document, answers.subject(found), page)
        output.say(f"Wrote {report}")
    for check in (document["check"], document["rehearsal"]):
        if check is not None and not (check["answer_meets"] and check["less_misses"]):
            sys.exit(GATE_FAILED)


@click.command()
@reads_topology
@click.option(
    "--of",
    "figure",
    default="p99",
    type=click.Choice(["p99", "p50", "utilisation"]),
    help="The figure that is explained.",
)
@click.option("--inputs", "screened", default=12, type=click.IntRange(2, 60), help="Screened.")
@click.option("--trajectories", default=8, type=click.IntRange(2, 200), help="Of the screening.")
@click.option("--indexed", default=4, type=click.IntRange(1, 30), help="Inputs with indices.")
@click.option("--points", default=64, type=click.IntRange(8, 4096), help="Of each index.")
@PROCESSES
@click.option("--cluster", metavar="ADDRESS", help="A Dask scheduler whose workers shall do it.")
@SEED
@common
def sensitivity(output: Output, topology: Any, seed: int, **arguments: Any) -> None:
    """Say which inputs decide the latency: what to measure better before believing a plan.

    \b
    gridlab sensitivity campus-nac
    gridlab sensitivity single-broker --of utilisation --points 128
    """
    from results import influences

    _prepare(**arguments)
    from sim import scenarios
    from sim.sensitivity import Effort
    from sim.sensitivity import sensitivity as analyse

    effort = Effort(
        **{key: arguments.pop(key) for key in ("screened", "trajectories", "indexed", "points")}
    )
    with output.progress("varying") as advance:
        document = analyse(
            scenarios.base(topology, seed=seed), effort=effort, progress=advance, **arguments
        )
    output.document(document)
    output.say(influences.render(document))


@click.command()
@reads_topology
@click.option(
    "--run", type=click.Path(path_type=Path), help="Colour by how busy this run kept Controllers."
)
@click.option(
    "--to",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; default: NAME.svg.",
)
@common
def draw(output: Output, topology: Any, run: Path | None, path: Path | None) -> None:
    """Draw a topology as SVG: Controllers, Brokers, populations, and what flows between them.

    \b
    gridlab draw federation --to federation.svg
    gridlab draw campus-nac --run results/runs/RUN
    """
    import results
    from topologies import drawing

    busy = results.open_run(run).utilisation() if run is not None else None
    target = results.check_target(path or Path(f"{topology.name}.svg"), ".svg")
    results.write_text(target, drawing.draw(topology, busy) + "\n")
    output.document({"path": str(target), "description": drawing.describe(topology, busy)})
    output.say(f"Wrote {target}")


@click.command()
@reads_topology
@click.option("--replications", default=4, type=REPLICATIONS, help="Seeded repetitions of each.")
@PROCESSES
@click.option("--cluster", metavar="ADDRESS", help="A Dask scheduler whose workers shall do it.")
@SEED
@common
def knee(output: Output, topology: Any, seed: int, replications: int, **arguments: Any) -> None:
    """Throughput and latency over load: where the knee is, and how capacity scales out.

    \b
    gridlab knee single-broker
    gridlab knee campus-nac --replications 8
    """
    from results import saturations

    _prepare(**arguments)
    from sim import saturation, scenarios

    base = scenarios.base(topology, seed=seed, replications=replications)
    with output.progress("loading") as advance:
        document = saturation.saturation(base, progress=advance, **arguments)
    output.document(document)
    output.say(saturations.render(document))


@click.command()
@reads_topology
@click.option(
    "--copies", required=True, type=click.IntRange(min=1), help="Backlog: copies not yet written."
)
@click.option("--precision", default=0.1, type=click.FloatRange(0.01, 1), help="Half-width.")
@click.option("--trials", default=1000, type=click.IntRange(100, 100_000), help="Of each level.")
@SEED
@common
def rare(output: Output, topology: Any, **arguments: Any) -> None:
    """How seldom a Controller has a backlog, by splitting its busy periods on the way there.

    For one Controller, not one that works in turns as Prosody does, whose publications come as
    Poisson processes and whose Platforms stay online.

    \b
    gridlab rare mine.yaml --copies 5000
    gridlab rare mine.yaml --copies 5000 --precision 0.5 --trials 100 --json
    """
    from results import rarities
    from sim import splitting

    with output.progress("splitting") as advance:
        document = splitting.rare_backlog(topology, progress=advance, **arguments)
    output.document(document)
    output.say(rarities.render(document))


@click.command()
@click.argument("before", metavar="A", type=TOPOLOGY)
@click.argument("after", metavar="[B]", required=False, type=TOPOLOGY)
@reads_sides("a", "b")
@click.option("--replications", default=8, type=REPLICATIONS, help="Of topologies.")
@PROCESSES
@SEED
@common
def compare(output: Output, before: str, after: str | None, sides: Sides, **arguments: Any) -> None:
    """Compare two runs, or two topologies on the same plans, with intervals on the difference.

    B may be left out where --set-a or --set-b says in what it differs from A.

    \b
    gridlab compare results/runs/A results/runs/B
    gridlab compare campus-nac mine.yaml
    gridlab compare campus-nac results/runs/B
    gridlab compare campus-nac --set 'attacks=[]' --set-b 'controllers[0].cores=4'
    """
    import results
    import sim
    from results import comparison

    if after is None and not sides.differ:
        raise click.UsageError("B is missing: name it, or say what differs with --set-b")
    named = {"a": before, "b": before if after is None else after}
    runs = {}
    for side, source in named.items():
        if _is_run(source):
            sides.refuse(side, source, "a stored run")
            runs[side] = results.open_run(source)
    described = [side for side in named if side not in runs]
    loaded = sides.load({side: named[side] for side in described})
    studies = {side: run.header.study for side, run in runs.items()}
    deadlines_s = {side: run.header.deadline_s for side, run in runs.items()}
    studies |= {s: topology.workload.study for s, topology in zip(described, loaded, strict=True)}
    deadlines_s |= {s: topology.slo.deadline for s, topology in zip(described, loaded, strict=True)}
    comparison.refuse_unlike(
        f"{named['a']} and {named['b']}",
        (studies["a"], studies["b"]),
        (deadlines_s["a"], deadlines_s["b"]),
    )
    for side, topology in zip(described, loaded, strict=True):
        with output.progress(f"simulating {topology.name}") as advance:
            runs[side] = sim.simulate(
                topology, progress=advance, door="gridlab compare", **arguments
            )
    document = results.compare(runs["a"], runs["b"])
    output.document(document)
    output.say(results.render_comparison(document))


def _prepare(processes: int | None, cluster: str | None, **_others: Any) -> None:
    """Let workers start beside this process's own imports."""
    from sim import executors

    executors.prepare(processes, cluster)


def _is_run(side: str) -> bool:
    """Whether it names a stored run, and no topology."""
    path = Path(side)
    return (
        (os.sep in side and path.is_dir())
        or path.name == "run.json"
        or (path / "run.json").is_file()
    )
