"""The front door: `gridlab`, one program whose commands come from the packages.

Commands stand in their package; those that need no more than a topology stand here, and those that
need both sides get the other from here (`cli`). Nothing heavy is imported until a command runs, so
that `gridlab --help` answers at once. Every command prints for people; with `--json` it prints one
document on standard output and nothing else there. Exit codes: 0 the answer is valid, 1 a gate that
was asked for failed, 2 bad usage or input, 3 the run is invalid, 130 interrupted.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import click

import loadtest.bench_commands
import loadtest.commands
import loadtest.gate_commands
import loadtest.twin_commands
import results.commands
import sim.capacity_commands
import sim.commands
from results.commands import BAD_INPUT, INTERRUPTED, Output, common
from topologies.commands import reads_topology

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
    "bench-pace": ("loadtest.punctuality", "Punctuality"),
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
COLLECTION_EVERY = 10_000  # new objects between two searches for garbage
PLATFORMS = click.IntRange(1, 5_000_000)
CONTENTS = {  # what `gridlab --help` lists, in the order of the work
    "Describe a grid": {
        "init": "write a topology of your own",
        "check": "say what a topology describes, and all that is wrong with it",
        "list": "name the topologies at hand",
        "draw": "draw a topology (SVG)",
        "schema": "print the JSON Schema of a file or a document",
    },
    "Ask the model": {
        "estimate": "answer on paper, at once",
        "simulate": "play a topology in virtual time and keep the run",
        "plan": "how many Controllers, cores and gigabytes keep a promise",
        "knee": "how much load is too much",
        "sweep": "simulate many scenarios",
        "sensitivity": "which figure to measure better first",
        "compare": "two runs or topologies, with intervals on the difference",
        "rare": "how seldom a backlog is long",
        "report": "make a page or pictures of stored runs",
    },
    "Attack it": {
        "attack": "play a threat of RFC 8600, undefended and with each defence",
        "threats": "list all threats, and what shows each",
    },
    "Drive a real grid": {
        "grid": "bring one up on loopback, look at it, take it down",
        "load": "play a topology's plan on it and keep the run",
        "conform": "try every requirement of RFC 8600 and its XEPs",
        "limits": "measure what a server's byte limit really does",
        "doctor": "say what is missing on this machine",
    },
    "Know how far to trust it": {
        "calibrate": "fit a cost profile of this machine",
        "validate": "predict, drive a real server, compare",
        "trust": "how far off all stored validations were",
        "verify": "theory and another program beside the simulation",
        "bench": "measure the lab itself",
    },
    "Watch a server's development": {
        "regress": "fail a change that makes deliveries dearer",
        "history": "follow a figure over stored runs",
    },
}


class Commands(click.Group):
    """Lists the commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in CONTENTS.values() for name in section]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in CONTENTS.items():
            with formatter.section(title):
                formatter.write_dl(list(section.items()))


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


def _predict(topology: Any, **named: Any) -> Any:
    """The model's answer, for a command of the real grid's side: of what is measured there."""
    import sim
    from loadtest.phases import usual_warm_up_s

    named.setdefault("warm_up_s", usual_warm_up_s(topology))
    return sim.simulate(topology, processes=1, **named)


def _rehearsal(**arguments: Any) -> Any:
    """Real grids for a plan, for a command of the simulator's side."""
    from loadtest.rehearsal import Rehearsal

    return Rehearsal(_predict, **arguments)


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
    gridlab check campus-nac --set 'controllers[0].cores=8'
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


@cli.group()
def bench() -> None:
    """Measure the lab itself against what one would use instead."""


bench.add_command(sim.commands.bench_sim)
bench.add_command(loadtest.bench_commands.bench_load)
bench.add_command(loadtest.bench_commands.bench_sessions)
bench.add_command(loadtest.bench_commands.bench_stamps)
bench.add_command(loadtest.bench_commands.bench_pace)
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
    *(loadtest.gate_commands.regress, loadtest.commands.doctor, loadtest.twin_commands.validate),
    *(loadtest.twin_commands.calibrate, loadtest.twin_commands.limits),
):
    cli.add_command(command)


def _start_light() -> None:
    """Let the garbage collector look seldom: a first result comes sooner.

    It would look every 700 objects, of which loading makes hundreds of thousands that stay; and
    once more, as Python ends, through all that the operating system takes back anyway.
    """
    gc.set_threshold(COLLECTION_EVERY)
    atexit.register(gc.freeze)


def main() -> None:
    """Run the program; our own errors become one message and exit code 2."""
    _start_light()
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
    except ModuleNotFoundError as error:
        from loadtest import doctor

        if error.name not in doctor.EXTRAS:
            raise
        seen = f"the Python package {error.name} is not installed"
        click.echo(f"gridlab: {seen}; install it with: {doctor.repair(error.name)}", err=True)
        sys.exit(BAD_INPUT)
    except (ValueError, OSError) as error:
        if not hasattr(error, "exit_code") and not isinstance(error, OSError):
            raise
        click.echo(f"gridlab: {error}", err=True)
        sys.exit(getattr(error, "exit_code", BAD_INPUT))


if __name__ == "__main__":
    main()
