"""How many psets, and so I/O nodes, a partition has: counted without laying out its tree.

The boxes are those of :mod:`bgsim.network.tree_embedding`, which lays them out; a test compares the counts.
Where sides are not powers of two times midplanes, halving leaves psets that are not full, so there are more
of them than nodes divided by a pset's size.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bgsim.network.topology import Shape

MIDPLANE = 8


def pset_count(shape: Shape, pset: int) -> int:
    """Psets of a partition.

    Parameters
    ----------
    shape
        Nodes in x, y and z.
    pset
        Most compute nodes of a pset.
    """
    least, middle, most = sorted(shape)
    return _boxes((least, middle, most), pset)


@cache
def _boxes(extents: tuple[int, int, int], pset: int) -> int:
    """Boxes of at most a pset that halving makes of one whose sides are in ascending order."""
    least, middle, most = extents
    if least * middle * most <= pset:
        return 1
    unit = MIDPLANE if most % MIDPLANE == 0 and most > MIDPLANE else 1
    first = (most // unit + 1) // 2 * unit
    return pset_count((least, middle, first), pset) + pset_count((least, middle, most - first), pset)
