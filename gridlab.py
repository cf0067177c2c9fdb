"""The front door: `gridlab`, one program whose commands come from the packages.

What needs one package stands in its `commands.py`; what needs both sides, or none, stands here.
Nothing heavy is imported until a command runs, so that `gridlab --help` answers at once. Every
command prints for people; with `--json` it prints one document on standard output and nothing else
there. Exit codes: 0 the answer is valid, 1 a gate that was asked for failed, 2 bad usage or input,
3 the run is invalid, 130 interrupted.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import click

import loadtest.bench_commands
import loadtest.commands
import loadtest.twin_commands
import results.commands
import sim.capacity_commands
import sim.commands
from results.commands import BAD_INPUT, INTERRUPTED, Output, common
from topologies.commands import TOPOLOGY, Sides, reads_sides, reads_topology

DOCUMENTS = {  # where the keys of a command's document are declared, if not in results.documents
    "bench-sim": ("sim.benchmark", "Benchmark"),
    "bench-load": ("loadtest.bench_document", "BenchLoad"),
    "attack": ("results.variants", "Attack"),
    "attack-phase": ("results.herd_phases", "PhaseDiagram"),
    "threats": ("topologies.threats", "ThreatsDocument"),
    "threats-real": ("results.replays", "Replays"),
    "bench-grid": ("loadtest.cycles", "Cycles"),
    "grid-counters": ("loadtest.documents", "Counters"),
    "grid-log": ("loadtest.documents", "Log"),
    "grid-revoke": ("loadtest.documents", "Revoked"),
    "bench-sessions": ("loadtest.holding", "Holding"),
    "bench-stamps": ("loadtest.capture", "Captured"),
    "doctor": ("loadtest.doctor", "Diagnosis"),
    "history": ("results.history", "History"),
    "knee": ("results.saturations", "SaturationDocument"),
    "plan": ("results.plans", "PlanDocument"),
    "regress": ("results.regression", "Regression"),
    "rare": ("results.rarities", "RareBacklog"),
    "sensitivity": ("results.influences", "SensitivityDocument"),
    "trust": ("results.trust", "Trust"),
    "calibrate": ("loadtest.documents", "Calibration"),
    "limits": ("loadtest.documents", "LimitFigures"),
    "verify": ("sim.verification", "Verification"),
}
SCHEMAS = (
    *("topology", "record", "simulate", "load", "compare", "validate", "conform", "sweep"),
    *DOCUMENTS,
)
PLATFORMS = click.IntRange(1, 5_000_000)
ORDER = (
    "init", "check", "list", "schema", "draw",
    "estimate", "simulate", "sweep", "plan", "sensitivity", "knee", "rare", "compare", "report",
    "attack", "threats",
    "grid", "load", "calibrate", "validate", "trust", "limits", "conform",
    "regress", "history", "doctor", "verify", "bench",
)  # fmt: skip


class Commands(click.Group):
    """Lists the commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.commands, key=ORDER.index)


@click.group(
    cls=Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "show_default": True,
    },
)
@click.version_option(package_name="xmpp-grid-lab", prog_name="gridlab")
@click.pass_context
def cli(context: click.Context) -> None:
    """What an XMPP-Grid (RFC 8600) does under load and attack: on paper, simulated and for real.

    \b
    gridlab simulate campus-nac                 ten busy minutes with a flood in the middle
    gridlab estimate campus-nac                 the same on paper, in milliseconds
    gridlab init mine.yaml --platforms 5000     a topology of your own
    gridlab validate single-broker              predict, drive a real Prosody, compare
    """
    context.obj = _rehearsal
    context.meta["gridlab.predict"] = _predict


def _predict(*arguments: Any, **named: Any) -> Any:
    """The model's answer, for a command of the real grid's side."""
    import sim

    return sim.simulate(*arguments, processes=1, **named)


