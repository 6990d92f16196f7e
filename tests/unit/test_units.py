"""Units: what is read, what is written, and what is refused in which words."""

from fractions import Fraction

import numpy as np
import pytest

from bgsim.units import (
    Quantity,
    UnitError,
    dimension_of,
    format_bytes,
    format_quantity,
    format_rate,
    format_time,
    from_cycles,
    parse,
    quantity,
    to_cycles,
)

MHZ_850 = 850_000_000


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("3 s", "time", Fraction(3)),
        ("10 ms", "time", Fraction(1, 100)),
        ("0.65 us", "time", Fraction(65, 10**8)),
        ("1953us", "time", Fraction(1953, 10**6)),
        ("1953 µs", "time", Fraction(1953, 10**6)),
        ("2 h", "time", Fraction(7200)),
        ("1e-3 s", "time", Fraction(1, 1000)),
        ("20/17 ns", "time", Fraction(20, 17 * 10**9)),
        ("425 MB/s", "rate", Fraction(425_000_000)),
        ("6.8 Gbit/s", "rate", Fraction(850_000_000)),
        ("850 MHz", "frequency", Fraction(MHZ_850)),
        ("4 KiB", "bytes", Fraction(4096)),
        ("4 kB", "bytes", Fraction(4000)),
        ("0.5 KiB", "bytes", Fraction(512)),
        ("1200 bytes", "bytes", Fraction(1200)),
        ("544 cycles", "cycles", Fraction(544)),
        ("1.2 M instructions", "instructions", Fraction(1_200_000)),
        ("64", "count", Fraction(64)),
        (64, "count", Fraction(64)),
        (0.1, "ratio", Fraction(1, 10)),
        ("85 %", "ratio", Fraction(85, 100)),
    ],
)
def test_parse_is_exact(text: str | int | float, dimension: str, value: Fraction) -> None:
    assert parse(text, dimension) == Quantity(value, dimension)


@pytest.mark.parametrize(
    ("text", "dimension", "sentence"),
    [
        ("3", "time", "'3' has no unit; write a time such as '3 s' (units: s, ms, us, ns, ps, min, h)"),
        (3, "time", "'3' has no unit; write a time such as '3 s' (units: s, ms, us, ns, ps, min, h)"),
        ("3 MB", "time", "'3 MB' is a size in bytes, not a time; write a time such as '3 s' (units: s, ms"),
        ("3 s", "count", "'3 s' is a time, not a plain count; write a plain number"),
        ("100 ns", "cycles", "'100 ns' is a time, not a number of cycles"),
        ("3 sec", "time", "'3 sec' has the unknown unit 'sec'; did you mean 's'?"),
        ("3 Seconds", "time", "did you mean 's'?"),
        ("4 KB", "bytes", "'4 KB' has the unknown unit 'KB'; did you mean 'kB' or 'KiB'?"),
        ("4 Gb/s", "rate", "did you mean 'GB/s' or 'Gbit/s'?"),
        ("850 Mhz", "frequency", "did you mean 'MHz'"),
        ("3 furlongs", "time", "'3 furlongs' has the unknown unit 'furlongs'; write a time"),
        ("-3 s", "time", "'-3 s' is negative; a time here is never below zero"),
        ("1e400 s", "time", "'1e400 s' is too large; the power of ten goes to 99"),
        ("9" * 5000 + " s", "time", f"'{'9' * 40}...' is too long; a number has at most 1000 characters"),
        ("1e-100 s", "time", "'1e-100 s' is too small; the power of ten goes to 99"),
        ("fast", "time", "'fast' does not begin with a number; write a time"),
        ("", "time", "'' does not begin with a number"),
        ("3/0 s", "time", "'3/0 s' has the unknown unit '/0 s'"),
        ("1,200 B", "bytes", "'1,200 B' has a separator in its number; write the digits alone"),
        ("0.3 B", "bytes", "'0.3 B' is not a whole number of bytes"),
        ("1.5", "count", "'1.5' is not a whole number"),
        (True, "count", "True is not a plain count"),
        (None, "time", "None is not a time"),
        (float("nan"), "ratio", "'nan' does not begin with a number"),
        ("3 s", "tme", "unknown dimension 'tme'; did you mean 'time'?"),
    ],
)
def test_parse_refuses_in_one_sentence(text: object, dimension: str, sentence: str) -> None:
    with pytest.raises(UnitError) as refusal:
        parse(text, dimension)  # type: ignore[arg-type]
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_full_torus_packet_is_544_cycles() -> None:
    assert to_cycles(parse("640 ns", "time"), MHZ_850) == 544
    assert from_cycles(544, MHZ_850) == parse("640 ns", "time")


