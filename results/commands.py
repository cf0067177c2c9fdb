"""What all commands share, and the commands that read runs.

Every command prints for people; with `--json` it prints one document on standard output and nothing
else there. Heavy modules are imported when a command runs.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from results.run import Run

VALID, GATE_FAILED, BAD_INPUT, INVALID_RUN, INTERRUPTED = 0, 1, 2, 3, 130
SEED = click.option(
    "--seed", default=1, type=click.IntRange(0, 2**63 - 1), help="Seed of plan and draws."
)
PAGES = (".html", ".htm")
LOAD = click.option(
    "--load",
    default=1.0,
    type=click.FloatRange(0, min_open=True),
    help="Scales legitimate rates.",
)


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
        """A bar on standard error with the share done, a remark, and the time left.

        There is none where that is no terminal: a log would get an empty line and nothing else.
        """
        from rich.console import Console

        console = Console(stderr=True)
        if not console.is_terminal:
            yield _unseen
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[remark]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=1.0, remark="")

            def advance(share: float, remark: str = "") -> None:
                bar.update(task, completed=share, remark=remark)

            yield advance


def _unseen(share: float, remark: str = "") -> None:
    """Progress that nobody looks at."""


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--json` on every command; the function gets an `Output` first."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
    @functools.wraps(function)
    def wrapper(as_json: bool, **arguments: Any) -> Any:
        return function(Output(as_json), **arguments)

    return wrapper


def records_run(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--seed`, `--out` and `--report`, both places checked before any work is done for them."""

    @SEED
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
        page = results.check_target(report, *PAGES) if report else None
        return function(*positional, out=kept_in, report=page, **arguments)

    return wrapper


def finish(output: Output, run: Run, out: Path, report: Path | None) -> None:
    """Keep the run, print it, write its page, and end with 3 if it is invalid."""
    finish_all(output, [run], out, report)


def finish_all(output: Output, runs: Sequence[Run], out: Path, report: Path | None) -> None:
    """The same for several runs; more than one are one document, `{"runs": [...]}`."""
    import results

    summaries = []
    for run in runs:
        kept = run.save(out)
        summary, scenario = run.summary(), run.header.measurement.get("scenario")
        summaries.append({**summary, "scenario": scenario} if scenario else {**summary})
        output.say(results.render(summary))
        for line in results.render_scenario(scenario):
            output.say(line)
        shown = os.path.relpath(kept) if kept.is_relative_to(Path.cwd()) else kept
        output.say(f"Kept {shown}. Next: gridlab report {shown}")
    output.document(summaries[0] if len(summaries) == 1 else {"runs": summaries})
    if report is not None:
        results.write_report(list(runs), report)
        output.say(f"Wrote {report}")
    if not all(run.header.verdict.valid for run in runs):
        sys.exit(INVALID_RUN)


@click.command()
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
    target = results.check_target(path, *PAGES)
    opened = [results.open_run(run) for run in runs]
    results.write_report(opened, target)
    written = results.write_pictures(opened[0], pictures) if pictures else []
    output.document({"path": str(path), "pictures": [str(picture) for picture in written]})
    for file in (path, *written):
        output.say(f"Wrote {file}")


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--metric", default="cpu_s_per_delivery", help="Figure to follow.")
@click.option("--topology", help="Runs of this topology.")
@click.option("--origin", type=click.Choice(["simulated", "measured"]), help="Runs of this origin.")
@click.option(
    "--to", "picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw (SVG)."
)
@click.option("--trial", is_flag=True, help="Try the detector on made series instead.")
@common
def history(
    output: Output, directory: Path | None, metric: str, picture: Path | None, trial: bool,
    **chosen: Any,
) -> None:  # fmt: skip
    """Follow a figure over stored runs and mark where it changed for good; it never blocks.

    \b
    gridlab history results/runs --metric p99 --topology single-broker
    gridlab history --trial
    """
    from results import history as series
    from results import pictures, plots
    from results.records import RecordError
    from results.store import check_target, default_directory

    if trial:
        tried = series.trial(seed=1)
        output.document(tried)
        output.say(series.render_trial(tried))
        return
    if metric not in series.METRICS:
        raise RecordError(f'--metric: "{metric}": must be one of {", ".join(series.METRICS)}')
    target = check_target(picture, ".svg") if picture else None
    document = series.history(directory or default_directory(), series.Chosen(metric, **chosen))
    output.document(document)
    output.say(series.render(document))
    if target is not None:
        pictures.write_figure(plots.history(document), target)
        output.say(f"Wrote {picture}")


@click.command()
@click.argument("places", nargs=-1, type=click.Path(path_type=Path))
@click.option("--markdown", is_flag=True, help="Print tables for a page of the docs.")
@common
def trust(output: Output, places: tuple[Path, ...], markdown: bool) -> None:
    """Compute anew how far off the model was in all stored validations, and where it fails.

    PLACES are validations or directories of them; by default the proofs that are shipped. It ends
    with 3 if one of them is refused: its prediction is not older than its measurement, or altered.

    \b
    gridlab trust
    gridlab trust results/runs --json
    """
    from results import trust as proofs

    document = proofs.trust(places)
    output.document(document)
    if markdown and not output.as_json:
        click.echo(proofs.markdown(document), nl=False)
    else:
        output.say(proofs.render(document))
    if document["refused"]:
        sys.exit(INVALID_RUN)
