"""The torus router of Blue Gene/P: its parameters and the rules both packet engines follow.

Each node has six input links with four virtual channels each (two dynamic, the deterministic bubble
channel, the priority channel) and a few injection FIFOs. A virtual channel of an input link is a FIFO of
packet slots in a memory that is read faster than a link sends, one packet at a time. The rules, in full:

* **Cut-through.** A packet starts on a link only when the slot it will occupy is free downstream. Its header
  may ask for the next link ``hop`` cycles later, while its tail is still arriving.
* **Tokens.** A slot is free again, for the router upstream, one token latency after the packet's tail left
  it.
* **Bubble.** The bubble and the priority channel ask for one slot to go straight on, and for two to be
  injected, to turn into another dimension, or to come from a dynamic channel; so no ring ever fills.
* **Routing.** A deterministic packet takes the dimensions in order, x first. A dynamic one asks for every
  link that brings it nearer, and takes the dynamic channel with more free slots. Only if none of its links
  has a dynamic channel with a free slot may it escape: to the bubble channel of the link that dimension order
  names. (A slot taken counts as taken for that from the next cycle on.)
* **Head of line.** Only the packet at the head of a FIFO asks for links, and a packet counts in its FIFO
  once its header has arrived.
* **Deposit bit.** A packet that goes straight may leave a copy at each node it passes, when it leaves it.
* **Reception.** A packet at its destination leaves the network at once, unless it is for a reception FIFO in
  memory that is full: then it stays the head of its FIFO. Software takes the packets out of a memory FIFO one
  by one; priority packets have a memory FIFO of their own.
* **Hint bits.** Which way a packet goes round each dimension is settled where it starts: the shorter one;
  half way round, in positive direction from an even coordinate and in negative direction from an odd one.
* **DMA FIFOs.** A node's DMA engine moves packets of the messages at the heads of its DMA FIFOs in turn, each
  to the emptiest injection FIFO of its directions; a head for which there is no room keeps its turn.
* **Arbitration.** A free link takes priority packets first. Then it serves the fullest of the input FIFOs
  that ask for it (in turn, if equal), and the injection FIFOs only if no packet of the network can use it.
  But for part of the time it draws lots between all of them instead, which keeps everyone alive.

At one instant headers that have come in join their FIFOs, then the links of a node are granted in order of
direction, then the node receives, then its DMA engine injects. Software sees a message as sent once the DMA
engine is done with its last packet. An engine that had nothing to do looks for packets one cycle after a
message was posted, and the packet it moves asks for a link another cycle later: a message of an idle node
takes two cycles longer than its links and hops do, a local copy one. What a node does is seen by others no
sooner than
:meth:`RouterParameters.window_cycles` later.

The virtual channels, the bubble rule and token flow control follow Adiga et al., "Blue Gene/L torus
interconnection network", IBM JRD 49(2/3), 2005, whose router Blue Gene/P inherits. The hint bits and the
share of lots are those of Blue Gene/L's system software, whose torus registers Blue Gene/P has at the same
places. Left out: tokens finer than a full packet (a short packet takes a whole slot), link-level
retransmission, the two-cycle phases of the arbiters, and the fixed periods in which they draw lots.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from bgsim.datasheet import Datasheet
from bgsim.network.traffic import CHUNK_BYTES, FULL_CHUNKS, HEADER_BYTES

DIRECTIONS: Final = 6
CHANNELS: Final = 4
BUBBLE: Final = 2
PRIORITY: Final = 3
INJECTION_FIFOS: Final = 8
QUEUES: Final = DIRECTIONS * CHANNELS + INJECTION_FIFOS
"""FIFOs per node: 24 of the input links (direction of travel * 4 + channel), then the injection FIFOs."""

FIRST_INJECTION: Final = DIRECTIONS * CHANNELS
NETWORK_MASK: Final = (1 << FIRST_INJECTION) - 1
DITHER_RANGE: Final = 256
HORIZON_MOST: Final = 8192

PACKET_BYTES: Final = {
    "torus.packet_size_max": FULL_CHUNKS * CHUNK_BYTES,
    "torus.packet_chunk": CHUNK_BYTES,
    "torus.packet_header": HEADER_BYTES,
}
"""The only packets that message graphs are made of, by parameter."""


class PacketFormatError(ValueError):
    """A machine whose packets message graphs do not have."""


def packet_problems(datasheet: Datasheet) -> dict[str, str]:
    """What message graphs cannot follow of a machine's packets: sentences by parameter."""
    return {
        name: f"{datasheet.integer(name)} B, and packets of the machine tier have {size} B: other ones exist "
        "in the detailed tier only (dcmf; tier: detailed)"
        for name, size in PACKET_BYTES.items()
        if datasheet.integer(name) != size
    }