def test_to_cycles_rounds_only_when_told_how() -> None:
    nanosecond = parse("1 ns", "time")  # 0.85 cycles
    with pytest.raises(
        UnitError, match=r"'1 ns' is 0.85 cycles at 850 MHz, not a whole number; name a rounding"
    ):
        to_cycles(nanosecond, MHZ_850)
    assert [to_cycles(nanosecond, MHZ_850, rounding) for rounding in ("nearest", "up", "down")] == [1, 1, 0]
    assert to_cycles(parse("2.5 cycles", "cycles"), MHZ_850, "nearest") == 2  # a half goes to even


def test_to_cycles_refuses_what_cannot_be_counted() -> None:
    with pytest.raises(UnitError, match="'3 MB' is a size in bytes and cannot be counted in cycles"):
        to_cycles(parse("3 MB", "bytes"), MHZ_850)
    with pytest.raises(UnitError, match="unknown rounding 'ceil'"):
        to_cycles(parse("3 s", "time"), MHZ_850, "ceil")  # type: ignore[arg-type]
    with pytest.raises(UnitError, match="a clock frequency of 0 Hz has no cycles"):
        to_cycles(parse("3 s", "time"), 0)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (quantity(4096, "B"), "4 KiB"),
        (quantity(4000, "B"), "4 kB"),
        (quantity(2, "GiB"), "2 GiB"),
        (quantity(0, "ns"), "0 s"),
        (quantity(0.65, "us"), "650 ns"),
        (quantity(126, "s"), "126 s"),
        (quantity(637.5, "MB/s"), "637.5 MB/s"),
        (quantity(544, "cycles"), "544 cycles"),
        (from_cycles(1, MHZ_850), "20/17 ns"),
        (parse("64", "count"), "64"),
    ],
)
def test_format_chooses_a_readable_unit(amount: Quantity, text: str) -> None:
    assert format_quantity(amount) == str(amount) == text


def test_rounded_formats() -> None:
    assert format_time(0.0021) == "2.1 ms"
    assert format_time(0) == "0 s"
    assert format_time(from_cycles(1, MHZ_850).value) == "1.176 ns"
    assert format_time(4321.5) == "4322 s"
    assert format_bytes(32768) == "32 KiB"
    assert format_bytes(1536) == "1.5 KiB"
    assert format_rate(4.25e8) == "425 MB/s"
    assert format_time(np.float32(0.5)) == "500 ms"  # type: ignore[arg-type]
    assert format_bytes(np.int64(4096)) == "4 KiB"


def test_numbers_of_a_quantity() -> None:
    assert parse("2 GiB", "bytes").number == 2**31
    assert parse("0.5 s", "time").number == 0.5
    assert parse("640 ns", "time").in_unit("us") == Fraction(64, 100)
    with pytest.raises(UnitError, match="is a time, not"):
        parse("4 KiB", "bytes").in_unit("us")


def test_dimension_of_a_unit() -> None:
    assert dimension_of("MB/s") == "rate"
    assert dimension_of("M cycles") == "cycles"
    with pytest.raises(UnitError, match="unknown unit 'Mb/s'; did you mean 'MB/s'"):
        dimension_of("Mb/s")
    with pytest.raises(UnitError, match="inf is not a finite number"):
        quantity(float("inf"), "s")
