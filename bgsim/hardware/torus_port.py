"""A node's connection to the torus: the injection FIFOs between DMA engine and router.

Eight FIFOs of a few packets each. Only the packet at the head of a FIFO asks for a link, so a packet behind
it waits even if its own link is idle. Room comes free when a packet's first byte leaves. Reception has its
buffers in the network (:class:`bgsim.network.links.LinkNetwork`), which stops links whose packets are not
taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from bgsim.datasheet import Datasheet
from bgsim.network.links import Packet, Receiver
from bgsim.network.torus import TorusNetwork

FIFOS = 8
_FIFOS = tuple(tuple(index for index in range(FIFOS) if mask & 0x80 >> index) for mask in range(1 << FIFOS))


class TorusPort:
    """The torus side of a node.

    Parameters
    ----------
    node
        Node number.
    network
        The torus.
    datasheet
        The machine.
    """

    def __init__(self, node: int, network: TorusNetwork, datasheet: Datasheet) -> None:
        self.node = node
        self.network = network
        self.capacity_packets = datasheet.integer("torus.injection_fifo_packets")
        self.on_space: Callable[[], None] | None = None
        if datasheet.integer("torus.injection_fifos") != FIFOS:
            raise ValueError(f"the DMA engine's masks name {FIFOS} torus injection FIFOs")
        self._fifos: list[deque[Packet]] = [deque() for _ in range(FIFOS)]
        self._with_room = (1 << FIFOS) - 1  # mask of FIFOs that have room, FIFO 0 leftmost
        self._departures = [partial(self._departed, index) for index in range(FIFOS)]

    def attach(self, on_packet: Receiver) -> None:
        """Connect the receiving side; see :meth:`bgsim.network.links.LinkNetwork.attach`."""
        self.network.attach(self.node, on_packet)

    def resume(self) -> None:
        """Have refused packets offered again."""
        self.network.resume(self.node)

    def fifo_with_room(self, mask: int) -> int | None:
        """The emptiest FIFO with room, of those in an eight-bit mask whose leftmost bit is FIFO 0."""
        candidates = _FIFOS[mask & self._with_room]
        if len(candidates) > 1:
            return min(candidates, key=lambda index: len(self._fifos[index]))
        return candidates[0] if candidates else None

    def has_room(self, mask: int) -> bool:
        """Whether a FIFO of a mask has room."""
        return bool(mask & self._with_room)

    def send(self, fifo: int, packet: Packet) -> None:
        """Put a packet into a FIFO that has room for it."""
        queue = self._fifos[fifo]
        assert len(queue) < self.capacity_packets, "the injection FIFO has room"
        packet.on_departure = self._departures[fifo]
        queue.append(packet)
        if len(queue) == self.capacity_packets:
            self._with_room &= ~(0x80 >> fifo)
        if len(queue) == 1:
            self.network.inject(packet)

    def _departed(self, fifo: int) -> None:
        queue = self._fifos[fifo]
        queue.popleft()
        self._with_room |= 0x80 >> fifo
        if queue:
            self.network.inject(queue[0])
        if self.on_space is not None:
            self.on_space()
