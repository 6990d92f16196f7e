"""What each kind of workload can run on; a combination that nobody has built is refused when planned."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Support(NamedTuple):
    """What one kind of workload can run on.

    Attributes
    ----------
    platforms, guests
        Names; the first guest is the default.
    nodes_min
        Least number of compute nodes.
    uses
        What else of the partition its answer depends on: ``pset`` (the collective network, whose tree has
        the psets as sub-trees), ``mapping`` (where ranks are placed).
    because
        Why another guest cannot run it, by name of the guest, where there is a reason to give.
    """

    platforms: tuple[str, ...]
    guests: tuple[str, ...]
    nodes_min: int
    uses: tuple[str, ...] = ()
    because: Mapping[str, str] = MappingProxyType({})


_LINUX = ("kittyhawk-linux",)
_ALL = ("cnk", "kittyhawk-linux", "zeptoos", "zeptoos-bigmemory")
_NO_FORK = {
    "cnk": "a build starts a process for every program it calls, and CNK has no fork and no exec (ENOSYS)"
}
_OWN_FILES = {
    "kittyhawk-linux": "it mounts file systems over its own Ethernet; only CNK ships its calls to I/O nodes"
}
_BOTH = ("bare-metal", "virtual-machine")

SUPPORT: Mapping[str, Support] = {
    "compile": Support(_BOTH, _LINUX, 1, because=_NO_FORK),
    "micro": Support(_BOTH, _LINUX, 1),
    "netperf": Support(_BOTH, _LINUX, 2, ("pset",)),
    "dcmf": Support(_BOTH, ("cnk", "zeptoos-bigmemory"), 2),
    "io": Support(_BOTH, ("cnk",), 1, ("pset",), because=_OWN_FILES),
    "traffic": Support(("bare-metal",), ("cnk",), 2),
    "collectives": Support(_BOTH, ("cnk",), 1, ("mapping", "pset")),
    "halo": Support(_BOTH, ("cnk",), 1, ("mapping",)),
    "replay": Support(_BOTH, ("cnk",), 1, ("mapping",)),
    "noise": Support(_BOTH, _ALL, 1),
    "memory": Support(_BOTH, _ALL, 1),
}
"""By workload kind."""
