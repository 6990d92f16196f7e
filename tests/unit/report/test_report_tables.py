"""Comparison tables: right quotients, plain text that survives a pipe."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from bgsim.report.numbers import apportion, common_scale, fixed, quantity, significant
from bgsim.report.results import ReportError, Results
from bgsim.report.tables import comparison, comparison_text


def _row(text: str, *words: str) -> str:
    found = [line for line in text.splitlines() if all(word in line for word in words)]
    assert len(found) == 1, (words, found)
    return " ".join(found[0].split())


def test_compile_comparison(compile_study: Any) -> None:
    text = comparison_text(compile_study)
    assert _row(text, "gcc346", "elapsed") == "gcc346 elapsed s 3.000 143.7 47.9x 79.0 to 273"
    assert "measured, Stoess et al. 2011: native 3 s, virtualised 126 s (42x)" in text
    assert "exits_per_s_host" not in text  # differs from host to host
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_point_is_named_once(compile_study: Any) -> None:
    text = comparison_text(compile_study)
    assert text.count("gcc346 ") == 1


def test_rates_are_slower_when_smaller(study_of: Callable[[str], Any]) -> None:
    results = comparison_text(study_of("netperf")).splitlines()
    line = next(
        line for line in results if "udp_stream" in line and "throughput" in line and "64 KiB" in line
    )
    native, virtual, slowdown = line.split()[-3:]
    assert float(native.replace(",", "")) > float(virtual.replace(",", ""))
    assert float(slowdown.rstrip("x")) > 1


def test_counts_have_no_slowdown(compile_study: Any) -> None:
    lines = [line for line in comparison_text(compile_study).splitlines() if "tlb_misses" in line]
    assert lines
    assert all(line.split()[-2:] == ["-", "-"] for line in lines)


def test_intervals_over_replications(study_of: Callable[[str], Any]) -> None:
    text = comparison_text(study_of("tlb-sweep"))
    assert "[141.6, 148.7]" in text
    assert "interval over replications" in text
    assert "[" not in comparison_text(study_of("compile"))


def test_micro_shows_hand_counts(study_of: Callable[[str], Any]) -> None:
    text = comparison_text(study_of("micro"))
    assert _row(text, "null-system-call") == "null-system-call cost cycles 190 9,719 51.2x -"
    assert "kernel instructions" in text
    assert "5,950" in text


def test_dcmf_shows_measurement_and_deviation(study_of: Callable[[str], Any]) -> None:
    text = comparison_text(study_of("dcmf"))
    assert "measured" in text.splitlines()[0]
    assert "-3.85 %" in text


def test_narrow_terminal_loses_no_digit(compile_study: Any) -> None:
    buffer = io.StringIO()
    Console(file=buffer, width=60, no_color=True).print(comparison(compile_study))
    assert "…" not in buffer.getvalue()


def test_order_of_records_does_not_matter(any_study: Any) -> None:
    before = comparison_text(any_study)
    any_study.records = any_study.records[::-1]
    assert comparison_text(any_study) == before


def test_text_is_not_markup(study_class: type[Any], study_of: Callable[[str], Any]) -> None:
    record = dict(study_of("sweep").records[0], point={"workload.operation": "[red]x[/red]"})
    assert "[red]x[/red]" in comparison_text(study_class([record]))


def test_point_run_on_one_platform_only(study_class: type[Any], compile_study: Any) -> None:
    records = [
        r
        for r in compile_study.records
        if (r["point"]["workload.program"], r["platform"]) != ("lcc", "bare-metal")
    ]
    row = _row(comparison_text(study_class(records)), "lcc", "elapsed")
    assert row.startswith("lcc elapsed s - 58.31 - ")


def test_nothing_to_compare(study_class: type[Any]) -> None:
    with pytest.raises(ReportError, match="nothing to report"):
        comparison_text(study_class([]))


def test_summary_values_survive_pandas(study_class: type[Any], study_of: Callable[[str], Any]) -> None:
    # A path that only some points sweep turns whole numbers into floats in the data frame.
    first, second = study_of("sweep").records[:2]
    first = dict(first, point={"a.b": 64, "workload.flag": True})
    second = dict(second, point={"workload.flag": False}, platform=first["platform"])
    results = Results(study_class([first, second]))
    assert len(results.points) == 2
    assert all(group.cells for point in results.points for group in point.groups)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (126.0, 3, "126"),
        (2.9996, 3, "3.00"),
        (9.996, 3, "10.0"),
        (0.000123456, 3, "0.000123"),
        (53_211_904.4, 3, "53,211,904"),
        (0, 3, "0"),
        (-1.5, 2, "-1.5"),
    ],
)
def test_significant(value: float, digits: int, text: str) -> None:
    assert significant(value, digits) == text


def test_numbers() -> None:
    assert quantity(1234567) == "1,234,567"
    assert quantity(0.5) == "0.5000"
    assert common_scale([2e9, 3e7], "bps") == (1e6, "Mbit/s")
    assert common_scale([3.0, 126.0], "s") == (1.0, "s")
    assert common_scale([], "s") == (1.0, "s")
    assert common_scale([0.004, 0.2], "s") == (1e-3, "ms")
    assert fixed(12_345_678, 3) == "12,345.678"
    assert apportion([1, 1, 1], 100) == [34, 33, 33]
    assert apportion([0, 0], 100) == [0, 0]
