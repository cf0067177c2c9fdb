"""The page about a plan: the question, the answer, its evidence, what it rests on, how to redo it.

One HTML file that holds all it shows, or the same as Markdown.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results import environment, plan_plots, style, units
from results.assumptions import assumptions
from results.plan_words import HEADINGS, cells, headline, remarks
from results.plans import PlanDocument
from results.report import Picture, environment_of_templates
from results.store import write_text

CURVE = "Each mark is a size that was tried: circles keep the promise (dashed), squares miss it."
LOAD = "The answer at more than the file's load: where the marks cross the line is its head-room."
BINDING = "How much of each resource the answer uses. The first is what one size less lacks."
THREATS = ("Under attack", "One Controller lost", "After a restart")


@dataclass(frozen=True)
class Subject:
    """What a plan's page shows beside the document: the description, its drawing, the command."""

    text: str
    drawing: str
    drawing_text: str
    command: str
    bound_s: float


def write(document: PlanDocument, subject: Subject, path: Path) -> Path:
    """Write the page; Markdown where the file's name ends in `.md`.

    Raises
    ------
    RecordError
        The file cannot be written.
    """
    whole = markdown(document, subject) if path.suffix == ".md" else page(document, subject)
    return write_text(path, whole)


def page(document: PlanDocument, subject: Subject) -> str:
    """The page as HTML."""
    drawing = base64.b64encode(subject.drawing.encode()).decode()
    return environment_of_templates().get_template("plan.html").render(
        plan=document,
        headline=headline(document),
        remarks=list(_remarks(document)),
        rows=_rows(document),
        limits=_limits(document),
        drawing=f"data:image/svg+xml;base64,{drawing}",
        drawing_text=subject.drawing_text,
        pictures=list(_pictures(document, subject.bound_s)),
        headings=HEADINGS[1:],
        evidence=_evidence(document),
        threats=list(_threats(document)),
        assumptions=assumptions(subject.text),
        trust=_trust(document),
        command=subject.command,
        text=subject.text,
        facts=_facts(document),
    )  # fmt: skip


def _remarks(document: PlanDocument) -> Iterator[str]:
    """Remarks without those that have a section of their own."""
    own = (*THREATS, "Confidence")
    yield from (text for text in remarks(document) if not text.startswith(own))


def _threats(document: PlanDocument) -> Iterator[str]:
    yield from (text for text in remarks(document) if text.startswith(THREATS))
    if document["under_attack"] is None:
        yield "The description names no attack; add some under attacks: and plan again."


def _trust(document: PlanDocument) -> str:
    confidence = document["confidence"]
    return (
        f"Sure to {units.percent(confidence['value'])}: {confidence['text']}. A model is no "
        "measurement: before money is spent, gridlab validate plays the same plan on a real server "
        "and prints the error."
    )


def _rows(document: PlanDocument) -> list[tuple[str, ...]]:
    answer = document["answer"]
    if answer is None:
        return []
    words = {"one": "–", "subscribers": "subscribers", "topics": "Topics"}
    return [
        (
            part["controller"], f"{part['controllers']:,}", f"{part['cores']:,}",
            units.size(part["memory_bytes"]), units.bits(part["nic_bytes_per_s"]),
            words[part["arrangement"]],
        )
        for part in answer["parts"]
    ]  # fmt: skip


def _limits(document: PlanDocument) -> list[tuple[str, str]]:
    answer = document["answer"]
    if answer is None:
        return []
    limits: dict[str, Any] = answer["limits"]
    account, client = limits["account"], limits["client"]
    return [
        ("each account", f"{units.rate(account['rate_per_s'])}, {account['burst']:,} at once"),
        (
            "each client's connection",
            f"{units.size(client['rate_bytes_per_s'])}/s, "
            f"{units.size(client['burst_bytes'])} at once",
        ),
        ("largest stanza of a client", units.size(limits["client_stanza_bytes"])),
    ]


def _evidence(document: PlanDocument) -> list[tuple[str, ...]]:
    rows = ((each["controller"], *cells(each)) for each in document["evidence"])
    return [(f"{controller}: {size}", *others) for controller, size, *others in rows]


def _pictures(document: PlanDocument, bound_s: float) -> Iterator[Picture]:
    from markupsafe import Markup

    if document["answer"] is None:
        return
    for name, figure, caption in (
        ("size", plan_plots.cost_curve(document, bound_s), CURVE),
        ("load", plan_plots.load_curve(document, bound_s), LOAD),
        ("binding", plan_plots.constraints(document), BINDING),
    ):
        described = f"{caption} {headline(document)}"
        yield Picture(Markup(style.svg(figure, f"plan-{name}", described)), caption)


def _facts(document: PlanDocument) -> list[tuple[str, str]]:
    software = environment.software("numpy", "numba", "simpy")
    return [
        ("Took", units.seconds(document["wall_s"])),
        ("Software", ", ".join(f"{key} {value}" for key, value in software.items())),
        ("Machine", ", ".join(f"{k} {v}" for k, v in environment.machine().items())),
    ]


def markdown(document: PlanDocument, subject: Subject) -> str:
    """The same as Markdown, without pictures."""
    lines = [f"# Plan for {document['topology']}", "", document["question"], "",
             f"**{headline(document)}**", ""]  # fmt: skip
    for advice in document["advice"]:
        lines += [f"> {advice['text']}.", ">", *(f"> * {r}" for r in advice["repairs"]), ""]
    lines += [f"* {remark}" for remark in _remarks(document)]
    if rows := _rows(document):
        head = ("", "Controllers", "cores each", "memory each", "link each", "work shared by")
        lines += ["", *_table(head, rows)]
        lines += ["", *_table(("limit of", "value"), _limits(document))]
    lines += ["", "## Evidence", "", *_table(("tried", *HEADINGS[1:]), _evidence(document))]
    lines += ["", "## Threats that were tried", "", *(f"* {t}" for t in _threats(document))]
    lines += ["", "## What it rests on", "", *(f"* {a}" for a in document["assumptions"]), ""]
    found = [(a.part, a.figures, a.kind, a.source) for a in assumptions(subject.text)]
    lines += _table(("part", "figures", "kind", "source"), found)
    lines += ["", "## How far to trust it", "", _trust(document)]
    lines += ["", "## How to get it again", "", f"    {subject.command}", ""]
    return "\n".join(lines)


def _table(head: tuple[str, ...], rows: list[Any]) -> list[str]:
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]