@dataclass(frozen=True, slots=True)
class RouterParameters:
    """What the router rules need to know, in core cycles and packet slots.

    Attributes
    ----------
    slots
        Packet slots of one virtual channel of an input link.
    injection_slots
        Packet slots of an injection FIFO.
    chunk_cycles, overhead_cycles
        A packet of n chunks occupies a link for ``n * chunk_cycles + overhead_cycles``.
    hop_cycles
        From a packet's start on a link to its header asking for the next one.
    token_cycles
        From a packet's tail leaving a slot to the router upstream knowing of it.
    read_cycles
        Time a FIFO's read port takes for a packet: the next packet asks for a link that much later.
    endpoint_cycles
        Injection and reception logic, added to every delivery.
    dma_interval_cycles
        Shortest time between two packets of one node's DMA engine.
    local_interval_cycles
        The same for a packet that the DMA engine copies within its node, where it arrives after that time.
    reception_slots
        Packets that a node's memory FIFO holds, and the same for priority packets; 0: they are never full.
    reception_cycles
        Time software takes to take a packet out of a memory FIFO.
    lots_in_256
        Grants of 256 that are drawn by lot instead of going to the longest queue.
    """

    slots: int = 4
    injection_slots: int = 4
    chunk_cycles: int = 64
    overhead_cycles: int = 32
    hop_cycles: int = 46
    token_cycles: int = 46
    read_cycles: int = 272
    endpoint_cycles: int = 90
    dma_interval_cycles: int = 90
    local_interval_cycles: int = 90
    reception_slots: int = 0
    reception_cycles: int = 1
    lots_in_256: int = 65

    def __post_init__(self) -> None:
        if not 2 <= self.slots <= 8 or not 1 <= self.injection_slots <= 8:
            raise ValueError("a virtual channel has 2 to 8 packet slots, an injection FIFO 1 to 8")
        if self.read_cycles < self.hop_cycles:
            raise ValueError("reading a packet from its FIFO takes at least as long as a header's way")
        if (
            min(
                self.hop_cycles,
                self.dma_interval_cycles,
                self.local_interval_cycles,
                self.reception_cycles,
                self.link_cycles(1),
            )
            < 1
            or min(self.token_cycles, self.chunk_cycles, self.overhead_cycles) < 0
        ):
            raise ValueError("hops, packets and the DMA engine take at least one cycle")
        if self.horizon_cycles >= HORIZON_MOST:
            raise ValueError(f"packets and latencies are shorter than {HORIZON_MOST} cycles")
        if not 0 <= self.lots_in_256 <= DITHER_RANGE:
            raise ValueError("of 256 grants, 0 to 256 are drawn by lot")

    @classmethod
    def from_datasheet(cls, datasheet: Datasheet) -> RouterParameters:
        """Read the parameters of a machine.

        A full packet's time on a link is rounded up to whole cycles, once. A chunk's is rounded to the
        nearest, and the overhead has the rest: where a chunk does not take whole cycles, which it does in the
        real machine, the time of a shorter packet is off by a few.

        Raises
        ------
        PacketFormatError
            If the machine's packets are not those of :data:`PACKET_BYTES`.
        """
        wrong = packet_problems(datasheet)
        if wrong:
            raise PacketFormatError("; ".join(f"{name}: {said}" for name, said in wrong.items()))
        per_byte = datasheet.integer("core.frequency") / datasheet.quantity("torus.link_rate").value
        packet = datasheet.integer("torus.packet_size_max")
        full = ceil((packet + datasheet.integer("torus.packet_link_overhead")) * per_byte)
        chunk = min(round(datasheet.integer("torus.packet_chunk") * per_byte), full // FULL_CHUNKS)
        lots = datasheet.integer("torus.router_lots_cycles")
        period = lots + datasheet.integer("torus.router_fullness_cycles")
        return cls(
            slots=datasheet.integer("torus.virtual_channel_buffer") // packet,
            injection_slots=datasheet.integer("torus.injection_fifo_packets"),
            chunk_cycles=chunk,
            overhead_cycles=full - FULL_CHUNKS * chunk,
            hop_cycles=datasheet.cycles("torus.hop_latency"),
            token_cycles=datasheet.cycles("torus.hop_latency"),
            read_cycles=datasheet.cycles("torus.router_read_time"),
            lots_in_256=round(DITHER_RANGE * lots / period),
            endpoint_cycles=datasheet.cycles("torus.endpoint_latency"),
            dma_interval_cycles=datasheet.cycles("dma.packet_interval"),
            local_interval_cycles=datasheet.cycles("dma.local_copy_interval"),
        )

    @property
    def horizon_cycles(self) -> int:
        """Farthest that one of the router's or the DMA engine's events lies ahead of its cause."""
        engines = (
            self.dma_interval_cycles,
            self.local_interval_cycles,
            self.reception_cycles,
            self.read_cycles,
        )
        return max(self.link_cycles(FULL_CHUNKS) + max(self.token_cycles, self.hop_cycles), *engines) + 1

    def window_cycles(self, shortest_chunks: int) -> int:
        """Time within which nothing that a node does is seen by another node, or by software.

        No packet of the job is shorter than ``shortest_chunks``.
        """
        shortest = self.link_cycles(shortest_chunks)
        seen = (self.hop_cycles, self.dma_interval_cycles, self.local_interval_cycles)
        return min(*seen, shortest + self.token_cycles, shortest + self.endpoint_cycles)

    def headers_on_a_link(self, shortest_chunks: int) -> int:
        """Headers that can have left a router and not have been noted by the next, at most."""
        ahead = self.hop_cycles + self.window_cycles(shortest_chunks)
        return -(-ahead // self.link_cycles(shortest_chunks))

    def link_cycles(self, chunks: int) -> int:
        """Time a packet occupies a link."""
        return chunks * self.chunk_cycles + self.overhead_cycles


def draw(link: int, grant: int) -> int:
    """Pseudo-random 32-bit number of a link's grant.

    Its upper eight bits decide whether the grant is drawn by lot; the lower sixteen are the lot.
    """
    mixed = (grant * 2654435761 + link * 2246822519) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    return (mixed * 739982445) & 0xFFFFFFFF
