"""Files that are there whole or not at all: written beside their place, then renamed into it.

A write that fails (a full disk, a limit, Ctrl-C) leaves what was there before, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The path to write to in place of a file, which is replaced in one step when the block ends.

    Parameters
    ----------
    path
        Of the file; its directory is there. A link is followed; devices and pipes are written to directly.

    Yields
    ------
    pathlib.Path
        In the same directory and with the same suffix; gone when the block fails.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    target = Path(os.path.realpath(path))
    part = target.with_name(f".part-{os.getpid()}-{target.name}")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
