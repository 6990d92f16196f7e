"""Figures over the size of the machine: which lines there are, and what they are called."""

from __future__ import annotations

from typing import Any

import pytest

from bgsim.experiment.labels import brief, told_apart
from bgsim.report import noise_scaling_figures
from bgsim.report.results import Cell, Group, Point
from bgsim.report.scaling_figures import figures, nodes, series_of, several_sizes

BARRIER = {
    "kind": "collectives",
    "operation": "barrier",
    "size": "8 B",
    "compute": "200 us",
    "ranks_per_node": 4,
}
ALLREDUCE = {**BARRIER, "operation": "allreduce", "compute": "0 s", "ranks_per_node": 1}
HALO = {"kind": "halo", "scaling": "weak", "grid": [32, 32, 32], "compute": "1 ms", "ranks_per_node": 1}


def group(workload: dict[str, Any], size: int, platform: str, value: float) -> Group:
    record = {"config": {"workload": workload}, "details": {"nodes": size}, "platform": platform}
    cells = {"operation_us_avg": Cell(value, 0.9 * value, 1.1 * value, 3, "us")}
    if platform != "bare-metal":
        cells["slowdown"] = Cell(value / 2, None, None, 1, "ratio")
    return Group({"workload": workload, "partition.topology": str(size)}, platform, (record,), cells)


def point(workload: dict[str, Any], size: int) -> Point:
    groups = {name: group(workload, size, name, 2.0 + size) for name in ("bare-metal", "virtual-machine")}
    return Point(groups["bare-metal"].point, groups)


@pytest.mark.parametrize(
    ("workload", "label"),
    [
        (BARRIER, "barrier, every 200 µs, 4 ranks per node"),
        (ALLREDUCE, "allreduce 8 B, 1 rank per node"),
        (HALO, "halo, 32×32×32 cells per rank, with 1 ms of computing, 1 rank per node"),
    ],
)
def test_lines_say_what_they_show(workload: dict[str, Any], label: str) -> None:
    assert series_of(group(workload, 32, "bare-metal", 1.0)) == label


def test_one_figure_for_all_operations_and_sizes() -> None:
    points = [point(workload, size) for workload in (BARRIER, HALO) for size in (32, 512, 73_728)]
    assert several_sizes(points)
    assert not several_sizes(points[:1])
    assert nodes(points[0].groups[0]) == 32
    drawn = list(figures(points, ("workload", "partition.topology")))
    assert [name for name, _ in drawn] == ["scaling"]
    time, slowdown = drawn[0][1].axes
    assert [tick.get_text() for tick in time.get_xticklabels()] == ["32", "512", "73,728"]
    assert len([line for line in time.lines if len(line.get_xdata()) == 3]) == 4
    assert len([line for line in slowdown.lines if len(line.get_xdata()) == 3]) == 2


def test_guests_with_their_noise_and_without_share_a_panel_for_each_operation() -> None:
    points = []
    for guest in ("cnk", "zeptoos-bigmemory"):
        for noise in ("cost-model", "none"):
            for operation in ("barrier", "allreduce"):
                for size in (32, 512):
                    made = point({**BARRIER, "operation": operation, "noise": noise}, size)
                    for each in made.groups:
                        each.records[0]["config"]["guest"] = guest
                    points.append(made)
    axes = ("guest", "workload.noise", "workload.operation", "partition.topology")
    assert noise_scaling_figures.compares_guests(points, axes)
    assert not noise_scaling_figures.compares_guests(points, ("partition.topology",))
    assert not noise_scaling_figures.compares_guests([*points, point(HALO, 32)], axes)
    drawn = list(noise_scaling_figures.figures(points, axes))
    assert [name for name, _ in drawn] == ["noise-scaling"]
    panels = drawn[0][1].axes
    assert [panel.get_title() for panel in panels] == ["barrier", "allreduce"]
    assert [len(panel.lines) for panel in panels] == [6, 6]  # two guests and one without noise, two platforms


def test_sections_as_swept_values_have_short_names() -> None:
    assert brief(BARRIER) == "collectives barrier"
    assert brief(HALO) == "halo weak"
    assert brief({"a": [1]}) == '{"a": [1]}'


def test_sections_that_read_the_same_say_what_they_differ_in() -> None:
    machine, detailed = {"kind": "io", "tier": "machine"}, {"kind": "io", "tier": "detailed"}
    assert told_apart([machine, detailed, BARRIER, machine]) == [
        "io tier=machine",
        "io tier=detailed",
        "collectives barrier",
        "io tier=machine",
    ]
    assert told_apart(["8 B", [3, 3, 1]]) == ["8 B", "[3, 3, 1]"]