def _rehearsal(**arguments: Any) -> Any:
    """Real grids for a plan, for a command of the simulator's side."""
    import sim
    from loadtest.rehearsal import Rehearsal

    return Rehearsal(functools.partial(sim.simulate, processes=1), **arguments)


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--platforms", default=200, type=PLATFORMS, help="Subscribing Platforms.")
@click.option("--publishers", default=2, type=PLATFORMS, help="Publishing Platforms.")
@click.option("--rate", default="6/s", help="Publications per second, all publishers together.")
@click.option("--payload", default="1.6 KB", help="Size of an item.")
@click.option(
    "--kind",
    default="iodef",
    type=click.Choice(["iodef", "json", "opaque"]),
    help="Kind of payload.",
)
@click.option(
    "--server",
    default="prosody",
    type=click.Choice(["prosody", "ejabberd"]),
    help="Server profile.",
)
@common
def init(output: Output, path: Path, **figures: Any) -> None:
    """Write a topology of your own to PATH (never over a file).

    \b
    gridlab init mine.yaml --platforms 5000 --rate 2/s --payload '4 KB' --server ejabberd
    """
    from topologies import starter

    starter.write(path, **figures)
    output.document({"path": str(path)})
    output.say(f"Wrote {path}. Next: gridlab check {path}, then gridlab simulate {path}")


@cli.command()
@reads_topology
@common
def check(output: Output, topology: Any) -> None:
    """Check a topology file and say in a few lines what it describes.

    \b
    gridlab check mine.yaml
    gridlab check campus-nac --set controllers[0].cores=8
    """
    import topologies

    description = topologies.describe(topology)
    output.document(description)
    output.say(topologies.render(description))


@cli.command("list")
@common
def list_topologies(output: Output) -> None:
    """List the topologies that are shipped or lie in $GRIDLAB_HOME."""
    from rich.table import Table

    import topologies

    shipped = topologies.shipped()
    output.document(
        {"topologies": [{"name": name, "description": text} for name, text in shipped.items()]}
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, text in shipped.items():
        table.add_row(f"[bold]{name}[/bold]", text)
    output.say(table)


@cli.command()
@click.argument("what", metavar="WHAT", type=click.Choice(SCHEMAS))
@click.option("--json", is_flag=True, expose_value=False, help="What it prints is JSON anyway.")
def schema(what: str) -> None:
    """Print the JSON Schema of a file format or of a command's document.

    WHAT is topology, record, or a command such as simulate, plan or bench-load.

    \b
    gridlab schema topology > topology.schema.json      for an editor
    gridlab schema simulate
    """
    import results
    import topologies

    match what:
        case "topology":
            document = topologies.schema_document()
        case "record":
            document = results.record_schema()
        case "conform":
            from loadtest import requirements

            document = requirements.document_schema()
        case _ if what in DOCUMENTS:
            document = typed_schema(*DOCUMENTS[what])
        case _:
            document = results.document_schema(what)
    click.echo(json.dumps(document, indent=2))


def typed_schema(module: str, name: str) -> dict[str, Any]:
    """JSON Schema of a document whose keys a TypedDict declares."""
    from pydantic import TypeAdapter

    document = getattr(importlib.import_module(module), name)
    return TypeAdapter(document).json_schema(mode="serialization")


def _refuse_unlike(base: Any, head: Any) -> None:
    """Both sides of a gate play the same plan: refuse what would differ for another reason."""
    from topologies import TopologyError

    parts = ("topics", "platforms", "workload", "attacks")
    unlike = [part for part in parts if getattr(base, part) != getattr(head, part)]
    if unlike:
        rule = "must be alike in base and head, which differ in their Controllers alone"
        repair = "change it on both sides (--set), or use gridlab compare"
        raise TopologyError([f"{part}: {rule}; {repair}" for part in unlike])


def _simulated(topology: Any, seed: int, number: int) -> Any:
    """One run of a gate in virtual time, on plan(seed, number)."""
    import sim

    return sim.simulate(
        topology, seed=seed, replications=1, plan_replication=number, door="gridlab regress"
    )


@click.command()
@click.option(
    "--base", required=True, metavar="A.yaml", type=TOPOLOGY, help="Topology of what is there."
)
@click.option(
    "--head",
    metavar="B.yaml",
    type=TOPOLOGY,
    help="Topology of what shall come; default: base, as --set-head changes it.",
)
@reads_sides("base", "head")
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="METRIC=SHARE",
    help="How much dearer head may be, e.g. p99=5%; cpu=5% is always set.",
)
@click.option("--quick", is_flag=True, help="Fewer and shorter pairs: about a minute.")
@click.option("--simulated", is_flag=True, help="Simulate both instead of deploying them.")
@click.option("--strict", is_flag=True, help="End with 1 also where the pairs do not decide.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML.")
@click.option(
    "--markdown", type=click.Path(path_type=Path, dir_okay=False), help="Write a summary."
)
@click.option("--seed", default=1, type=click.IntRange(0, 2**63 - 1), help="Seed of the plans.")
@click.option("--out", type=click.Path(path_type=Path), help="Directory for run records.")
@common
def regress(  # noqa: PLR0913 (an option each)
    output: Output,
    *,
    base: str,
    head: str | None,
    sides: Sides,
    budgets: tuple[str, ...],
    quick: bool,
    simulated: bool,
    strict: bool,
    junit: Path | None,
    markdown: Path | None,
    seed: int,
    out: Path | None,
) -> None:
    """Gate a change: play base and head in pairs on this machine and compare what they cost.

    \b
    gridlab regress --base main.yaml --head branch.yaml
    gridlab regress --base main.yaml --head branch.yaml --budget p99=10% --junit gate.xml
    gridlab regress --base campus-nac --head mine.yaml --simulated
    gridlab regress --base main.yaml --set-head controllers[0].server.configuration=new.lua
    """
    import results
    from results import gate, regression

    if head is None and not sides.differ:
        raise click.UsageError("--head is missing: name it, or say what differs with --set-head")
    limits = regression.Limits(
        pairs_min=4 if quick else 6,
        pairs_max=8 if quick else 14,
        within_s=100.0 if quick else 270.0,
        budgets=regression.read_budgets(budgets),
    )
    grids = sides.load({"base": base, "head": base if head is None else head})
    _refuse_unlike(*grids)
    kept = results.claim_directory(out)
    for path in filter(None, (junit, markdown)):
        results.check_target(path)
    duration_s = 4.0 if quick else 6.0
    with output.progress("regressing") as advance:
        if simulated:
            one, other = (functools.partial(_simulated, grid, seed) for grid in grids)
            play = regression.in_turn(one, other)
            document, _ = regression.regress(play, limits, seed=seed, progress=advance)
        else:
            from loadtest import pairs

            door = "gridlab regress"
            with pairs.grids(*grids, seed=seed, duration_s=duration_s, out=kept, door=door) as play:
                document, _ = regression.regress(play, limits, seed=seed, progress=advance)
    output.document(document)
    output.say(gate.render(document))
    for path in gate.write(document, junit, markdown):
        output.say(f"Wrote {path}")
    sys.exit(gate.exit_code(document, strict=strict))


