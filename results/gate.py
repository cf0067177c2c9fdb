"""The answer of a performance gate for people, for GitHub or GitLab, and for anything else."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from results.ratios import COSTS, MetricVerdict
from results.regression import Regression
from results.store import write_text
from results.terminal import sheet

EXIT_CODES: Final = {"pass": 0, "inconclusive": 0, "fail": 1, "invalid": 3}
HEADLINES: Final = {
    "pass": "head is not dearer than base by more than its budgets",
    "fail": "head breaks a budget or an invariant",
    "inconclusive": "the pairs do not decide: play more, or on a quieter machine",
    "invalid": "too few valid pairs: the generator, not the server, was the limit",
}
_STYLES: Final = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "invalid": "red"}


def exit_code(document: Regression, *, strict: bool) -> int:
    """0 for a pass, 1 for a failure, 3 for an invalid run; inconclusive is 1 where `strict`."""
    if strict and document["verdict"] == "inconclusive":
        return 1
    return EXIT_CODES[document["verdict"]]


def render(document: Regression) -> RenderableType:
    """The verdict and its table, for a terminal."""
    verdict = document["verdict"]
    titles = ("metric", "head / base", "95 % interval", "budget", "verdict")
    table = sheet(*titles, words=("metric", "verdict"))
    for each in document["metrics"]:
        style = _STYLES.get(each["verdict"], "dim")
        table.add_row(*_cells(each), Text(each["verdict"], style=style))
    return Group(
        Text(f"{verdict}: {HEADLINES[verdict]}", style=_STYLES[verdict]),
        Text(_played(document), style="dim"),
        table,
        *(Text(f"! {reason}", style="yellow") for reason in document["reasons"]),
    )


def _played(document: Regression) -> str:
    at_once = f" ({document['at_once']} at once)" if document["at_once"] else ""
    return f"{document['pairs']} pairs{at_once}, {document['discarded']} plays discarded"


def _cells(metric: MetricVerdict) -> tuple[str, str, str, str]:
    low, high, budget = metric["low"], metric["high"], metric["budget"]
    interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    ratio = "" if metric["ratio"] is None else f"{metric['ratio']:.3f}"
    return metric["name"], ratio, interval, "" if budget is None else f"+{100 * budget:g} %"


def markdown(document: Regression) -> str:
    """The same as a summary of a pull request."""
    verdict = document["verdict"]
    lines = [
        f"### Performance: {verdict}",
        "",
        f"{HEADLINES[verdict][0].upper()}{HEADLINES[verdict][1:]} ({_played(document)}).",
        "",
        "| metric | head / base | 95 % interval | budget | verdict |",
        "|---|---:|---:|---:|---|",
    ]
    lines += [f"| {' | '.join((*_cells(each), each['verdict']))} |" for each in document["metrics"]]
    laws = document["invariants"].items()
    lines += ["", *(f"- {name}: base {law['base']}, head {law['head']}" for name, law in laws)]
    lines += [f"- {reason}" for reason in document["reasons"]]
    return "\n".join([*lines, ""])


def write(document: Regression, junit: Path | None, summary: Path | None) -> list[Path]:
    """Write what was asked for, and append to `$GITHUB_STEP_SUMMARY` where set; the files."""
    written = []
    if step := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(step).open("a") as file:
            file.write(markdown(document))
        written.append(Path(step))
    if summary is not None:
        write_text(summary, markdown(document))
        written.append(summary)
    if junit is not None:
        write_junit(document, junit)
        written.append(junit)
    return written


def write_junit(document: Regression, path: Path) -> None:
    """One test case for each gated metric and invariant, as continuous integration shows them.

    The format has no standard. What is written fits both schemas in use: that of Jenkins's xUnit
    plugin (junit-10.xsd) and the stricter one of Ant's reports (windyroad/JUnit-Schema), whence
    the properties, the outputs and the attributes that say nothing here.
    """
    from junitparser import (
        Attr,
        Error,
        Failure,
        JUnitXml,
        Skipped,
        SystemErr,
        SystemOut,
        TestCase,
        TestSuite,
    )

    class Suite(TestSuite):
        """A suite among several has a number and a package in Ant's schema."""

        id, package = Attr(), Attr()

    suite = Suite("gridlab regress")
    suite.id, suite.package, suite.hostname = "0", "gridlab", "localhost"
    suite.timestamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")  # a zone is not allowed
    for name in ("verdict", "pairs", "discarded"):
        suite.add_property(name, str(document[name]))
    for each in document["metrics"]:
        if each["budget"] is None:
            continue
        case = TestCase(each["name"], classname="regress.metrics", time=0)
        name, ratio, interval, budget = _cells(each)
        text = f"{COSTS.get(name, name)}: head / base {ratio} ({interval}), budget {budget}"
        if each["verdict"] == "fail":
            case.result = [Failure(text, "budget")]
        elif each["verdict"] != "pass":
            case.result = [Skipped(f"{each['verdict']}: {text}")]
        suite.add_testcase(case)
    for name, law in document["invariants"].items():
        case = TestCase(name, classname="regress.invariants", time=0)
        if not law["holds"]:
            case.result = [Failure(f"base {law['base']}, head {law['head']}", "invariant")]
        suite.add_testcase(case)
    if document["verdict"] == "invalid":
        case = TestCase("enough valid pairs", classname="regress", time=0)
        case.result = [Error("; ".join(document["reasons"]) or "no pairs", "invalid")]
        suite.add_testcase(case)
    said = SystemOut(HEADLINES[document["verdict"]]), SystemErr("\n".join(document["reasons"]))
    suite.extend(said)  # type: ignore[no-untyped-call]
    xml = JUnitXml()
    xml.add_testsuite(suite)
    written = io.BytesIO()
    xml.write(written, pretty=True)
    write_text(path, written.getvalue().decode())
