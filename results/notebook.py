"""A run as a notebook shows it: its headline, and a table of figures with a column per phase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from results.documents import QUANTILES, Summary
from results.statistics import Estimate
from results.wording import phase_rows

if TYPE_CHECKING:
    import pandas as pd

CELL = "text-align:right"


def html(summary: Summary) -> str:
    """The run's answer as a fragment of HTML without style sheets or scripts."""
    verdict, phases = summary["verdict"], summary["phases"]
    replications = summary["replications"]
    times = "1 replication" if replications == 1 else f"{replications} replications"
    what = f"{summary['origin']}, {times} of {summary['duration_s']:g} s, seed {summary['seed']}"
    heads = ["", *(f"{p['name']} ({p['start_s']:g}–{p['end_s']:g} s)" for p in phases), ""]
    rows = [[row.label, *row.cells, row.unit] for row in phase_rows(summary)]
    notes = [f"<br>! {escape(text)}" for text in (*verdict["reasons"], *verdict["warnings"])]
    return "\n".join(
        [
            f"<p><b>{escape(summary['topology'])}</b> ({escape(what)})<br>",
            f"{escape(summary['headline'])}{''.join(notes)}</p>",
            *_table(heads, rows),
        ]
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield "<table><thead><tr>" + "".join(f"<th>{escape(h)}</th>" for h in heads) + "</tr></thead>"
    yield "<tbody>"
    for label, *cells, unit in rows:
        values = "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in cells)
        yield f"<tr><td>{escape(label)}</td>{values}<td>{escape(unit)}</td></tr>"
    yield "</tbody></table>"


def figures(summary: Summary) -> pd.DataFrame:
    """Figures of each measured phase: value and ends of the 95 % interval; NaN where there is none.

    Returns
    -------
    DataFrame
        A row per figure and a column per (phase, end): rates [1/s], latencies [s], shares [1].
    """
    import pandas as pd

    columns: dict[tuple[str, str], dict[str, float | None]] = {}
    for phase in summary["phases"]:
        found: dict[str, Estimate] = {
            "offered_load_per_s": phase["offered_load_per_s"],
            "throughput_per_s": phase["throughput_per_s"],
            "goodput_per_s": phase["goodput_per_s"],
            "timely_share": phase["timely_share"],
            **{f"latency_{q}_s": phase["latency_s"][q] for q in QUANTILES},
        }
        for name, controller in phase["controllers"].items():
            found[f"utilisation {name}"] = controller["utilisation"]
        for end in ("value", "low", "high"):
            columns[phase["name"], end] = {name: estimate[end] for name, estimate in found.items()}
    frame = pd.DataFrame(columns, dtype=float)
    frame.columns.names = ["phase", ""]
    return frame
