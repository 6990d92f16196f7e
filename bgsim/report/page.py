"""A study as one page that opens offline: numbers, figures, tables, and where they come from.

Style, script and figures are inside the file; nothing is loaded. The same study gives the same bytes with the
same version of matplotlib, but for what the records say of the host.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bgsim.experiment import cite
from bgsim.experiment.metrics import METRICS
from bgsim.experiment.record import Record
from bgsim.report import heatmap, inline_svg, style, tree_load
from bgsim.report.attribution import exits_of
from bgsim.report.captions import caption
from bgsim.report.compile_figures import attribution
from bgsim.report.figures import figures_of
from bgsim.report.headlines import headlines
from bgsim.report.page_tables import PageTable, cause_page_table, comparison_table, exit_page_table
from bgsim.report.reproduce import reproduction
from bgsim.report.results import Group, Point, Results, kind, platform_label, point_label
from bgsim.report.run_choice import find_run
from bgsim.report.tables import compared

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bgsim.experiment.study import Study

BARS_MAX = 16
"""Bars of the figure of where the time goes; the tables have every run up to ``RUNS_MAX``."""

BAR_LABEL_LETTERS = 36

RUNS_MAX = 24
HEATMAPS_MAX = 8
FIGURES_MAX = 24
ELSEWHERE = ("compile-attribution",)
"""Figures that have a section of their own."""

RUNS_LISTED_MAX = 1000

DARK_PAGE = (
    "--paper:#15181d;--raised:#1d2127;--ink:#e6e8eb;--soft:#a3a9b3;--line:#343a42;--accent:#5cb3e6;--fill:#1f4a66;"
    "--focus:#f0a04b;--shade:#00000080;--h0:#1d222a;--h1:#20324a;--h2:#23436b;--h3:#2a5a8a;--h4:#2f76a6;--h5:#3893b8;--h6:#52b0bd;"
    "--h7:#85cab4;--h8:#c3e0a0;--h9:#fbf3a3;"
)
"""What the page's own colours are in the dark; those of figures are in :data:`inline_svg.THEME`."""


@dataclass(frozen=True)
class Picture:
    """A figure with its caption."""

    name: str
    svg: str
    caption: str


@dataclass(frozen=True)
class RunTables:
    """Where the time of one run goes."""

    label: str
    run_id: str
    tables: tuple[PageTable, ...]


def write_report(study: Study, path: Path) -> None:
    """Write the page of a study.

    Raises
    ------
    bgsim.report.results.ReportError
        The study holds no finished run.
    bgsim.experiment.errors.StoreError
        The file cannot be written.
    """
    from bgsim.experiment.store import write_whole

    write_whole(path, page(study))


def page(study: Study) -> str:
    """The page of a study as HTML.

    Raises
    ------
    bgsim.report.results.ReportError
        The study holds no finished run.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    results = Results(study)
    environment = Environment(
        loader=PackageLoader("bgsim.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    source = environment.loader
    assert source is not None

    def raw(name: str) -> Markup:
        return Markup(source.get_source(environment, name)[0])

    sheet = raw("report.css")
    for mark, text in (
        ("@@light@@", inline_svg.theme_variables(dark=False)),
        ("@@dark@@", inline_svg.theme_variables(dark=True)),
        ("@@darkpage@@", DARK_PAGE),
    ):
        sheet = Markup(sheet.replace(mark, text))
    template = environment.get_template("report.html.j2")
    return template.render(
        raw=raw,
        markup=Markup,
        style=sheet,
        title=study.name,
        subtitle=_subtitle(results),
        headlines=headlines(results),
        pictures=list(_pictures(study, results)),
        comparison=comparison_table(compared(results)),
        caption=compared(results).caption,
        compares=len({record["platform"] for record in results.records}) > 1,
        metrics=_metrics(results),
        **_time(results),
        **_loads(results),
        failed=[failure(record) for record in study.failed],
        warnings=Counter(text for record in results.records for text in record.get("warnings") or ()),
        provenance=_provenance(results.records),
        references=[(entry.text(), entry.why) for entry in cite.references(results.records)],
        data=cite.data_of(results.records),
        bibtex=cite.bibtex(results.records),
        reproduction=reproduction(study.name, study.directory.name or ".", results.records),
        runs=[_run(record) for record in results.records[:RUNS_LISTED_MAX]],
        runs_left=max(0, len(results.records) - RUNS_LISTED_MAX),
    )


def _subtitle(results: Results) -> str:
    def distinct(values: Iterator[str]) -> str:
        return ", ".join(dict.fromkeys(values))

    records = results.records
    parts = [
        distinct(kind(record) for record in records),
        distinct(str(record["guest"]) for record in records),
        distinct(platform_label(str(record["platform"])) for record in records),
        f"{len(results.points)} point{'s' if len(results.points) != 1 else ''}",
        f"{len(records)} runs",
    ]
    return " · ".join(parts)


def _pictures(study: Study, results: Results) -> Iterator[Picture]:
    with style.paper_style():
        for number, (name, figure) in enumerate(figures_of(study, results)):
            if number < FIGURES_MAX and name not in ELSEWHERE:
                yield _picture(name, figure)


def _picture(name: str, figure: Figure) -> Picture:
    words = caption(name)
    return Picture(style.slug(name), inline_svg.inline(figure, style.slug(name), f"Figure: {words}"), words)


def _metrics(results: Results) -> list[tuple[str, str, str]]:
    """Meaning of every metric of the study."""
    names = dict.fromkeys(name for point in results.points for group in point.groups for name in group.cells)
    return [(metric.name, metric.unit, metric.meaning) for metric in METRICS.values() if metric.name in names]


# -- where the time goes -----------------------------------------------------------------------------


def _time(results: Results) -> dict[str, Any]:
    groups = [
        (point, group)
        for point in results.points
        for group in point.groups
        if group.records[0].get("attribution")
    ]
    if not groups:
        return {"stacks": None, "stacks_left": 0, "times": [], "times_left": 0}
    bars = [(_group_label(point, group, results), group) for point, group in groups[:BARS_MAX]]
    with style.paper_style():
        figure = attribution([(_beside_bar(label), group) for label, group in bars])
        picture = _picture("where-the-time-goes", figure)
    first = find_run([group.records[0] for _, group in groups], None)
    order = sorted(groups, key=lambda entry: entry[1].records[0] is not first)
    times = [
        _tables(_group_label(point, group, results), group.records[0]) for point, group in order[:RUNS_MAX]
    ]
    return {
        "stacks": picture,
        "stacks_left": len(groups) - len(bars),
        "times": times,
        "times_left": len(groups) - len(times),
    }


def _group_label(point: Point, group: Group, results: Results) -> str:
    where = point_label(point.shown, results.axes)
    words = platform_label(group.platform)
    return f"{where} · {words}" if where else words


def _beside_bar(label: str) -> str:
    """A label in lines of a bar's room; what does not fit is in the tables below."""
    where, dot, platform = label.rpartition(" · ")
    lines = textwrap.wrap(where, BAR_LABEL_LETTERS, max_lines=2, placeholder=" ...") if dot else []
    return "\n".join([*lines, platform])


