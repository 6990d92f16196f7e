"""Units, whatever the numbers: writing and reading are inverse, and nothing is rounded unasked."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgsim.units import DIMENSIONS, Quantity, UnitError, format_quantity, from_cycles, parse, to_cycles

WHOLE = {"count", "bytes"}
UNITS = {
    "time": ["s", "ms", "us", "ns", "ps", "min", "h"],
    "bytes": ["B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"],
    "rate": ["B/s", "kB/s", "MB/s", "KiB/s", "GiB/s", "bit/s", "Mbit/s"],
    "frequency": ["Hz", "kHz", "MHz", "GHz"],
    "cycles": ["cycles", "k cycles", "M cycles"],
    "instructions": ["instructions", "M instructions"],
}

fractions = st.fractions(min_value=0, max_value=10**15, max_denominator=10**15)
frequencies_hz = st.integers(min_value=1, max_value=10**10)


@given(st.sampled_from(DIMENSIONS), fractions)
def test_reading_what_was_written_gives_the_same_quantity(dimension: str, value: Fraction) -> None:
    amount = Quantity(Fraction(int(value)) if dimension in WHOLE else value, dimension)
    assert parse(format_quantity(amount), dimension) == amount


@given(st.sampled_from(DIMENSIONS), fractions.filter(bool), st.integers(min_value=4, max_value=12))
def test_rounded_text_is_as_near_as_its_digits_say(dimension: str, value: Fraction, digits: int) -> None:
    amount = Quantity(Fraction(int(value) + 1) if dimension in WHOLE else value, dimension)
    number, _, unit = format_quantity(amount, digits).partition(" ")
    shown = Fraction(number) / amount.in_unit(unit) if unit else Fraction(number) / amount.value
    assert abs(shown - 1) <= Fraction(1, 10 ** (digits - 1))


@given(st.data(), st.sampled_from(sorted(UNITS)))
def test_a_unit_of_another_dimension_is_refused(data: st.DataObject, dimension: str) -> None:
    other = data.draw(st.sampled_from([name for name in DIMENSIONS if name != dimension]))
    number = data.draw(st.integers(min_value=0, max_value=10**6))
    text = f"{number} {data.draw(st.sampled_from(UNITS[dimension]))}"
    assert parse(text, dimension).dimension == dimension
    with pytest.raises(UnitError):
        parse(text, other)


@given(st.text(max_size=12), st.sampled_from(DIMENSIONS))
def test_any_text_is_read_or_refused_with_a_sentence(text: str, dimension: str) -> None:
    try:
        assert parse(text, dimension).value >= 0
    except UnitError as refusal:
        assert str(refusal)  # noqa: PT017 (both outcomes are right; the property is that there is no third)


@given(st.integers(min_value=0, max_value=10**18), frequencies_hz)
def test_cycles_survive_the_way_through_time(cycles: int, frequency_hz: int) -> None:
    assert to_cycles(from_cycles(cycles, frequency_hz), frequency_hz) == cycles


@given(fractions, frequencies_hz)
def test_rounding_up_and_down_enclose_the_time(value: Fraction, frequency_hz: int) -> None:
    amount = Quantity(value, "time")
    exact = value * frequency_hz
    below, above = to_cycles(amount, frequency_hz, "down"), to_cycles(amount, frequency_hz, "up")
    assert below <= exact <= above
    assert to_cycles(amount, frequency_hz, "nearest") in {below, above}
    if exact.denominator == 1:
        assert to_cycles(amount, frequency_hz) == below == above
    else:
        assert above == below + 1
        with pytest.raises(UnitError):
            to_cycles(amount, frequency_hz)
