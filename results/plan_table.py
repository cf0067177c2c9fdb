"""A plan at a terminal: the answer, what surrounds it, and a table of what was tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from results.plan_words import HEADINGS, cells, headline, remarks
from results.plans import PlanDocument

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
    from rich.text import Text

    from results.terminal import sheet

    several = len({each["controller"] for each in document["evidence"]}) > 1
    table = sheet(*HEADINGS, words=("size", "verdict"))
    for each in document["evidence"]:
        place = f"{each['controller']} " if several else ""
        colour = {"meets": "green", "misses": "red", "refused": "dim"}[each["verdict"]]
        size, *figures, verdict, sure = cells(each)
        table.add_row(Text(f"{place}{size}"), *figures, Text(verdict, colour), sure)
    return table
