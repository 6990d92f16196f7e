"""Descriptors and injection rings of a messaging library on the torus DMA engine.

The program has an injection FIFO for each direction in which a route begins, from 0 on. Behind them are six
more, into which the hardware puts what remote gets ask for; only it moves their tails. Both kinds lead to the
direction's torus FIFO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bgsim.guests.cnk import RINGS_MIB
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.dma_descriptor import Descriptor, Transfer, VirtualChannel
from bgsim.network.topology import Closed, Shape, displacement
from bgsim.platforms.seam import WriteMemory

GROUP: Final = 0
DIRECTIONS: Final = 6
REMOTE_GET_FIFO: Final = DIRECTIONS
"""First injection FIFO that remote gets are put into, one per direction of their data."""

RING_ENTRIES: Final = 256
UNWATCHED_COUNTER: Final = reg.COUNTERS - 1
"""Counter of descriptors whose completion nobody waits for."""

ACKNOWLEDGEMENT_BYTES: Final = 1
"""The least a direct put can carry."""


@dataclass
class Ring:
    """An injection FIFO's ring, the slot its next descriptor goes to, and where the engine was last seen."""

    base: int
    tail: int = 0
    head: int = 0

    def has_room(self, descriptors: int) -> bool:
        """Whether so many more descriptors fit, as far as is known."""
        return (self.head - self.tail - 1) % RING_ENTRIES >= descriptors

    def seen(self, pointer: int) -> None:
        """Note the engine's head pointer, in units of 16 bytes."""
        self.head = ((pointer << 4) - self.base) // reg.DESCRIPTOR_BYTES

    def write(self, descriptor: Descriptor) -> WriteMemory:
        """Put a descriptor into the next slot."""
        address = self.base + self.tail * reg.DESCRIPTOR_BYTES
        self.tail = (self.tail + 1) % RING_ENTRIES
        return WriteMemory(address, descriptor)

    @property
    def pointer(self) -> int:
        """The tail pointer, in units of 16 bytes."""
        return self.base + self.tail * reg.DESCRIPTOR_BYTES >> 4


def rings() -> list[Ring]:
    """Rings of all the library's injection FIFOs, in order of their numbers."""
    return [
        Ring((RINGS_MIB << 20) + fifo * RING_ENTRIES * reg.DESCRIPTOR_BYTES)
        for fifo in range(REMOTE_GET_FIFO + DIRECTIONS)
    ]


@dataclass(frozen=True)
class Descriptors:
    """What a node writes into its rings.

    Attributes
    ----------
    node
        Its number.
    shape, torus
        The partition.
    full_packets
        Whether the packets of puts are all of full length but the last.
    """

    node: int
    shape: Shape
    torus: Closed
    full_packets: bool

    def direction(self, source: int, target: int) -> int:
        """The direction in which a route begins."""
        hops = displacement(source, target, self.shape, self.torus)
        dimension = next(each for each, distance in enumerate(hops) if distance)
        return 2 * dimension + (hops[dimension] < 0)

    def put(self, target: int, length: int, injection_counter: int) -> Descriptor:
        """Data for a target's memory."""
        return Descriptor(
            Transfer.DIRECT_PUT,
            destination=target,
            length=length,
            injection_counter=injection_counter,
            reception_counter=UNWATCHED_COUNTER,
            full_packets=self.full_packets,
            dynamic=False,
            channel=VirtualChannel.BUBBLE,
        )

    def packets(self, target: int, length: int, content: Any) -> Descriptor:
        """A message for the target's reception FIFO; its packets have the size the first one needs."""
        return Descriptor(
            Transfer.MEMORY_FIFO,
            destination=target,
            length=length,
            injection_counter=UNWATCHED_COUNTER,
            reception_group=GROUP,
            payload=content,
            full_packets=False,
        )

    def remote_get(self, target: int, length: int, counter: int, sent: int) -> Descriptor:
        """A request that makes the target put data here, counting down its counter `sent` and ours."""
        data = self._data_here(length, counter, sent, self.full_packets)
        return self._request(target, data, dynamic=True)

    def acknowledgement(self, target: int, counter: int) -> Descriptor:
        """A request that makes the target put a byte here, counting down our counter, behind earlier puts."""
        byte = self._data_here(ACKNOWLEDGEMENT_BYTES, counter, UNWATCHED_COUNTER, full_packets=False)
        return self._request(target, byte, dynamic=False)

    def _data_here(self, length: int, counter: int, sent: int, full_packets: bool) -> Descriptor:
        """What another node is asked to put into this one's memory."""
        return Descriptor(
            Transfer.DIRECT_PUT,
            destination=self.node,
            length=length,
            injection_counter=sent,
            reception_counter=counter,
            full_packets=full_packets,
        )

    def _request(self, target: int, message: Descriptor, dynamic: bool) -> Descriptor:
        return Descriptor(
            Transfer.REMOTE_GET,
            destination=target,
            length=reg.DESCRIPTOR_BYTES,
            injection_counter=UNWATCHED_COUNTER,
            remote_fifo=GROUP * reg.INJECTION_FIFOS + REMOTE_GET_FIFO + self.direction(target, self.node),
            payload=(message,),
            full_packets=False,
            dynamic=dynamic,
            channel=VirtualChannel.DYNAMIC_0 if dynamic else VirtualChannel.BUBBLE,
        )
