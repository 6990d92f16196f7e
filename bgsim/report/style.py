"""The look of the figures: made for the columns of a printed paper.

Widths are those of a two-column page; colours are the palette of Okabe and Ito (2008), which
readers with any of the common colour deficiencies can tell apart, and every colour is paired
with a marker, a line style or a hatch, so a grey print stays readable. Letters are embedded as
outlines (SVG) or TrueType (PDF). Files carry no date and no random identifier: the same study
gives the same bytes.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from bgsim.report.causes import EMULATION_PREFIX, EXIT_PREFIX
from bgsim.report.results import ReportError, platform_label
from bgsim.whole import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

_T = TypeVar("_T")

SINGLE_COLUMN_IN = 3.4
DOUBLE_COLUMN_IN = 7.0

BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#9A9A9A"
LIGHT_GREY = "#DDDDDD"
DARK_GREY = "#555555"

SERIES_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, DARK_GREY)
SERIES_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINE_STYLES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))

SERIES_MAX = 12
"""More cannot be told apart in print."""

PAGE_HEIGHT_IN = 9.2
"""What a page of a paper has room for, with a caption below it."""

FORMATS = ("pdf", "svg", "png")

_MANY_DECADES = 1e4
_FEW_DECADES = 200.0

_FILE_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": "bgsim", "Producer": None},
    "svg": {"Date": None, "Creator": "bgsim"},
    "png": {"Software": None},
}

_RC: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # the one font that comes with matplotlib itself
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.4,
    "legend.borderaxespad": 0.2,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.4,
    "patch.linewidth": 0.5,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 300,
    "figure.dpi": 100,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "bgsim",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class PlatformStyle:
    """How one platform is drawn in every figure."""

    label: str
    colour: str
    marker: str


_PLATFORM_LOOK = {
    "bare-metal": (BLUE, "o"),
    "l4-native": (GREEN, "^"),
    "hybrid": (PURPLE, "D"),
    "virtual-machine": (VERMILLION, "s"),
}

_CAUSE_LOOK = {
    "guest_user": (SKY_BLUE, ""),
    "guest_kernel": (BLUE, ""),
    "guest_tlb_refill": (BLUE, "////"),
    "icache_refill_guest": (SKY_BLUE, "...."),
    "PPC_HVM_DTLB_MISS": (VERMILLION, ""),
    "PPC_HVM_ITLB_MISS": (VERMILLION, "////"),
    "PPC_HVM_EMUL_MTSPR": (ORANGE, ""),
    "PPC_HVM_EMUL_MFSPR": (ORANGE, "////"),
    "PPC_HVM_EMUL_TLBWE": (YELLOW, ""),
    "PPC_HVM_EMUL_RFI": (YELLOW, "////"),
    "PPC_HVM_EMUL_MFMSR": (YELLOW, "...."),
    "PPC_HVM_EMUL_MTMSR": (YELLOW, "xxxx"),
    "PPC_HVM_EMUL_WRTEEI": (ORANGE, "...."),
    "PPC_HVM_EMUL_TLBSX": (ORANGE, "xxxx"),
    "PPC_HVM_DTLB_MISS_DEVICE": (PURPLE, ""),
    "PPC_HVM_DTLB_MISS_RAM": (VERMILLION, "...."),
    "PPC_HVM_EXCEPT_EXTERNAL": (PURPLE, "////"),
    "PPC_HVM_EXCEPT_SYSCALL": (PURPLE, "...."),
    "PPC_HVM_EXCEPT_DECREMENTER": (PURPLE, "xxxx"),
    "icache_refill_l4": (GREEN, "////"),
    "dcache_refill_l4": (GREEN, "...."),
    "ipc": (GREEN, ""),
    "vmm_tlb_miss": (DARK_GREY, "////"),
    "vmm": (DARK_GREY, ""),
    "device": (BLACK, "////"),
    "idle": ("#F2F2F2", ""),
    "other": (GREY, ""),
}


def platform_style(platform: str) -> PlatformStyle:
    """Label, colour and marker of a platform, the same in every figure."""
    colour, marker = _PLATFORM_LOOK.get(platform, (DARK_GREY, "D"))
    return PlatformStyle(label=platform_label(platform), colour=colour, marker=marker)


def cause_look(cause: str) -> tuple[str, str]:
    """Fill colour and hatch of a cause, the same in every figure."""
    if cause in _CAUSE_LOOK:
        return _CAUSE_LOOK[cause]
    if cause.startswith(EMULATION_PREFIX):
        return ORANGE, "\\\\\\\\"
    if cause.startswith(EXIT_PREFIX):
        return PURPLE, "\\\\\\\\"
    return GREY, "...."


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw inside this context; a reader's own matplotlib settings do not leak in."""
    import matplotlib.style

    with matplotlib.style.context(["default", _RC]):
        yield


