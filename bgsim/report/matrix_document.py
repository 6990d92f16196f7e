"""Writes the matrix of a study into its page: ``python -m bgsim.report.matrix_document STUDY PAGE``.

The table goes between two marks of the page, the figure into ``figures/`` beside it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bgsim.experiment.study import load_study
from bgsim.report import style
from bgsim.report.matrix_figures import draw, is_matrix, markdown
from bgsim.report.results import ReportError, Results

BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"


def write(directory: Path, page: Path) -> None:
    """Write table and figure of a study.

    Raises
    ------
    ReportError
        If the study is no matrix, or the page has no place for it.
    """
    results = Results(load_study(directory))
    if not is_matrix(results.points, results.axes):
        raise ReportError(f"{directory}: is no matrix of guests and workloads")
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ReportError(f"{page}: has no lines {BEGIN} and {END}")
    table = markdown(results.points)
    page.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{after}", encoding="utf-8")
    with style.paper_style():
        style.save(draw(results.points), page.parent / "figures", "matrix", ("svg",))


def main() -> None:
    """Command line."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m bgsim.report.matrix_document STUDY PAGE")
    try:
        write(Path(sys.argv[1]), Path(sys.argv[2]))
    except (ReportError, OSError) as error:
        sys.exit(f"bgsim: {error}")


if __name__ == "__main__":
    main()