@cli.group()
def bench() -> None:
    """Measure the lab itself against what one would use instead."""


bench.add_command(sim.commands.bench_sim)
bench.add_command(loadtest.bench_commands.bench_load)
bench.add_command(loadtest.bench_commands.bench_sessions)
bench.add_command(loadtest.bench_commands.bench_stamps)
bench.add_command(loadtest.bench_commands.bench_grid)
for command in (
    *(sim.commands.estimate, sim.commands.simulate, sim.commands.verify),
    *(sim.capacity_commands.sweep, sim.capacity_commands.plan),
    *(sim.capacity_commands.sensitivity, sim.capacity_commands.rare, sim.capacity_commands.draw),
    *(sim.capacity_commands.knee, sim.capacity_commands.compare),
    *(
        results.commands.report,
        results.commands.history,
        results.commands.trust,
        sim.commands.attack,
        sim.commands.threats,
    ),
    *(loadtest.commands.grid, loadtest.commands.load, loadtest.commands.conform),
    *(regress, loadtest.commands.doctor, loadtest.twin_commands.validate),
    *(loadtest.twin_commands.calibrate, loadtest.twin_commands.limits),
):
    cli.add_command(command)


def main() -> None:
    """Run the program; our own errors become one message and exit code 2."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo(
            "Interrupted: what was stored is kept, the unfinished run is not; a sweep or a "
            "validation goes on from there when the same command is given again.",
            err=True,
        )
        exec("")  # or CPython, if the last one was interrupted, ends by the signal, not by our code
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except (ValueError, OSError) as error:
        if not hasattr(error, "exit_code") and not isinstance(error, OSError):
            raise
        click.echo(f"gridlab: {error}", err=True)
        sys.exit(getattr(error, "exit_code", BAD_INPUT))


if __name__ == "__main__":
    main()
