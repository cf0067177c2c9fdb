"""`make quotes`: write into the docs what stored proofs say: quoted figures and printed tables.

A quote is a link that carries its figure: [1.4 %](results/reference/NAME.json "path.to.figure").
Its number is written anew, with the digits that it is given with; the words around it are not, so
each one that changed is listed and wants reading.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from results import replays, trust

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
QUOTE = re.compile(r'\[([^\]]+)\]\([./]*(?:results/)?reference/([a-z0-9-]+)\.json "([^"]+)"\)')
SCALES = {"%": 100.0, "ms": 1e3, "us": 1e6, "kB": 1e-3, "MB": 1e-6, "M/s": 1e-6, "k/s": 1e-3}
BEGIN, END = "<!-- printed by {} -->", "<!-- end -->"
PRINTED: Mapping[str, Callable[[], str]] = {
    "gridlab trust --markdown": lambda: trust.markdown(trust.trust()),
    "gridlab threats --real --markdown": lambda: replays.markdown(replays.replays()),
}


@dataclass(frozen=True)
class Quote:
    """A figure of a stored proof in a doc: what the text says, of which proof, and where in it."""

    text: str
    name: str
    place: str

    def value(self) -> float | int:
        """What is stored, in the unit of the text."""
        figure = document(self.name)
        for key in self.place.split("."):
            figure = figure[int(key)] if isinstance(figure, list) else figure[key]
        if not isinstance(figure, int | float):
            raise ValueError(f"{self.name}.json: {self.place}: is {figure!r}, no figure to quote")
        scale = SCALES.get(self.parts()[1])
        return figure * scale if scale else figure

    def parts(self) -> tuple[str, str]:
        """Number and unit of the text."""
        number, unit = re.fullmatch(r"(-?[\d.,]+)\s*(\S*)", self.text).groups()
        return number, unit

    def decimals(self) -> int:
        """How many the text gives."""
        return len(self.parts()[0].partition(".")[2])

    def holds(self) -> bool:
        """Whether the text says what is stored, to its digits or to two of the stored figure."""
        value = abs(self.value())
        shown = float(self.parts()[0].replace(",", ""))
        significant = 10.0 ** (math.floor(math.log10(value)) - 1) if value else 0.0
        return abs(shown - self.value()) <= max(0.5 * 10.0 ** -self.decimals(), 0.5 * significant)

    def renewed(self) -> str:
        """What the text should say: as many decimals as now, more where two digits need them."""
        value = self.value()
        if isinstance(value, int):
            return f"{value:,d} {self.parts()[1]}".strip()
        needed = 1 - math.floor(math.log10(abs(value))) if value else 0
        return f"{value:,.{max(self.decimals(), needed)}f} {self.parts()[1]}".strip()


@cache
def document(name: str) -> Any:
    """What a stored proof printed."""
    return json.loads((REFERENCE / f"{name}.json").read_text())["document"]


def pages() -> list[Path]:
    """All docs, which may quote."""
    return sorted(path for path in ROOT.rglob("*.md") if ".venv" not in path.parts)


def quotes(page: Path) -> list[Quote]:
    """What a page quotes."""
    return [Quote(*found) for found in QUOTE.findall(page.read_text())]


def between(text: str, command: str) -> str | None:
    """What a page shows of a command, between its markers; None where it shows nothing of it.

    Raises
    ------
    ValueError
        A marker has no end.
    """
    _, begun, rest = text.partition(BEGIN.format(command))
    shown, ended, _ = rest.partition(END)
    if begun and not ended:
        raise ValueError(f"{BEGIN.format(command)}: has no {END} behind it")
    return shown if begun else None


def renew(text: str, printed: Mapping[str, Callable[[], str]] = PRINTED) -> tuple[str, list[str]]:
    """A page with figures and tables as they are stored, and what changed in it."""
    changes = []

    def figure(match: re.Match[str]) -> str:
        quote = Quote(*match.groups())
        if quote.holds():
            return match[0]
        changes.append(f"{quote.text} -> {quote.renewed()}  ({quote.name}: {quote.place})")
        return match[0].replace(f"[{quote.text}]", f"[{quote.renewed()}]", 1)

    text = QUOTE.sub(figure, text)
    for command, table in printed.items():
        shown = between(text, command)
        if shown is not None and shown.strip() != (now := table().strip()):
            changes.append(f"the table of {command}")
            begin = BEGIN.format(command)
            text = text.replace(f"{begin}{shown}{END}", f"{begin}\n\n{now}\n\n{END}")
    return text, changes


def main() -> None:
    """Renew all pages; print what changed, by page."""
    for page in pages():
        text, changes = renew(page.read_text())
        if changes:
            page.write_text(text)
            print(f"{page.relative_to(ROOT)}:", *changes, sep="\n  ")


if __name__ == "__main__":
    main()