def _tables(label: str, record: Record) -> RunTables:
    tables = [cause_page_table(record)]
    if exits_of(record):
        tables.append(exit_page_table(record))
    return RunTables(label, str(record["run_id"]), tuple(tables))


# -- links and wires -----------------------------------------------------------------------------------


def _loads(results: Results) -> dict[str, Any]:
    entries = [(_group_label(p, group, results), group) for p in results.points for group in p.groups]
    maps = [found for found in (heatmap.heatmap(group, label) for label, group in entries) if found]
    trees = [found for found in (tree_load.tree_load(group, label) for label, group in entries) if found]
    traffic = any(group.workload["kind"] == "traffic" for _, group in entries)
    return {
        "heatmaps": maps[:HEATMAPS_MAX],
        "heatmaps_left": max(0, len(maps) - HEATMAPS_MAX),
        "heatmaps_missing": traffic and not maps,
        "levels": heatmap.LEVELS,
        "trees": trees,
        "tree_shapes": tree_load.distinct(trees),
    }


# -- where it comes from -------------------------------------------------------------------------------


def _provenance(records: Sequence[Record]) -> list[tuple[str, str]]:
    def values(*path: str) -> str:
        found: Counter[str] = Counter()
        for record in records:
            value: Any = record.get("provenance") or {}
            for step in path:
                value = value.get(step) if isinstance(value, dict) else None
            if value is not None:
                found[str(value)] += 1
        counts = [
            text if len(found) == 1 else f"{text} ({count} runs)" for text, count in found.most_common()
        ]
        return ", ".join(counts)

    libraries = dict.fromkeys(
        name for record in records for name in (record.get("provenance") or {}).get("libraries", {})
    )
    started = sorted(str((record.get("provenance") or {}).get("started_utc", "")) for record in records)
    wall_s = sum(float((record.get("provenance") or {}).get("wall_s") or 0) for record in records)
    rows = [
        ("bgsim", values("bgsim")),
        ("source", values("source")),
        ("commit", values("git", "commit")),
        ("modified files", values("git", "modified")),
        ("Python", values("python")),
        *((name, values("libraries", name)) for name in libraries),
        ("host", values("host", "name")),
        ("system", values("host", "system")),
        ("first run begun", started[0]),
        ("last run begun", started[-1]),
        ("host time of all runs", f"{wall_s:,.1f} s"),
        (
            "model version",
            ", ".join(dict.fromkeys(str(r["config"].get("model_version", "")) for r in records)),
        ),
    ]
    return [(name, text) for name, text in rows if text]


def _run(record: Record) -> tuple[str, str, str, str]:
    values = record.get("point") or {}
    return (
        str(record["run_id"]),
        point_label(values, list(values)) or "-",
        platform_label(str(record["platform"])),
        str(record["seed"]),
    )


def failure(record: Record) -> tuple[str, str]:
    """Which run failed, and why."""
    error, values = record["error"], record.get("point") or {}
    where = f"{point_label(values, list(values))} {platform_label(str(record['platform']))}".strip()
    which = f"replication {record['replication']} (run {record['run_id']})"
    return f"{where}, {which}", str(error["message"] or error["type"])
