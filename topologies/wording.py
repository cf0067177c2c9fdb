"""pydantic's findings in the words of a topology file: readable paths, a rule and a repair each."""

from __future__ import annotations

import copy
import itertools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from topologies.model import DOMAIN, IDENTIFIER, NAME, NODE
from topologies.problems import FOUND_MAX, Path, Problem, choice, nearest
from topologies.quantities import Quantity

MISSING_KEY, UNKNOWN_KEY = "key is missing", "unknown key"


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A section's keys as a file writes them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that an annotation allows, whatever wraps them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is typing.Annotated:
        yield from sections(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType, tuple):
        for part in get_args(annotation):
            yield from sections(part)


def section_at(model: type[BaseModel], data: Any, path: Path) -> type[BaseModel] | None:
    """The section that stands at `path` of the data, as far as its form can be told."""
    for step in path:
        if isinstance(step, str):
            field = keys(model).get(step)
            if field is None:
                return None
            options = list(sections(field.annotation))
            data = data.get(step) if isinstance(data, Mapping) else None
        else:
            data = data[step] if isinstance(data, list) and step < len(data) else None
        if not options:
            return None
        model = _chosen(options, data)
    return model


def _chosen(options: list[type[BaseModel]], data: Any) -> type[BaseModel]:
    """Of several sections the one whose literal key (`process`, `kind`) has the data's value."""
    if isinstance(data, Mapping):
        for option in options:
            for key, field in keys(option).items():
                if field.is_required() and data.get(key) in literals(field.annotation):
                    return option
    return options[0]


def literals(annotation: Any) -> tuple[Any, ...]:
    """The values that a field is limited to; none where it is free."""
    return get_args(annotation) if get_origin(annotation) is typing.Literal else ()


def quantity_of(field: FieldInfo) -> Quantity | None:
    """The quantity that a field holds, be it optional or not."""
    details = [*field.metadata]
    for part in get_args(field.annotation):
        details += getattr(part, "__metadata__", ())
    return next((each for each in details if isinstance(each, Quantity)), None)


def example(key: str, field: FieldInfo) -> str:
    """`rate: 689/s`: how a missing key could be written."""
    if quantity := quantity_of(field):
        return f"{key}: {quantity.examples.split(' or ')[0].split(',')[0]}"
    if values := literals(field.annotation):
        return f"{key}: {values[0]}"
    if field.annotation is int:
        return f"{key}: 4"
    if get_origin(field.annotation) is tuple:
        return f"{key}: [...]"
    return f"{key}: ..."


def problems(error: ValidationError, model: type[BaseModel], data: Any) -> list[Problem]:
    """One problem per finding, in the order of the document's keys; the first `FOUND_MAX`."""
    findings = (
        finding
        for finding in error.errors(include_url=False)
        # pydantic also calls a list too short where its entries are wrong
        if finding["type"] != "too_short" or len(finding["input"]) < finding["ctx"]["min_length"]
    )
    found = [_problem(finding, model, data) for finding in itertools.islice(findings, FOUND_MAX)]
    meant = [_meant(each, model, data) for each in found if each.rule == UNKNOWN_KEY]
    return [each for each in found if each.rule != MISSING_KEY or each.path not in meant]


def _meant(problem: Problem, model: type[BaseModel], data: Any) -> Path | None:
    """The key that an unknown one stands for: it is misspelt, and not missing as well."""
    *around, key = problem.path
    section = section_at(model, data, tuple(around))
    near = nearest(key, keys(section)) if section is not None else None
    return None if near is None else (*around, near)


def without(data: Any, paths: list[Path]) -> Any:
    """A copy of the data in which the keys at the paths are left out."""
    pruned = copy.deepcopy(data)
    for path in paths:
        place = pruned
        for step in path[:-1]:
            present = isinstance(place, list) or (isinstance(place, dict) and step in place)
            place = place[step] if present else None
        if isinstance(place, dict):
            place.pop(path[-1], None)
    return pruned


