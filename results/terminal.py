"""Summaries and comparisons as a terminal shows them, and the tables of all commands."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from results import offline, units
from results.answers import answers_text
from results.documents import QUANTILES, Change, Comparison, PhaseComparison, Side, Summary
from results.stages import busiest_text, stages_text
from results.statistics import Estimate
from results.wording import phase_rows


class Sheet(Table):
    """A table in which figures keep to one line, unless the terminal is too narrow even so."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = sum(self._least(column, console, options) for column in self.columns)
        gaps = max(len(self.columns) - 1, 0)
        if least + 2 * gaps > options.max_width:
            self.padding = (0, 1, 0, 0)
        if least + gaps > options.max_width:
            for column in self.columns:
                column.no_wrap = False
        yield from super().__rich_console__(console, options)

    @staticmethod
    def _least(column: Column, console: Console, options: ConsoleOptions) -> int:
        """Characters that a column cannot do without."""
        cells = [Measurement.get(console, options, each) for each in column.cells]
        cells.append(Measurement.get(console, options, column.header))
        return max(cell.maximum if column.no_wrap else cell.minimum for cell in cells)


def sheet(*headings: str, words: tuple[str, ...] = (), title: str | None = None) -> Sheet:
    """An empty table with columns of `words` on the left and, on the right, of figures."""
    table = Sheet(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold",
        title=title, title_justify="left",
    )  # fmt: skip
    for heading in headings:
        left = heading in words
        table.add_column(Text(heading), justify="left" if left else "right", no_wrap=not left)
    return table


def render(summary: Summary) -> RenderableType:
    """A run at a glance: its headline, a column per phase, then what to know about the figures."""
    return Group(
        Text(f"{summary['topology']}, {_what(summary)}", style="dim"),
        Text(summary["headline"], style="bold" if summary["verdict"]["valid"] else "bold red"),
        _phase_table(summary),
        *(Text(f"! {text}", style="yellow") for text in summary["verdict"]["warnings"]),
        Text("\n".join(_notes(summary)), style="dim"),
    )


def _what(summary: Summary) -> str:
    replications = summary["replications"]
    times = f"{replications} replications" if replications > 1 else "one replication"
    return f"{summary['origin']}: {times} of {summary['duration_s']:g} s, seed {summary['seed']}"


def _phase_table(summary: Summary) -> Table:
    table = sheet("", *(phase["name"] for phase in summary["phases"]), words=("",))
    table.add_column("", style="dim", no_wrap=True)
    spans = [f"{p['start_s']:g}–{p['end_s']:g} s" for p in summary["phases"]]
    table.add_row("", *(Text(span, style="dim") for span in spans), "")
    for row in phase_rows(summary):
        style = "bold red" if row.alarming else ""
        cells = (Text(cell, style=style if cell != "–" else "dim") for cell in row.cells)
        table.add_row(row.label, *cells, row.unit)
    return table


def _sessions(summary: Summary) -> Iterator[str]:
    for each in summary["sessions"]:
        whole = each["whole_again_s"]
        back = "never" if whole is None else f"at {whole:g} s"
        yield (
            f"{each['population']}: {each['logins']:,} logins of {each['platforms']:,} Platforms "
            f"in {each['attempts']:,} attempts, {each['given_up']:,} given up, "
            f"{each['refused']:,} refused; p99 of a login {_seconds(each['login_p99_s'])}; "
            f"{100.0 * each['online_share_min']:.3g} % online at worst, whole again {back}."
        )


def _seconds(value_s: float | None) -> str:
    return "–" if value_s is None else f"{value_s:.3g} s"


def _notes(summary: Summary) -> Iterator[str]:
    deliveries, identities = summary["deliveries"], summary["identities"]
    yield (
        f"{deliveries['delivered']:,} of {deliveries['expected']:,} deliveries arrived; "
        f"{deliveries['rejected']:,} rejected, {deliveries['discarded']:,} discarded, "
        f"{deliveries['lost']:,} lost."
    )
    if summary["stages"]:
        yield f"Mean way of a delivery: {stages_text(summary['stages'])}."
    if summary["busiest"]:
        yield f"Used most: {busiest_text(summary['busiest'])}."
    yield (
        "± is a 95 % interval; throughput is what arrives in a phase, goodput what was published "
        f"in it and arrives within {summary['deadline_s']:g} s."
    )
    yield from _sessions(summary)
    yield from answers_text(summary["answers"])
    yield from offline.text(summary["offline"])
    broken = [identity["name"] for identity in identities if not identity["holds"]]
    if broken:
        yield f"Broken identities: {'; '.join(broken)}."
    elif identities:
        yield f"Identities hold: {'; '.join(identity['name'] for identity in identities)}."
    yield f"Took {units.seconds(summary['wall_s'])} and {units.size(summary['peak_rss_bytes'])}."


def render_comparison(comparison: Comparison) -> RenderableType:
    """Two runs side by side: a table per phase, and how they were paired."""
    how = (
        f"{comparison['a']['replications']} replications in pairs: both played the same plans."
        if comparison["paired"]
        else "Different plans: compared as independent samples (Welch)."
    )
    return Group(
        *(Text(f"{key}  {_side(side)}") for key, side in _sides(comparison)),
        *(Text(f"! {text}", style="yellow") for text in comparison["warnings"]),
        *(_comparison_table(phase) for phase in comparison["phases"]),
        Text(f"{how} ± is a 95 % interval; bold where the sign is certain.", style="dim"),
    )


def _sides(comparison: Comparison) -> list[tuple[str, Side]]:
    return [("A", comparison["a"]), ("B", comparison["b"])]


def _side(side: Side) -> str:
    return f"{side['topology']}, {side['origin']}: {', '.join(side['run_ids'])}"


def _comparison_table(phase: PhaseComparison) -> Table:
    table = sheet("", "A", "B", "B − A", "B / A", words=("",), title=phase["name"])
    for label, change, scale, unit in _lines(phase):
        cells = [
            units.with_interval(change[side], scale, unit) for side in ("a", "b", "difference")
        ]
        ratio = units.with_interval(change["ratio"])
        style = "bold" if _certain(change["difference"]) else ""
        table.add_row(label, *cells[:2], Text(cells[2], style=style), Text(ratio, style=style))
    return table


def _lines(phase: PhaseComparison) -> Iterator[tuple[str, Change, float, str]]:
    """Label, change, and the unit in which all its cells are printed."""
    yield "Offered load", phase["offered_load_per_s"], 1.0, "/s"
    yield "Throughput", phase["throughput_per_s"], 1.0, "/s"
    yield "Goodput", phase["goodput_per_s"], 1.0, "/s"
    for q in QUANTILES:
        change = phase["latency_s"][q]
        largest = max(change["a"]["value"] or 0.0, change["b"]["value"] or 0.0)
        length_s, unit = units.seconds_scale(largest)
        yield f"Latency {q}", change, length_s, f" {unit}"
    for name, change in phase["utilisation"].items():
        yield f"CPU {name}", change, 0.01, " %"


def _certain(difference: Estimate) -> bool:
    low, high = difference["low"], difference["high"]
    return low is not None and high is not None and (low > 0.0 or high < 0.0)
