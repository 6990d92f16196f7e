"""Figures of large sweeps: split where one figure would be unreadable, and nothing left out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bgsim.report import scaling_figures, style, sweep_figures, traffic_figures
from bgsim.report.results import Cell, Group, Point

Collisions = Callable[[Any], list[tuple[str, str]]]

SIZES = ("8 B", "64 B", "512 B", "1 KiB", "4 KiB", "16 KiB", "64 KiB")
OPERATIONS = ("allgather", "allreduce", "alltoall", "broadcast", "reduce")
PATTERNS = ("all-to-all", "antipodal", "hotspot", "nearest-neighbour", "random-permutation", "uniform-random")
PLATFORMS = ("bare-metal", "virtual-machine")
NOISE = ("none", {"durations": ["10 us"], "period": "1 ms"}, {"durations": ["100 us"], "period": "10 ms"})


def point(
    workload: Mapping[str, Any],
    metrics: Mapping[str, float],
    values: Mapping[str, Any] | None = None,
    platforms: Sequence[str] = PLATFORMS,
    nodes: int = 32,
) -> Point:
    groups = {}
    for place, platform in enumerate(platforms):
        record = {"config": {"workload": workload}, "details": {"nodes": nodes}, "platform": platform}
        cells = {
            name: Cell(
                value * (1 + 5 * place), 0.9 * value * (1 + 5 * place), 1.2 * value * (1 + 5 * place), 3, "us"
            )
            for name, value in metrics.items()
            if name != "slowdown" or place > 0
        }
        groups[platform] = Group(values or {}, platform, (record,), cells)
    return Point(values or {}, groups)


def collectives(operations: Sequence[str], sizes: Sequence[str]) -> list[Point]:
    return [
        point(
            {"kind": "collectives", "operation": operation, "size": size, "ranks_per_node": 1},
            {"operation_us_avg": 2.0 + 3**place * nodes, "slowdown": 2.0 + place},
            nodes=nodes,
        )
        for operation in operations
        for place, size in enumerate(sizes)
        for nodes in (1, 512)
    ]


def _legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_collectives_of_many_sizes_make_a_figure_for_each_operation(collisions: Collisions) -> None:
    with style.paper_style():
        drawn = dict(scaling_figures.figures(collectives(OPERATIONS, SIZES), ()))
        assert list(drawn) == [f"scaling-{operation}" for operation in OPERATIONS]
        for operation in OPERATIONS:
            series = [text for text in _legend(drawn[f"scaling-{operation}"]) if "rank" in text]
            assert series == [f"{operation} {size}, 1 rank per node" for size in SIZES]
        assert not collisions(drawn["scaling-alltoall"])


def test_an_operation_of_more_sizes_than_can_be_told_apart_makes_numbered_figures(
    collisions: Collisions,
) -> None:
    sizes = [f"{2**place} B" for place in range(style.SERIES_MAX + 1)]
    with style.paper_style():
        drawn = dict(scaling_figures.figures(collectives(["reduce"], sizes), ()))
        assert list(drawn) == ["scaling-reduce-1", "scaling-reduce-2"]
        [(name, full)] = scaling_figures.figures(collectives(["reduce"], sizes[1:]), ())
        assert name == "scaling"
        assert not collisions(full)
    lines = full.axes[1].lines[: style.SERIES_MAX]
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == style.SERIES_MAX


def traffic(patterns: Sequence[str], operations: Sequence[str], sizes: Sequence[str]) -> list[Point]:
    return [
        point(
            {
                "kind": "traffic",
                "pattern": pattern,
                "operation": operation,
                "size": size,
                "displacement": None,
            },
            {
                f"operation_us_{which}": 3.0**place + extra
                for extra, which in enumerate(("min", "avg", "max"))
            },
            platforms=PLATFORMS[:1],
        )
        for pattern in patterns
        for operation in operations
        for place, size in enumerate(sizes)
    ]


def test_panels_of_traffic_stand_in_rows_on_pages(collisions: Collisions) -> None:
    sizes = SIZES[1::2]
    with style.paper_style():
        drawn = dict(traffic_figures.figures(traffic(PATTERNS, ("get", "put", "send"), sizes), ()))
        assert list(drawn) == ["traffic-operations-1", "traffic-operations-2"]
        for figure in drawn.values():
            assert len(figure.axes) == 9
            assert figure.get_figheight() <= style.PAGE_HEIGHT_IN
        titles = [panel.get_title() for figure in drawn.values() for panel in figure.axes]
        assert titles == [f"{pattern} {each}" for pattern in PATTERNS for each in ("get", "put", "send")]
        assert not collisions(drawn["traffic-operations-2"])
        assert len({panel.get_ylim() for panel in drawn["traffic-operations-2"].axes}) == 1
        [(name, figure)] = traffic_figures.figures(traffic(PATTERNS[3:5], ("put", "send"), sizes), ())
        assert name == "traffic-operations"
        assert not collisions(figure)  # four in a row


def test_many_points_without_a_number_fill_pages_with_short_labels(collisions: Collisions) -> None:
    grids = ([4, 4, 4], [8, 8, 8], [16, 16, 32])
    axes = ("workload.grid", "workload.network", "workload.noise")
    metrics = [f"metric_{number}" for number in range(5)]
    places = list(itertools.product(grids, ("packet", "flow", "uncontended"), NOISE))
    points = [
        point({"kind": "halo"}, dict.fromkeys(metrics, 150.0 + number), dict(zip(axes, values, strict=True)))
        for number, values in enumerate(places)
    ]
    with style.paper_style():
        drawn = dict(sweep_figures.figures(points, axes))
        assert list(drawn) == [
            f"sweep-points-{page}" for page in range(1, 5)
        ]  # two of points, two of metrics
        shown = []
        for figure in drawn.values():
            assert figure.get_figheight() <= style.PAGE_HEIGHT_IN
            panels = [panel for panel in figure.axes if panel.get_visible()]
            labels = [text.get_text() for text in panels[0].get_yticklabels()]
            shown += [(panel.get_xlabel(), label) for panel in panels for label in labels]
        assert len(shown) == len(set(shown)) == len(metrics) * len(places)
        first = drawn["sweep-points-1"]
        assert first.axes[0].get_ylabel() == "grid, network, noise"
        assert first.axes[0].get_yticklabels()[1].get_text() == "4×4×4, packet, 10 µs every 1 ms"
        assert not collisions(first)


def test_lines_that_would_look_the_same_stand_in_several_figures() -> None:
    axes = ("workload.posted", "workload.pattern")
    points = [
        point(
            {"kind": "traffic"}, {"elapsed_s": 1.0 + posted}, dict(zip(axes, (posted, pattern), strict=True))
        )
        for pattern in PATTERNS
        for posted in (1, 2, 4)
    ]
    with style.paper_style():
        drawn = dict(sweep_figures.figures(points, axes))
    assert list(drawn) == ["sweep-posted-1", "sweep-posted-2"]
    for figure in drawn.values():
        looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in figure.axes[0].lines}
        assert len(looks) == len(figure.axes[0].lines) == len(_legend(figure)) == 6
