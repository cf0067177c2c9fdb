"""The commands that set the model against a real server.

They need both sides: the model comes from the front door (`gridlab.predict` of the context).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from results.commands import INVALID_RUN, Output, common, records_run
from topologies.commands import reads_topology


@click.command()
@reads_topology
@click.option(
    "--points",
    default=None,
    metavar="LOADS",
    help="Loads as multiples of the file's, e.g. 0.5,1,2; default: the file's and near saturation.",
)
@click.option(
    "--of",
    type=click.Choice(["file", "capacity"]),
    default="file",
    help="Take --points as multiples of the file's load, or of the predicted capacity.",
)
@click.option("--repeats", default=2, type=click.IntRange(1, 100), help="Runs of every point.")
@click.option(
    "--duration",
    "duration_s",
    default=10.0,
    type=click.FloatRange(2, 3600),
    help="Seconds of each run.",
)
@click.option(
    "--ahead",
    "ahead_s",
    default=0.0,
    type=click.FloatRange(0, 60),
    help="Seconds (0, or 2 and more) of a light load before each run, which predicts it anew.",
)
@click.option(
    "--profile",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Predict with this profile as it is (gridlab calibrate) instead of fitting first.",
)
@click.option(
    "--change",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change the grid after its costs were fitted; what is predicted and played is changed.",
)
@records_run
@common
def validate(
    output: Output,
    topology: Any,
    points: str | None,
    of: str,
    profile: Path | None,
    changes: tuple[str, ...],
    out: Path,
    report: Path | None,
    **arguments: Any,
) -> None:
    """Fit costs on this machine, predict, then drive a real server on the same plans and compare.

    Every prediction is stored before the first run; runs come in random order; a validation that
    was stopped goes on where it stopped when the same command is given again. Where the machine's
    speed drifts, --ahead plays a light load before each run and predicts that run from it.

    \b
    gridlab validate single-broker
    gridlab validate single-broker --points .1,.3,.5,.7,.9,1.2 --of capacity --repeats 3
    gridlab validate single-broker --profile prosody-here.yaml --duration 60
    gridlab validate single-broker --ahead 3 --repeats 12 --duration 5
    gridlab validate single-broker --change 'topics[0].payload.size=8 KB' --points .5,1
    """
    from loadtest import validation
    from loadtest.terms import Terms, read_points
    from results import twin_report, twin_table
    from topologies import loading

    read = read_points(points)
    terms = Terms(
        points=tuple(read or ()),
        of_capacity=of == "capacity",
        profile=None
        if profile is None
        else loading.parse_profile(loading.content(profile), profile.name),
        changes=changes,
        **arguments,
    )
    predict = click.get_current_context().meta["gridlab.predict"]
    with output.progress("validating") as advance:
        outcome = validation.validate(topology, terms, predict=predict, out=out, progress=advance)
    document = outcome.document
    output.document(document)
    output.say(twin_table.render(document))
    output.say(f"Kept {outcome.kept}")
    if report is not None:
        twin_report.write(document, outcome.runs, report)
        output.say(f"Wrote {report}")
    if not outcome.valid:
        sys.exit(INVALID_RUN)


@click.command()
@reads_topology
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for the profiles; default: beside the runs.",
)
@records_run
@common
def calibrate(
    output: Output, topology: Any, to: Path | None, out: Path, report: Path | None, seed: int
) -> None:
    """Measure what operations cost the topology's servers on this machine; write their profiles.

    Two to three minutes a server, on a machine that does nothing else. Every figure has its
    interval, or it is said why it could not be pinned down. Predict with a profile without further
    fitting:

    \b
    gridlab calibrate single-broker --to profiles
    gridlab validate single-broker --profile profiles/prosody-0.12.3.yaml
    """
    import results
    from loadtest import calibrated
    from loadtest.calibrate import calibrate as measured
    from topologies import identity

    directory = results.claim_directory(to or out)
    predict = click.get_current_context().meta["gridlab.predict"]
    with output.progress("calibrating") as advance:
        done = measured(topology, predict=predict, out=out, seed=seed, progress=advance)
    for each in done:
        each.path = directory / f"{each.profile.name}.yaml"
        results.write_text(each.path, identity.profile_text(each.profile))
    output.document({"servers": [each.document() for each in done]})
    output.say(calibrated.render(done))
    if report is not None:
        results.write_report([results.open_run(out / run) for e in done for run in e.runs], report)
        output.say(f"Wrote {report}")
    if not all(each.valid for each in done):
        sys.exit(INVALID_RUN)


@click.command()
@reads_topology
@click.option("--trains", default=3, type=click.IntRange(1, 20), help="How often it is tried.")
@common
def limits(output: Output, topology: Any, trains: int) -> None:
    """Measure the inbound byte limit of a real server: rate, burst, shape, and who else feels it.

    \b
    gridlab limits single-broker --set "controllers[0].limits.client.rate=100 kB/s"
    """
    from loadtest import limit_probe

    with output.progress("probing") as advance:
        found = limit_probe.probe(topology, advance, trains=trains)
    output.document(found)
    output.say(limit_probe.render(found))
