"""How far the model may be trusted: the scores of all stored validations, computed anew.

A proof is what `gridlab validate --json` printed, as `make prove` stores it in `results/reference`
or as `gridlab validate` keeps it beside its runs. What it says of its errors is not believed: they
come from the counts and histograms in it. A proof is refused whose predictions are not older than
their measurements, or are not those that were stored then, or were made of single runs from light
loads that prove nothing (`results.bracketing`). One is not scored on whose machine the same light
load did not cost the same before and after; where it did at equal pace of its cores, it is scored
at equal pace, and what was predicted of each run from a light load just before it is scored all the
same. What rests on a light load that does not count itself is not scored (`results.pilots`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from typing_extensions import TypedDict

from results import beyond, bracketing, causes, pilots, twin, twin_table
from results.evidence import Evidence, counts_of_text, digest
from results.histogram import quantile
from results.records import RecordError
from results.statistics import Estimate
from results.twin_documents import Beyond, Cause, TwinPoint, TwinRefutation, TwinSummary

if TYPE_CHECKING:
    from rich.console import RenderableType

REFERENCE = Path(__file__).parent / "reference"
KIND = "validation"
ON_ITS_COSTS = "nothing that rests on its costs is scored"
SAME = 1e-9  # relative, between a figure that a proof states and the one that its counts give


class ProofFigures(TypedDict):
    """A proof that counts: where it is from, and how its points ended."""

    name: str
    topology: str
    command: str
    created: str
    commit: str
    machine: dict[str, str]
    points: int
    verdicts: dict[str, int]
    causes: list[Cause]


class Refused(TypedDict):
    """A proof that does not count, and why."""

    name: str
    reasons: list[str]


class ProvenRefutation(TwinRefutation):
    """A figure that is off, and the proof that shows it."""

    proof: str


class ProvenBeyond(Beyond):
    """A figure beyond the points' own, and the proof that shows it."""

    proof: str


class Trust(TypedDict):
    """The document of `gridlab trust --json`."""

    proofs: list[ProofFigures]
    refused: list[Refused]
    unsteady: list[Refused]
    summary: TwinSummary
    beyond: list[ProvenBeyond]
    refuted: list[ProvenRefutation]


def trust(places: Sequence[Path] = ()) -> Trust:
    """The scores of every proof in some directories or files; of those shipped by default.

    Raises
    ------
    RecordError
        A place is not there, cannot be read, or holds no validation.
    """
    proofs: list[ProofFigures] = []
    refused: list[Refused] = []
    unsteady: list[Refused] = []
    points: list[TwinPoint] = []
    refuted: list[ProvenRefutation] = []
    found: list[ProvenBeyond] = []
    for name, whole in _stored(places or [REFERENCE]):
        document = whole.get("document", whole)
        try:
            reasons = [why for each in document["points"] for why in problems(each)]
            reasons += bracketing.problems(document)
            own = [] if reasons else [again(each) for each in document["points"]]
            if not reasons and not own:
                reasons = ["has no points"]
            unknown = "" if reasons else pilots.spoiled(document)
            if unknown:
                unsteady.append({"name": name, "reasons": [f"{unknown}: {ON_ITS_COSTS}"]})
                own = [pilots.unfounded(each, unknown) for each in own]
            why = "" if reasons else causes.unsteady(document.get("drift"))
            if not (reasons or why or unknown):
                why = pilots.untold(document)
            steady = _steady(document.get("drift_given_pace"), own)
            told_by = list(beyond.LEVELS)
            if why or unknown:
                told_by = ["bracketed", *(["given_pace"] if steady and not unknown else [])]
            if why and (scored := _scored_alone(own, steady)):
                unsteady.append({"name": name, "reasons": [f"{why}: scored {scored} alone"]})
                own, why = [twin.barred(each, why, steady) for each in own], ""
            proof = None if reasons or why else _proof(name, whole, own)
            denied = [] if proof is None else twin.refutations(own)
            changes = document.get("changes", ())
            rows = [] if proof is None else beyond.of_points(own, changes, told_by)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            reasons, proof = [f"cannot be read as a validation ({error!r})"], None
        if reasons:
            refused.append({"name": name, "reasons": reasons})
        elif proof is None:
            unsteady.append({"name": name, "reasons": [why]})
        else:
            points += own
            refuted += [{**each, "proof": name} for each in denied]
            found += [{**each, "proof": name} for each in rows]
            proofs.append(proof)
    found += [
        {**each, "proof": name}
        for name, document in _others(places or [REFERENCE])
        for each in beyond.of_document(document)
    ]
    return {
        "proofs": proofs, "refused": refused, "unsteady": unsteady,
        "summary": twin.summary(points), "beyond": found, "refuted": refuted,
    }  # fmt: skip


