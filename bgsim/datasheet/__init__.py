"""The numbers of the modelled machine, each with its unit, its source and how far it can be trusted."""

from bgsim.datasheet.parameter import CONFIDENCE, DatasheetError, Parameter, UnknownParameterError, Value
from bgsim.datasheet.sheet import Datasheet, bases

__all__ = [
    "CONFIDENCE",
    "Datasheet",
    "DatasheetError",
    "Parameter",
    "UnknownParameterError",
    "Value",
    "bases",
]
