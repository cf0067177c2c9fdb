"""Figures with their units written out: `10 KiB/s`, `5 ms`, `689/s`, `1 Gbit/s`.

Inside the lab every figure is a float in seconds, bytes, 1/s, bytes per second or a plain ratio;
the unit is read once, here, when a file is loaded. Decimal prefixes are powers of ten (`1.6 KB` is
1,600 B), binary ones powers of two (`1 KiB` is 1,024 B), as IEC 80000-13 has it.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

# Only this shape reaches the units library: a number, then unit names joined by one slash.
_QUANTITY = re.compile(
    r"^\s*([+-]?\d[\d_,]*(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*([A-Za-zµ%]*(?:\s*/\s*[A-Za-z]+)?)\s*$"
)
TEXT_MAX = 100  # characters that a figure may have


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


@dataclass(frozen=True)
class Quantity:
    """A figure with its unit as a field's type: read from text, kept as a float in `unit`.

    `target` is the unit's long name, `examples` what a message tells to write.
    """

    target: str
    unit: str
    examples: str
    positive: bool = False
    high: float = math.inf

    def read(self, value: object) -> float:
        """The figure in `unit`.

        Raises
        ------
        PydanticCustomError
            A ValueError: not a quantity, the wrong unit, not finite or out of range; the message
            is the broken rule and a repair.
        """
        return self._within(self._figure(value))

    def _figure(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._refusal("must be a figure with its unit")
        text = str(value)
        if text.strip().lower().lstrip("+-.") in ("nan", "inf", "infinity"):
            raise self._refusal("must be finite")
        match = _QUANTITY.match(text)
        if match is None or len(text) > TEXT_MAX:
            raise self._refusal("must be a figure with its unit")
        number = float(match[1].replace(",", "").replace("_", ""))
        unit = match[2].replace(" ", "")
        if not unit:
            if number != 0.0 and self.target != "dimensionless":
                raise self._refusal("has no unit")
            return number
        try:
            return number * _factor("1" + unit if unit.startswith("/") else unit, self.target)
        except ValueError:
            raise self._refusal(f'cannot have the unit "{match[2].strip()}"') from None

    def _within(self, figure: float) -> float:
        if not math.isfinite(figure):
            raise self._refusal("must be finite")
        if figure < 0.0 or (self.positive and figure == 0.0):
            raise self._refusal("must be more than 0" if self.positive else "must be at least 0")
        if figure > self.high:
            raise self._refusal(f"must be at most {self.high:g} {self.unit}".removesuffix(" 1"))
        return figure

    def _refusal(self, rule: str) -> PydanticCustomError:
        return PydanticCustomError(
            "quantity",
            "{rule}; {repair}",
            {"rule": rule, "repair": f"write for example {self.examples}"},
        )

    def __get_pydantic_core_schema__(
        self, source: type, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": ["string", "number"],
            "x-unit": self.unit,
            "examples": self.examples.replace(" or ", ", ").split(", "),
        }


def parse(text: object, target: str) -> float:
    """One figure of the command line in `target` units ("second", "byte", "1/second", ...).

    Raises
    ------
    ValueError
        Not such a figure; the message ends with a repair.
    """
    quantity = _BY_TARGET[target]
    try:
        return quantity.read(text)
    except PydanticCustomError as error:
        raise ValueError(error.message()) from None


_SECOND = ("second", "s", "5 ms or 2 min")
_BYTE = ("byte", "B", "547 B, 1.6 KB or 4 KiB")
_PER_SECOND = ("1/second", "1/s", "689/s or 12/min")

Seconds = Annotated[float, Quantity(*_SECOND)]
PositiveSeconds = Annotated[float, Quantity(*_SECOND, positive=True)]
Bytes = Annotated[float, Quantity(*_BYTE)]
PositiveBytes = Annotated[float, Quantity(*_BYTE, positive=True)]
PerSecond = Annotated[float, Quantity(*_PER_SECOND)]
PositivePerSecond = Annotated[float, Quantity(*_PER_SECOND, positive=True)]
BytesPerSecond = Annotated[
    float, Quantity("byte/second", "B/s", "1 Gbit/s or 10 KiB/s", positive=True)
]
Ratio = Annotated[float, Quantity("dimensionless", "1", "0.25 or 25 %")]
Fraction = Annotated[float, Quantity("dimensionless", "1", "0.25 or 25 %", high=1.0)]
SecondsPerByte = Annotated[float, Quantity("second/byte", "s/B", "0.5 ns/B")]

_BY_TARGET = {
    "second": Quantity(*_SECOND),
    "byte": Quantity(*_BYTE, positive=True),
    "1/second": Quantity(*_PER_SECOND, positive=True),
}
