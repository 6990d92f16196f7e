"""Figures of noise probes: what a row stands for, and what is said to be behind a detour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bgsim.report.noise_figures import figures
from bgsim.report.results import Cell, Group, Point

TRACE = {"trace": [[1000.0, 11741.0], [14000.0, 8.7], [16000.0, 0.5]], "histogram": [[0.5, 0.63, 3]]}


def point(strict: bool = False, **workload: Any) -> Point:
    section = {"kind": "noise", "probe": "fwq", **workload}
    machine = {"set": {"l4.smp": True, "l4.strict_slices": strict}}
    record = {
        "config": {"workload": section, "guest": "cnk", "machine": machine},
        "metrics": {"elapsed_s": 0.3},
        "details": {**TRACE, "trace_sources": ["vm_switch+l4_tick+guest_timer", "tlb_insert", "l4_tick"]},
    }
    axes = {"workload.neighbour": workload.get("neighbour"), "workload.cores": workload.get("cores")}
    cells = {"elapsed_s": Cell(0.3, None, None, 1, "s")}
    group = Group(axes, "virtual-machine", (record,), cells)
    return Point(axes, {"virtual-machine": group})


def test_rows_are_neighbours_and_marks_are_what_is_behind_them() -> None:
    points = [
        point(neighbour="device-reads", cores=[0, 0], strict=True),
        point(neighbour="compute", cores=[0, 0]),
        point(neighbour="compute", cores=[0, 1]),
        point(),
    ]
    drawn = dict(figures(points, ("workload.neighbour", "workload.cores", "machine.set.l4.strict_slices")))
    assert list(drawn) == ["noise-fwq", "noise-detours"]
    rows = drawn["noise-fwq"].axes
    assert [axes.get_title("left") for axes in rows] == [
        "alone",
        "beside compute on another core",
        "beside compute on its core",
        "beside device-reads on its core, strict slices",
    ]
    (legend,) = drawn["noise-fwq"].legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "other virtual machine",
        "TLB entries loaded",
        "L4 tick",
    ]
    assert rows[0].get_ylim()[1] > 11741


def test_a_study_without_neighbours_has_a_row_for_each_guest() -> None:
    ((_, figure), _) = figures([point()], ())
    assert [axes.get_title("left") for axes in figure.axes] == ["cnk, virtualised"]


def test_the_rate_of_a_detour_is_the_mean_over_replications_with_its_interval() -> None:
    (row,) = point().groups
    other = {**row.records[0], "details": {**TRACE, "histogram": [[0.5, 0.63, 6], [1.0, 1.26, 3]]}}
    group = replace(row, records=(*row.records, other))
    drawn = dict(figures([Point({}, {"virtual-machine": group})], ()))
    (axes,) = drawn["noise-detours"].axes
    assert axes.lines[0].get_ydata() == pytest.approx([15.0, 5.0])
    (bars,) = axes.containers
    assert bars.has_yerr
