"""The commands that measure the load side itself against what one would use instead."""

from __future__ import annotations

import sys
from typing import Any

import click

from results.commands import INVALID_RUN, Output, common


@click.command("load")
@click.option("--quick", is_flag=True, help="One round of 200 sessions, on the null server only.")
@click.option(
    "--server",
    "servers",
    type=click.Choice(["prosody", "ejabberd"]),
    multiple=True,
    default=("prosody",),
    help="Real servers beside the null server.",
)
@click.option("--rounds", type=click.IntRange(1, 9), help="Of each contender; 3, if quick 1.")
@common
def bench_load(output: Output, quick: bool, servers: tuple[Any, ...], rounds: int | None) -> None:
    """Compare the load engine with Tsung, stock slixmpp and C: CPU time, logins, memory.

    \b
    gridlab bench load --quick
    gridlab bench load --server prosody --server ejabberd --json
    """
    from loadtest import bench, bench_report

    with output.progress("bench") as advance:
        outcome = bench.Bench(quick, servers, rounds or (1 if quick else 3))
        outcome.run(advance)
    document = outcome.document()
    output.document(document)
    output.say(bench_report.render(document))


@click.command("sessions")
@click.option("--sessions", default=5_000, type=click.IntRange(2, 15_000), help="How many.")
@click.option(
    "--deliveries",
    "deliveries_per_s",
    default=10_000.0,
    type=click.FloatRange(0, 20_000),
    help="Deliveries per second, all together; 0: one for each session, no more.",
)
@click.option(
    "--duration", "duration_s", default=60.0, type=click.FloatRange(2, 3600), help="Seconds."
)
@click.option(
    "--server",
    default="ejabberd",
    type=click.Choice(["null", "prosody", "ejabberd"]),
    help="Deployed for it.",
)
@common
def bench_sessions(output: Output, **arguments: Any) -> None:
    """Hold thousands of TLS sessions in one process on one core, and deliver to them.

    \b
    gridlab bench sessions --sessions 5000 --deliveries 10000 --duration 300
    gridlab bench sessions --sessions 15000 --deliveries 0 --server null
    """
    from loadtest import holding

    with output.progress("holding") as advance:
        document, _ = holding.hold(progress=advance, **arguments)
    output.document(document)
    output.say(holding.render(document))
    if not document["valid"]:
        sys.exit(INVALID_RUN)


@click.command("stamps")
@click.option("--sessions", default=200, type=click.IntRange(2, 2_000), help="Subscribers.")
@click.option(
    "--deliveries",
    "deliveries_per_s",
    default=20_000.0,
    type=click.FloatRange(1, 50_000),
    help="Deliveries per second, all together.",
)
@click.option(
    "--duration", "duration_s", default=10.0, type=click.FloatRange(1, 300), help="Seconds."
)
@common
def bench_stamps(output: Output, **arguments: Any) -> None:
    """Set the receipts that the engine reports against a packet capture (tcpdump, as root).

    \b
    gridlab bench stamps --json
    """
    from loadtest import capture

    with output.progress("capturing"):
        document = capture.compare(**arguments)
    output.document(document)
    output.say(capture.render(document))


@click.command("pace")
@click.option(
    "--path",
    "paths",
    type=click.Choice(["compiled", "interpreted"]),
    multiple=True,
    default=("compiled", "interpreted"),
    help="Who publishes: compiled code as in large plans, or the interpreter as in small ones.",
)
@click.option(
    "--duration", "duration_s", default=60.0, type=click.FloatRange(2, 600), help="Of a plan [s]."
)
@common
def bench_pace(output: Output, paths: tuple[Any, ...], duration_s: float) -> None:
    """Measure how late publications start at half load, on a null server, while receiving.

    \b
    gridlab bench pace --json
    gridlab bench pace --path interpreted --duration 20
    """
    from loadtest import punctuality

    with output.progress("pacing") as advance:
        document = punctuality.bench(paths, duration_s, advance)
    output.document(document)
    output.say(punctuality.render(document))
    if not all(play["valid"] for play in document["plays"]):
        sys.exit(INVALID_RUN)


@click.command("grid")
@click.option("--cycles", default=20, type=click.IntRange(1, 10_000), help="How many.")
@common
def bench_grid(output: Output, cycles: int) -> None:
    """Bring grids of all kinds up and down, time them, and look for what they leave behind.

    \b
    gridlab bench grid --cycles 100 --json
    """
    from loadtest import cycles as comings

    with output.progress("cycling") as advance:
        document = comings.run(cycles, advance)
    output.document(document)
    output.say(comings.render(document))
    if not document["clean"]:
        sys.exit(INVALID_RUN)