def new_figure(
    rows: int = 1,
    columns: int = 1,
    *,
    width_in: float = SINGLE_COLUMN_IN,
    height_in: float = 2.2,
    **subplots: Any,
) -> tuple[Figure, list[list[Axes]]]:
    """A figure off any screen, with its axes as a list of rows.

    Parameters
    ----------
    rows, columns
        Number of panels.
    width_in, height_in
        Printed size in inches.
    **subplots
        Handed to ``Figure.subplots`` (``sharex``, ``height_ratios``, ...).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **subplots)
    return figure, [list(row) for row in axes]


def legend_outside(figure: Figure, handles: Mapping[str, Any], columns: int, below: bool = False) -> None:
    """Put one legend above or below all panels, where it can cover no data.

    Parameters
    ----------
    figure
        Figure to add it to.
    handles
        Label to what it stands for, in the order wanted.
    columns
        At most so many entries in a row; fewer when they would be wider than the page.
    below
        Below the panels instead of above them.
    """
    place: Literal["outside lower center", "outside upper center"]
    place = "outside lower center" if below else "outside upper center"
    for ncols in range(min(columns, len(handles)), 0, -1):
        legend = figure.legend(list(handles.values()), list(handles), loc=place, ncols=ncols)
        if ncols == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def look_of(number: int) -> tuple[str, str]:
    """Colour and marker of a series by its place; no pair comes twice among the first 64."""
    turn, place = divmod(number, len(SERIES_COLOURS))
    return SERIES_COLOURS[place], SERIES_MARKERS[(place + turn) % len(SERIES_MARKERS)]


def taller_for_legend(figure: Figure, room_in: float) -> None:
    """Make a figure taller by what its legend takes beyond the room that its height allows for.

    Parameters
    ----------
    figure
        Figure with one legend.
    room_in
        Height that the legend may take before the panels would become lower.
    """
    [legend] = figure.legends
    height_in = legend.get_window_extent().height / figure.dpi
    if height_in > room_in:
        figure.set_figheight(figure.get_figheight() + height_in - room_in)


def pages(items: Sequence[_T], most: int) -> list[Sequence[_T]]:
    """Items in as few pages as hold at most `most` each, all about as full.

    Examples
    --------
    >>> pages("abcdefg", 3)
    ['abc', 'de', 'fg']
    """
    count = max(1, -(-len(items) // most))
    short, longer = divmod(len(items), count)
    starts = [page * short + min(page, longer) for page in range(count + 1)]
    return [items[start:end] for start, end in pairwise(starts)]


def size_ticks(axes: Axes, sizes: Sequence[float], most: int = 9) -> None:
    """A logarithmic axis of bytes, labelled 1, 64, 4 Ki, 1 Mi at sizes that were run."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    axes.set_xscale("log", base=2)
    known = sorted(set(sizes), reverse=True)
    apart = (known[0] / known[-1]) ** (1 / most)
    # From the largest down, since that is the one a reader looks for; labels may not touch.
    chosen: list[float] = []
    for size in known:
        if not chosen or chosen[-1] >= apart * size:
            chosen.append(size)
    axes.xaxis.set_major_locator(FixedLocator(chosen))
    axes.xaxis.set_major_formatter(FixedFormatter([_size_text(size) for size in chosen]))
    axes.xaxis.set_minor_locator(NullLocator())


def _size_text(size: float) -> str:
    for factor, name in ((2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki")):
        if size >= factor and size % factor == 0:
            return f"{size / factor:.0f} {name}"
    return f"{size:g}"


def plain_log_ticks(axes: Axes, which: Literal["x", "y"], subs: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    """A logarithmic axis labelled 0.1, 1, 10, 1,000 instead of powers; call it after drawing.

    Within few decades multiples of ten are labelled too, those of `subs`; where fewer than two of them are in
    view, round numbers between.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    if high < _FEW_DECADES * low:
        axis.set_major_locator(LogLocator(subs=subs))
        if sum(low <= tick <= high for tick in axis.get_majorticklocs()) < 2:
            axis.set_major_locator(MaxNLocator(4))
            axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(number_formatter())
    if high > _MANY_DECADES * low:
        axis.set_minor_locator(NullLocator())  # unreadable there, and most of the drawing time
    else:
        axis.set_minor_formatter(NullFormatter())


def number_formatter() -> FuncFormatter:
    """Tick labels: separators for thousands, and M, G from a million on."""
    from matplotlib.ticker import FuncFormatter

    def text(value: float, _: int | None) -> str:
        for factor, name in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
            if abs(value) >= factor:
                return f"{value / factor:,.6g} {name}"
        return f"{value:,.6g}"

    return FuncFormatter(text)


def slug(text: str) -> str:
    """Text as part of a file name."""
    return "-".join("".join(c if c.isalnum() or c in "._" else " " for c in text).split())


def save(
    figure: Figure, directory: str | os.PathLike[str], name: str, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write a figure in each format, replacing what was there only when the new file is whole.

    Raises
    ------
    ReportError
        For a format other than pdf, svg and png.
    """
    from matplotlib import rc_context

    folder = Path(directory)
    # One layout serves all formats; finding it costs more than drawing.
    figure.draw_without_rendering()
    with rc_context({"figure.constrained_layout.use": False, "figure.autolayout": False}):
        figure.set_layout_engine(None)
    return [save_as(figure, folder / f"{name}.{kind}") for kind in formats]


def save_as(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure in the format its suffix names."""
    target = Path(path)
    kind = target.suffix.removeprefix(".").lower()
    if kind not in _FILE_METADATA:
        raise ReportError(f"{target.name}: figures are written as {', '.join(FORMATS)}, not as {kind!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=_FILE_METADATA[kind])
    with whole(target) as part:
        part.write_bytes(buffer.getvalue())
    return target
