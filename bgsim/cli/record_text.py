"""``bgsim show``: one run as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bgsim.cli.listing import aligned
from bgsim.experiment.identity import canonical
from bgsim.experiment.labels import brief
from bgsim.experiment.metrics import METRICS
from bgsim.experiment.record import Record

Rows = Sequence[tuple[str, ...]]


def described(record: Record, directory: Path) -> str:
    """A record as sections of aligned rows."""
    sections: list[tuple[str, Rows]] = [
        ("", _head(record, directory)),
        ("settings", [(path, brief(value)) for path, value in _flat(record["config"])]),
        ("metrics", [_metric(name, value) for name, value in record["metrics"].items()]),
        ("exits", _exits(record)),
        ("computed", _computed(record)),
    ]
    parts = [f"{title}\n{_indented(rows)}" if title else aligned(rows) for title, rows in sections if rows]
    parts += [f"warning: {text}" for text in record.get("warnings", ())]
    return "\n\n".join(parts)


def _head(record: Record, directory: Path) -> Rows:
    rows: list[tuple[str, ...]] = [
        ("run", record["run_id"]),
        ("study", f"{record['experiment']} in {directory}"),
    ]
    rows.append(("status", record["status"]))
    if record["status"] != "ok":
        rows.append(("error", f"{record['error']['type']}: {record['error']['message']}"))
    return [*rows, *((path, brief(value)) for path, value in record["point"].items())]


def _flat(section: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in section.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{key}.")
        elif value not in (None, {}, []):
            found.append((prefix + key, value if isinstance(value, str) else canonical(value)))
    return found


def _metric(name: str, value: float) -> tuple[str, ...]:
    known = METRICS.get(name)
    text = f"{value:,}" if isinstance(value, int) else f"{value:.10g}"
    return name, text, known.unit if known else "", known.meaning if known else ""


def _exits(record: Record) -> Rows:
    if not record["exits"]:
        return []
    rows: list[tuple[str, ...]] = [("cause", "count", "cycles in L4", "cycles in VMM")]
    ordered = sorted(record["exits"], key=lambda row: -(row["cycles_l4"] + row["cycles_vmm"]))
    numbers = ("count", "cycles_l4", "cycles_vmm")
    return [*rows, *((row["cause"], *(f"{row[name]:,}" for name in numbers)) for row in ordered)]


def _computed(record: Record) -> Rows:
    made = record.get("provenance", {})
    git = made.get("git") or {}
    commit = f", commit {git['commit'][:12]}{' (modified)' if git.get('modified') else ''}" if git else ""
    rows: list[tuple[str, ...]] = [
        ("program", f"bgsim {made.get('bgsim')}, source {made.get('source')}{commit}")
    ]
    libraries = [f"{name} {version}" for name, version in made.get("libraries", {}).items() if version]
    rows.append(("with", ", ".join([f"Python {made.get('python')}", *libraries])))
    host = made.get("host", {})
    rows.append(("host", f"{host.get('name')} ({host.get('system')})"))
    if "started_utc" in made:
        rows.append(("started", made["started_utc"]))
        rows.append(("time", f"{made['wall_s']:.3f} s, processor {made['processor_s']:.3f} s"))
    if made.get("peak_memory_bytes"):
        rows.append(("memory", f"{made['peak_memory_bytes'] / 1e6:,.0f} MB at most"))
    return rows


def _indented(rows: Rows) -> str:
    return "\n".join(f"  {line}" for line in aligned(rows).splitlines())
