"""The matrix of guests and platforms: what each workload takes in every cell, as a figure and as a table.

A row is a workload, a column a guest on a platform. A cell shows the workload's headline number and is
coloured by how many times it is worse than the best cell of its row. Nothing is a number of times worse than
a best of 0, such as no noise at all: there colours go by the least value above 0. A cell is empty where
nothing runs, for the reason that planning the experiment gives: the reasons are asked for again, not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from bgsim.experiment.labels import brief
from bgsim.experiment.resolve import refusals
from bgsim.experiment.schema import workload_config
from bgsim.report import style
from bgsim.report.numbers import significant
from bgsim.report.results import HEADLINE_METRICS, PLATFORMS, Group, Point, platform_label
from bgsim.workloads.support import platforms_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN_AXES = ("guest", "workload")
GUESTS: Mapping[str, str] = {
    "kittyhawk-linux": "Kittyhawk Linux",
    "zeptoos": "ZeptoOS",
    "zeptoos-bigmemory": "ZeptoOS Big Memory",
    "cnk": "CNK",
    "l4-app": "L4 program",
}
"""Guests as they are called, from left to right."""

SHORT: Mapping[str, str] = {"l4-native": "on L4"}
"""Platforms whose label is too long for a column."""

KINDS_MIN = 3
"""A study of fewer kinds of workload is no matrix."""

FACTOR_MAX = 1e4
"""How far behind the best a cell is that has the darkest colour."""

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_RATES = ((1e9, "Gb/s"), (1e6, "Mb/s"), (1e3, "kb/s"), (1.0, "b/s"))
_METRICS: Mapping[str, tuple[str, float]] = {
    "throughput_bps": ("rate", 1.0),
    "bandwidth_MiBps": ("rate", 8.0 * 2**20),
    "noise_ratio": ("share", 1.0),
    "operation_us_avg": ("time", 1e-6),
    "latency_us": ("time", 1e-6),
    "elapsed_s": ("time", 1.0),
}
"""Headline metrics, the first that a workload has, with what they are and their base unit."""

_STARRED = "; *best is 0: times the least value above 0"
_BY_LATENCY = ("tcp_rr", "udp_rr", "open-close", "random")
_BY_TIME = ("compile",)


class Headline(NamedTuple):
    """The number of a cell: ``time`` in seconds, ``rate`` in bits per second, or ``share``."""

    what: str
    value: float

    @property
    def text(self) -> str:
        """With two or three digits and a unit."""
        if self.what == "share":
            return "0" if self.value == 0 else f"{significant(100 * self.value, 2)} %"
        scales = _TIMES if self.what == "time" else _RATES
        factor, unit = next(((f, u) for f, u in scales if self.value >= f), scales[-1])
        return f"{significant(self.value / factor, 3 if self.value / factor < 100 else 2)} {unit}"

    def behind(self, best: Headline) -> float:
        """How many times worse than another value, which is not 0."""
        return best.value / self.value if self.what == "rate" else self.value / best.value


class Column(NamedTuple):
    """A guest on a platform."""

    guest: str
    platform: str


class Row(NamedTuple):
    """A workload and its cells."""

    label: str
    section: Mapping[str, Any]
    cells: Mapping[Column, Headline]

    @property
    def best(self) -> Headline | None:
        """The best cell, where there is one."""
        found = list(self.cells.values())
        if not found:
            return None
        return (max if found[0].what == "rate" else min)(found, key=lambda each: each.value)

    @property
    def compared_with(self) -> Headline | None:
        """What colours go by: the best cell or, where that is 0, the least one above 0, if there is any."""
        best = self.best
        if best is None or best.value > 0:
            return best
        above = [each for each in self.cells.values() if each.value > 0]
        return min(above, key=lambda each: each.value, default=None)

    def times_worse(self, cell: Headline) -> float:
        """How many times a cell is worse than what it is compared with: 1 or more (inf at a rate of 0)."""
        known = self.compared_with
        if known is None:
            return 1.0
        if cell.value == 0:
            return inf if cell.what == "rate" else 1.0
        return max(1.0, cell.behind(known))


def is_matrix(points: Sequence[Point], axes: Sequence[str]) -> bool:
    """Whether a study sweeps guests and whole workloads of several kinds."""
    kinds = {group.workload["kind"] for point in points for group in point.groups}
    return set(OWN_AXES) <= set(axes) and len(kinds) >= KINDS_MIN


def matrix(points: Sequence[Point]) -> tuple[list[Column], list[Row]]:
    """Columns with the guests from Linux to a bare program, and rows kind by kind."""
    groups = [group for point in points for group in point.groups]
    found = dict.fromkeys(_guest(group) for group in groups)
    known = list(GUESTS)
    guests = sorted(found, key=lambda name: known.index(name) if name in GUESTS else len(known))
    seen = {(_guest(group), group.platform) for group in groups}
    present = {group.platform for group in groups}
    columns = [
        Column(guest, platform)
        for guest in guests
        for platform in PLATFORMS
        if platform in present and (platform in platforms_of(guest) or (guest, platform) in seen)
    ]
    rows: dict[str, Row] = {}
    for group in groups:
        section = group.point["workload"]
        label = row_label(section)
        row = rows.setdefault(label, Row(label, group.workload, {}))
        assert isinstance(row.cells, dict)
        row.cells[Column(_guest(group), group.platform)] = headline(group)
    kinds = list(HEADLINE_METRICS)
    order = {kind: number for number, kind in enumerate(dict.fromkeys(("compile", "micro", *kinds)))}
    return columns, sorted(rows.values(), key=lambda row: order.get(str(row.section["kind"]), len(order)))


def headline(group: Group) -> Headline:
    """The number that stands for a run."""
    by = group.workload
    words = {str(by.get(key)) for key in ("test", "pattern", "measure", "kind")}
    for name, (what, factor) in _METRICS.items():
        if name == "throughput_bps" and words & set(_BY_LATENCY):
            continue
        if name == "bandwidth_MiBps" and words & {"latency", *_BY_LATENCY}:
            continue
        if name == "latency_us" and words & set(_BY_TIME):
            continue
        value = group.mean(name)
        if value is not None:
            return Headline(what, value * factor)
    raise AssertionError(f"{by['kind']} has none of {', '.join(_METRICS)}")


def row_label(section: Mapping[str, Any]) -> str:
    """A workload in a few words."""
    words = [brief(section)]
    words += [str(section[key]) for key in ("measure", "probe", "message_size") if key in section]
    return " ".join(words).replace("_", " ")


def _guest(group: Group) -> str:
    return str(group.records[0]["config"]["guest"])


# -- as a figure ----------------------------------------------------------------------------------------


def figures(points: Sequence[Point]) -> Iterator[tuple[str, Figure]]:
    """Name and figure of the matrix."""
    yield "matrix", draw(points)


def draw(points: Sequence[Point]) -> Figure:
    """Numbers in a grid, coloured by how far each is behind the best of its row."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.patches import Rectangle

    columns, rows = matrix(points)
    figure, grid = style.new_figure(width_in=style.DOUBLE_COLUMN_IN, height_in=1.1 + 0.27 * len(rows))
    axes = grid[0][0]
    colours = LinearSegmentedColormap.from_list("behind", ["#FFFFFF", "#F7D9C4", "#E8995F", "#B5450B"])
    norm = LogNorm(1.0, FACTOR_MAX, clip=True)
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            cell = row.cells.get(column)
            if cell is None:
                axes.add_patch(Rectangle((x, y), 1, 1, facecolor="#EEEEEE", hatch="////", edgecolor="white"))
                continue
            factor = min(row.times_worse(cell), FACTOR_MAX)
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colours(norm(factor)), edgecolor="white"))
            dark = factor > FACTOR_MAX / 20
            axes.text(
                x + 0.5, y + 0.5, cell.text, ha="center", va="center", fontsize=6.0,
                color="white" if dark else "black", fontweight="bold" if cell == row.best else "normal",
            )  # fmt: skip
    _head(axes, columns)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    labels = [f"{row.label}*" if row.best != row.compared_with else row.label for row in rows]
    axes.set_yticks([y + 0.5 for y in range(len(rows))], labels)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, location="bottom", shrink=0.4, aspect=40)
    starred = any(label.endswith("*") for label in labels)
    bar.set_label("times the best of its row (bold)" + _STARRED * starred)
    return figure


