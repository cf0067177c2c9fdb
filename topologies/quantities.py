"""Figures with their units written out: `10 KiB/s`, `5 ms`, `689/s`, `1 Gbit/s`.

Inside the lab every figure is a float in seconds, bytes, 1/s, bytes per second or a plain ratio; the
unit is read once, here, when a file is loaded. Decimal prefixes are powers of ten (`1.6 KB` is
1,600 B), binary ones powers of two (`1 KiB` is 1,024 B), as IEC 80000-13 has it.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

# Only this shape reaches the units library: a number, then unit names joined by one slash.
_QUANTITY = re.compile(r"^\s*([+-]?\d[\d_,]*(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*([A-Za-zµ%]*(?:\s*/\s*[A-Za-z]+)?)\s*$")


@functools.cache
def _registry() -> Any:
    import pint

    registry = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    registry.define("KB = 1000 * byte")  # the kilobyte as people write it, beside the strict kB
    return registry


@functools.cache
def _factor(unit: str, target: str) -> float:
    """How many `target` units one `unit` is; ValueError where they measure different things."""
    import pint

    registry = _registry()
    try:
        return float(registry.Quantity(1.0, registry.parse_units(unit)).to(target).magnitude)
    except (pint.errors.PintError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(str(error)) from None


def parse(value: object, target: str, examples: str, *, low: float = 0.0, low_open: bool = False) -> float:
    """The figure `value` (a string with its unit) in `target` units.

    Raises
    ------
    ValueError
        Not a quantity, the wrong unit, not finite, or below `low`; the message ends with a repair.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"expected a figure with its unit; write for example {examples}")
    text = str(value)
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"is not a figure with a unit; write for example {examples}")
    number = float(match[1].replace(",", "").replace("_", ""))
    unit = match[2].replace(" ", "")
    if not unit and number != 0.0 and target != "dimensionless":
        raise ValueError(f"has no unit; write for example {examples}")
    if unit.startswith("/"):
        unit = "1" + unit
    try:
        figure = number * _factor(unit, target) if unit else number
    except ValueError:
        raise ValueError(f'has the unit "{match[2]}", which does not fit; write for example {examples}') from None
    if not math.isfinite(figure):
        raise ValueError(f"is not finite; write for example {examples}")
    if figure < low or (low_open and figure == low):
        rule = "must be more than" if low_open else "must be at least"
        raise ValueError(f"{rule} {low:g}; write for example {examples}")
    return figure


def _quantity(target: str, examples: str, unit: str, *, positive: bool = False) -> Any:
    def read(value: object) -> float:
        return parse(value, target, examples, low_open=positive)

    schema = {"type": ["string", "number"], "description": f"a figure with its unit, e.g. {examples}", "x-unit": unit}
    return Annotated[float, BeforeValidator(read), WithJsonSchema(schema), Field(json_schema_extra={"unit": unit})]


Seconds = _quantity("second", "5 ms or 2 min", "s")
PositiveSeconds = _quantity("second", "5 ms or 2 min", "s", positive=True)
Bytes = _quantity("byte", "547 B, 1.6 KB or 4 KiB", "B")
PositiveBytes = _quantity("byte", "547 B, 1.6 KB or 4 KiB", "B", positive=True)
PerSecond = _quantity("1/second", "689/s or 12/min", "1/s")
PositivePerSecond = _quantity("1/second", "689/s or 12/min", "1/s", positive=True)
BytesPerSecond = _quantity("byte/second", "1 Gbit/s or 10 KiB/s", "B/s", positive=True)
Ratio = _quantity("dimensionless", "0.25 or 25 %", "1")
SecondsPerByte = _quantity("second/byte", "0.5 ns/B", "s/B")
