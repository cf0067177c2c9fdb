"""The file format as the models define it: JSON Schema for editors, tables for the README."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from topologies.schema import Arrivals, Sourced, Topology
from topologies.wording import keys, literals, quantity_of, sections


def schema_document() -> dict[str, Any]:
    """JSON Schema (2020-12) of a topology file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Topology.model_json_schema(by_alias=True),
        "title": "XMPP-Grid Lab topology",
    }


def field_tables() -> str:
    """Markdown: one table of fields for each section of a file, in reading order."""
    return "\n".join(_table(section) for section in _reading_order())


def _reading_order() -> list[type[BaseModel]]:
    """All sections, each after the one that names it; what all arrivals share before them."""
    found: list[type[BaseModel]] = [Topology]
    for section in found:
        for field in section.model_fields.values():
            for inner in sections(field.annotation):
                if issubclass(inner, Arrivals) and Arrivals not in found:
                    found.append(Arrivals)
                if inner not in found:
                    found.append(inner)
    return found


def _table(section: type[BaseModel]) -> str:
    """One section: what it is, then key, value, default and meaning of each field of its own."""
    summary = (section.__doc__ or "").strip().splitlines()[0]
    inherited = {"provenance"} if issubclass(section, Sourced) else set()
    if issubclass(section, Arrivals) and section is not Arrivals:
        inherited |= set(Arrivals.model_fields)
    rows = [
        f"| `{key}` | {_form(field)} | {_default(field)} | {field.description or ''} |"
        for key, field in keys(section).items()
        if key not in inherited
    ]
    head = ["| key | value | default | meaning |", "|---|---|---|---|"]
    return "\n".join([f"### {section.__name__}", "", summary, "", *head, *rows, ""])


def _form(field: FieldInfo) -> str:
    """What may be written: an example with its unit, the values, or the kind of section."""
    if quantity := quantity_of(field):
        return quantity.examples
    if values := literals(field.annotation):
        return ", ".join(f"`{value}`" for value in values)
    names = [f"[{each.__name__}](#{each.__name__.lower()})" for each in sections(field.annotation)]
    several = "tuple" in str(field.annotation)
    if names:
        return ("list of " if several else "") + " or ".join(names)
    return "list" if several else _PLAIN.get(field.annotation, "text")


_PLAIN: dict[Any, str] = {bool: "true or false", int: "whole number", float: "number"}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), "") or isinstance(value, BaseModel):
        return ""
    if quantity := quantity_of(field):
        return _written(value, quantity.unit)
    return str(value).lower()


def _written(figure: float, unit: str) -> str:
    """A figure with its unit as a file would have it."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit.startswith("B") and figure >= size:
            return f"{figure / size:g} {prefix}{unit}"
    return f"{figure:g}" if unit == "1" or not figure else f"{figure:g} {unit}"


__all__ = ["field_tables", "schema_document"]
