"""The comparison as LaTeX, Markdown and CSV: every cell of the text is there, and nothing breaks the form."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from bgsim.report.results import Results
from bgsim.report.table_formats import FORMATS, latex, markdown, spreadsheet
from bgsim.report.tables import Comparison, compared


@pytest.fixture
def odd() -> Comparison:
    """Cells that a form could take for its own signs."""
    return Comparison(
        [
            ("cores", "left"),
            ("metric", "left"),
            ("unit", "left"),
            ("native", "right"),
            ("slowdown", "right"),
            ("deviation", "right"),
        ],
        [
            ["[0, 1]", "a_ & c|", "µs", "9,024 [9,000, 9,048]", "2.5x [2.4, 2.6]", "-"],
            ["[0, 1]", "100 %", "", "7", "-", "-3.00 %"],
        ],
        1,
        "In brackets: 95 % of them.",
    )


def test_latex_escapes_and_names_a_point_once(odd: Comparison) -> None:
    assert latex(odd).splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{@{}lllrrr@{}}",
        r"\toprule",
        r"cores & metric & unit & native & slowdown & deviation \\",
        r"\midrule",
        r"{[}0, 1] & a\_ \& c\textbar{} & \textmu{}s & 9,024 [9,000, 9,048] & 2.5$\times$ [2.4, 2.6] & -- \\",
        r" & 100\,\% &  & 7 & -- & $-$3.00\,\% \\",
        r"\bottomrule",
        r"\multicolumn{6}{@{}l@{}}{\footnotesize In brackets: 95 \% of them.} \\",
        r"\end{tabular}",
    ]


def test_markdown_escapes_and_names_a_point_once(odd: Comparison) -> None:
    assert markdown(odd).splitlines() == [
        "| cores | metric | unit | native | slowdown | deviation |",
        "| --- | --- | --- | ---: | ---: | ---: |",
        r"| \[0, 1\] | a\_ & c\| | µs | 9,024 \[9,000, 9,048\] | 2.5x \[2.4, 2.6\] | - |",
        "|  | 100 % |  | 7 | - | -3.00 % |",
        "",
        "In brackets: 95 % of them.",
    ]


def test_csv_has_plain_numbers_and_the_point_in_every_row(odd: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(spreadsheet(odd))))
    assert [row["cores"] for row in rows] == ["[0, 1]", "[0, 1]"]
    first = rows[0]
    assert [first[f"slowdown{end}"] for end in ("", ", low", ", high")] == ["2.5", "2.4", "2.6"]
    assert [first[f"native{end}"] for end in ("", ", low", ", high")] == ["9024", "9000", "9048"]
    assert [row["deviation (%)"] for row in rows] == ["", "-3.00"]


def test_every_study_keeps_all_its_cells(any_study: Any) -> None:
    table = compared(Results(any_study))
    for form in (latex, markdown):
        lines = [line for line in form(table).splitlines() if re.search(r"(?<!\\)[&|]", line)]
        separators = {len(re.findall(r"(?<!\\)[&|]", line)) for line in lines}
        assert len(separators) == 1
    rows = list(csv.reader(io.StringIO(spreadsheet(table))))
    assert len(rows) == 1 + len(table.rows)
    assert len({len(row) for row in rows}) == 1


def test_intervals_and_bounds_are_columns_of_csv(study_of: Callable[[str], Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(spreadsheet(compared(Results(study_of("tlb-sweep")))))))
    assert any(row["virtualised, low"] == "141.6" and row["virtualised, high"] == "148.7" for row in rows)
    rows = list(csv.DictReader(io.StringIO(spreadsheet(compared(Results(study_of("compile")))))))
    found = next(row for row in rows if row["metric"] == "elapsed" and row["program"] == "gcc346")
    assert (found["unit"], found["bounds, low"], found["bounds, high"]) == ("s", "79.0", "273")
    assert "bounds" not in found


def test_every_form_has_a_name() -> None:
    assert set(FORMATS) == {"latex", "markdown", "csv"}
