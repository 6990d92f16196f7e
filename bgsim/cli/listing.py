"""What ``bgsim datasheet``, ``bgsim schema`` and ``bgsim version`` print."""

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


def datasheet(names: Sequence[str], base: str, changes: Sequence[str]) -> str:
    """The parameters that names, beginnings of names or patterns select; all without any.

    Raises
    ------
    ExperimentError
        One selects no parameter, or a change is not ``name=value``.
    bgsim.datasheet.DatasheetError
        The machine is unknown, or a change does not fit.
    """
    from bgsim.datasheet import Datasheet

    sheet = Datasheet.load(base).with_values({change.path: change.value for change in settings(changes)})
    chosen = [] if names else list(sheet)
    for name in names:
        found = selected(sheet, name)
        if not found:
            near = did_you_mean(name, sheet)
            raise ExperimentError([Problem(f"datasheet {base}", name, f"no such parameter{near}")])
        chosen += [each for each in found if each not in chosen]
    if chosen == list(names) and len(chosen) == 1:
        return _details(sheet[chosen[0]])
    rows = [("name", "value", "confidence", "source")]
    rows += [(entry, sheet[entry].text, sheet[entry].confidence, sheet[entry].source) for entry in chosen]
    return aligned(rows)


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
