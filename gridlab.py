"""The front door: `gridlab`, one program whose commands are declared here and done elsewhere.

Nothing heavy is imported until a command runs, so that `gridlab --help` answers at once. Every
command prints for people; with `--json` it prints one document on standard output and nothing else
there. Exit codes: 0 the answer is valid, 1 a gate that was asked for failed, 2 bad usage or input,
3 the run is invalid.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from results import Run

VALID, GATE_FAILED, BAD_INPUT, INVALID_RUN, INTERRUPTED = 0, 1, 2, 3, 130


class Output:
    """Where one command's answer goes: a document for programs, or text for people."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    @functools.cached_property
    def console(self) -> Console:
        """The people's side: standard output, or standard error when a document owns it."""
        from rich.console import Console

        return Console(stderr=self.as_json, highlight=False)

    def say(self, text: RenderableType) -> None:
        """Print for people."""
        self.console.print(text)

    def document(self, document: Mapping[str, Any]) -> None:
        """Print the document, if one was asked for."""
        if self.as_json:
            click.echo(json.dumps(document, indent=2, allow_nan=False))

    @contextmanager
    def progress(self, title: str) -> Iterator[Callable[[float, str], None]]:
        """A bar on standard error with the share done, a remark, and the time left."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[remark]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(title, total=1.0, remark="")

            def advance(share: float, remark: str = "") -> None:
                bar.update(task, completed=share, remark=remark)

            yield advance


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--json` on every command; the function gets an `Output` first."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
    @functools.wraps(function)
    def wrapper(as_json: bool, **arguments: Any) -> Any:
        return function(Output(as_json), **arguments)

    return wrapper


def reads_topology(function: Callable[..., Any]) -> Callable[..., Any]:
    """The argument TOPOLOGY with `--set`; the function gets the checked `topology`."""

    @click.argument("topology", metavar="TOPOLOGY")
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Change a field, e.g. controllers[0].cores=8.",
    )
    @functools.wraps(function)
    def wrapper(
        *positional: Any, topology: str, overrides: tuple[str, ...], **arguments: Any
    ) -> Any:
        import topologies

        return function(*positional, topology=topologies.load(topology, overrides), **arguments)

    return wrapper


def records_run(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--seed`, `--out` and `--report`, both places checked before any work is done for them."""

    @click.option(
        "--seed", default=1, type=click.IntRange(0, 2**63 - 1), help="Seed of plan and draws."
    )
    @click.option("--out", type=click.Path(path_type=Path), help="Directory for run records.")
    @click.option(
        "--report",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Also write a page (HTML).",
    )
    @functools.wraps(function)
    def wrapper(*positional: Any, out: Path | None, report: Path | None, **arguments: Any) -> Any:
        import results

        kept_in = results.claim_directory(out)
        page = results.check_target(report) if report else None
        return function(*positional, out=kept_in, report=page, **arguments)

    return wrapper


SCHEMAS = ("topology", "record", "simulate", "load", "compare", "validate", "conform")
PLATFORMS = click.IntRange(1, 5_000_000)
FACTOR = click.FloatRange(0, min_open=True)
LOAD = click.option("--load", default=1.0, type=FACTOR, help="Scales legitimate rates.")
GRID_NAME = click.option("--name", default="default", help="Name of the grid; several can be up.")


class Commands(click.Group):
    """Lists the commands in the order of the work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "show_default": True,
    },
)
@click.version_option(package_name="xmpp-grid-lab", prog_name="gridlab")
def cli() -> None:
    """What an XMPP-Grid (RFC 8600) does under load and attack: on paper, simulated and for real.

    \b
    gridlab simulate campus-nac                 ten busy minutes with a flood in the middle
    gridlab estimate campus-nac                 the same on paper, in milliseconds
    gridlab init mine.yaml --platforms 5000     a topology of your own
    gridlab validate single-broker              predict, drive a real Prosody, compare
    """


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
@click.argument("what", type=click.Choice(SCHEMAS))
@click.option("--json", is_flag=True, expose_value=False, help="What it prints is JSON anyway.")
def schema(what: str) -> None:
    """Print the JSON Schema of a file format or of a command's document.

    \b
    gridlab schema topology > topology.schema.json      for an editor
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
        case _:
            document = results.document_schema(what)
    click.echo(json.dumps(document, indent=2))