def _steady(at_equal_pace: Estimate | None, points: Sequence[TwinPoint]) -> bool:
    """Whether the machine was the same at the end but for its pace, which is known throughout."""
    known = at_equal_pace is not None and all(
        each["given_pace"] for each in points if each["repeats"]
    )
    return known and not causes.unsteady(at_equal_pace)


def _scored_alone(points: Sequence[TwinPoint], steady: bool) -> str:
    """What can be scored where a machine has changed, as each run itself tells of the machine."""
    ways = [
        *(["bracketed"] if any(each["bracketed"] for each in points) else []),
        *(["at equal pace"] if steady else []),
    ]
    return " and ".join(ways)


def _proof(name: str, whole: Mapping[str, Any], own: Sequence[TwinPoint]) -> ProofFigures:
    """What is said of one proof, from its own points."""
    document = whole.get("document", whole)
    summary = twin.summary(own, document.get("drift"), document.get("drift_given_pace"))
    return {
        "name": name,
        "topology": document["topology"],
        "command": whole.get("command", ""),
        "created": whole.get("created", own[0]["evidence"]["stored"]),
        "commit": whole.get("commit", ""),
        "machine": whole.get("machine", {}),
        "points": len(own),
        "verdicts": summary["verdicts"],
        "causes": summary["causes"],
    }


