"""Figures of put and get: what is held against a measurement, and that every point can be seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bgsim.report import dcmf_figures, style
from bgsim.report.results import PLATFORMS, Results
from bgsim.report.tables import comparison_text

TIMES_US = {"bare-metal": 1.62, "l4-native": 1.62, "hybrid": 1.62, "virtual-machine": 66.3}


@pytest.fixture
def study_on(study_class: type[Any], record_of: Callable[..., Any]) -> Callable[..., Any]:
    """Puts of some sizes on some platforms, each record with the native measurement as older ones have it."""

    def study(platforms: Sequence[str], sizes: Sequence[int]) -> Any:
        workload = {"kind": "dcmf", "operation": "put", "completion": "local", "measure": "latency"}
        return study_class(
            [
                record_of(
                    {"workload.size": f"{size} B"},
                    platform,
                    {**workload, "size": f"{size} B"},
                    {"latency_us": TIMES_US[platform] + size / 1000},
                    details={"measured": 1.62},
                )
                for platform in platforms
                for size in sizes
            ]
        )

    return study


def drawn(study: Any) -> Any:
    results = Results(study)
    with style.paper_style():
        [(_, figure)] = dcmf_figures.figures(results.points, results.axes)
    return figure


@pytest.mark.parametrize("platform", ["l4-native", "hybrid", "virtual-machine"])
def test_only_native_runs_are_held_against_the_measurement(
    platform: str, study_on: Callable[..., Any]
) -> None:
    alone = study_on([platform], [8])
    assert "measured" not in comparison_text(alone)
    assert len(drawn(alone).axes) == 1
    beside = study_on(["bare-metal", platform], [8])
    assert "1.620 +0.49 %" in " ".join(comparison_text(beside).split())
    deviations = [y for line in drawn(beside).axes[1].lines[:-1] for y in line.get_ydata()]
    assert deviations == [pytest.approx(100 * 0.008 / 1.62)]


def test_one_size_shows_every_platform(
    study_on: Callable[..., Any], collisions: Callable[[Any], list[tuple[str, str]]]
) -> None:
    figure = drawn(study_on(PLATFORMS, [8]))
    lines = figure.axes[0].lines
    simulated = [line for line in lines if line.get_fillstyle() == "full"]
    assert [float(line.get_ydata()[0]) for line in simulated] == pytest.approx([1.628] * 3 + [66.308])
    looks = [(line.get_color(), line.get_marker()) for line in simulated]
    assert len(set(looks)) == 4
    assert all(marker not in ("None", "", None) for _, marker in looks)
    printed = [line.get_markersize() for line in simulated]
    assert printed == sorted(set(printed), reverse=True)  # those in one place are not hidden
    [measured] = [line for line in lines if line.get_fillstyle() == "none"]
    assert list(measured.get_ydata()) == [1.62]
    assert measured.get_markersize() > max(printed)
    assert not collisions(figure)
