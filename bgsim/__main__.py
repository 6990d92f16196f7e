"""``python -m bgsim``: the same as the ``bgsim`` command."""

from bgsim.cli import main

main()
