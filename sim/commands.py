"""The commands that answer on paper and in virtual time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from results.commands import GATE_FAILED, LOAD, Output, common, finish, records_run
from topologies.commands import reads_topology


class Percent(click.ParamType[float]):
    """A share, as 2% or 0.02."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The share as a number."""
        text = str(value).strip()
        try:
            return float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
        except ValueError:
            return self.fail(f"{text} is no share; write for example 2%", param, ctx)


PERCENT = Percent()
PLAYED = (  # by the benchmark
    *("fan-out", "one-publish", "storm", "topology", "events"),
    *("scaling", "first-result", "edr-scale"),
)


@click.command()
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


@click.command()
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
@click.option(
    "--precision",
    type=PERCENT,
    help="Steady studies: add replications until p99 is known this well, e.g. 2%.",
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
    gridlab simulate single-broker --precision 2%
    gridlab simulate mine.yaml --set 'controllers[0].nic=10 Gbit/s' --replications 16
    """
    import sim

    with output.progress("simulating") as advance:
        run = sim.simulate(topology, progress=advance, **arguments)
    finish(output, run, out, report)


@click.command("sim")
@click.option("--quick", is_flag=True, help="Smaller grids, fewer rounds, 90 s.")
@click.option(
    "--only",
    type=click.Choice(PLAYED),
    multiple=True,
    help="Play these; once for each.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep every round in this file; go on from it.",
)
@common
def bench_sim(output: Output, quick: bool, only: tuple[str, ...], out: Path | None) -> None:
    """Measure the simulator against a naive SimPy model that plays the same plan and draws.

    Every engine runs alone on one core in fresh processes, in rounds; the latencies of all must be
    the same to 1e-9. Takes twelve minutes by estimate, a third of it for the naive model's storm;
    each workload is shown as it is finished. Ends with the targets: met, missed (with a profile) or
    not decided, where rounds disagree.

    \b
    gridlab bench sim --quick
    gridlab bench sim --only storm --only topology
    gridlab bench sim --out bench-sim.json
    gridlab bench sim --json > bench.json
    """
    from sim import benchmark, benchmark_targets

    try:
        with output.progress("measuring") as advance:
            document = benchmark.bench(quick, advance, only, out, finished=output.say)
    except KeyboardInterrupt:
        if out is not None and out.exists():
            output.say(f"What was finished is kept in {out}: the same command goes on from there.")
        raise
    output.document(document)
    for line in benchmark_targets.render(document["targets"]):
        output.say(line)


@click.command()
@click.option("--quick", is_flag=True, help="A fifth of the jobs, intervals as much wider.")
@click.option("--seed", default=1, type=click.IntRange(0, 2**31), help="Seed of all draws.")
@common
def verify(output: Output, quick: bool, seed: int) -> None:
    """Set what is known about queues beside what is simulated, in one table; 1 if a row fails.

    Closed forms at four utilisations, bounds, published figures, and another program (ciw, from
    the extra `verify`). A row holds if what is known lies in a narrow interval of the simulation.

    \b
    gridlab verify --quick
    gridlab verify --json
    """
    from sim import verification

    with output.progress("verifying") as advance:
        document = verification.verify(quick, seed, advance)
    output.document(document)
    output.say(verification.render(document))
    if not document["holds"]:
        sys.exit(GATE_FAILED)


@click.command()
@click.argument("scenario", required=False, metavar="ID")
@click.argument("base", required=False, metavar="[TOPOLOGY]")
@click.option(
    "--defence", "defences", multiple=True, help="Try this variant; default: all of the file."
)
@click.option(
    "--set", "changes", multiple=True, metavar="PATH=VALUE", help="Change a field of the base."
)
@click.option(
    "--replications",
    type=click.IntRange(2, 1000),
    show_default=False,
    help="Seeded repetitions; default: 4 of traffic, 16 of what people and programs do.",
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw (SVG).")
@click.option(
    "--phase", is_flag=True, help="S-HERD: which herds drain, by size and by cap of their back-off."
)
@click.option(
    "--real", is_flag=True, help="Predict, then play each variant on a real server (loopback)."
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 100),
    default=1,
    help="Plays of each variant with --real: rounds in random order, medians.",
)
@click.option("--list", "listed", is_flag=True, help="List the attacks that are shipped.")
@records_run
@common
def attack(  # noqa: PLR0913 (an option each)
    output: Output,
    *,
    scenario: str | None,
    base: str | None,
    defences: tuple[str, ...],
    changes: tuple[str, ...],
    replications: int | None,
    plot: Path | None,
    phase: bool,
    real: bool,
    repeats: int,
    listed: bool,
    seed: int,
    out: Path,
    report: Path | None,
) -> None:
    """Simulate a threat of RFC 8600 on a grid, undefended and with each defence.

    \b
    gridlab attack --list
    gridlab attack S-FLOOD
    gridlab attack S-FLOOD mine.yaml --defence account-rate --report flood.html
    gridlab attack S-HERD --phase --plot phases.svg
    gridlab attack S-HERD --real
    gridlab attack S-HERD --phase --real --plot phases.svg
    gridlab attack S-FLOOD --real --defence stock-byte-limit
    gridlab attack S-BIGQ --real --repeats 5
    """
    from topologies import overlays

    if listed or scenario is None:
        catalogue = overlays.catalogue()
        output.document({"attacks": [{"id": k, "title": v} for k, v in catalogue.items()]})
        for name, title in catalogue.items():
            output.say(f"[bold]{name}[/bold]  {title}")
        return
    import results
    from results import impact_plots, impact_table, pictures
    from sim import defences as variants
    from sim import reenactments
    from sim.rounds import Rounds

    if repeats > 1 and (phase or not real):
        raise click.UsageError(
            "--repeats is of plays on a real server: with --real, without --phase"
        )
    if phase:
        if scenario != "S-HERD":
            raise click.UsageError("--phase is for S-HERD")
        kept = click.get_current_context().params["out"]
        _nothing_but_phases(defence=defences, replications=replications, report=report, out=kept)
        _phases(output, base, changes, seed, plot, real)
        return
    laid = overlays.scenario(scenario, base, defences, changes, real=real)
    target = results.check_target(plot, ".svg") if plot is not None else None
    if report is not None and laid.procedures:
        raise click.UsageError(f"{laid.overlay.id} makes no runs to report; use --plot")
    with output.progress(laid.overlay.id) as advance:
        if real:
            make_real = click.get_current_context().obj
            rounds = Rounds(repeats, seed, advance)
            played = make_real(out=out, seed=seed, progress=rounds.tell).reenactment()
            trial = reenactments.compared(laid, played, seed=seed, out=out, rounds=rounds)
        else:
            trial = variants.attack(
                laid, seed=seed, replications=replications, out=out, progress=advance
            )
    output.document(trial.document)
    output.say(impact_table.render(trial.document))
    if target is not None:
        pictures.write_figure(impact_plots.headline(trial.document), target)
        output.say(f"Wrote {plot}")
    if report is not None:
        results.write_report(list(trial.runs), report)
        output.say(f"Wrote {report}")


def _nothing_but_phases(**others: Any) -> None:
    """Refuse options that the phase diagram could only ignore."""
    named = [f"--{name}" for name, value in others.items() if value]
    if named:
        raise click.UsageError(
            f"--phase plays S-HERD undefended, once for each point, and keeps no runs; "
            f"leave out {', '.join(named)}"
        )


def _phases(
    output: Output,
    base: str | None,
    changes: tuple[str, ...],
    seed: int,
    plot: Path | None,
    real: bool,
) -> None:
    """The phase diagram of reconnect herds, with points of a real server if that is asked for."""
    import results
    from results import herd_phases as drawn
    from results import pictures
    from sim import herd_phases, real_phases

    target = results.check_target(plot, ".svg") if plot is not None else None
    with output.progress("S-HERD") as advance:
        diagram = herd_phases.diagram(base, changes=changes, seed=seed, progress=advance)
        if real:
            make_real = click.get_current_context().obj
            played = make_real(out=None, seed=seed, progress=advance).reenactment()
            diagram["real"] = real_phases.points(played, base, changes=changes, seed=seed)
    output.document(diagram)
    output.say(drawn.render(diagram))
    if target is not None:
        pictures.write_figure(drawn.draw(diagram), target)
        output.say(f"Wrote {plot}")


@click.command()
@click.option(
    "--check",
    "checked",
    is_flag=True,
    help="Play all that is claimed; 1 if a claim fails. Minutes.",
)
@click.option("--replications", type=click.IntRange(3, 1000), help="Of each scenario, for --check.")
@click.option("--seed", default=1, type=click.IntRange(0, 2**63 - 1), help="Of plans and draws.")
@click.option(
    "--real", is_flag=True, help="Instead: attacks on real servers beside their predictions."
)
@click.option("--markdown", is_flag=True, help="With --real: the table as the docs show it.")
@common
def threats(
    output: Output, checked: bool, replications: int | None, seed: int, real: bool, markdown: bool
) -> None:
    """List every threat and countermeasure of RFC 8600 and what shows it, or why nothing does.

    \b
    gridlab threats
    gridlab threats --json
    gridlab threats --check
    gridlab threats --real
    """
    if real:
        from results import replays

        shown = replays.replays()
        output.document(shown)
        if markdown and not output.as_json:
            click.echo(replays.markdown(shown))
        else:
            output.say(replays.render(shown))
        return
    from results import threat_table
    from topologies import threats as known

    table = known.table()
    found: dict[str, known.Found] = {}
    failed: list[str] = []
    if checked:
        from sim import claims

        with output.progress("checking") as advance:
            findings = claims.try_all(
                table.rows, seed=seed, replications=replications, progress=advance
            )
        found, failed = claims.verdicts(findings), claims.broken(findings)
    document = known.document(table, found)
    output.document(document)
    output.say(threat_table.render(document))
    for sentence in failed:
        output.say(sentence)
    if failed:
        sys.exit(GATE_FAILED)
