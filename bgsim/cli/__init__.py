"""The command line: thin, and quick to answer.

Every command reads its arguments, calls one function of the floors below, and prints. Results go
to standard output; progress, remarks and complaints to standard error.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the ``bgsim`` command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without µ shows '?' instead of failing
    from bgsim.cli import checking, starting

    starting.without_pydantic_plugins()
    wanted = checking.plainly(sys.argv[1:])
    if wanted is not None:
        starting.without_garbage()
        checking.check(wanted)
        return
    from bgsim.cli.app import app

    app(prog_name="bgsim")
