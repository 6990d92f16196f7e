"""Built-in figures draw the intervals of replicated studies, and nothing where there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.container import ErrorbarContainer

from bgsim.experiment.statistics import mean_interval
from bgsim.report import dcmf_figures, memory_figures, micro_figures, netperf_figures, replay_figures, style
from bgsim.report.intervals import bars, reach
from bgsim.report.results import Cell, Results


def replicated(study: Any, study_class: type[Any], count: int = 3) -> Any:
    """The same study with replications that differ by some percent."""
    records = []
    for record in study.records:
        for number in range(count):
            factor = 1 + 0.05 * number
            details = dict(record["details"])
            if "operations" in details:
                details["operations"] = [
                    {key: value if isinstance(value, str) else factor * value for key, value in row.items()}
                    for row in details["operations"]
                ]
            metrics = {name: factor * value for name, value in record["metrics"].items()}
            records.append(dict(record, replication=number, metrics=metrics, details=details))
    return study_class(records)


def memory_study(study_class: type[Any], make: Callable[..., Any]) -> Any:
    records = []
    for size, latency_us, misses in (("64 KiB", 0.04, 0.0), ("256 KiB", 0.8, 0.15)):
        for platform in ("bare-metal", "virtual-machine"):
            workload = {"kind": "memory", "size": size, "pattern": "random"}
            metrics = {"latency_us": latency_us, "tlb_misses_per_operation": misses}
            record = make({"workload.size": size}, platform, workload, metrics)
            record["config"]["guest"] = "zeptoos"
            records.append(record)
    return study_class(records)


def with_bars(figure: Any) -> list[bool]:
    """Of each visible panel, whether it has bars."""
    return [
        any(isinstance(each, ErrorbarContainer) for each in panel.containers)
        for panel in figure.axes
        if panel.get_visible()
    ]


def drawn(study: Any, module: Any) -> dict[str, Any]:
    results = Results(study)
    with style.paper_style():
        return dict(module.figures(results.points, results.axes))


@pytest.mark.parametrize(
    ("name", "module"),
    [("netperf", netperf_figures), ("micro", micro_figures), ("dcmf", dcmf_figures)],
)
def test_intervals_are_drawn_where_there_are_replications(
    name: str, module: Any, study_of: Callable[[str], Any], study_class: type[Any]
) -> None:
    once = study_of(name)
    if name == "netperf":  # it has more panels than are needed here
        few = {"tcp_stream", "tcp_rr"}, {"torus"}, {"1500 B"}
        once.records = [
            record
            for record in once.records
            if all(
                record["point"][f"workload.{key}"] in values
                for key, values in zip(("test", "network", "mtu"), few, strict=True)
            )
        ]
    assert not any(any(with_bars(figure)) for figure in drawn(once, module).values())
    several = drawn(replicated(once, study_class), module)
    assert len(several) > 0
    for title, figure in several.items():
        assert with_bars(figure)[0], title


def test_accesses_to_memory_have_intervals_and_no_negative_misses(
    study_class: type[Any], record_of: Callable[..., Any]
) -> None:
    (figure,) = drawn(replicated(memory_study(study_class, record_of), study_class), memory_figures).values()
    assert with_bars(figure) == [True] * 4
    assert [axes.get_ylim()[0] for axes in figure.axes[2:]] == [0.0, 0.0]


@pytest.mark.parametrize("ranks", [2, 200])
def test_ranks_of_a_replay_are_means_with_the_interval_of_their_time(
    ranks: int, study_class: type[Any], record_of: Callable[..., Any]
) -> None:
    records = []
    for number, wait_s in enumerate((1e-3, 2e-3, 3e-3)):
        account = {f"{cause}_s": 0.0 for cause in replay_figures.CAUSES}
        rows = [{**account, "rank": rank, "compute_s": 1e-3, "wait_s": wait_s} for rank in range(ranks)]
        details = {"rank_account": rows, "message_sizes": []}
        workload = {"kind": "replay", "trace": "t"}
        metrics = {"elapsed_s": 1e-3 + wait_s}
        records.append(record_of({}, "bare-metal", workload, metrics, replication=number, details=details))
    (figure,) = drawn(study_class(records), replay_figures).values()
    (axes,) = figure.axes
    assert axes.get_ylim()[0] == 0.0
    if ranks == 2:
        *stacks, ends = axes.containers
        assert [bar.get_height() for bar in stacks[-1]] == pytest.approx([2000.0, 2000.0])
        assert isinstance(ends, ErrorbarContainer)
    else:
        assert len(axes.collections) == 3, "two areas and the band"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "compute",
        "wait",
        "interval over replications",
    ]


def test_an_interval_below_zero_is_cut_off_by_a_logarithmic_axis() -> None:
    cells = [Cell(1.0, -1.0, 3.0, 2, "us"), Cell(2.0, 2.0, 2.0, 2, "us"), Cell(5.0, None, None, 1, "us")]
    assert reach(cells, 0.5) == [[4.0, 0.0, 0.0], [4.0, 0.0, 0.0]]
    with style.paper_style():
        figure, [[axes]] = style.new_figure()
        axes.plot([1, 2, 3], [1.0, 2.0, 5.0])
        bars(axes, [1, 2, 3], cells, style.BLUE)
        style.plain_log_ticks(axes, "y")
        figure.draw_without_rendering()
    (one,) = axes.containers
    assert len(one.lines[2][0].get_segments()) == 1, "what has no width has no bar"
    assert 0.1 < axes.get_ylim()[0] < 1.0


def test_equal_replications_have_no_bars() -> None:
    values = [0.1, 0.1, 0.1]
    found = mean_interval(values)
    assert found.low != found.high, "the sum of equal numbers over their number is another one"
    with style.paper_style():
        _, [[axes]] = style.new_figure()
        bars(axes, [1], [found], style.BLUE)
    assert not axes.containers
