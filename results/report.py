"""The page that a person reads: one HTML file with the answer first, pictures, sources, proof.

It holds all that it shows, asks nothing of any network, needs no script, and follows the reader's
choice of day or night.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results import comparison, plots, style, units, wording
from results.assumptions import assumptions
from results.documents import IdentityFigures, Summary
from results.records import Header, RecordError
from results.run import Run
from results.store import write_text
from results.waterfall import has_waterfall, waterfall
from results.wording import Row

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A plot and what to see in it."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Column:
    """A column of figures: its name and a remark below it."""

    name: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """One answer with its proof: a run, or a prediction and its measurement."""

    title: str
    headline: str
    caption: str
    columns: list[Column]
    rows: list[Row]
    pictures: list[Picture]
    verdict: str
    problems: list[str] = field(default_factory=list)
    identities: list[dict[str, Any]] = field(default_factory=list)


def write(runs: Sequence[Run], path: Path | str, *, lead: Sequence[Section] = ()) -> Path:
    """Write the page about some runs; measured ones are set against the prediction of their plan.

    Parameters
    ----------
    runs : sequence of Run
        What it is about.
    path : Path or str
        The file.
    lead : sequence of Section
        What comes before them.

    Raises
    ------
    RecordError
        There is no run, or the file cannot be written.
    """
    if not runs:
        raise RecordError("a report needs at least one run")
    return write_text(Path(path), page(runs, lead))


def page(runs: Sequence[Run], lead: Sequence[Section] = ()) -> str:
    """The page about some runs, as HTML; `lead` comes before them."""
    headers = [run.header for run in runs]
    topologies = {header.topology.sha256: header.topology for header in headers}
    return (
        environment_of_templates()
        .get_template("report.html")
        .render(
            title=", ".join(dict.fromkeys(topology.name for topology in topologies.values())),
            over=" and ".join(dict.fromkeys(f"{header.origin} run" for header in headers)),
            sections=[*lead, *_sections(runs)],
            topologies=[
                {
                    "name": topology.name,
                    "sha256": topology.sha256,
                    "text": topology.text,
                    "assumptions": assumptions(topology.text),
                }
                for topology in topologies.values()
            ],
            commands=list(dict.fromkeys(command(header) for header in headers)),
            runs=[_facts(header) for header in headers],
        )
    )


def environment_of_templates() -> Environment:
    """Where the pages' templates are, with the filters that they use."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = _unbroken
    return environment


def _unbroken(text: str) -> str:
    """The text with its figures held to their units."""
    return re.sub(r"(?<=\d) (?=(?:[mµn]?s|min|h|%)\b)|(?<=\d) (?=%)", "\u00a0", text)


def _sections(runs: Sequence[Run]) -> Iterator[Section]:
    """Pairs of prediction and measurement first, then the runs that have no partner."""
    alone = list(runs)
    for measured in [run for run in runs if run.header.origin == "measured"]:
        partner = next((run for run in alone if _predicts(run, measured)), None)
        if partner is not None:
            alone.remove(partner)
            alone.remove(measured)
            yield _validation(partner, measured, str(len(runs) - len(alone)))
    for run in alone:
        yield _single(run, f"run{len(runs) - len(alone)}{alone.index(run)}")


def _predicts(run: Run, measured: Run) -> bool:
    plans = set(run.header.plan_sha256) & set(measured.header.plan_sha256)
    return run.header.origin == "simulated" and bool(plans)


