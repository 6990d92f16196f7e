"""The command line: thin, and quick to answer.

Every command reads its arguments, calls one function of the floors below, and prints. Results go
to standard output; progress, remarks and complaints to standard error.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of the ``bgsim`` command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without µ shows '?' instead of failing
    # Pydantic would look through every installed package for plug-ins of its own: a tenth of bgsim check.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from bgsim.cli import checking

    wanted = checking.plainly(sys.argv[1:])
    if wanted is not None:
        checking.check(wanted)
        return
    from bgsim.cli.app import app

    app(prog_name="bgsim")
