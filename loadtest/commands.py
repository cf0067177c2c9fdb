"""The commands that deploy, drive and question a real grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from results.commands import LOAD, Output, common, finish_all, records_run
from topologies.commands import reads_topology

GRID_NAME = click.option("--name", default="default", help="Name of the grid; several can be up.")


@click.group()
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
@click.option("--proxied", is_flag=True, help="Put a fault proxy before each Controller.")
@click.option("--counters", is_flag=True, help="Have the servers tell what they count.")
@click.option("--administration", is_flag=True, help="Let the owner end sessions (revoke).")
@click.option("--activity", is_flag=True, help="Note what Platforms do (log).")
@common
def grid_up(output: Output, topology: Any, **arguments: Any) -> None:
    """Deploy the topology's servers with certificates, accounts and Topics; wait until ready.

    A topology whose Controllers are `running` is joined instead.

    \b
    gridlab grid up single-broker
    gridlab grid up federation --name tests --counters
    """
    from loadtest import deployment

    wishes = ("proxied", "counters", "administration", "activity")
    options = deployment.Options(**{name: arguments.pop(name) for name in wishes})
    up = deployment.up(topology, options=options, **arguments)
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


@grid.command("counters")
@GRID_NAME
@common
def grid_counters(output: Output, name: str) -> None:
    """Show what the servers of a grid count of themselves; it was brought up --counters.

    \b
    gridlab grid up single-broker --counters
    gridlab grid counters --json
    """
    from loadtest import deployment

    up = deployment.status(name)
    counted = {each: up.counters(each) for each in up.document()["controllers"]}
    output.document({"controllers": counted})
    for controller, figures in counted.items():
        output.say(f"{controller}:")
        for figure, value in sorted(figures.items()):
            output.say(f"  {figure}: {value:g}")


@grid.command("log")
@GRID_NAME
@click.option("--account", metavar="JID", help="Only what this account did, by its bare JID.")
@click.option("--topic", metavar="NAME", help="Only what was asked of this Topic.")
@common
def grid_log(output: Output, name: str, account: str | None, topic: str | None) -> None:
    """Print what Platforms did: logins, logouts, publications, rights; the grid is up --activity.

    \b
    gridlab grid up single-broker --activity
    gridlab grid log --account sensor-0@grid.test
    gridlab grid log --json
    """
    from loadtest import activity, deployment

    entries = [
        each
        for each in deployment.status(name).activity()
        if account in (None, each["jid"].partition("/")[0]) and topic in (None, each.get("topic"))
    ]
    output.document({"entries": entries})
    for each in [] if output.as_json else entries:
        click.echo(activity.render(each))  # a deed is a line, however long


@grid.command("revoke")
@click.argument("account")
@GRID_NAME
@common
def grid_revoke(output: Output, account: str, name: str) -> None:
    """Take all rights from an account and end its sessions; the grid is up --administration.

    \b
    gridlab grid up single-broker --administration
    gridlab grid revoke analyst-3@grid.test
    """
    from loadtest import deployment, revocation

    done = revocation.revoke(deployment.status(name), account)
    output.document(done.document())
    output.say(
        f"{account}: an outcast on {done.topics} Topics, {done.subscriptions} subscriptions ended, "
        f"sessions {'ended' if done.sessions_ended else 'left alone'}"
    )


@grid.command("down")
@click.argument("name", default="default")
@click.option("--all", "everything", is_flag=True, help="Every grid of this user.")
@common
def grid_down(output: Output, name: str, everything: bool) -> None:
    """Stop a grid and remove all that it left."""
    from loadtest import deployment, lease

    stopped = deployment.down_all() if everything else deployment.down(name)
    names = stopped if isinstance(stopped, list) else [name] if stopped else []
    output.document({"stopped": names})
    left = f"; up: {', '.join(lease.names())}" if lease.names() else ""
    nothing = "Nothing was up" if everything else f'No grid "{name}" was up{left}'
    output.say(f"Stopped {', '.join(names)}" if names else nothing)


class Load(click.Command):
    """Answers `--list` before it asks for a topology, and lists the scenarios in its help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        if "--list" not in args:
            return super().parse_args(ctx, args)
        from loadtest import scenarios

        listed = scenarios.listing()
        Output("--json" in args).document({"scenarios": listed})
        if "--json" not in args:
            click.echo(_lines(listed))
        ctx.exit()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click."""
        from loadtest import scenarios

        with formatter.section("Scenarios"):
            formatter.write_dl([(each["name"], each["about"]) for each in scenarios.listing()])


def _lines(listed: list[dict[str, Any]]) -> str:
    lines = []
    for each in listed:
        chosen = " ".join(f"{name}={value}" for name, value in each["parameters"].items())
        lines.append(f"{each['name']:<20}{each['about']} ({each['workload']} workload)")
        if chosen:
            lines.append(f"{'':<20}--with {chosen}")
    return "\n".join(lines)


@click.command(cls=Load)
@reads_topology
@click.option("--name", default="default", help="Grid to drive; see gridlab grid up.")
@LOAD
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(1, 3600),
    help="Seconds; default: the topology's.",
)
@click.option("--scenario", metavar="NAME", help="What to play; see below and --list.")
@click.option(
    "--with",
    "wishes",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the scenario; see --list.",
)
@click.option("--list", is_flag=True, expose_value=False, help="List the scenarios.")
@records_run
@common
def load(
    output: Output,
    topology: Any,
    name: str,
    scenario: str | None,
    wishes: tuple[str, ...],
    out: Path,
    report: Path | None,
    **arguments: Any,
) -> None:
    """Drive a real grid that is up, on the topology's plan, and keep the run.

    \b
    gridlab grid up single-broker
    gridlab load single-broker --duration 30
    gridlab load single-broker --duration 30 --scenario login-storm --with users=100
    """
    from loadtest import deployment, engine, scenarios

    if wishes and scenario is None:
        raise click.UsageError("--with is for scenarios; add --scenario NAME")
    if scenario is not None:
        scenarios.chosen(scenario, wishes)

    with output.progress("playing") as advance:

        def tell(news: Mapping[str, Any]) -> None:
            advance(min(news["elapsed_s"] / news["duration_s"], 1.0), news["state"])

        grid = deployment.status(name)
        if scenario is None:
            runs = [engine.play(topology, grid, progress=tell, **arguments)]
        else:
            runs = scenarios.play(topology, grid, scenario, wishes, progress=tell, **arguments)
    finish_all(output, runs, out, report)


@click.command()
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
    import results
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
        results.write_text(report, conformance_report.html(reports))
        output.say(f"Wrote {report}")


@click.command()
@common
def doctor(output: Output) -> None:
    """Say what is installed, what is missing and how to get it, and whether this machine is quiet.

    \b
    gridlab doctor
    """
    from loadtest import doctor as machine

    with output.progress("looking") as advance:
        diagnosis = machine.diagnose(advance)
    output.document(diagnosis)
    output.say(machine.render(diagnosis))
