"""What ``bgsim datasheet``, ``experiments``, ``schema`` and ``version`` print."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bgsim.experiment.errors import ExperimentError, Problem, StoreError, quoted
from bgsim.experiment.settings import settings
from bgsim.experiment.shipped import directory
from bgsim.spelling import did_you_mean

if TYPE_CHECKING:
    from bgsim.datasheet import Datasheet, Parameter

SCHEMAS = ("experiment", "topology", "metrics", "record")
SHIPPED = ("experiment", "topology")
"""Schemas of files that people write; editors find them in schema/."""


def datasheet(
    names: Sequence[str], base: str | None, changes: Sequence[str], marks: Sequence[str], reader: str | None
) -> str:
    """The parameters that names, beginnings of names or patterns select, all conditions together.

    Parameters
    ----------
    names
        What is selected; by default everything.
    base
        The machine; by default that of the study, or bgp.
    changes
        ``name=value`` texts.
    marks
        Keep these confidence marks only; each text may hold several with commas in between.
    reader
        Keep only what this study or run has read.

    Raises
    ------
    ExperimentError
        A name selects nothing, a mark is unknown, or a change is not ``name=value``.
    StoreError
        What should have read the parameters is not there, or cannot be repeated.
    bgsim.datasheet.DatasheetError
        The machine is unknown, or a change does not fit.
    """
    from bgsim.datasheet import Datasheet

    wanted = _marks(marks)
    sheet, read = Datasheet.load(base or "bgp"), None
    if reader is not None:
        from bgsim.cli.failures import say
        from bgsim.experiment.parameters_read import parameters_read

        found = parameters_read(reader, say)
        sheet, read = Datasheet.load(base or found.base).with_values(found.changes), found.names
    sheet = sheet.with_values({change.path: change.value for change in settings(changes)})
    if len(names) == 1 and names[0] in sheet and not wanted and read is None:
        return _details(sheet[names[0]])
    chosen = set(sheet) if not names else _chosen(sheet, names, base or "bgp")
    rows = [
        (each.name, each.text, each.confidence, each.source)
        for each in sheet.values()
        if each.name in chosen
        and (not wanted or each.confidence in wanted)
        and (read is None or each.name in read)
    ]
    return aligned([("name", "value", "confidence", "source"), *rows])


def _marks(texts: Sequence[str]) -> set[str]:
    from bgsim.datasheet import CONFIDENCE

    marks = {mark.strip() for text in texts for mark in text.split(",")}
    unknown = sorted(marks - CONFIDENCE.keys())
    if unknown:
        known = f"is no mark (expected {quoted(CONFIDENCE)})"
        raise ExperimentError([Problem("--confidence", mark, known) for mark in unknown])
    return marks


def _chosen(sheet: Datasheet, names: Sequence[str], base: str) -> set[str]:
    found = {name: selected(sheet, name) for name in names}
    problems = [
        Problem(f"datasheet {base}", name, f"no such parameter{did_you_mean(name, sheet)}")
        for name, entries in found.items()
        if not entries
    ]
    if problems:
        raise ExperimentError(problems)
    return {entry for entries in found.values() for entry in entries}


def selected(sheet: Datasheet, name: str) -> list[str]:
    """Names that equal it, match it as a pattern, or begin with it; in the datasheet's order."""
    if name in sheet:
        return [name]
    if any(character in name for character in "*?["):
        return [entry for entry in sheet if fnmatch.fnmatchcase(entry, name)]
    return [entry for entry in sheet if entry.startswith(name.rstrip(".") + ".")] or [
        entry for entry in sheet if entry.startswith(name)
    ]


def _details(parameter: Parameter) -> str:
    from bgsim.datasheet import CONFIDENCE

    rows = [
        ("name", parameter.name),
        ("value", parameter.text),
        ("confidence", f"{parameter.confidence}: {CONFIDENCE[parameter.confidence]}"),
        ("source", parameter.source),
    ]
    low, high = parameter.low, parameter.high
    if low is not None and high is not None:
        rows.append(("range", f"{parameter.show(low)} to {parameter.show(high)}"))
    if parameter.choices:
        rows.append(("choices", quoted(parameter.show(choice) for choice in parameter.choices)))
    if parameter.calibrated_on:
        rows.append(("calibrated on", parameter.calibrated_on))
    if parameter.note:
        rows.append(("note", parameter.note))
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text in columns; the last column may be as long as it likes."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)


def schema(what: str) -> str:
    """The JSON schema of experiments, topologies or records, or the table of metrics.

    Raises
    ------
    ExperimentError
        There is no such schema.
    """
    if what == "experiment":
        return _experiment_schema(plugins=True)
    if what == "topology":
        from bgsim.experiment.partition import json_schema as topology_schema

        return json.dumps(topology_schema(), indent=2, ensure_ascii=False)
    if what == "record":
        from bgsim.experiment.record import json_schema as record_schema

        return json.dumps(record_schema(), indent=2, ensure_ascii=False)
    if what == "metrics":
        from bgsim.experiment.metrics import METRICS

        rows = [("metric", "unit", "better", "meaning")]
        rows += [(metric.name, metric.unit, metric.better, metric.meaning) for metric in METRICS.values()]
        return aligned(rows)
    near = did_you_mean(what, SCHEMAS) or f" (expected {quoted(SCHEMAS)})"
    raise ExperimentError([Problem("schema", what, f"there is no such schema{near}")])


def _experiment_schema(plugins: bool) -> str:
    from bgsim.experiment.schema import json_schema

    return json.dumps(json_schema(plugins), indent=2, ensure_ascii=False)


def schema_drift(what: str) -> str:
    """Empty, or how the shipped schema file differs from what would be generated.

    Raises
    ------
    ExperimentError
        That schema has no shipped file.
    StoreError
        The file cannot be read.
    """
    if what not in SHIPPED:
        raise ExperimentError([Problem("schema", what, f"only of {quoted(SHIPPED)} is a file shipped")])
    path = directory("schema") / f"{what}.schema.json"
    try:
        shipped = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
    generated = _experiment_schema(plugins=False) if what == "experiment" else schema(what)
    if shipped == generated + "\n":
        return ""
    return f"{path} has drifted; write it anew: bgsim schema {what} > schema/{what}.schema.json"


def experiments() -> str:
    """The shipped experiments: name, about how long it takes, description."""
    from bgsim.experiment.shipped import experiments as shipped

    rows = [(each.name, each.time, each.description) for each in shipped()]
    notes = (
        "Times are those of one processor, roughly: workers divide them, slow machines multiply them.",
        "With --smoke an experiment takes seconds, half a minute at most.",
    )
    return "\n".join([aligned([("experiment", "time", "what it shows"), *rows]), "", *notes])


def versions() -> str:
    """Program, Python, libraries and packages with plug-ins, one per line."""
    from bgsim import plugins
    from bgsim.experiment import provenance

    found = provenance.program()
    git = found["git"]
    state = f" (commit {git['commit'][:12]}{', modified' if git['modified'] else ''})" if git else ""
    rows = [("bgsim", f"{found['bgsim']}{state}"), ("python", found["python"])]
    rows += [(name, version or "not installed") for name, version in found["libraries"].items()]
    rows += [(name, f"{version} (plug-in)") for name, version in plugins.installed().items()]
    return aligned(rows)
