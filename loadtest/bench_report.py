"""What `gridlab bench load` shows to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loadtest import promises

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

LABELS = {
    "counting": "ours, counting",
    "interpreted": "ours, no compiled code",
    "full": "ours, slixmpp kept",
    "stock": "stock slixmpp",
    "tsung": "Tsung",
    "floor": "C",
}
_NAMES = ("server", "receiver", "pace", "publisher")


def render(document: dict[str, Any]) -> Group:
    """The document as tables, and the other figures below."""
    from rich.console import Group

    deliveries = _table(
        "CPU time of a delivery",
        ("server", "sessions", "receiver", "us", "from", "to", "over ours", "server us", "busy"),
    )
    for row in document["delivery"]["at"]:
        deliveries.add_row(row["server"], *_cells(row), f"{row['server_cpu_us']:.1f}", _busy(row))
    publications = _table(
        "CPU time of a publication",
        ("pace", "sessions", "publisher", "us", "from", "to", "over ours", "late ms", "busy"),
    )
    for row in document["publish"]["at"]:
        late_ms = row["lateness_ms"]
        late = "" if late_ms is None else f"{late_ms:.2f}"
        publications.add_row(row["pace"], *_cells(row), late, _busy(row))
    return Group(deliveries, publications, summary(document))


def _table(title: str, columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), title=title)
    for name in columns:
        table.add_column(name, justify="left" if name in _NAMES else "right")
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    """What both tables show of a contender."""
    return [
        f"{row['sessions']:,}",
        LABELS[row["contender"]],
        f"{row['cpu_us']:.1f}",
        f"{row['least_us']:.1f}",
        f"{row['most_us']:.1f}",
        f"{row['over_ours']:.2f}" if row["over_ours"] else "",
    ]


def _busy(row: dict[str, Any]) -> str:
    return f"{row['busy']:.2f}"


def summary(document: dict[str, Any]) -> str:
    """The other figures, one line each."""

    def number(value: float | None, unit: str, digits: int = 1) -> str:
        return "not measured" if value is None else f"{value:,.{digits}f} {unit}"

    login, session, publish = document["login"], document["session"], document["publish"]
    kilo = {name: value and value / 1e3 for name, value in session.items()}
    lines = [
        f"login       {number(login['cpu_ms'], 'ms')} through slixmpp, {login['mechanism']}; ours "
        f"over C's {number(login['ours_over_c'], '').strip()}",
        f"publication {number(publish['cpu_us'], 'us')} of one session; Tsung over ours "
        f"{number(publish['tsung_over_ours'], '', 2).strip()}, ours over C's "
        f"{number(publish['ours_over_c'], '', 2).strip()}",
        f"session     {number(kilo['full_rss_bytes'], 'kB')} with slixmpp, "
        f"{number(kilo['counting_rss_bytes'], 'kB')} counting",
    ]
    lines += [f"left out    {name}: {why}" for name, why in document["missing"].items()]
    lines += promises.lines(document["claims"])
    return "\n".join(lines)
