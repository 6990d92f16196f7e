"""Platforms: what a guest runs on. The seam between guests and machines is in ``seam``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

_CLASSES = {
    "bare-metal": ("bgsim.platforms.baremetal", "BareMetal"),
    "hybrid": ("bgsim.platforms.hybrid", "Hybrid"),
    "l4-native": ("bgsim.platforms.l4native", "L4Native"),
    "virtual-machine": ("bgsim.platforms.virtualmachine", "VirtualMachine"),
}


class _Platforms(Mapping[str, Callable[..., Any]]):
    """Platform name to its class, imported when it is asked for."""

    def __getitem__(self, name: str) -> Callable[..., Any]:
        module, attribute = _CLASSES[name]
        platform: Callable[..., Any] = getattr(import_module(module), attribute)
        return platform

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


PLATFORMS: Mapping[str, Callable[..., Any]] = _Platforms()

_IN_SEGMENTS = frozenset(("hybrid", "virtual-machine"))


def gives_a_segment(platform: str) -> bool:
    """Whether the guest of a platform, by name, has only the memory that the VMM gives it."""
    return platform in _IN_SEGMENTS
