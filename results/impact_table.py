"""The variants of an attack side by side, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from results.statistics import Estimate
from results.terminal import Sheet, sheet
from results.variants import Agreement, Attack, Variant

COLUMNS = (
    ("goodput_per_s", "goodput", 1.0, "/s"),
    ("p99_s", "p99", 1e3, " ms"),
    ("collateral", "collateral", 100.0, " %"),
    ("messages", "copies per hostile one", 1.0, ""),
    ("time_to_detect_s", "detected after", 1.0, " s"),
    ("time_to_mitigate_s", "mitigated after", 1.0, " s"),
    ("time_to_recover_s", "recovery", 1.0, " s"),
)
UNITS = (("_per_s", "1/s"), ("_per_h", "1/h"), ("_bytes", "B"), ("_share", "1"), ("_s", "s"))


def render(document: Attack) -> RenderableType:
    """A row for each defence, then what was expected.

    Of the scenario's own figures there are its headline and those that differ between the variants;
    the document has all.
    """
    if "measured" in document:
        predicted: Attack = {**document, "title": "predicted"}
        measured: Attack = {**document, "title": "measured", "variants": document["measured"]}
        del predicted["measured"], measured["measured"]
        plays = _plays(document["headline"], document["measured"])
        return Group(render(predicted), render(measured), *plays, *_agreement(document))
    shown = [column for column in COLUMNS if _anywhere(document, column[0])]
    own = _own(document)
    titles = (*(_title(name) for name in own), *(column[1] for column in shown))
    table = sheet("defence", *titles, words=("defence",))
    for each in document["variants"]:
        figures = [_shown(each["figures"].get(name), 1.0, "") for name in own]
        figures += [_shown(_figure(each, name), factor, unit) for name, _, factor, unit in shown]
        table.add_row(each["defence"], *figures)
    return Group(
        Text(f"{document['id']} on {document['topology']}: {document['title']}", style="bold"),
        Text(document["reference"], style="dim"),
        table,
        Text(f"Expected: {document['hypothesis']}", style="dim"),
    )


def _plays(headline: str, measured: Sequence[Variant]) -> list[RenderableType]:
    """Of variants that were played several times how far the plays went apart."""
    if not any(each.get("plays") for each in measured):
        return []
    table = sheet("defence", "lowest", "median", "highest", "plays", "in doubt", words=("defence",))
    for each in measured:
        plays = each.get("plays", [])
        found = [play["figures"].get(headline) for play in plays]
        known = sorted(value for value in found if value is not None)
        ends = [f"{value:.4g}" for value in (known[0], known[-1])] if known else ["–", "–"]
        median = each[headline] if headline in each else each["figures"].get(headline)  # type: ignore[literal-required]
        table.add_row(
            each["defence"], ends[0], _shown(median, 1.0, ""),
            ends[1] if len(known) == len(found) else "–",
            str(len(plays)), str(sum(bool(play["doubts"]) for play in plays)),
        )  # fmt: skip
    return [Text(f"{_title(headline)} of single plays, and their median:"), table]


def _agreement(document: Attack) -> list[RenderableType]:
    """Predicted and measured, figure by figure, and what abandoned logins did cost."""
    tables: list[RenderableType] = [_ratios(document.get("agreement", []))]
    known = {
        "the pace of the server's core": document.get("given_pace", []),
        "the CPU time that the server used": document.get("given_cost", []),
    }
    for what, told in known.items():
        headlines = [each for each in told if each["figure"] == document["headline"]]
        if headlines:
            tables += [Text(f"The same by a model that was told {what}:"), _ratios(headlines)]
    doubts = [
        Text(f"Invalid: {each['defence']}: {doubt}", style="bold red")
        for each in document.get("measured", [])
        for doubt in each.get("doubts", [])
    ]
    doubts += [Text(f"In doubt: {each}", style="bold red") for each in document.get("doubts", [])]
    noticed = document.get("noticed", [])
    if not noticed:
        return [*tables, *doubts]
    shares = ", ".join(
        f"{each['step']} {100 * each['noticed']:.0f} % "
        f"({100 * each['low']:.0f} to {100 * each['high']:.0f})"
        for each in noticed
    )
    unpaid = Text(f"Of logins that were given up the server dropped unpaid: {shares}")
    return [*tables, *doubts, unpaid]


def _ratios(rows: Sequence[Agreement]) -> Sheet:
    titles = ("defence", "figure", "predicted", "measured", "measured / predicted")
    table = sheet(*titles, words=("defence", "figure"))
    for each in rows:
        table.add_row(
            each["defence"],
            each["figure"].replace("_", " "),
            _shown(each["predicted"], 1.0, ""),
            _shown(each["measured"], 1.0, ""),
            _ratio(each),
        )
    return table


def _ratio(each: Agreement) -> str:
    """`1.03 (0.91 to 1.15)`."""
    if each["ratio"] is None:
        return "–"
    text = f"{each['ratio']:.3g}"
    if each["ratio_low"] is not None and each["ratio_high"] is not None:
        text += f" ({each['ratio_low']:.3g} to {each['ratio_high']:.3g})"
    return text


def _own(document: Attack) -> list[str]:
    """Names of the scenario's own figures that have a column, the headline first."""
    names = dict.fromkeys(name for each in document["variants"] for name in each["figures"])
    shown = [name for name in names if name == document["headline"] or _differs(document, name)]
    return sorted(shown, key=lambda name: name != document["headline"])


def _differs(document: Attack, name: str) -> bool:
    """Whether the variants do not all show the same."""
    texts = {_shown(each["figures"].get(name), 1.0, "") for each in document["variants"]}
    return len(texts) > 1


def _figure(variant: Variant, name: str) -> Estimate:
    """A standard figure of a variant."""
    if name == "messages":
        return variant["amplification"]["messages"]
    estimate: Estimate = variant[name]  # type: ignore[literal-required]
    return estimate


def _anywhere(document: Attack, name: str) -> bool:
    """Whether any variant has this figure."""
    estimates = [_figure(each, name) for each in document["variants"]]
    return any(each["value"] is not None or _endless(each) for each in estimates)


def _endless(estimate: Estimate) -> bool:
    return estimate.get("reason", "").startswith("unbounded")


def _title(name: str) -> str:
    """How a figure is called over its column, with its unit."""
    for suffix, unit in UNITS:
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix).replace('_', ' ')} [{unit}]"
    return name.replace("_", " ")


def _shown(estimate: Estimate | None, factor: float, unit: str) -> str:
    """Value and half-width of its interval, ∞ where it is unbounded, – where there is none."""
    if estimate is None or estimate["value"] is None:
        return "∞" if estimate is not None and _endless(estimate) else "–"
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    text = f"{factor * value:,.4g}"
    if abs(factor * value) >= 1e4:
        text = f"{factor * value:,.0f}"
    if low is not None and high is not None and high > low:
        half = factor * (high - low) / 2
        text += f" ± {half:,.0f}" if half >= 100 else f" ± {half:.2g}"
    return text + unit
