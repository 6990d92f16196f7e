"""Draw the figures of a study: the workload's kind decides which."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bgsim.report import matrix_figures, noise_scaling_figures, scaling_figures, style
from bgsim.report.results import HEADLINE_METRICS, Point, ReportError, Results, Study
from bgsim.report.scaling_figures import SCALING_KINDS, several_sizes
from bgsim.spelling import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_study(
    study: Study,
    directory: str | os.PathLike[str],
    formats: Sequence[str] = style.FORMATS,
    only: Sequence[str] = (),
) -> list[Path]:
    """Draw every figure that the records of a study allow.

    Parameters
    ----------
    study
        The study, with ``records`` and ``summary()``.
    directory
        Where the files go; made if it does not exist.
    formats
        Any of ``pdf``, ``svg`` and ``png``.
    only
        Names of the figures that are wanted; all, unless said.

    Returns
    -------
    list of pathlib.Path
        Files written, in the order drawn. The same study gives the same bytes.

    Raises
    ------
    ReportError
        If the study holds no finished run, a format is unknown, or the study has no figure of such a name.
    """
    unknown = [name for name in formats if name not in style.FORMATS]
    if unknown:
        raise ReportError(f"figures are written as {', '.join(style.FORMATS)}, not as {unknown[0]!r}")
    results = Results(study)
    paths, names = [], []
    with style.paper_style():
        for name, figure in figures_of(study, results):
            names.append(name)
            if not only or name in only:
                paths += style.save(figure, directory, name, formats)
    for name in only:
        if name not in names:
            near = did_you_mean(name, names)
            raise ReportError(f"this study has no figure '{name}'{near} ('bgsim plot DIR --list' shows all)")
    return paths


def names_of(study: Study) -> list[str]:
    """Names of the figures that the records of a study allow.

    Raises
    ------
    ReportError
        If the study holds no finished run.
    """
    with style.paper_style():
        return [name for name, _ in figures_of(study, Results(study))]


def figures_of(study: Study, results: Results) -> Iterator[tuple[str, Figure]]:
    """Name and figure, one after another, of all that the records of a study allow.

    To be drawn and saved inside :func:`bgsim.report.style.paper_style`.

    Parameters
    ----------
    study
        The study.
    results
        The same, joined by point and platform.
    """
    used: set[str] = set()
    for name, figure in _all_of(study, results):
        # Two figures of one name would be one file, and the page's second picture would point into the first.
        number, free = 1, name
        while free in used:
            number += 1
            free = f"{name}-{number}"
        used.add(free)
        yield free, figure


def _all_of(study: Study, results: Results) -> Iterator[tuple[str, Figure]]:
    """Figures of a study with the names that their kinds give them."""
    searched = _searched(study)
    if searched:  # its points are trials of the search, which those figures show
        yield from searched
        return
    if matrix_figures.is_matrix(results.points, results.axes):  # one figure for all its kinds
        yield from matrix_figures.figures(results.points)
        return
    shown = {kind: results.of_kind(kind) for kind in results.kinds}
    sizes = [point for kind in SCALING_KINDS for point in shown.get(kind, ())]
    if several_sizes(sizes):  # one figure for all that is compared over the machine's sizes
        for kind in SCALING_KINDS:
            shown.pop(kind, None)
        guests = noise_scaling_figures.compares_guests(sizes, results.axes)
        drawn = noise_scaling_figures if guests else scaling_figures
        yield from drawn.figures(sizes, results.axes)
    for kind, points in shown.items():
        yield from _figures(kind, points, results.axes)


def _searched(study: Study) -> list[tuple[str, Figure]]:
    """Figures of a search for cures, where the study has made one."""
    from bgsim.experiment import greedy
    from bgsim.report import cures_figures

    folder = getattr(study, "directory", None)
    search = None if folder is None else greedy.read(Path(folder))
    return [] if search is None else list(cures_figures.figures(search, study.records))


def _figures(kind: str, points: Sequence[Point], axes: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    from bgsim.report import compile_figures, dcmf_figures, micro_figures, netperf_figures, sweep_figures

    if kind == "compile":
        yield from compile_figures.figures(points, axes)
        # A swept parameter of the machine is a question of its own: show the answer against it.
        taken = (compile_figures.PROGRAM,)
        if sweep_figures.numeric_axis(points, axes, taken) is not None:
            yield from sweep_figures.figures(points, axes, taken, HEADLINE_METRICS[kind])
    elif kind == "netperf":
        yield from netperf_figures.figures(points, axes)
    elif kind == "micro":
        yield from micro_figures.figures(points, axes)
    elif kind == "dcmf":
        yield from dcmf_figures.figures(points, axes)
    elif kind == "io":
        from bgsim.report import io_figures

        yield from io_figures.figures(points)
    elif kind == "traffic":
        from bgsim.report import traffic_figures

        yield from traffic_figures.figures(points, axes)
    elif kind == "replay":
        from bgsim.report import replay_figures

        yield from replay_figures.figures(points, axes)
        if sweep_figures.numeric_axis(points, axes, ()) is not None:
            yield from sweep_figures.figures(points, axes, (), HEADLINE_METRICS[kind])
    elif kind == "noise":
        from bgsim.report import noise_figures

        yield from noise_figures.figures(points, axes)
    elif kind == "neighbours":
        from bgsim.report import neighbours_figures

        yield from neighbours_figures.figures(points, axes)
    elif kind == "memory":
        from bgsim.report import memory_figures

        yield from memory_figures.figures(points, axes)
    else:
        yield from sweep_figures.figures(points, axes)
