"""Finding a run by the beginning of its id, in one study or in all of them."""

from __future__ import annotations

from pathlib import Path

from bgsim.experiment import store
from bgsim.experiment.errors import StoreError
from bgsim.experiment.identity import RUN_ID_DIGITS
from bgsim.experiment.record import Record, from_line

RESULTS = Path("results")
SHOWN_MAX = 5


def find_run(name: str) -> tuple[Record, Path]:
    """The record of a run and the study it was found in.

    Parameters
    ----------
    name
        A run id or its beginning, looked for in the studies in ``results``; or ``DIR/ID``.

    Returns
    -------
    tuple
        The latest record of that run, a finished one before a failed one; and its directory.

    Raises
    ------
    StoreError
        No run, or several.
    """
    directory, _, run_id = name.rpartition("/")
    if directory:
        places = [Path(directory)]
    else:
        places = sorted(path.parent for path in RESULTS.rglob(store.RECORDS))
    found: dict[str, tuple[Record, Path]] = {}
    for place in places:
        for record in _beginning(place, run_id):
            known = found.get(record["run_id"])
            if known is None or record["status"] == "ok" or known[0]["status"] != "ok":
                found[record["run_id"]] = record, place
    if len(found) == 1:
        return found.popitem()[1]
    where = str(places[0]) if directory else f"the studies in {RESULTS}/"
    if not found:
        hint = "" if directory else " (name another study as DIR/ID)"
        raise StoreError(f"{where}: no run with an id that begins with '{run_id}'{hint}")
    some = ", ".join(sorted(found)[:SHOWN_MAX]) + (", ..." if len(found) > SHOWN_MAX else "")
    raise StoreError(f"{where}: {len(found)} runs with an id that begins with '{run_id}': {some}")


def _beginning(directory: Path, run_id: str) -> list[Record]:
    """Records of a study whose id begins so; other lines are passed over unread."""
    if len(run_id) > RUN_ID_DIGITS:
        return []
    mark = f'"run_id":"{run_id}'.encode()
    path = store.records_file(directory)
    try:
        with path.open("rb") as stream:
            lines = [line for line in stream if mark in line]
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
    records = [record for record in map(from_line, lines) if record is not None]
    return [record for record in records if str(record["run_id"]).startswith(run_id)]
