"""What the operations of the traffic workload put on the links of the torus.

All routes are minimal, so the load of each direction follows from who sends what to whom; how it is spread
over the links of a direction is counted by the engine, in the part of the run that was simulated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bgsim.network.packet_reference import PacketReference
from bgsim.network.traffic import FULL_CHUNKS, REQUEST_CHUNKS, hops_word
from bgsim.workloads.outcome import Json
from bgsim.workloads.traffic_messages import CONTROL_PACKETS

if TYPE_CHECKING:
    from bgsim.workloads.traffic import Setting

DIRECTIONS = ("x_plus", "x_minus", "y_plus", "y_minus", "z_plus", "z_minus")


@dataclass(frozen=True)
class Loads:
    """What the operations of a whole run put on the links, all routes being minimal.

    Attributes
    ----------
    packet_hops
        Links crossed, summed over packets.
    link_cycles
        Time for which the links of each direction are busy, summed over links, shape (6,).
    """

    packet_hops: int
    link_cycles: NDArray[np.float64]

    @classmethod
    def of(cls, setting: Setting) -> Loads:
        """Count the operations of a run.

        Half way round a dimension both ways are minimal: adaptive packets too go where the hint bits of
        their message say, see :func:`bgsim.network.traffic.hops_word`.
        """
        partition, router = setting.resolved.partition, setting.router
        real = setting.partner >= 0
        origin = np.repeat(setting.active, real.sum(axis=1))
        pairs = np.unique(origin * partition.nodes + setting.partner[real], return_counts=True)
        there, back = pairs[0] // partition.nodes, pairs[0] % partition.nodes
        counts = pairs[1].astype(np.float64)
        data_back, forward, backward = CONTROL_PACKETS[setting.kind]
        full, small = router.link_cycles(FULL_CHUNKS), router.link_cycles(REQUEST_CHUNKS)
        cycles = np.zeros(6)
        hops = 0
        for ends, packets, controls in (
            ((there, back), setting.packets * (not data_back), forward),
            ((back, there), setting.packets * data_back, backward),
        ):
            word = hops_word(*ends, partition.shape, partition.torus)
            busy = counts * (packets * full + controls * small)
            for dimension in range(3):
                distance = (word >> 8 * dimension & 255).astype(np.float64)
                negative = (word >> (24 + dimension) & 1).astype(np.float64)
                cycles[2 * dimension] += (busy * distance * (1 - negative)).sum()
                cycles[2 * dimension + 1] += (busy * distance * negative).sum()
                hops += int((counts * (packets + controls) * distance).sum())
        return cls(hops, cycles)

    def least_cycles(self, setting: Setting) -> float:
        """Time that the links of the busiest direction take, if the load is spread evenly over them."""
        each = zip(self.link_cycles, _directions(setting), strict=True)
        return max((float(cycles / links) for cycles, (_, links) in each if links), default=0.0)

    def utilisation(self, setting: Setting, link_cycles: float) -> dict[str, float]:
        """Share of the time until the last packet for which links were busy: mean and largest, by direction.

        The largest is the mean times the ratio of the two in the part that was simulated, at most 1: what a
        part has more than the mean need not last.
        """
        found: dict[str, float] = {}
        for number, (direction, links) in enumerate(_directions(setting)):
            if not links:
                continue
            mean = self.link_cycles[number] / (links * link_cycles)
            found[f"link_utilisation_{direction}"] = float(mean)
            ratios = _ratios(setting, number, links)
            if ratios is not None:  # the readable engine does not count by link
                found[f"link_utilisation_{direction}_max"] = min(1.0, float(mean * ratios.max()))
        return found

    def by_link(self, setting: Setting, link_cycles: float) -> dict[str, Json]:
        """Share of that time for which each link was busy, by direction, then by the node it leaves.

        Rounded to millionths; directions without links are left out.
        """
        found: dict[str, Json] = {}
        for number, (direction, links) in enumerate(_directions(setting)):
            ratios = _ratios(setting, number, links) if links else None
            if ratios is not None:
                load = self.link_cycles[number] / (links * link_cycles) * ratios
                found[direction] = [round(min(1.0, float(share)), 6) for share in load]
        return found


def _directions(setting: Setting) -> Iterator[tuple[str, int]]:
    """Every direction with its number of links."""
    partition = setting.resolved.partition
    for number, direction in enumerate(DIRECTIONS):
        extent, closed = partition.shape[number // 2], partition.torus[number // 2]
        yield direction, partition.nodes // extent * (extent if closed else extent - 1) if extent > 1 else 0


def _ratios(setting: Setting, direction: int, links: int) -> NDArray[np.float64] | None:
    """Load of each node's link over the mean of the direction, in the part that was simulated."""
    engine = setting.engine
    assert engine is not None, "something has been simulated"
    if isinstance(engine, PacketReference):
        return None
    column = engine.link_busy_cycles[:, direction].astype(np.float64)
    return column / (column.sum() / links) if column.sum() else np.ones(len(column))
