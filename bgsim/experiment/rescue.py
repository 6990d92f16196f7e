"""Records that the study's directory does not take are kept elsewhere until there is room.

A disk that fills up costs no result: runs in progress are finished, and what cannot be stored goes to
a file in the system's temporary directory, which ``bgsim merge`` adds to the study later.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bgsim.experiment.errors import StoreError
from bgsim.experiment.record import Record, to_line
from bgsim.experiment.store import Store


def rescued(opened: Store, records: Sequence[Record], failure: StoreError) -> StoreError | None:
    """Store records that could not be stored before, here or elsewhere.

    Parameters
    ----------
    opened
        The study; there may be room in it again.
    records
        What was computed and is not on disk.
    failure
        Why not.

    Returns
    -------
    StoreError or None
        What to tell the researcher; None when all records are in the study after all.
    """
    left = list(records)
    with contextlib.suppress(StoreError):
        while left:
            opened.append(left[0])
            del left[0]
    if not left:
        return None
    runs = f"{len(left)} run{'s' if len(left) != 1 else ''}"
    for place in dict.fromkeys((tempfile.gettempdir(), str(Path.home()))):
        path = _written(Path(place), left)
        if path is not None:
            return StoreError(
                f"{failure}; {runs} computed since: {path} (bgsim merge {opened.directory} {path} adds "
                f"{'it' if len(left) == 1 else 'them'})"
            )
    return StoreError(f"{failure}; there was no room elsewhere, and {runs} must be computed again")


def _written(place: Path, records: Sequence[Record]) -> Path | None:
    """A file with these records in that directory, or None where there is no room either."""
    name = str(records[0]["experiment"])
    try:
        handle, path = tempfile.mkstemp(prefix=f"bgsim-{name}-", suffix=".jsonl", dir=place)
    except OSError:
        return None
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.writelines(to_line(record) for record in records)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        Path(path).unlink(missing_ok=True)
        return None
    return Path(path)