def _head(axes: Any, columns: Sequence[Column]) -> None:
    """Platforms as ticks above, guests over those that belong to them."""
    axes.xaxis.tick_top()
    labels = [SHORT.get(column.platform, platform_label(column.platform)) for column in columns]
    axes.set_xticks([x + 0.5 for x in range(len(columns))], labels)
    guests = [column.guest for column in columns]
    for guest in dict.fromkeys(guests):
        first, count = guests.index(guest), guests.count(guest)
        name = GUESTS.get(guest, guest)
        axes.annotate(
            name, (first + count / 2, 0), xytext=(0, 20), xycoords="data", textcoords="offset points",
            ha="center", va="bottom", fontsize=7.5, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
        if first:
            axes.axvline(first, color="white", linewidth=4)


# -- as a table -----------------------------------------------------------------------------------------


def markdown(points: Sequence[Point]) -> str:
    """The matrix as a Markdown table, with numbers for the reasons of empty cells, and the reasons."""
    columns, rows = matrix(points)
    notes: dict[str, int] = {}
    heads = [
        f"{GUESTS.get(column.guest, column.guest)}, {platform_label(column.platform)}" for column in columns
    ]
    head = ["Workload", *heads]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [row.label]
        for column in columns:
            found = row.cells.get(column)
            if found is None:
                number = notes.setdefault(why_empty(row, column), len(notes) + 1)
                cells.append(f"({number})")
            else:
                cells.append(f"**{found.text}**" if found == row.best else found.text)
        lines.append(cells)
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    reasons = "\n".join(f"{number}. {_sentence(why)}" for why, number in notes.items())
    return f"{table}\n\nEmpty cells:\n\n{reasons}\n"


def why_empty(row: Row, column: Column) -> str:
    """Why nothing runs in a cell."""
    section = {key: value for key, value in row.section.items() if value is not None}
    config = workload_config(section)
    refused = refusals(str(section["kind"]), column.guest, column.platform, config)
    said = [each.message for each in refused if each.key == "guest"] or [each.message for each in refused]
    return said[0] if said else "the study has no finished run of it"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
