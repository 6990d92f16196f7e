"""Any column against any other: what is drawn, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bgsim.report import style
from bgsim.report.chosen_figure import Choice, chosen_figure, columns_of
from bgsim.report.linear_axes import never_negative, tick_texts
from bgsim.report.results import ReportError, Results

TORUS = {"network": "torus"}
STREAM = {**TORUS, "test": "tcp_stream"}
SIZES = Choice("message_size", ("throughput_bps",), where={**STREAM, "mtu": "1500 B"}, log="xy")


@pytest.fixture(scope="module")
def netperf(study_of: Callable[[str], Any]) -> Results:
    return Results(study_of("netperf"))


def drawn(results: Results, choice: Choice) -> Any:
    with style.paper_style():
        return chosen_figure(results, choice)


def test_every_column_is_listed(netperf: Results) -> None:
    found = {column.name: column for column in columns_of(netperf)}
    assert found["message_size"].kind == "swept"
    assert found["platform"].values == "bare-metal, virtual-machine"
    assert (found["throughput_bps"].kind, found["throughput_bps"].unit) == ("metric", "bps")


def test_a_series_for_each_platform_unless_told_otherwise(netperf: Results) -> None:
    figure = drawn(netperf, SIZES)
    (axes,) = figure.axes
    assert len(axes.lines) == 2
    assert {line.get_color() for line in axes.lines} == {style.BLUE, style.VERMILLION}
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlabel() == "message_size (B)"
    assert figure.get_figwidth() == pytest.approx(style.SINGLE_COLUMN_IN)


def test_a_panel_for_each_metric(netperf: Results) -> None:
    figure = drawn(netperf, replace(SIZES, y=("throughput_bps", "cpu_us_per_message"), column="double"))
    assert [axes.get_ylabel() for axes in figure.axes] == ["throughput (bps)", "cpu per message (µs)"]
    assert figure.get_figwidth() == pytest.approx(style.DOUBLE_COLUMN_IN)


def test_series_differ_by_more_than_colour(netperf: Results) -> None:
    choice = Choice("message_size", ("throughput_bps",), ("platform", "mtu"), STREAM)
    lines = drawn(netperf, choice).axes[0].lines
    assert len(lines) == 4
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 4


def test_metrics_against_metrics_are_not_joined(netperf: Results) -> None:
    choice = Choice("throughput_bps", ("cpu_us_per_message",), ("test",))
    axes = drawn(netperf, choice).axes[0]
    assert all(line.get_linestyle() == "None" for line in axes.lines)
    assert axes.get_xlabel() == "throughput (bps)"


def test_words_become_places(netperf: Results) -> None:
    choice = Choice(
        "test", ("cpu_us_per_message",), where={**TORUS, "message_size": "1 KiB", "mtu": "1500 B"}
    )
    axes = drawn(netperf, choice).axes[0]
    assert "tcp_stream" in [label.get_text() for label in axes.get_xticklabels()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": "mesage_size"}, r"--x mesage_size: .*did you mean 'message_size'"),
        ({"y": ("mtu",)}, r"--y mtu: not a metric; those are"),
        ({"group": ("latency_us",)}, r"--group latency_us: a metric"),
        ({"where": STREAM}, r"2 points have message_size=.*; they differ in mtu: name these"),
        ({"where": {"test": "tcp_streams"}}, r"--where test=tcp_streams: no such value; did you mean"),
        ({"log": "z"}, r"--log z: expected x, y or xy"),
        ({"column": "triple"}, r"--column triple: expected single or double"),
        ({"y": ("latency_us",)}, "no point that is left has latency_us"),
        (
            {"x": "platform", "group": ("message_size", "test", "mtu"), "where": {}},
            rf"more than {style.SERIES_MAX} can",
        ),
    ],
)
def test_a_choice_that_makes_no_figure(netperf: Results, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        drawn(netperf, replace(SIZES, **change))


def test_what_has_no_logarithm_is_not_left_out_silently(study_of: Callable[[str], Any]) -> None:
    choice = Choice("entries", ("exits_total",), ("program", "platform"), log="y")
    with pytest.raises(
        ReportError, match="--log y: exits_total is not above 0 at 8 points, such as bare-metal"
    ):
        drawn(Results(study_of("tlb-sweep")), choice)


def test_bands_are_the_intervals_of_the_summary(study_of: Callable[[str], Any]) -> None:
    choice = Choice("entries", ("elapsed_s",), ("platform", "program"))
    axes = drawn(Results(study_of("tlb-sweep")), choice).axes[0]
    assert len(axes.collections) == len(axes.lines) == 4


def ticks_in_view(axis: Any) -> list[str]:
    low, high = axis.get_view_interval()
    labels = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    return [label.get_text() for place, label in labels if low <= place <= high]


def test_a_linear_axis_of_sizes_has_one_unit(netperf: Results) -> None:
    choice = replace(SIZES, where={**STREAM, "mtu": "1500 B"}, log="")
    axes = drawn(netperf, choice).axes[0]
    assert ticks_in_view(axes.xaxis) == ["0", "16 Ki", "32 Ki", "48 Ki", "64 Ki"]
    assert {text.rpartition(" ")[2] for text in ticks_in_view(axes.yaxis)} <= {"0", "M"}
    assert tick_texts([800_000, 1_000_000]) == ["0.8 M", "1 M"]
    assert tick_texts([0, 2**18, 2**20], binary=True) == ["0", "0.25 Mi", "1 Mi"]


def test_an_axis_does_not_begin_below_what_can_be(study_of: Callable[[str], Any]) -> None:
    results = Results(study_of("tlb-sweep"))
    choice = Choice("entries", ("exits_total",), ("program", "platform"))
    axes = drawn(results, choice).axes[0]
    assert axes.get_ylim()[0] == 0.0
    assert not any(line.get_clip_on() for line in axes.lines), "marks at zero are drawn whole"
    assert never_negative("exits_total")
    assert not never_negative("deviation")
    assert not never_negative("of-a-plugin")


def test_series_have_the_names_of_their_columns(study_of: Callable[[str], Any]) -> None:
    choice = Choice("program", ("elapsed_s",), ("platform", "entries"))
    (legend,) = drawn(Results(study_of("tlb-sweep")), choice).legends
    assert "virtualised, entries=64" in [text.get_text() for text in legend.get_texts()]


def test_a_swept_column_called_like_a_metric_has_its_whole_path(study_of: Callable[[str], Any]) -> None:
    study = study_of("tlb-sweep")
    for record in study.records:
        point = dict(record["point"])
        point["workload.messages"] = point.pop("machine.set.tlb.entries")
        record |= {"point": point, "metrics": {**record["metrics"], "messages": 2}}
    results = Results(study)
    kinds = [(column.name, column.kind) for column in columns_of(results)]
    assert ("workload.messages", "swept") in kinds
    assert ("messages", "metric") in kinds
    assert ("messages", "swept") not in kinds
    with pytest.raises(ReportError, match="they differ in program: name these with --group"):
        drawn(results, Choice("workload.messages", ("elapsed_s",)))
    fixed = Choice("workload.messages", ("elapsed_s",), ("platform",), {"program": "lcc"})
    (axes,) = drawn(results, fixed).axes
    assert [len(line.get_xdata()) for line in axes.lines] == [4, 4]
    grouped = drawn(results, replace(fixed, x="platform", group=("workload.messages",)))
    assert "workload.messages=64" in [text.get_text() for text in grouped.legends[0].get_texts()]
