"""Studies for other programs: an SQLite file with all tables, or one table as Parquet or CSV.

The tables are ``runs`` (one row per run: id, setting, swept values, every metric, host and time),
``metrics`` (run, name, unit, value), ``exits`` (run, cause, count, cycles), ``attribution`` (run, cause,
cycles) and ``summary`` (as in ``summary.csv``). Swept values that are lists or sections are JSON text.
Left out: ``details``, whose form differs between workloads; the records hold them.
"""

from __future__ import annotations

import contextlib
import csv
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bgsim import extras
from bgsim.experiment.errors import StoreError, quoted
from bgsim.experiment.identity import canonical
from bgsim.experiment.metrics import METRICS
from bgsim.experiment.store import told
from bgsim.experiment.study import Study
from bgsim.spelling import did_you_mean
from bgsim.whole import whole

HOST = ("bgsim", "source", "started_utc", "wall_s", "processor_s", "peak_memory_bytes")
"""Of a record's provenance, what stands in ``runs``."""

SUFFIXES = (".sqlite", ".db", ".parquet", ".csv")


class Table(NamedTuple):
    """Names of columns, and rows with one value each: text, number or None."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


def export(study: Study, path: Path, table: str = "runs") -> str:
    """Write a study for other programs; a file that is there is replaced.

    Parameters
    ----------
    study
        The study.
    path
        Its suffix says the form: ``.sqlite``, ``.db`` (all tables), ``.parquet`` or ``.csv`` (one).
    table
        Which one, of Parquet and CSV.

    Returns
    -------
    str
        What was written, in words.

    Raises
    ------
    StoreError
        The suffix or the table is unknown, or the file cannot be written.
    MissingExtraError
        pyarrow is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise StoreError(f"{path}: the name must end in {quoted(SUFFIXES)}, which says the form")
    if table not in TABLES:
        raise StoreError(f"no table '{table}'{did_you_mean(table, TABLES)} (expected {quoted(TABLES)})")
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            if path.suffix == ".parquet":
                said = _parquet(study, part, table)
            elif path.suffix == ".csv":
                said = _csv(study, part, table)
            else:
                said = _sqlite(study, part)
    return f"{path}: {said}"


def _sqlite(study: Study, path: Path) -> str:
    counts = []
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            for name, made in TABLES.items():
                table = made(study)
                names = ", ".join(map(_quoted, table.columns))
                database.execute(f"create table {name} ({names})")
                marks = ", ".join("?" * len(table.columns))
                database.executemany(f"insert into {name} values ({marks})", table.rows)
                counts.append(f"{name} {len(table.rows)}")
            database.commit()
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: cannot be written: {error}") from None
    return f"rows of {', '.join(counts)}"


def _parquet(study: Study, path: Path, name: str) -> str:
    pyarrow = extras.need("pyarrow", "parquet", "Parquet")
    parquet = extras.need("pyarrow.parquet", "parquet", "Parquet")
    table = TABLES[name](study)
    columns = {
        column: _alike([row[index] for row in table.rows]) for index, column in enumerate(table.columns)
    }
    parquet.write_table(pyarrow.table(columns), path)
    return f"table {name}, {len(table.rows)} rows"


def _csv(study: Study, path: Path, name: str) -> str:
    table = TABLES[name](study)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows(table.rows)
    return f"table {name}, {len(table.rows)} rows"


def _alike(values: list[Any]) -> list[Any]:
    """Values of one type, as a column has: numbers, or else text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2:
        return values
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(value) for value in values]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain(value: Any) -> Any:
    return canonical(value) if isinstance(value, (list, Mapping)) else value


def _runs(study: Study) -> Table:
    fixed = ("run_id", "experiment", "platform", "guest", "replication", "seed", "status")
    records = [*study.records, *study.failed]
    metrics = [name for name in METRICS if any(name in record["metrics"] for record in records)]
    taken = {*fixed, *metrics, *HOST, "host", "config"}
    points = [path if path not in taken else f"point.{path}" for path in study.paths]
    rows = []
    for record in records:
        made = record.get("provenance", {})
        point = [_plain(record["point"].get(path)) for path in study.paths]
        values = [record["metrics"].get(name) for name in metrics]
        host = [made.get("host", {}).get("name"), *(made.get(name) for name in HOST)]
        # The seed has up to 63 bits, which is what both forms have.
        rows.append([*(record[name] for name in fixed), *point, *values, *host, canonical(record["config"])])
    return Table([*fixed, *points, *metrics, "host", *HOST, "config"], rows)


def _metrics(study: Study) -> Table:
    rows = [
        (record["run_id"], name, METRICS[name].unit if name in METRICS else "", value)
        for record in study.records
        for name, value in record["metrics"].items()
    ]
    return Table(("run_id", "metric", "unit", "value"), rows)


def _exits(study: Study) -> Table:
    columns = ("cause", "count", "cycles_l4", "cycles_vmm")
    rows = [
        (record["run_id"], *(row.get(name) for name in columns))
        for record in study.records
        for row in record["exits"]
    ]
    return Table(("run_id", *columns), rows)


def _attribution(study: Study) -> Table:
    rows = [
        (record["run_id"], cause, cycles)
        for record in study.records
        for cause, cycles in record["attribution"].items()
    ]
    return Table(("run_id", "cause", "cycles"), rows)


def _summary(study: Study) -> Table:
    return Table(study.tidy.columns, study.tidy.rows)


TABLES: Mapping[str, Callable[[Study], Table]] = {
    "runs": _runs,
    "metrics": _metrics,
    "exits": _exits,
    "attribution": _attribution,
    "summary": _summary,
}
