"""What each kind of workload can run on; a combination that nobody has built is refused when planned."""

from __future__ import annotations

from collections.abc import Mapping
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
    """

    platforms: tuple[str, ...]
    guests: tuple[str, ...]
    nodes_min: int
    uses: tuple[str, ...] = ()


_LINUX = ("kittyhawk-linux",)
_BOTH = ("bare-metal", "virtual-machine")

SUPPORT: Mapping[str, Support] = {
    "compile": Support(_BOTH, _LINUX, 1),
    "micro": Support(_BOTH, _LINUX, 1),
    "netperf": Support(_BOTH, _LINUX, 2, ("pset",)),
    "dcmf": Support(_BOTH, ("cnk",), 2),
    "traffic": Support(("bare-metal",), ("cnk",), 2),
    "collectives": Support(_BOTH, ("cnk",), 1, ("mapping", "pset")),
    "halo": Support(_BOTH, ("cnk",), 1, ("mapping",)),
    "replay": Support(_BOTH, ("cnk",), 1, ("mapping",)),
}
"""By workload kind."""