def _problem(finding: Any, model: type[BaseModel], data: Any) -> Problem:
    kind, value = finding["type"], finding["input"]
    path = _path(finding["loc"], data, kind)
    rule, repair = _words(kind, finding, path, section_at(model, data, path[:-1]))
    if kind in ("missing", "union_tag_not_found"):
        return Problem(path, rule, repair)
    if kind == "union_tag_invalid":
        key = finding["ctx"]["discriminator"].strip("'")
        return Problem((*path, key), rule, repair, finding["ctx"]["tag"])
    if kind == "extra_forbidden":
        return Problem(path, rule, repair, path[-1])
    return Problem(path, rule, repair, value)


def _path(location: tuple[Any, ...], data: Any, kind: str) -> Path:
    """The finding's location without the steps (names of union members) that the data lacks."""
    path: list[str | int] = []
    for number, step in enumerate(location):
        last = number == len(location) - 1
        if isinstance(data, Mapping) and (step in data or (last and kind == "missing")):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _words(kind: str, finding: Any, path: Path, around: type[BaseModel] | None) -> tuple[str, str]:
    """Rule and repair of one finding."""
    context = finding.get("ctx", {})
    key = str(path[-1]) if path else ""
    field = keys(around).get(key) if around is not None else None
    match kind:
        case "quantity":
            return context["rule"], context["repair"]
        case "missing":
            shown = example(key, field) if field is not None else f"{key}: ..."
            return MISSING_KEY, f"add for example `{shown}`"
        case "union_tag_not_found":
            discriminator = context["discriminator"].strip("'")
            return f'key "{discriminator}" is missing', f"add `{discriminator}: ...`"
        case "extra_forbidden":
            return UNKNOWN_KEY, choice(key, keys(around) if around else (), "keys are")
        case "literal_error" | "union_tag_invalid":
            return _allowed(key, finding, field)
    rule, repair = _RULES.get(kind, ("is refused", finding["msg"]))
    if kind == "value_error":  # of a model's own check, which writes "rule: repair"
        rule, _, repair = str(context.pop("error")).partition(": ")
    if kind == "string_pattern_mismatch":
        repair = _PATTERNS[context["pattern"]]
    return rule.format(**context), repair.format(**context)


def _allowed(key: str, finding: Any, field: FieldInfo | None) -> tuple[str, str]:
    """Rule and repair of a value that is none of a few."""
    rule = "is not one of the values"
    context = finding["ctx"]
    if "tag" in context:
        tags = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        return rule, choice(context["tag"], tags, "write one of")
    values = [str(value) for value in literals(field.annotation)] if field is not None else []
    if len(values) == 1:
        return f"must be {values[0]}", f"write `{key}: {values[0]}`"
    return rule, choice(finding["input"], values or [context["expected"]], "write one of")


_PATTERNS = {
    NAME: "write lower-case letters, digits and . _ - (at most 63, first a letter or digit)",
    IDENTIFIER: "write capitals, digits and -, for example S-FLOOD",
    NODE: "write letters, digits and . _ : / - (at most 127, first a letter or digit)",
    DOMAIN: "write a DNS name in lower case, for example grid.test",
}

_WHOLE = ("must be a whole number", "write for example 4")
_NUMBER = ("must be a number", "write for example 2.5")
_YES_NO = ("must be true or false", "write true or false")
_SECTION = ("must be a section of keys", "write `key: value` lines below it, indented")

# Kind of finding -> rule and repair; the braces are filled from the finding.
_RULES = {
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": ("must be finite", "write for example 2.5"),
    "bool_type": _YES_NO,
    "bool_parsing": _YES_NO,
    "string_type": ("must be text", 'write it in quotes, for example "12"'),
    "string_pattern_mismatch": ("has the wrong form", ""),
    "string_too_short": ("must have at least {min_length} characters", "say more"),
    "greater_than": ("must be more than {gt:g}", "raise it"),
    "greater_than_equal": ("must be at least {ge:g}", "raise it"),
    "less_than": ("must be less than {lt:g}", "lower it"),
    "less_than_equal": ("must be at most {le:g}", "lower it"),
    "too_short": ("needs at least {min_length} entry", "add one, a line beginning with `- `"),
    "too_long": ("may have at most {max_length} entries", "use populations with a count"),
    "tuple_type": ("must be a list", "write each entry on a line beginning with `- `"),
    "model_type": _SECTION,
    "model_attributes_type": _SECTION,
    "dict_type": _SECTION,
}
