"""Figures as people read them: three digits and a unit (`4.21 ms`, `27,600/s`, `512 MB`)."""

from __future__ import annotations

import math

from results.statistics import Estimate

_SECONDS = (
    (3600.0, 2.0, "h"),
    (60.0, 2.0, "min"),
    (1.0, 1.0, "s"),
    (1e-3, 1.0, "ms"),
    (1e-6, 1.0, "µs"),
)
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def number(value: float, digits: int = 3) -> str:
    """The value to so many significant digits, never with an exponent, thousands parted."""
    if value == 0.0 or not math.isfinite(value):
        return "0" if value == 0.0 else "∞"
    return f"{value:,.{decimals(value, digits)}f}"


def decimals(value: float, digits: int = 3) -> int:
    """Decimal places that show so many significant digits of the value."""
    exponent = math.floor(math.log10(abs(value))) if value else 0
    return min(max(digits - 1 - exponent, 0), 12)


def seconds_scale(value_s: float) -> tuple[float, str]:
    """The unit in which a duration reads best: its length [s] and name."""
    for length_s, least, unit in _SECONDS:
        if abs(value_s) >= least * length_s:
            return length_s, unit
    return (1e-9, "ns") if value_s else (1.0, "s")


def seconds(value_s: float) -> str:
    """A duration: `4.21 ms`, `12.3 s`, `3 min`."""
    length_s, unit = seconds_scale(value_s)
    return f"{number(value_s / length_s)} {unit}"


def size(value_bytes: float) -> str:
    """A number of bytes in decimal prefixes: `512 MB`."""
    for length, unit in _BYTES:
        if abs(value_bytes) >= length:
            return f"{number(value_bytes / length)} {unit}"
    return f"{value_bytes:.0f} B"


def bits(bytes_per_s: float) -> str:
    """A link's rate in bits per second: `10 Gbit/s`."""
    value, unit = 8.0 * bytes_per_s, "bit/s"
    for larger in ("kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"):
        if value < 1000.0:
            break
        value, unit = value / 1000.0, larger
    return f"{number(value)} {unit}"


def rate(value_per_s: float) -> str:
    """A rate: `27,600/s`."""
    return f"{number(value_per_s)}/s"


def percent(share: float) -> str:
    """A share in percent: `48.3 %`."""
    return f"{number(100.0 * share)} %"


def with_interval(estimate: Estimate, scale: float = 1.0, unit: str = "") -> str:
    """An estimate in the given unit, as `12.3 ± 0.4 s`; a dash where there is no value.

    The half-width has one significant digit, two where they are below 30; the value has as many
    places, but no more than four significant digits.
    """
    value, high = estimate["value"], estimate["high"]
    if value is None:
        return "–"
    scaled = value / scale
    half = high / scale - scaled if high is not None else 0.0
    places = decimals(half, 2)
    if half * 10**places >= 30.0:
        places = max(places - 1, 0)
    places = min(places, decimals(scaled) + 1)
    if round(half, places) == 0.0:
        return f"{number(scaled)}{unit}"
    return f"{scaled:,.{places}f} ± {half:,.{places}f}{unit}"


def latency(estimate: Estimate) -> str:
    """A latency with its interval in the unit that fits: `4.21 ± 0.05 ms`; ∞ where unbounded."""
    value = estimate["value"]
    if value is None:
        return "∞" if estimate.get("reason", "").startswith("unbounded") else "–"
    length_s, unit = seconds_scale(value)
    return with_interval(estimate, length_s, f" {unit}")
