"""The table of threats for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from results.terminal import sheet


def render(document: Mapping[str, Any]) -> RenderableType:
    """A row for each threat and countermeasure, then the shares.

    Parameters
    ----------
    document : mapping
        Of `gridlab threats --json`.
    """
    titles = ("id", "what", "shown by", "figure", "on a real server")
    table = sheet(*titles, words=titles)
    for row in document["rows"]:
        claim = row["simulated_by"]
        shown = f"{claim['scenario']}: {claim['without']} / {claim['toggle']}" if claim else "–"
        driven = ", ".join(_short(each) for each in row["driven_by"]) or "–"
        table.add_row(row["id"], row["item"], shown, row["metric"] or row["reason"], driven)
    count = len(document["rows"])
    shares = (
        f"{count} rows: {100 * document['simulated_share']:.0f} % simulated, "
        f"{100 * document['driven_share']:.0f} % exercised on a real server"
    )
    return Group(table, Text(shares, style="bold"))


def _short(driven: str) -> str:
    """A command or test without what all of its kind have in common."""
    return driven.removeprefix("gridlab ").removeprefix("tests/loadtest/").partition("::")[0]