def _stored(places: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every document of the kind, by name; files that are named must be of it."""
    found = 0
    for place in places:
        if not place.exists():
            raise RecordError(f"{place}: is not there; name a validation or a directory of them")
        for path in sorted(place.glob("*.json")) if place.is_dir() else [place]:
            whole = _read(path)
            inner = whole.get("document", whole)
            if isinstance(inner, dict) and inner.get("kind") == KIND:
                found += 1
                yield path.stem, whole
            elif not place.is_dir():
                raise RecordError(f"{path}: is no validation; choose what gridlab validate kept")
    if not found:
        where = ", ".join(str(place) for place in places)
        raise RecordError(f"{where}: holds no validation; run gridlab validate or make prove")


def _others(places: Sequence[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Documents of other kinds in the directories, by name."""
    for place in places:
        for path in sorted(place.glob("*.json")) if place.is_dir() else ():
            whole = _read(path)
            document = whole.get("document", whole)
            if isinstance(document, dict) and document.get("kind") != KIND:
                yield path.stem, document


def _read(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: cannot be read ({error}); restore it") from None
    return whole if isinstance(whole, dict) else {}


def problems(point: Mapping[str, Any]) -> list[str]:
    """Why a point proves nothing: its order of things, its digest, figures that do not add up."""
    kept, where = point["evidence"], f"load {point['load']:.3g}"
    found = []
    if late := [begun for begun in kept["begun"] if begun <= kept["stored"]]:
        found.append(
            f"{where}: the prediction is of {kept['stored']}, not older than the measurement of "
            f"{min(late)}"
        )
    if digest(kept["predicted"]) != kept["sha256"]:
        found.append(f"{where}: the prediction is not the one that was stored (SHA-256)")
    measured = kept["measured"]
    if measured is not None:
        if len(kept["begun"]) != len(measured["runs"]):
            found.append(f"{where}: measurements without an instant at which they began")
        if not _consistent(measured):
            found.append(f"{where}: figures of the repeats are not those of their histograms")
    return found


def _consistent(measured: Evidence) -> bool:
    """Whether the repeats' own quantiles are those of their histograms."""
    stated = measured["parts"].get("p50", [])
    if len(measured["runs"]) < 2 or not stated:
        return True
    own = [quantile(counts_of_text(text), 0.5) for text in measured["latency"]]
    return len(own) == len(stated) and bool(np.allclose(own, stated, rtol=SAME, atol=0.0))


def again(point: Mapping[str, Any]) -> TwinPoint:
    """The point as its evidence gives it, whatever it says of itself."""
    given = ("load", "offered_load_per_s", "subscribers", "payload_bytes", "server", "ledger",
             "generator", "runs")  # fmt: skip
    kept = point["evidence"]
    invalid = [] if kept["measured"] else point["verdict"]["reasons"] or ["no measurement"]
    facts = {**{name: point[name] for name in given}, "invalid": invalid}
    return twin.point(cast(Any, kept), facts)


def render(document: Trust) -> RenderableType:
    """Proofs, scores, and the refutation list."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for proof in document["proofs"]:
        machine = proof["machine"].get("processor", "this machine")
        verdicts = ", ".join(f"{n} {name}" for name, n in proof["verdicts"].items() if n)
        parts.append(
            Text(
                f"{proof['name']}: {proof['topology']}, {proof['points']} points ({verdicts}), "
                f"{proof['created'][:10]}, {machine}",
                style="dim",
            )
        )
    for refusal in document["refused"]:
        parts.append(Text(f"refused: {refusal['name']}: {'; '.join(refusal['reasons'])}", "red"))
    parts += ["", twin_table.scores_table(document["summary"]["servers"]), ""]
    for held in document["unsteady"]:
        parts.append(Text(f"not scored: {held['name']}: {held['reasons'][0]}", "yellow"))
    told = [cause for proof in document["proofs"] for cause in proof["causes"]]
    if document["beyond"]:
        parts += [twin_table.beyond_table(document["beyond"]), ""]
    parts += twin_table.lines(told, document["refuted"])
    return Group(*parts)


def markdown(document: Trust) -> str:
    """The scores and the refutation list as a page of the docs shows them."""
    rows = [
        "| server | score | figure | points | median error | 90th percentile | worst | inside the "
        "interval | noise floor | bound | median of all points |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for server, scored in document["summary"]["servers"].items():
        for level in twin.BOUNDS:
            for metric, score in scored.get(level, {}).items():  # type: ignore[attr-defined]
                if not score["points"] + score["not_scored"]:
                    continue
                shown = [
                    "–" if value is None else f"{100.0 * value:.1f} %"
                    for value in (
                        score["median_error"], score["p90_error"], score["worst"],
                        score["inside_interval"], score["noise_floor"], score["bound"],
                        score["median_of_all"],
                    )
                ]  # fmt: skip
                count = f"{score['points']} of {score['points'] + score['not_scored']}"
                name = twin_table.SHOWN[metric][0]
                shown = [twin_table.LEVELS[level], name, count, *shown]
                rows.append(f"| {' | '.join([server, *shown])} |")
    if document["beyond"]:
        rows += ["", "Beyond saturation, and of logins and limiters:", "",
                 "| proof | server | figure | of | predicted | measured | error | bound |",
                 "|---|---|---|---|---|---|---|---|"]  # fmt: skip
        rows += [
            f"| {each['proof']} | {' | '.join(twin_table.beyond_cells(each))} |"
            for each in document["beyond"]
        ]
    rows += ["", "Where it fails (every figure that is off by more than its bound and by more than "
             "noise):", "", "| proof | load | busy | figure | error | bound | owed to |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    rows += [
        f"| {each['proof']} | {each['load']:.3g} | {each['utilisation']:.0%} | "
        f"{twin_table.figure(each)} | {twin_table.signed(each['error'])} | "
        f"{each['bound']:.0%} | {each['cause']} |"
        for each in sorted(document["refuted"], key=lambda each: -abs(each["error"]))
    ]
    for title, listed in (("Not scored", "unsteady"), ("Refused", "refused")):
        for held in document[listed]:  # type: ignore[literal-required]
            rows += ["", f"{title}: {held['name']}: {'; '.join(held['reasons'])}."]
    rows += ["", "What the points tell about the model:", ""]
    rows += [
        f"- {proof['name']}: {cause['cause']}: {cause['why']}"
        for proof in document["proofs"]
        for cause in proof["causes"]
    ]
    return "\n".join(rows) + "\n"