@cli.command()
@reads_topology
@LOAD
@common
def estimate(output: Output, topology: Any, load: float) -> None:
    """Answer on paper: closed forms for utilisation, waiting, capacity and memory.

    \b
    gridlab estimate campus-nac --load 1.5
    """
    import sim
    from sim import theory

    document = sim.estimate(topology, load=load)
    output.document(document)
    output.say(theory.render(document))


@cli.command()
@reads_topology
@click.option(
    "--replications", default=8, type=click.IntRange(1, 10_000), help="Seeded repetitions."
)
@click.option(
    "--processes", type=click.IntRange(1, 1024), help="Worker processes; default: one a core."
)
@click.option(
    "--engine",
    default="compiled",
    type=click.Choice(["compiled", "reference"]),
    help="The reference is slow and exact.",
)
@LOAD
@records_run
@common
def simulate(
    output: Output, topology: Any, out: Path, report: Path | None, **arguments: Any
) -> None:
    """Simulate a topology and keep the run.

    \b
    gridlab simulate campus-nac --report report.html
    gridlab simulate single-broker --seed 7 --json
    gridlab simulate mine.yaml --set controllers[0].nic="10 Gbit/s" --replications 16
    """
    import sim

    with output.progress("simulating") as advance:
        run = sim.simulate(topology, progress=advance, **arguments)
    finish(output, run, out, report)


@cli.command()
@click.argument("before", metavar="RUN_A", type=click.Path(path_type=Path))
@click.argument("after", metavar="RUN_B", type=click.Path(path_type=Path))
@common
def compare(output: Output, before: Path, after: Path) -> None:
    """Compare two runs, replication by replication, with intervals on the difference.

    \b
    gridlab compare results/runs/A results/runs/B
    """
    import results

    document = results.compare(results.open_run(before), results.open_run(after))
    output.document(document)
    output.say(results.render_comparison(document))


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--to", "path", default="report.html", type=click.Path(path_type=Path, dir_okay=False)
)
@click.option(
    "--pictures", type=click.Path(path_type=Path), help="Write the first run's plots here."
)
@common
def report(output: Output, runs: tuple[Path, ...], path: Path, pictures: Path | None) -> None:
    """Write a self-contained page (HTML) from stored runs; predictions go with their measurements.

    \b
    gridlab report results/runs/RUN --to report.html
    gridlab report results/runs/RUN --pictures slides/
    """
    import results

    if len(set(runs)) < len(runs):
        raise click.UsageError("a run is named twice; name each once")
    target = results.check_target(path)
    opened = [results.open_run(run) for run in runs]
    results.write_report(opened, target)
    written = results.write_pictures(opened[0], pictures) if pictures else []
    output.document({"path": str(path), "pictures": [str(picture) for picture in written]})
    for file in (path, *written):
        output.say(f"Wrote {file}")


@cli.group()
def grid() -> None:
    """A real XMPP-Grid on loopback: bring it up, look at it, take it down."""


@grid.command("up")
@reads_topology
@click.option("--name", default="default", help="Name of this grid; several can be up.")
@click.option(
    "--address", help="Loopback address to listen on; default: one derived from the name."
)
@click.option(
    "--port",
    default=5222,
    type=click.IntRange(1, 65_534),
    help="STARTTLS port; direct TLS is the next one.",
)
@common
def grid_up(output: Output, topology: Any, **arguments: Any) -> None:
    """Deploy the topology's servers with certificates, accounts and Topics; wait until ready.

    \b
    gridlab grid up single-broker
    """
    from loadtest import deployment

    up = deployment.up(topology, **arguments)
    output.document(up.document())
    output.say(deployment.render(up))


@grid.command("status")
@click.option("--name", default="default", show_default=True)
@common
def grid_status(output: Output, name: str) -> None:
    """Say how to reach a grid that is up."""
    from loadtest import deployment

    status = deployment.status(name)
    output.document(status.document())
    output.say(deployment.render(status))


