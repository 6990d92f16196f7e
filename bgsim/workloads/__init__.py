"""Workloads: the programs a guest runs, each a module with ``run(resolved, progress) -> Outcome``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bgsim.workloads.outcome import Outcome
    from bgsim.workloads.resolved import ResolvedRun

Progress = Callable[[float, str], None]


def execute(resolved: ResolvedRun, progress: Progress | None = None) -> Outcome:
    """Run one resolved run in this process.

    Parameters
    ----------
    resolved
        The run; its workload's ``kind`` selects the module.
    progress
        Called now and then with the simulated seconds so far and a short note.
    """
    from bgsim.workloads.catalogue import WORKLOADS

    module = import_module(WORKLOADS[resolved.workload.kind].module)
    outcome: Outcome = module.run(resolved, progress)
    return outcome