def _single(run: Run, name: str) -> Section:
    summary = run.summary()
    pictures = [
        _picture(plots.load(run), f"{name}-load", summary, wording.LOAD_CAPTION),
        _picture(plots.latency(run), f"{name}-latency", summary, wording.LATENCY_CAPTION),
        _picture(plots.distribution(run), f"{name}-tail", summary, wording.TAIL_CAPTION),
        _picture(plots.controllers(run), f"{name}-cost", summary, wording.COST_CAPTION),
    ]
    if len(summary["topics"]) > 1:
        topics = _picture(plots.topics(run), f"{name}-topics", summary, wording.TOPICS_CAPTION)
        pictures.append(topics)
    if summary["sessions"]:
        online = _picture(plots.sessions(run), f"{name}-online", summary, wording.ONLINE_CAPTION)
        pictures.append(online)
    if has_waterfall(run):
        fall = waterfall(run)
        pictures.append(_picture(fall, f"{name}-waterfall", summary, wording.WATERFALL_CAPTION))
    return Section(
        title=f"{summary['topology']}, {summary['origin']} ({summary['run_id']})",
        headline=summary["headline"],
        caption=wording.table_caption(summary),
        columns=[
            Column(phase["name"], f"{phase['start_s']:g}–{phase['end_s']:g} s")
            for phase in summary["phases"]
        ],
        rows=wording.phase_rows(summary),
        pictures=pictures,
        verdict=wording.verdict_text(summary),
        problems=summary["verdict"]["warnings"],  # its headline has the reasons
        identities=[_identity(identity) for identity in summary["identities"]],
    )


def _validation(predicted: Run, measured: Run, name: str) -> Section:
    summary, prediction = measured.summary(), comparison.prediction_error(predicted, measured)
    overlay = plots.prediction([predicted], [measured])
    headline = wording.prediction_headline(prediction)
    return Section(
        title=f"{summary['topology']} at {wording.load_text(summary)}",
        headline=headline,
        caption="Predicted first, then measured on a real server that played the same plan.",
        columns=[Column("predicted"), Column("measured"), Column("error")],
        rows=wording.prediction_rows(prediction),
        pictures=[
            _picture(overlay, f"pair{name}-tail", summary, wording.PREDICTION_CAPTION),
            _picture(plots.load(measured), f"pair{name}-load", summary, wording.LOAD_CAPTION),
            _picture(plots.latency(measured), f"pair{name}-time", summary, wording.LATENCY_CAPTION),
            _picture(
                plots.controllers(measured), f"pair{name}-cost", summary, wording.COST_CAPTION
            ),
        ],
        verdict=wording.verdict_text(summary),
        problems=summary["verdict"]["reasons"] + summary["verdict"]["warnings"],
        identities=[_identity(identity) for identity in summary["identities"]],
    )


def _picture(figure: Figure, name: str, summary: Summary, caption: str) -> Picture:
    from markupsafe import Markup

    description = f"{caption} {summary['headline']}"
    return Picture(Markup(style.svg(figure, name, description)), caption)


def _identity(identity: IdentityFigures) -> dict[str, Any]:
    left, right = (f"{value:,.10g}" for value in (identity["left"], identity["right"]))
    return {"name": identity["name"], "holds": identity["holds"], "left": left, "right": right}


def command(header: Header) -> str:
    """The command that gives the same run from the description on the page."""
    words = f"{header.door} {header.topology.name}.yaml --seed {header.seed}"
    load = header.measurement.get("load", 1.0)
    if load != 1.0 and header.door in ("gridlab simulate", "gridlab load"):
        words += f" --load {load:g}"
    if header.door == "gridlab simulate":
        words += f" --replications {header.replications}"
    return words


def _facts(header: Header) -> list[tuple[str, str]]:
    """What a run was made of and where."""
    facts = [
        ("Run", header.run_id),
        ("Made", f"{header.created} by {header.door}"),
        ("Took", f"{units.seconds(header.wall_s)}, {units.size(header.peak_rss_bytes)} of memory"),
        ("Plan", ", ".join(plan[:12] for plan in header.plan_sha256)),
    ]
    for name, controller in header.controllers.items():
        costs = f"{controller.profile} ({controller.discipline}), speed {controller.speed:g}"
        facts.append((f"Controller {name}", f"{controller.server}, {costs}"))
    for title, table in (
        ("Software", header.software),
        ("Machine", header.environment),
        ("Clock", header.clock),
    ):
        if table:
            facts.append((title, ", ".join(f"{key} {value}" for key, value in table.items())))
    return facts
