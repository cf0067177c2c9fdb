"""Figures with their units written out: `10 KiB/s`, `5 ms`, `689/s`, `1 Gbit/s`.

Inside the lab every figure is a float in seconds, bytes, 1/s, bytes per second or a plain ratio;
the unit is read once, here, when a file is loaded. Decimal prefixes are powers of ten (`1.6 KB` is
1,600 B), binary ones powers of two (`1 KiB` is 1,024 B), as IEC 80000-13 has it. Figure and unit
are multiplied as decimals (factors agree with pint's to 27 digits), and the product is rounded to
a float once: `46.7 us` is the float 4.67e-05.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

# A number, then a unit, or two joined by a slash, of which the first may be missing: `689/s`.
_QUANTITY = re.compile(
    r"\s*([+-]?\d[\d_,]*(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*([A-Za-zµ%]*)\s*(?:/\s*([A-Za-zµ]+))?\s*",
    re.ASCII,
)
TEXT_MAX = 100  # characters that a figure may have

Dimension = tuple[int, int]  # powers of second and byte
TIME, DATA, RATE, FLOW, COST, PLAIN = (1, 0), (0, 1), (-1, 0), (-1, 1), (1, -1), (0, 0)


BYTE, KIBI = Decimal(1), Decimal(1024)
USUAL: dict[str, tuple[Dimension, Decimal]] = {
    "": (PLAIN, Decimal(1)), "1": (PLAIN, Decimal(1)), "%": (PLAIN, Decimal("0.01")),
    "ns": (TIME, Decimal("1e-9")), "us": (TIME, Decimal("1e-6")), "ms": (TIME, Decimal("1e-3")),
    "s": (TIME, Decimal(1)), "min": (TIME, Decimal(60)), "h": (TIME, Decimal(3600)),
    "B": (DATA, BYTE), "kB": (DATA, BYTE * 1000), "KB": (DATA, BYTE * 1000),
    "MB": (DATA, BYTE * 10**6), "GB": (DATA, BYTE * 10**9),
    "KiB": (DATA, KIBI), "MiB": (DATA, KIBI**2), "GiB": (DATA, KIBI**3),
    "kbit": (DATA, BYTE * 1000 / 8), "Mbit": (DATA, BYTE * 10**6 / 8),
    "Gbit": (DATA, BYTE * 10**9 / 8),
}  # fmt: skip
"""Units that files are mostly written with; for any other pint is asked, which takes longer to
load than all the rest of a file."""


@functools.cache
def _registry() -> Any:
    import pint

    registry = pint.UnitRegistry(non_int_type=Decimal)
    registry.define("KB = 1000 * byte")  # as people write the kilobyte, beside the strict kB
    return registry


@functools.lru_cache(maxsize=1024)
def _unit(name: str) -> tuple[Dimension, Decimal]:
    """Dimension of a unit and its size in seconds, bytes and their products.

    Raises
    ------
    KeyError
        No such unit, or one of something else than time and data.
    """
    over, _, under = name.partition("/")
    if over in USUAL and under in USUAL:
        ((seconds, size), factor), ((per_seconds, per_size), divisor) = USUAL[over], USUAL[under]
        return (seconds - per_seconds, size - per_size), factor / divisor
    return unit_of_pint(name)


def unit_of_pint(name: str) -> tuple[Dimension, Decimal]:
    """The same of all units that pint knows.

    Raises
    ------
    KeyError
        No such unit, or one of something else than time and data.
    """
    import pint

    registry = _registry()
    try:
        root = registry.Quantity(Decimal(1), name or "dimensionless").to_root_units()
    except (pint.PintError, AttributeError, ValueError, TypeError) as error:
        raise KeyError(name) from error
    powers = dict(root.unit_items())
    seconds, bits = int(powers.pop("second", 0)), int(powers.pop("bit", 0))
    if powers:
        raise KeyError(name)
    return (seconds, bits), Decimal(root.magnitude) / Decimal(8) ** bits


@dataclass(frozen=True)
class Quantity:
    """A figure with its unit as a field's type: read from text, kept as a float in `unit`.

    `examples` is what a message tells to write.
    """

    dimension: Dimension
    unit: str
    examples: str
    positive: bool = False
    high: float = math.inf
    low: float = 0.0

    def read(self, value: object) -> float:
        """The figure in `unit`.

        Raises
        ------
        PydanticCustomError
            A ValueError: not a quantity, the wrong unit, not finite or out of range; the message
            is the broken rule and a repair.
        """
        return self._within(self._figure(value))

    def write(self, figure: float) -> str | float:
        """The figure as a file has it: `read` gives the same float back."""
        figure = float(figure)  # numpy says of which type its figures are
        if self.unit == "1":
            return figure
        return f"{figure!r}{self.unit[1:]}" if self.unit == "1/s" else f"{figure!r} {self.unit}"

    def _figure(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._refusal("must be a figure with its unit")
        text = str(value)
        if text.strip().lower().lstrip("+-.") in ("nan", "inf", "infinity"):
            raise self._refusal("must be finite")
        match = _QUANTITY.fullmatch(text) if len(text) <= TEXT_MAX else None
        if match is None:
            raise self._refusal("must be a figure with its unit")
        number = Decimal(match[1].replace(",", "").replace("_", ""))
        over, under = match[2], match[3] or ""
        if not over and not under and number == 0:
            return 0.0
        try:
            dimension, factor = _unit(f"{over or '1'}/{under}" if under else over)
        except KeyError:
            dimension, factor = None, Decimal(0)
        if dimension != self.dimension:
            unit = f"{over}/{under}" if under else over
            rule = f'cannot have the unit "{unit}"' if unit else "has no unit"
            raise self._refusal(rule)
        return float(number * factor)

    def _within(self, figure: float) -> float:
        if not math.isfinite(figure):
            raise self._refusal("must be finite")
        if figure < 0.0 or (self.positive and figure == 0.0):
            raise self._refusal("must be more than 0" if self.positive else "must be at least 0")
        if figure < self.low:
            raise self._refusal(f"must be at least {self.low:g} {self.unit}".removesuffix(" 1"))
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
        written = core_schema.plain_serializer_function_ser_schema(self.write, when_used="json")
        return core_schema.no_info_plain_validator_function(self.read, serialization=written)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": ["string", "number"],
            "x-unit": self.unit,
            "examples": self.examples.replace(" or ", ", ").split(", "),
        }


_TIME = (TIME, "s", "5 ms or 2 min")
_SIZE = (DATA, "B", "547 B, 1.6 KB or 4 KiB")

SIZE = Quantity(*_SIZE, positive=True)
FREQUENCY = Quantity(RATE, "1/s", "689/s or 12/min", positive=True)

Seconds = Annotated[float, Quantity(*_TIME)]
PositiveSeconds = Annotated[float, Quantity(*_TIME, positive=True)]
DELAY_S_MIN = 1e-6  # a way that answers come back on: traffic goes in windows that are no longer
Delay = Annotated[float, Quantity(*_TIME, positive=True, low=DELAY_S_MIN)]
Bytes = Annotated[float, Quantity(*_SIZE)]
PositiveBytes = Annotated[float, SIZE]
PositivePerSecond = Annotated[float, FREQUENCY]
BytesPerSecond = Annotated[float, Quantity(FLOW, "B/s", "1 Gbit/s or 10 KiB/s", positive=True)]
Ratio = Annotated[float, Quantity(PLAIN, "1", "0.25 or 25 %")]
Growth = Annotated[float, Quantity(PLAIN, "1", "0.5 or 50 %", low=0.04, high=9.0)]
Fraction = Annotated[float, Quantity(PLAIN, "1", "0.25 or 25 %", high=1.0)]
Share = Annotated[float, Quantity(PLAIN, "1", "0.25 or 25 %", low=0.001, high=0.999)]
SecondsPerByte = Annotated[float, Quantity(COST, "s/B", "0.5 ns/B")]
