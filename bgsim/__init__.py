"""What an operating-system design costs on a supercomputer, from one trapped instruction to a whole machine.

>>> import bgsim
>>> study = bgsim.run("compile")                # doctest: +SKIP
>>> study.summary()                             # doctest: +SKIP

Names are loaded when they are first used, so importing bgsim costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bgsim.datasheet import Datasheet, DatasheetError, Parameter
    from bgsim.experiment.driver import run
    from bgsim.experiment.errors import ExperimentError, Problem, StoreError, StudyInterrupted
    from bgsim.experiment.plan import Experiment
    from bgsim.experiment.plan import load as check
    from bgsim.experiment.study import Study, load_study
    from bgsim.experiment.watch import Watch
    from bgsim.units import Quantity, UnitError

__version__ = "0.1.0"

_HOMES = {
    "Datasheet": "bgsim.datasheet",
    "DatasheetError": "bgsim.datasheet",
    "Experiment": "bgsim.experiment.plan",
    "ExperimentError": "bgsim.experiment.errors",
    "Parameter": "bgsim.datasheet",
    "Problem": "bgsim.experiment.errors",
    "Quantity": "bgsim.units",
    "StoreError": "bgsim.experiment.errors",
    "Study": "bgsim.experiment.study",
    "StudyInterrupted": "bgsim.experiment.errors",
    "UnitError": "bgsim.units",
    "Watch": "bgsim.experiment.watch",
    "check": "bgsim.experiment.plan",
    "load_study": "bgsim.experiment.study",
    "run": "bgsim.experiment.driver",
}

__all__ = [
    "Datasheet",
    "DatasheetError",
    "Experiment",
    "ExperimentError",
    "Parameter",
    "Problem",
    "Quantity",
    "StoreError",
    "Study",
    "StudyInterrupted",
    "UnitError",
    "Watch",
    "__version__",
    "check",
    "load_study",
    "run",
]


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bgsim' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), "load" if name == "check" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
