"""``-o``: where a command writes."""

from __future__ import annotations

from pathlib import Path

import typer


def output_path(text: str) -> Path:
    """The path that an option gives.

    Raises
    ------
    typer.BadParameter
        It is empty, as that of an unset shell variable, and would mean the current directory unsaid.
    """
    if not text.strip():
        raise typer.BadParameter("an empty path; name one, or . for the current directory")
    return Path(text)
