"""Studies made one: shards, copies computed elsewhere, records rescued from a full disk.

A run that several of them hold is taken once. Equal ids promise equal answers, so copies are compared,
and copies that differ are a fault of some program or computer that the researcher has to hear of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bgsim.experiment import store
from bgsim.experiment.errors import StoreError
from bgsim.experiment.executors.shard import SHARDS
from bgsim.experiment.record import Record, answer
from bgsim.experiment.store import Note, Store


@dataclass(slots=True)
class Merged:
    """What a merge has done.

    Attributes
    ----------
    added, known
        Finished runs that were new to the study, and that it held already with the same answer.
    failed
        Failed runs that nobody has finished; recorded too.
    conflicts
        One line for each run with two answers; the first one is kept.
    """

    added: int = 0
    known: int = 0
    failed: int = 0
    conflicts: list[str] = field(default_factory=list)


def shards_of(directory: Path) -> list[Path]:
    """The shards that were computed below a study, by number."""
    found = [path.parent for path in (directory / SHARDS).glob(f"*/{store.RECORDS}")]
    return sorted(found, key=lambda path: [int(word) for word in path.name.split("-") if word.isdigit()])


def merge(directory: Path, sources: Sequence[Path], note: Note) -> Merged:
    """Add the records of other studies to one; the others are left as they are.

    Parameters
    ----------
    directory
        The study that grows; made if need be.
    sources
        Directories of studies, or files of records.
    note
        Told of damaged lines.

    Raises
    ------
    StoreError
        A directory cannot be used, or the studies are of different experiments.
    """
    merged = Merged()
    for source in sources:  # all are looked at before anything is changed
        if not store.records_file(source).is_file():
            raise StoreError(f"{source}: no study and no file of records here")
    with Store(directory, note) as opened:
        stored = {record["run_id"]: record for record in opened.records if record["status"] == "ok"}
        names = {record["experiment"] for record in opened.records}
        failed: dict[str, Record] = {}
        for source in sources:
            with store.collector_paused():
                opened.extend(_new(source, stored, names, failed, merged, note))
        tried = {record["run_id"] for record in opened.records}
        lost = [record for record in failed.values() if record["run_id"] not in tried]
        opened.extend(lost)
        merged.failed = len(lost)
    beside = [
        source / store.BOUNDS for source in sources if (source / store.BOUNDS / store.RECORDS).is_file()
    ]
    if beside:
        inner = merge(directory / store.BOUNDS, beside, note)
        merged.added += inner.added
        merged.known += inner.known
        merged.failed += inner.failed
        merged.conflicts += inner.conflicts
    return merged


def _new(
    source: Path,
    stored: dict[str, Record],
    names: set[str],
    failed: dict[str, Record],
    merged: Merged,
    note: Note,
) -> Iterable[Record]:
    """The finished records of a source that the study does not hold yet."""
    for record in store.read_records(source, note):
        names.add(record["experiment"])
        if len(names) > 1:
            one, other = sorted(names)
            raise StoreError(
                f"{source}: of the study '{record['experiment']}'; '{one}' and '{other}' are two"
            )
        if record["status"] != "ok":
            failed[record["run_id"]] = record
            continue
        before = stored.get(record["run_id"])
        if before is None:
            stored[record["run_id"]] = record
            merged.added += 1
            yield record
        elif (difference := unlike(before, record)) is None:
            merged.known += 1
        else:
            merged.conflicts.append(f"{source}: run {record['run_id']} has two answers: {difference}")


def unlike(one: Record, other: Record) -> str | None:
    """The first difference between two answers in words, or None where there is none."""
    left, right = answer(one), answer(other)
    if left == right:
        return None
    for name in left.keys() | right.keys():
        if left.get(name) == right.get(name):
            continue
        if not (isinstance(left.get(name), dict) and isinstance(right.get(name), dict)):
            return f"{name} differs"
        for key in sorted(left[name].keys() | right[name].keys()):
            if left[name].get(key) != right[name].get(key):
                return f"{name} {key}: {left[name].get(key)} and {right[name].get(key)}"
    return "they differ"
