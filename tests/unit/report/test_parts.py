"""Workloads that are swept as whole sections: no figure of a study hides another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bgsim.report import figures, style
from bgsim.report.figures import draw_study, figures_of, names_of
from bgsim.report.parts import split_by
from bgsim.report.results import Results
from bgsim.report.sweep_figures import figures as sweep_figures
from bgsim.report.tables import comparison_text

OWN = ("workload.operation", "workload.size")


@pytest.fixture
def swept(study_class: type[Any], record_of: Callable[..., Any]) -> Callable[..., Any]:
    """A study of whole sections, each with a time of its own."""

    def study(*sections: dict[str, Any], kind: str = "dcmf") -> Any:
        common = {"operation": "put", "completion": "local", "measure": "latency", "warmup": 2}
        records = []
        for number, section in enumerate(sections):
            written = {"kind": kind, **section}
            metrics = {"latency_us" if kind == "dcmf" else "operation_us_avg": 2.0 + number}
            records.append(record_of({"workload": written}, "bare-metal", {**common, **written}, metrics))
        return study_class(records)

    return study


def parts(study: Any) -> list[tuple[dict[str, Any], int]]:
    results = Results(study)
    return [(values, len(part)) for values, part in split_by(results.points, results.axes, OWN)]


def test_sizes_of_one_operation_share_a_figure(swept: Callable[..., Any]) -> None:
    study = swept({"size": "8 B", "messages": 64}, {"size": "4 KiB", "messages": 64}, {"size": "64 KiB"})
    with style.paper_style():
        [(name, figure)] = figures_of(study, Results(study))
    assert name == "dcmf-latency"
    assert sorted(figure.axes[0].lines[0].get_xdata()) == [8, 4096, 65536]


def test_repetitions_part_only_what_would_share_a_place(swept: Callable[..., Any]) -> None:
    apart = swept({"size": "8 B", "messages": 64}, {"size": "4 KiB", "messages": 8})
    assert parts(apart) == [({}, 2)]
    together = swept({"size": "8 B", "messages": 64}, {"size": "8 B", "messages": 8})
    assert {values["workload"] for values, _ in parts(together)} == {"dcmf messages=64", "dcmf messages=8"}


def test_sections_that_differ_in_what_no_figure_shows_are_parted(swept: Callable[..., Any]) -> None:
    study = swept({"size": "8 B", "warmup": 2}, {"size": "8 B", "mode": "a"}, {"size": "8 B", "mode": "b"})
    assert [count for _, count in parts(study)] == [1, 1, 1]
    assert len(names_of(study)) == len(set(names_of(study))) == 3


def test_a_default_that_is_written_parts_nothing(swept: Callable[..., Any]) -> None:
    study = swept({"size": "8 B"}, {"size": "4 KiB", "completion": "local"})
    assert parts(study) == [({}, 2)]


def test_figures_of_one_name_are_numbered(
    swept: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alike(*_: Any) -> Any:
        for name in ("same", "same", "same-2"):
            yield name, style.new_figure()[0]

    monkeypatch.setattr(figures, "_all_of", alike)
    paths = draw_study(swept({"size": "8 B"}), tmp_path, formats=("svg",))
    assert [path.name for path in paths] == ["same.svg", "same-2.svg", "same-2-2.svg"]
    assert all(path.exists() for path in paths)


def test_sections_have_labels_of_their_own(swept: Callable[..., Any]) -> None:
    study = swept({"size": "8 B"}, {"size": "4 KiB"}, kind="halo")
    results = Results(study)
    with style.paper_style():
        [(_, figure)] = sweep_figures(results.points, results.axes)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(labels) == ["halo size=4 KiB", "halo size=8 B"]
    assert all(label in comparison_text(study) for label in labels)
