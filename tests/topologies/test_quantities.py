"""Figures with units: read exactly, refused with a repair, written so that they can be read."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from topologies.quantities import (
    COST,
    FLOW,
    FREQUENCY,
    PLAIN,
    SIZE,
    TIME,
    USUAL,
    Quantity,
    _unit,
    unit_of_pint,
)

TIMES = Quantity(TIME, "s", "5 ms")
FLOWS = Quantity(FLOW, "B/s", "1 Gbit/s")
PLAINS = Quantity(PLAIN, "1", "25 %", high=1.0)
COSTS = Quantity(COST, "s/B", "0.5 ns/B")


@pytest.mark.parametrize(
    ("quantity", "text", "figure"),
    [
        (TIMES, "5 ms", 0.005),
        (TIMES, "46.7us", 4.67e-05),
        (TIMES, "1.5 min", 90.0),
        (TIMES, "2 h", 7200.0),
        (TIMES, "1 day", 86_400.0),
        (TIMES, 0, 0.0),
        (SIZE, "547 B", 547.0),
        (SIZE, "1.6 KB", 1600.0),
        (SIZE, "1.6 kB", 1600.0),
        (SIZE, "1 KiB", 1024.0),
        (SIZE, "4 GiB", 4 * 1024.0**3),
        (SIZE, "1,024 B", 1024.0),
        (FREQUENCY, "689/s", 689.0),
        (FREQUENCY, "12/min", 0.2),
        (FREQUENCY, "12 / min", 0.2),
        (FLOWS, "1 Gbit/s", 125e6),
        (FLOWS, "10 KiB/s", 10_240.0),
        (PLAINS, "25 %", 0.25),
        (PLAINS, 0.25, 0.25),
        (PLAINS, "1e-3", 0.001),
        (COSTS, "0.5 ns/B", 5e-10),
    ],
)
def test_a_figure_is_read_exactly(quantity, text, figure):
    assert quantity.read(text) == figure


@pytest.mark.parametrize(
    ("quantity", "text", "message"),
    [
        (TIMES, "5", "has no unit; write for example 5 ms"),
        (TIMES, 5.0, "has no unit"),
        (TIMES, "5 m", 'cannot have the unit "m"'),
        (TIMES, "5 MS", 'cannot have the unit "MS"'),
        (TIMES, "5/s", 'cannot have the unit "/s"'),
        (TIMES, "-5 s", "must be at least 0"),
        (TIMES, "five s", "must be a figure with its unit"),
        (TIMES, "5 s s", "must be a figure with its unit"),
        (TIMES, True, "must be a figure with its unit"),
        (TIMES, None, "must be a figure with its unit"),
        (TIMES, [5], "must be a figure with its unit"),
        (TIMES, "1" * 101 + " s", "must be a figure with its unit"),
        (TIMES, "1e999 s", "must be finite"),
        (TIMES, math.nan, "must be finite"),
        (TIMES, -math.inf, "must be finite"),
        (TIMES, "NaN", "must be finite"),
        (SIZE, "0 B", "must be more than 0"),
        (SIZE, 0, "must be more than 0"),
        (SIZE, "5 kb", 'cannot have the unit "kb"'),
        (FREQUENCY, "6", "has no unit; write for example 689/s or 12/min"),
        (FREQUENCY, "6 kg", 'cannot have the unit "kg"'),
        (PLAINS, "101 %", "must be at most 1"),
        (PLAINS, "1 s", 'cannot have the unit "s"'),
    ],
)
def test_what_is_no_figure_is_refused_with_a_repair(quantity, text, message):
    with pytest.raises(PydanticCustomError) as caught:
        quantity.read(text)
    assert message in caught.value.message()


@given(st.floats(min_value=1e-300, max_value=1.0, allow_subnormal=False))
def test_a_written_figure_is_read_back_to_the_last_bit(figure):
    for quantity in (TIMES, SIZE, FREQUENCY, FLOWS, PLAINS, COSTS):
        assert quantity.read(quantity.write(figure)) == figure


@pytest.mark.parametrize("under", sorted(USUAL))
def test_usual_units_are_what_pint_says(under):
    """Also as parts of others; the figure is the same to the last bit."""
    for over in sorted(USUAL):
        name = f"{over or '1'}/{under}" if under else over
        dimension, factor = _unit(name)
        known, known_factor = unit_of_pint(name)
        assert dimension == known, name
        for number in ("1", "46.7", "689", "0.3"):
            assert float(Decimal(number) * factor) == float(Decimal(number) * known_factor), name
