"""Optional libraries: loaded when they are asked for, and missing in one clear sentence."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class MissingExtraError(Exception):
    """A library that is not installed with bgsim itself is needed; the text says how to install it."""


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional library.

    Parameters
    ----------
    module
        Dotted name of the module.
    extra
        The extra of bgsim that installs it.
    purpose
        What needs it, as the subject of a sentence.

    Raises
    ------
    MissingExtraError
        It, or something it needs, is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs {module.split('.', maxsplit=1)[0]}, which cannot be imported ({error}): "
            f"pip install 'bgsim[{extra}]'"
        ) from None
