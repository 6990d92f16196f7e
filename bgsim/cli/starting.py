"""What makes the command line quick to start; nothing here changes what it does.

Measured on ``bgsim check``, of whose 0.45 s these were a sixth.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from types import ModuleType
from typing import Any, Final

LOADER: Final = "pydantic.plugin._loader"
GARBAGE_AFTER: Final = 100_000
"""Objects made between two searches for garbage; Python's own 700 are made 150 times while starting."""


class _NoPlugins(ModuleType):
    """Stands for pydantic's search for plug-ins, and finds none without searching.

    Told by the environment not to search, the real module still imports what it would search with: a
    thirtieth of a second. Asked for anything that is not here, the real one takes its place.
    """

    @staticmethod
    def get_plugins() -> tuple[()]:
        """No plug-ins."""
        return ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        sys.modules.pop(LOADER, None)
        return getattr(importlib.import_module(LOADER), name)


def without_pydantic_plugins() -> None:
    """Look for no plug-ins of pydantic in what is installed, unless the environment says which."""
    if os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__") == "__all__":
        sys.modules.setdefault(LOADER, _NoPlugins(LOADER))


def without_garbage() -> None:
    """Look for garbage seldom: what is imported stays to the end."""
    gc.set_threshold(GARBAGE_AFTER)
