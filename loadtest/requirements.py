"""What is asked of an XMPP-Grid, requirement by requirement, and the report of what was found."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from typing_extensions import TypedDict

from loadtest.findings import VERDICTS, Finding, Verdict

Level = Literal["MUST", "SHOULD", "SHOULD NOT", "MAY", "trusted"]


class RequirementDocument(TypedDict):
    """A requirement with its verdict and the words on the wire that show it."""

    id: str
    reference: str
    level: Level
    text: str
    verdict: Verdict
    evidence: str


class ReportDocument(TypedDict):
    """The document of `gridlab conform --json`."""

    server: str
    version: str
    counts: dict[Verdict, int]
    requirements: list[RequirementDocument]


def document_schema() -> dict[str, Any]:
    """JSON Schema of the document that `gridlab conform --json` prints."""
    from pydantic import TypeAdapter

    return TypeAdapter(ReportDocument).json_schema(mode="serialization")


@dataclass(frozen=True)
class Requirement:
    """One thing that a specification asks for.

    Attributes
    ----------
    reference : str
        Documents and sections, for example `RFC 8600 8.3.1; draft 8.3.1`.
    level : str
        RFC 2119's word, or `trusted` for what RFC 8600 section 8.1 takes for granted.
    unobservable : str
        Why no probe can see it; empty where one can.
    """

    id: str
    reference: str
    level: Level
    text: str
    unobservable: str = ""


@dataclass(frozen=True)
class Row:
    """A requirement and what was found out about it."""

    requirement: Requirement
    finding: Finding

    def document(self) -> RequirementDocument:
        """As JSON holds it."""
        asked, found = self.requirement, self.finding
        return {
            "id": asked.id,
            "reference": asked.reference,
            "level": asked.level,
            "text": asked.text,
            "verdict": found.verdict,
            "evidence": found.evidence,
        }


@dataclass(frozen=True)
class Report:
    """The conformance of one server."""

    server: str
    version: str
    rows: tuple[Row, ...]

    def document(self) -> ReportDocument:
        """What `gridlab conform --json` prints."""
        return {
            "server": self.server,
            "version": self.version,
            "counts": self.counts(),
            "requirements": [row.document() for row in self.rows],
        }

    def counts(self) -> dict[Verdict, int]:
        """How many requirements got each verdict."""
        found = Counter(row.finding.verdict for row in self.rows)
        return {verdict: found[verdict] for verdict in VERDICTS}


@functools.cache
def requirements() -> tuple[Requirement, ...]:
    """All requirements, in the order of their documents."""
    import yaml

    text = (resources.files("loadtest") / "requirements.yaml").read_text()
    return tuple(Requirement(**each) for each in yaml.safe_load(text))