@grid.command("down")
@click.argument("name", default="default")
@click.option("--all", "everything", is_flag=True, help="Every grid of this user.")
@common
def grid_down(output: Output, name: str, everything: bool) -> None:
    """Stop a grid and remove all that it left."""
    from loadtest import deployment

    stopped = deployment.down_all() if everything else deployment.down(name)
    names = stopped if isinstance(stopped, list) else [name] if stopped else []
    output.document({"stopped": names})
    output.say(f"Stopped {', '.join(names)}" if names else "Nothing was up")


@cli.command()
@reads_topology
@click.option("--name", default="default", help="Grid to drive; see gridlab grid up.")
@LOAD
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(1, 3600),
    help="Seconds; default: the topology's.",
)
@records_run
@common
def load(
    output: Output,
    topology: Any,
    name: str,
    out: Path,
    report: Path | None,
    **arguments: Any,
) -> None:
    """Drive a real grid that is up, on the topology's plan, and keep the run.

    \b
    gridlab grid up single-broker
    gridlab load single-broker --duration 30
    """
    from loadtest import deployment, engine

    with output.progress("playing") as advance:

        def tell(news: Mapping[str, Any]) -> None:
            advance(min(news["elapsed_s"] / news["duration_s"], 1.0), news["state"])

        run = engine.play(topology, deployment.status(name), progress=tell, **arguments)
    finish(output, run, out, report)


@cli.command()
@reads_topology
@click.option(
    "--points",
    default=None,
    metavar="LOADS",
    help="Loads as multiples of the file's, e.g. 0.5,1,2; default: the file's and near saturation.",
)
@click.option(
    "--duration", "duration_s", type=click.FloatRange(2, 3600), help="Seconds of each point."
)
@records_run
@common
def validate(
    output: Output,
    topology: Any,
    points: str | None,
    out: Path,
    report: Path | None,
    **arguments: Any,
) -> None:
    """Fit costs on this machine, predict, then drive a real server on the same plan and compare.

    \b
    gridlab validate single-broker
    gridlab validate single-broker --points 0.5,1,2 --duration 60
    """
    import results
    import sim
    from loadtest import validation

    with output.progress("validating") as advance:
        outcome = validation.validate(
            topology,
            predict=functools.partial(sim.simulate, processes=1),
            points=validation.read_points(points),
            out=out,
            progress=advance,
            **arguments,
        )
    output.document(outcome.document)
    output.say(validation.render(outcome))
    if report is not None:
        results.write_report(outcome.runs, report)
        output.say(f"Wrote {report}")
    if not outcome.valid:
        sys.exit(INVALID_RUN)


@cli.command()
@click.option(
    "--server", type=click.Choice(["prosody", "ejabberd"]), multiple=True, help="Deploy one."
)
@GRID_NAME
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write a page (HTML)."
)
@common
def conform(output: Output, server: tuple[Any, ...], name: str, report: Path | None) -> None:
    """Try every requirement of RFC 8600 and its XEPs on a fresh server, or on the grid that is up.

    \b
    gridlab conform --server prosody
    gridlab conform --server prosody --server ejabberd --report conformance.html
    gridlab grid up federation && gridlab conform
    """
    from loadtest import conformance, conformance_report, deployment

    with output.progress("conforming") as advance:
        if server:
            reports = [conformance.conform(each, advance) for each in server]
        else:
            reports = [conformance.conform_grid(deployment.status(name), advance)]
    documents = [each.document() for each in reports]
    output.document(documents[0] if len(documents) == 1 else {"servers": documents})
    for each in reports:
        output.say(conformance_report.render(each))
    if report is not None:
        report.write_text(conformance_report.html(reports))
        output.say(f"Wrote {report}")


def finish(output: Output, run: Run, out: Path, report: Path | None) -> None:
    """Keep the run, print it, write its page, and end with 3 if it is invalid."""
    import results

    kept = run.save(out)
    summary = run.summary()
    output.document(summary)
    output.say(results.render(summary))
    shown = os.path.relpath(kept) if kept.is_relative_to(Path.cwd()) else kept
    output.say(f"Kept {shown}. Next: gridlab report {shown}")
    if report is not None:
        results.write_report([run], report)
        output.say(f"Wrote {report}")
    if not run.header.verdict.valid:
        sys.exit(INVALID_RUN)


def main() -> None:
    """Run the program; our own errors become one message and exit code 2."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo(
            "Interrupted: runs that were stored before are kept, the unfinished one is not.",
            err=True,
        )
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
