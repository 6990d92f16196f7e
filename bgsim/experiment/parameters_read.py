"""Which parameters of the machine the runs of a study read.

Records do not list them: they would be most of a record. A run repeats itself exactly, so it is made again
and watched: one of every point and platform, since replications read the same.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from bgsim.experiment import store
from bgsim.experiment.errors import OutcomeError, StoreError
from bgsim.experiment.find import find_run
from bgsim.experiment.identity import canonical
from bgsim.experiment.record import Record, settings_of
from bgsim.experiment.rerun import repeatable


class Reading(NamedTuple):
    """What some runs read.

    Attributes
    ----------
    names
        Parameters that at least one of them read.
    base
        The machine they ran on; of several the first.
    changes
        What all of them assume of it, or change, alike: name to value.
    """

    names: frozenset[str]
    base: str
    changes: dict[str, Any]


def parameters_read(source: str, tell: Callable[[str], None]) -> Reading:
    """What a study's runs read, or a single run.

    Parameters
    ----------
    source
        The directory of a study, its file of records, or a run as :func:`bgsim.experiment.find.find_run`
        takes it.
    tell
        Told how many runs are made again, and how long they took when they were recorded.

    Raises
    ------
    StoreError
        There is no such study or run, it holds no finished run, or this program cannot repeat it.
    OutcomeError
        A run fails.
    """
    from bgsim.experiment.resolve import resolved_run
    from bgsim.workloads import execute

    records = _one_of_each(_records(source))
    runs = [repeatable(record) for record in records]
    wall_s = sum(record["provenance"].get("wall_s", 0.0) for record in records)
    many = "1 run is" if len(runs) == 1 else f"{len(runs)} runs are"
    tell(f"{source}: {many} made again to see what is read; when recorded that took {wall_s:.1f} s")
    names: set[str] = set()
    for run in runs:
        resolved = resolved_run(run.config)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # libraries talk; the answer is not theirs
                execute(resolved, None)
        except ValueError as error:
            raise OutcomeError(f"{run.label}: {error}") from error
        names |= resolved.machine.read | resolved.reference_machine.read
    settings = [{**run.config["assume"], **run.config["machine"]["set"]} for run in runs]
    alike = {
        name: value
        for name, value in settings[0].items()
        if all(each.get(name) == value for each in settings)
    }
    return Reading(frozenset(names), str(runs[0].config["machine"]["base"]), alike)


def _records(source: str) -> Iterable[Record]:
    path = Path(source)
    if path.exists():
        return store.read_records(path, lambda text: None)
    record, _ = find_run(source)
    return [record]


def _one_of_each(records: Iterable[Record]) -> list[Record]:
    """Finished records, one of each platform and setting.

    Raises
    ------
    StoreError
        There is none.
    """
    chosen: dict[str, Record] = {}
    for record in records:
        if record["status"] == "ok":
            chosen.setdefault(canonical([record["platform"], settings_of(record)]), record)
    if not chosen:
        raise StoreError("no finished run, so none says what is read")
    return list(chosen.values())
