"""The command that gates a change: `gridlab regress`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from results.commands import SEED, Output, common
from topologies.commands import TOPOLOGY, Sides, reads_sides


def _refuse_unlike(base: Any, head: Any) -> None:
    """Both sides of a gate play the same plan: refuse what would differ for another reason."""
    from topologies import TopologyError

    parts = ("topics", "platforms", "workload", "attacks")
    unlike = [part for part in parts if getattr(base, part) != getattr(head, part)]
    if unlike:
        rule = "must be alike in base and head, which differ in their Controllers alone"
        repair = "change it on both sides (--set), or use gridlab compare"
        raise TopologyError([f"{part}: {rule}; {repair}" for part in unlike])


def _simulated(predict: Callable[..., Any], topology: Any, seed: int, number: int) -> Any:
    """One run of a gate in virtual time, on plan(seed, number)."""
    return predict(
        topology, seed=seed, replications=1, plan_replication=number, warm_up_s=None,
        door="gridlab regress",
    )  # fmt: skip


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
@SEED
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
    gridlab regress --base main.yaml --set-head 'controllers[0].server.configuration=new.lua'
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
            predict = click.get_current_context().meta["gridlab.predict"]
            one, other = (functools.partial(_simulated, predict, grid, seed) for grid in grids)
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
