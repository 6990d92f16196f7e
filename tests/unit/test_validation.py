"""The validation framework, the cases that are done in seconds, and the documents made of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bgsim.cli.app import app
from bgsim.experiment.errors import ExperimentError
from bgsim.validation import CASES, Case, Result, Row, document, find, releases, run
from bgsim.validation.case import typical_percent, worst_percent
from bgsim.validation.catalogue import NOT_VALIDATED
from bgsim.validation_data import TWO_NODE_COLUMNS, table

ROOT = Path(__file__).parent.parent.parent

ROWS = (
    Row("put", "8 B", 2.0, 2.0, None),
    Row("put", "1 KiB", 100.0, 101.0, 2.0),
    Row("put", "2 KiB", 200.0, 190.0, 2.0),
    Row("get", "8 B", 1.0, 1.0, 0.0),
)


def case(binding: bool = True, rows: tuple[Row, ...] = ROWS) -> Case:
    return Case(
        "one-against-other",
        "one with the other",
        "measured",
        "s",
        "a paper",
        "None.",
        binding,
        lambda fast: rows,
    )


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [run(each, fast=True) for each in CASES]


# ---- rows -------------------------------------------------------------------------------------------


def test_a_row_misses_beyond_its_tolerance_only() -> None:
    assert [row.missed for row in ROWS] == [False, False, True, False]
    assert [row.calibrated for row in ROWS] == [True, False, False, False]
    assert ROWS[2].error_percent == pytest.approx(-5)
    assert Row("put", "exact", 3.0, 3.0001, 0.0).missed


def test_calibrated_rows_do_not_count() -> None:
    assert worst_percent(ROWS) == pytest.approx(-5)
    assert typical_percent(ROWS) == pytest.approx(1)
    assert worst_percent(ROWS[:1]) is typical_percent(ROWS[:1]) is None


def test_only_a_binding_case_has_faults() -> None:
    assert run(case(binding=True)).faults == [ROWS[2]]
    assert run(case(binding=False)).misses == [ROWS[2]]
    assert run(case(binding=False)).faults == []


# ---- cases ------------------------------------------------------------------------------------------


def test_cases_say_what_they_compare() -> None:
    names = [each.name for each in CASES]
    assert len(set(names)) == len(names)
    for each in CASES:
        assert "-against-" in each.name
        assert each.source
        assert each.conditions.endswith(".")


def test_a_case_is_found_by_the_beginning_of_its_name() -> None:
    assert find("packet").name == "packet-latency-against-closed-form"
    with pytest.raises(ExperimentError, match="more than one"):
        find("two-node")
    with pytest.raises(ExperimentError, match="no such case"):
        find("netperf")


def test_binding_cases_hold(results: list[Result]) -> None:
    assert [row for result in results for row in result.faults] == []


def test_every_expected_and_simulated_value_is_a_number(results: list[Result]) -> None:
    for result in results:
        for row in result.rows:
            assert row.expected > 0
            assert math.isfinite(row.error_percent)


def test_rows_a_constant_was_fitted_to_are_marked(results: list[Result]) -> None:
    rows = [row for result in results if "two-node" in result.case.name for row in result.rows]
    assert {row.point for row in rows if row.calibrated} == {"8 B", "128 B", "512 B"}
    assert {row.series for row in rows if row.calibrated} == {"get", "put"}
    assert len(TWO_NODE_COLUMNS) == 5
    assert all(column in table(f"two_node_{what}")[0] for (_, _, what), column in TWO_NODE_COLUMNS.items())


def test_the_fast_form_gives_the_same_rows() -> None:
    packets = find("packet")
    assert set(run(packets, fast=True).rows) <= set(run(packets).rows)


# ---- documents --------------------------------------------------------------------------------------


def test_the_page_holds_the_block_the_rows_and_what_is_not_validated() -> None:
    result = run(case())
    page = document.page([result])
    assert document.readme_block([result]) in page
    assert "| put | 2 KiB | 200 | 190 | -5.00 % | 2 % | miss |" in page
    assert "| put | 8 B | 2 | 2 | 0.00 % |  | calibrated |" in page
    assert "| get | 8 B | 1 | 1 | 0.00 % | exact | pass |" in page
    assert all(f"**{what}**" in page for what in NOT_VALIDATED)
    assert "netperf" in page


def test_the_block_sums_up_by_series() -> None:
    block = document.readme_block([run(case())])
    assert "| one-against-other: put | measured | 2 + 1 calibrated | 3.00 % | -5.00 % | 2 % | 1 |" in block
    assert block.endswith("Misses: one-against-other: put, 2 KiB -5.00 %.\n")
    assert document.readme_block([run(case(rows=ROWS[:2]))]).endswith("Misses: none.\n")


def test_a_file_with_markers_keeps_what_is_around_them(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n", encoding="utf-8")
    page = tmp_path / "docs" / "validation.md"
    shown = [run(case())]
    for path in (readme, page):
        document.write(path, shown)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith(f"{document.END}\nafter\n")
    assert document.block_of(text) == document.readme_block(shown)
    assert document.drift_of_tree(shown, complete=True, root=tmp_path) == []


def test_a_case_alone_is_written_into_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (replace(case(), name=f"{name}-against-other") for name in ("one", "another"))
    monkeypatch.setattr(document, "CASES", (one, other))
    readme, page = tmp_path / "README.md", tmp_path / "validation.md"
    readme.write_text(f"before\n{document.BEGIN}\n{document.END}\nafter\n", encoding="utf-8")
    for path in (readme, page):
        document.write(path, [run(one), run(other)])
    changed = replace(other, rows=lambda fast: ROWS[:2])
    for path in (readme, page):
        document.write(path, [run(changed)], complete=False)
    assert page.read_text(encoding="utf-8") == document.page([run(one), run(changed)])
    assert document.block_of(readme.read_text(encoding="utf-8")) == document.readme_block(
        [run(one), run(changed)]
    )


def test_an_interval_is_shown() -> None:
    assert document.row_cells(Row("a", "b", 2.0, 1.9, 10.0, 0.05))[3] == "1.900 ± 0.0500"


def test_what_changed_since_a_release_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [run(case())]
    then = {"one-against-other": {"put, 1 KiB": 101.0, "put, 2 KiB": 200.0, "put, 4 KiB": 400.0}}
    monkeypatch.setattr(document.releases, "latest", lambda: releases.Release("0.0.9", 1, then))
    page = document.page(results)
    assert "Of 3 values of release 0.0.9 (model version 1), 1 are the same within 0.1 %, 1 are not" in page
    assert "| one-against-other | put, 2 KiB | 200 | 190 | -5.00 % |" in page
    assert "put, 2 KiB: 200 then, 190 now, -5.00 %" in document.text(results, every_row=False)


def test_numbers_of_a_release_are_those_of_its_page(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "bgsim" / "validation_data" / "releases").mkdir(parents=True)
    document.write(tmp_path / "docs" / "validation.md", [run(case())])
    release = releases.read(releases.write_release(tmp_path).read_text(encoding="utf-8"))
    assert release.rows["one-against-other"]["put, 2 KiB"] == 190
    with pytest.raises(ExperimentError, match="in a checkout"):
        releases.write_release(tmp_path / "docs")


def test_the_shipped_numbers_are_of_cases_there_are() -> None:
    release = releases.latest()
    assert release is not None
    assert release.rows.keys() <= {each.name for each in CASES}


def test_drift_is_told(tmp_path: Path) -> None:
    shown = [run(case())]
    assert "there is no" in document.drift_of_tree(shown, complete=True, root=tmp_path)[0]
    page = document.page(shown)
    assert document.drift(page, shown, complete=True) == document.drift(page, shown, complete=False) == []
    other = [run(case(rows=(*ROWS[:3], Row("get", "8 B", 1.0, 1.5, 0.0))))]
    assert len(document.drift(page, other, complete=False)) == 1
    assert document.drift(page, other, complete=True)
    assert document.drift(page, [run(case(rows=ROWS[:1]))], complete=False) == []


def test_the_documents_of_this_checkout_have_not_drifted(results: list[Result]) -> None:
    assert document.drift_of_tree(results, complete=False, root=ROOT) == []


# ---- command ----------------------------------------------------------------------------------------


def test_the_command_prints_errors_and_what_is_not_validated() -> None:
    answer = CliRunner().invoke(app, ["validate", "packet", "--fast"])
    assert answer.exit_code == 0
    assert "Worst error" in answer.stdout
    assert "12 hops" in answer.stdout
    assert "Not validated:" in answer.stdout


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["packet", "--fast", "--markdown", "x.md"], ["--fast", "--markdown", "x.md"]]
)
def test_what_makes_no_sense_is_refused(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["validate", *arguments]).exit_code == 2
