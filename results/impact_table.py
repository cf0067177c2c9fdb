"""The variants of an attack side by side, for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from results.impact import Attack
from results.statistics import Estimate


def render(document: Attack) -> RenderableType:
    """A row for each defence, then what was expected."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for title in ("defence", "goodput", "p99", "collateral", "copies per hostile one", "recovery"):
        table.add_column(title, justify="left" if title == "defence" else "right")
    for each in document["variants"]:
        table.add_row(
            each["defence"],
            _shown(each["goodput_per_s"], 1.0, "/s"),
            _shown(each["p99_s"], 1e3, " ms"),
            _shown(each["collateral"], 100.0, " %"),
            _shown(each["amplification"]["messages"], 1.0, ""),
            _shown(each["time_to_recover_s"], 1.0, " s"),
        )
    return Group(
        Text(f"{document['id']} on {document['topology']}: {document['title']}", style="bold"),
        Text(document["reference"], style="dim"),
        table,
        Text(f"Expected: {document['hypothesis']}", style="dim"),
    )


def _shown(estimate: Estimate, factor: float, unit: str) -> str:
    """Value and half-width of its interval, or why there is none."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return estimate.get("reason", "").split(":")[0] or "none"
    text = f"{factor * value:,.4g}"
    if low is not None and high is not None:
        text += f" ± {factor * (high - low) / 2:.2g}"
    return text + unit
