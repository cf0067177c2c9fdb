"""A plan at a terminal: the answer, what surrounds it, and a table of what was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results import units
from results.plans import PlanDocument, headline, remarks, tried

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def render(document: PlanDocument) -> RenderableType:
    """The plan at a terminal: the answer, what surrounds it, and what was tried."""
    from rich.console import Group
    from rich.text import Text

    lines = [Text(f"{document['topology']}: {document['question']}", style="dim")]
    style = "bold" if document["answer"] is not None else "bold red"
    lines.append(Text(headline(document), style=style))
    for advice in document["advice"]:
        lines.append(Text(f"! {advice['place']}: {advice['text']}.", style="yellow"))
        lines += [Text(f"    {repair}", style="yellow") for repair in advice["repairs"]]
    lines += [Text(remark) for remark in remarks(document)]
    return Group(*lines, _tried(document))


def _tried(document: PlanDocument) -> Table:
    from rich.table import Table
    from rich.text import Text

    several = len({each["controller"] for each in document["evidence"]}) > 1
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("size", "load", "case", "p99", "CPU", "verdict", "sure"):
        table.add_column(heading, justify="left" if heading in ("size", "verdict") else "right")
    for each in document["evidence"]:
        place = f"{each['controller']} " if several else ""
        p99 = units.latency(each["p99_s"]) if each["p99_s"] is not None else "–"
        colour = {"meets": "green", "misses": "red", "refused": "dim"}[each["verdict"]]
        table.add_row(
            Text(f"{place}{tried(each)}"),
            f"{each['load']:.3g}",
            each["case"],
            p99,
            units.percent(each["shares"]["cpu"]),
            Text(f"{each['verdict']}{': ' if each['reason'] else ''}{each['reason']}", colour),
            units.percent(each["certainty"]),
        )
    return table
