"""What a shell completes behind ``bgsim``: names of experiments, parameters, cures, topologies and the like.

The library that reads the command line knows commands and options, and prints the script that connects a
shell (``--show-completion``, ``--install-completion``); the shell then asks bgsim itself at every Tab. Each
function here answers for one kind of word. Where none of its words fits, the shell completes files, so that
directories need not be named here.
"""

from __future__ import annotations

from pathlib import Path

VALUES = ("machine.set.", "assume.")
"""What parameters of the machine follow in ``--set`` of an experiment."""
KEYS = ("guest=", "partition.topology=", "platforms=", "replications=", *VALUES)
"""Settings that most experiments have."""


def experiments(incomplete: str) -> list[str]:
    """Shipped experiments, and the YAML files of the directory that is written so far."""
    from bgsim.experiment import shipped

    begun, _, rest = incomplete.rpartition("/")
    start = f"{begun}/" if "/" in incomplete else ""
    try:
        found = [path.name for path in Path(start or ".").iterdir() if path.suffix in (".yaml", ".yml")]
    except OSError:
        found = []
    files = [start + name for name in sorted(found) if name.startswith(rest)]
    return files if start else [*shipped.names("experiments"), *files]


def parameters(incomplete: str) -> list[str]:
    """Parameters of the machine."""
    from bgsim.datasheet import Datasheet

    return [name for name in Datasheet.load() if name.startswith(incomplete)]


def changed_parameters(incomplete: str) -> list[str]:
    """Parameters of the machine, up to their value."""
    return [f"{name}=" for name in parameters(incomplete)]


def changes(incomplete: str) -> list[str]:
    """Settings of an experiment, up to their value: parameters of the machine behind what changes them."""
    if not incomplete:
        return list(KEYS)
    found = [key for key in KEYS if key.startswith(incomplete) and key not in VALUES]
    for start in VALUES:
        # With all names behind it, a beginning is no word of its own: the shell puts no blank after it.
        if incomplete.startswith(start) or start.startswith(incomplete):
            found += [f"{start}{name}=" for name in parameters(incomplete[len(start) :])]
    return found


def cures(incomplete: str) -> list[str]:
    """Cures."""
    from bgsim.cures import CURES

    return [name for name in CURES if name.startswith(incomplete)]


def topologies(incomplete: str) -> list[str]:
    """Shipped topologies."""
    from bgsim.experiment import shipped

    return [name for name in shipped.names("topologies") if name.startswith(incomplete)]


def marks(incomplete: str) -> list[str]:
    """Confidence marks of parameters; several have commas in between."""
    from bgsim.datasheet import CONFIDENCE

    said = incomplete[: incomplete.rfind(",") + 1]
    return [said + mark for mark in CONFIDENCE if (said + mark).startswith(incomplete)]


def forms(incomplete: str) -> list[str]:
    """What a comparison can be written as."""
    return [form for form in ("text", "latex", "markdown", "csv") if form.startswith(incomplete)]


def schemas(incomplete: str) -> list[str]:
    """Schemas that can be printed."""
    from bgsim.cli.listing import SCHEMAS

    return [name for name in SCHEMAS if name.startswith(incomplete)]


def figures(incomplete: str) -> list[str]:
    """Kinds of figures."""
    from bgsim.report.captions import kinds

    return [name for name, _ in kinds() if name.startswith(incomplete)]
