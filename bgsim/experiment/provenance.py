"""Where a record came from: the program, its source state, its libraries, the host.

Nothing here affects an answer, and nothing here is part of a run's identity.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bgsim.experiment.errors import OutcomeError
from bgsim.source import PACKAGE, source_digest

LIBRARIES = ("simpy", "networkx", "numpy", "numba", "scipy", "pydantic", "ruamel.yaml")


@cache
def program() -> Mapping[str, Any]:
    """Version and source of bgsim, state of its git checkout if it runs from one, Python and libraries."""
    from bgsim import __version__

    return {
        "bgsim": __version__,
        "source": source_digest(),
        "git": _git_state(PACKAGE.parent),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


@cache
def host() -> Mapping[str, Any]:
    """Name, system and processors of the computer this process runs on."""
    return {
        "name": platform.node(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
    }


def peak_memory_bytes() -> int | None:
    """Largest resident memory of this process so far, in bytes; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def check_plugins(planned: Mapping[str, str]) -> None:
    """Refuse a run that was planned with other versions of plug-ins than this process has.

    Raises
    ------
    OutcomeError
        A version differs, or the plug-in is not installed.
    """
    for name, wanted in planned.items():
        installed = _version(name)
        if installed != wanted:
            raise OutcomeError(f"planned with {name} {wanted}, and this process has {installed or 'none'}")


def _git_state(directory: Path) -> Mapping[str, Any] | None:
    """Commit of the checkout that holds this program, and whether files differ from it."""
    if not (directory / ".git").exists():
        return None

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(directory), *words], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "modified": bool(git("status", "--porcelain", "--", "bgsim")),
        }
    except (OSError, subprocess.SubprocessError):
        return None
