r"""The comparison table for a paper, a page or a spreadsheet: LaTeX, Markdown, CSV.

The same cells as on the terminal, with the same digits: units in their column, intervals in brackets behind
the mean. CSV has numbers that a program reads, so there an interval stands in two columns of its own, and
every row names its point. All digits are in ``summary.csv``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bgsim.report.tables import Comparison

_NUMBER: Final = re.compile(r"([-+]?[\d,]*\.?\d+)(x| %)?(?: \[(\S+), (\S+)\])?")
"""A mean, its sign for times or percent, and its interval."""
_BOUNDS: Final = re.compile(r"([\d,.]+) to ([\d,.]+)")
_MISSING: Final = "-"

_LATEX: Final = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "µ": r"\textmu{}",
}


def latex(table: Comparison) -> str:
    r"""A ``tabular`` with the rules of the package booktabs, to be read with ``\input``."""
    count = len(table.columns)
    places = "".join("r" if justify == "right" else "l" for _, justify in table.columns)
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{@{{}}{places}@{{}}}}",
        "\\toprule",
        _latex_row([heading for heading, _ in table.columns]),
        "\\midrule",
        *(_latex_row(row) for row in _points_once(table)),
        "\\bottomrule",
    ]
    span = f"\\multicolumn{{{count}}}{{@{{}}l@{{}}}}"
    lines += [f"{span}{{\\footnotesize {_latex_text(note)}}} \\\\" for note in table.caption.splitlines()]
    return "\n".join([*lines, "\\end{tabular}"]) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_cell, cells)) + r" \\"


def _latex_cell(text: str) -> str:
    if text == _MISSING:
        return "--"
    found = _NUMBER.fullmatch(text)
    if found is None:
        escaped = _latex_text(text)
        # A bracket that begins a row would be taken for an option of the line break before it.
        return f"{{[}}{escaped[1:]}" if escaped.startswith("[") else escaped
    mean, sign = found[1], found[2] or ""
    number = f"${mean[0]}${mean[1:]}" if mean[0] in "+-" else mean
    number += {"x": "$\\times$", " %": "\\,\\%"}.get(sign, "")
    return number + (f" [{found[3]}, {found[4]}]" if found[3] else "")


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def markdown(table: Comparison) -> str:
    """A table with pipes, as GitHub and most programs for Markdown read it; the notes below."""
    lines = [
        _markdown_row([heading for heading, _ in table.columns]),
        _markdown_row(["---:" if justify == "right" else "---" for _, justify in table.columns]),
        *(_markdown_row(map(_markdown_text, row)) for row in _points_once(table)),
    ]
    notes = [f"\n{_markdown_text(note)}" for note in table.caption.splitlines()]
    return "\n".join([*lines, *notes]) + "\n"


def _markdown_row(cells: Sequence[str] | map[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_text(text: str) -> str:
    return re.sub(r"([\\|*_<`\[\]])", r"\\\1", text)


def spreadsheet(table: Comparison) -> str:
    """Comma-separated values: numbers without marks, ends of intervals in columns of their own."""
    columns: list[list[str]] = []
    first_number = table.axes + 2  # behind the point: metric and unit
    for index, (heading, _) in enumerate(table.columns):
        texts = [row[index] for row in table.rows]
        if index < first_number:
            columns.append([heading, *texts])
        else:
            columns += _number_columns(heading, texts)
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(zip(*columns, strict=True))
    return stream.getvalue()


def _number_columns(heading: str, texts: Sequence[str]) -> list[list[str]]:
    """A column as one of means, and two of ends where there are intervals."""
    percent = all(text == _MISSING or text.endswith(" %") for text in texts)
    means = [f"{heading} (%)" if percent else heading]
    lows, highs = [f"{heading}, low"], [f"{heading}, high"]
    for text in texts:
        number, bounds = _NUMBER.fullmatch(text), _BOUNDS.fullmatch(text)
        parts = ["" if text == _MISSING else text, "", ""]
        if number is not None:
            parts = [_plain(number[1]), _plain(number[3] or ""), _plain(number[4] or "")]
        elif bounds is not None:
            parts = ["", _plain(bounds[1]), _plain(bounds[2])]
        for column, part in zip((means, lows, highs), parts, strict=True):
            column.append(part)
    columns = [means, lows, highs] if any(lows[1:]) else [means]
    return columns if any(means[1:]) or len(columns) == 1 else columns[1:]


def _plain(number: str) -> str:
    return number.replace(",", "")


def _points_once(table: Comparison) -> list[list[str]]:
    """Rows whose point is named only where it changes, as in print."""
    rows: list[list[str]] = []
    previous: list[str] = []
    for row in table.rows:
        place = row[: table.axes]
        rows.append([*([""] * table.axes if place == previous else place), *row[table.axes :]])
        previous = place
    return rows


FORMATS: Final[Mapping[str, Callable[[Comparison], str]]] = {
    "latex": latex,
    "markdown": markdown,
    "csv": spreadsheet,
}
"""What a comparison can be written as, beside the text of the terminal."""
