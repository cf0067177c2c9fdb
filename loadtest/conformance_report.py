"""The conformance of grids, for people: a table on the terminal and one page of HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from loadtest.findings import VERDICTS, Finding, Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType

    from loadtest.requirements import Report, Requirement

MARKS: Final[dict[Verdict, str]] = {
    "pass": "✓",
    "fail": "✗",
    "not supported": "–",
    "not observable": "·",
}
_STYLES: Final[dict[Verdict, str]] = {
    "pass": "green",
    "fail": "red",
    "not supported": "yellow",
    "not observable": "dim",
}


def render(report: Report) -> RenderableType:
    """A table of all requirements with their verdicts; the evidence is in the document and page."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE, title=f"Conformance of {report.server} {report.version}", expand=True
    )
    table.add_column("")
    table.add_column("requirement", ratio=1)
    table.add_column("level", no_wrap=True)
    table.add_column("reference", max_width=16)
    for row in report.rows:
        asked, verdict = row.requirement, row.finding.verdict
        table.add_row(
            Text(MARKS[verdict], style=_STYLES[verdict]),
            Text(asked.text, style="dim" if verdict == "not observable" else ""),
            asked.level,
            asked.reference.replace("; ", "\n"),
        )
    return Group(table, Text(f"{summary(report)}\n"))


def summary(report: Report) -> str:
    """How many requirements got which verdict, in one sentence."""
    counts = report.counts()
    parts = [f"{counts[verdict]} {MARKS[verdict]} {verdict}" for verdict in VERDICTS]
    return f"{report.server} {report.version}: {len(report.rows)} requirements: " + ", ".join(parts)


@dataclass(frozen=True)
class Comparison:
    """A requirement and what was found about it on each server."""

    requirement: Requirement
    findings: tuple[Finding, ...]

    @property
    def differs(self) -> bool:
        """Whether the servers do not all do the same."""
        return len({finding.verdict for finding in self.findings}) > 1


def html(reports: Sequence[Report]) -> str:
    """One page with the servers side by side; it holds all that it shows and needs no script.

    Raises
    ------
    ValueError
        There is no report, or they are about different requirements.
    """
    import jinja2

    if not reports or len({tuple(_asked(report)) for report in reports}) != 1:
        raise ValueError("reports: must be one or more, all of the same requirements")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = (resources.files("loadtest") / "templates" / "conformance.html").read_text()
    return environment.from_string(template).render(
        reports=reports,
        chapters=list(_chapters(reports)),
        marks=MARKS,
        verdicts=VERDICTS,
    )


def _asked(report: Report) -> Iterator[str]:
    return (row.requirement.id for row in report.rows)


def _chapters(reports: Sequence[Report]) -> Iterator[tuple[str, list[Comparison]]]:
    """Requirements in their order, those of one document together."""
    chapters: dict[str, list[Comparison]] = {}
    for rows in zip(*(report.rows for report in reports), strict=True):
        requirement = rows[0].requirement
        compared = Comparison(requirement, tuple(row.finding for row in rows))
        chapters.setdefault(_document(requirement.reference), []).append(compared)
    yield from chapters.items()


def _document(reference: str) -> str:
    """The document that a reference names first, the draft counting as the RFC's."""
    first = reference.partition(";")[0].rpartition(" ")[0] or reference
    return "RFC 8600" if first == "draft" else first
