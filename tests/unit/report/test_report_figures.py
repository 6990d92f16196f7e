"""Figures: which are drawn, the same bytes each time, no words on top of each other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bgsim.report import causes, compile_figures, figures, style
from bgsim.report.explain import explain_figure
from bgsim.report.figures import draw_study
from bgsim.report.results import ReportError, Results

EXPECTED = {
    "compile": {
        "compile-elapsed",
        "compile-attribution",
        "compile-sensitivity-lcc",
        "compile-sensitivity-gcc346",
        "compile-sensitivity-gcc12",
    },
    "tlb-sweep": {
        "compile-elapsed",
        "compile-attribution",
        "compile-sensitivity-lcc",
        "compile-sensitivity-gcc346",
        "sweep-entries",
    },
    "netperf": {"netperf-throughput", "netperf-latency", "netperf-cpu"},
    "micro": {"micro-operations"},
    "micro-unlisted": {"micro-operations"},
    "dcmf": {"dcmf-latency", "dcmf-bandwidth"},
    "sweep": {"sweep-ranks"},
    "categories": {"sweep-points"},
}


def _drawn(study: Any) -> Iterator[tuple[str, Any]]:
    results = Results(study)
    with style.paper_style():
        for kind in results.kinds:
            yield from figures._figures(kind, results.of_kind(kind), results.axes)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_kind_chooses_figures_that_can_be_printed(
    name: str, study_of: Callable[[str], Any], collisions: Callable[[Any], list[tuple[str, str]]]
) -> None:
    found = set()
    for title, figure in _drawn(study_of(name)):
        found.add(title)
        assert figure.get_figwidth() in (3.4, 7.0)
        assert not collisions(figure), title
    assert found == EXPECTED[name]


def test_every_format(study_of: Callable[[str], Any], tmp_path: Path) -> None:
    paths = draw_study(study_of("micro"), tmp_path)
    assert [path.suffix for path in paths] == [".pdf", ".svg", ".png"]
    starts = [path.read_bytes()[:8] for path in paths]
    assert starts[0].startswith(b"%PDF")
    assert starts[1].startswith(b"<?xml")
    assert starts[2] == b"\x89PNG\r\n\x1a\n"


def test_same_study_same_bytes(study_of: Callable[[str], Any], tmp_path: Path) -> None:
    first = draw_study(study_of("compile"), tmp_path / "first", formats=("svg",))
    reordered = study_of("compile")
    reordered.records = reordered.records[::-1]  # as if other workers had finished first
    second = draw_study(reordered, tmp_path / "second", formats=("svg",))
    assert [path.name for path in first] == [path.name for path in second]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert "<dc:date>" not in first[0].read_text()


def test_same_bytes_in_another_process_with_other_settings(
    study_of: Callable[[str], Any], tmp_path: Path
) -> None:
    here = draw_study(study_of("micro"), tmp_path / "here", formats=("svg", "pdf"))
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nsvg.fonttype: none\naxes.facecolor: red\n")
    script = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('synthetic', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['synthetic'] = module\n"
        "spec.loader.exec_module(module)\n"
        "from bgsim.report.figures import draw_study\n"
        "draw_study(module.make_micro(), sys.argv[2], formats=('svg', 'pdf'))\n"
    )
    conftest = Path(__file__).with_name("conftest.py")
    root = Path(figures.__file__).parents[2]
    environment = os.environ | {
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": str(root),
        "LC_ALL": "C",
    }
    command = [sys.executable, "-c", script, str(conftest), str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment, timeout=120)
    for path in here:
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes(), path.name
        assert b"CreationDate" not in path.read_bytes()


def test_measured_times_only_beside_the_measured_job(study_of: Callable[[str], Any], tmp_path: Path) -> None:
    def labels(study: Any) -> list[str]:
        _, figure = next(_drawn(study))
        return [text.get_text() for text in figure.legends[0].get_texts()]

    study = study_of("compile")
    assert "measured, Stoess et al. 2011" in labels(study)
    for record in study.records:
        record["config"]["workload"]["native_time"] = "10 s"
    assert "measured, Stoess et al. 2011" not in labels(study)


def test_unknown_format_and_empty_study(
    study_of: Callable[[str], Any], study_class: type[Any], tmp_path: Path
) -> None:
    with pytest.raises(ReportError, match="not as 'bmp'"):
        draw_study(study_of("micro"), tmp_path, formats=("bmp",))
    with pytest.raises(ReportError, match="no finished run"):
        draw_study(study_class([]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_explain_figure(compile_study: Any, tmp_path: Path) -> None:
    path = explain_figure(compile_study, None, tmp_path / "where.svg")
    assert path == tmp_path / "where.svg"
    assert path.read_bytes() == explain_figure(compile_study, None, tmp_path / "again.svg").read_bytes()
    with pytest.raises(ReportError, match=r"where\.gif"):
        explain_figure(compile_study, None, tmp_path / "where.gif")


def test_small_causes_are_folded_in_figures_only() -> None:
    shares = [{"guest_user": 0.6, "PPC_HVM_EXCEPT_DECREMENTER": 0.001, "PPC_HVM_DTLB_MISS": 0.399}]
    assert causes.fold_small(shares) == ["guest_user", "PPC_HVM_DTLB_MISS"]
    assert causes.label("PPC_HVM_EMUL_TLBWE") == "emulate tlbwe"
    assert causes.place("PPC_HVM_NEW_ONE") == "L4"


def test_single_point_without_sweep(
    study_class: type[Any], study_of: Callable[[str], Any], tmp_path: Path
) -> None:
    records = [
        record for record in study_of("netperf").records if record["point"]["workload.message_size"] == "64 B"
    ]
    record = dict(records[0], point={})
    assert draw_study(study_class([record]), tmp_path, formats=("svg",))


@pytest.mark.parametrize("ends", [(6051, 12820), (11000, 12820), (5, 5.5), (60, 17484)])
def test_a_logarithmic_axis_has_two_numbers_at_least(ends: tuple[float, float]) -> None:
    with style.paper_style():
        figure, [[axes]] = style.new_figure()
        axes.plot(ends, (0, 1), "o")
        style.plain_log_ticks(axes, "x")
        figure.canvas.draw()
        low, high = axes.get_xlim()
        shown = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    assert len({label.get_text() for label in shown}) >= 2


def test_totals_of_short_runs_have_a_unit_that_fits(record_of: Callable[..., Any]) -> None:
    records = [
        record_of({}, "bare-metal", {"kind": "micro"}, {}, attribution={"guest_user": cycles})
        for cycles in (1_200, 349_350, 8_500_000_000)
    ]
    with style.paper_style():
        _, [[axes]] = style.new_figure()
        compile_figures.draw_stacks(axes, [(str(n), [record]) for n, record in enumerate(records)])
    totals = [text.get_text() for text in axes.texts if text.get_text()[-1] == "s"]
    assert totals == ["1.41 µs", "411 µs", "10.0 s"]
