"""``bgsim version`` and ``bgsim --version``."""

from __future__ import annotations

from typing import Annotated

import typer

from bgsim.cli.failures import guarded


def add_to(app: typer.Typer) -> None:
    """Add the command and the option."""
    app.command()(version)
    app.callback()(_options)


@guarded
def version() -> None:
    """Print the version of bgsim, of Python and of the libraries."""
    from bgsim.cli import listing

    print(listing.versions())


def _wanted(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_wanted, help="The same as 'bgsim version'.")
    ] = False,
) -> None:
    """Options that need no command."""
