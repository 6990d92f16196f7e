"""The three-dimensional torus of Blue Gene/P, packet by packet.

Six links per node, each half a byte per core cycle in both directions; packets of 32 to 256 bytes, with a
further 16 bytes on the wire, so that a full packet takes 544 cycles. Packets take the dimensions in order,
x first, by a shortest way; `Routing` is where a minimal adaptive choice can take its place. Sources: IBM
JRD 52(1/2) 2008, the SPI header DMA_Packet.h, and the two-node measurements of the a1 benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from simpy import Environment

from bgsim.datasheet import Datasheet
from bgsim.network.links import Link, LinkNetwork, Packet
from bgsim.network.topology import Closed, Direction, Shape, displacement, neighbour

Routing = Callable[[Packet, int], Direction]
"""Chooses the direction in which a packet leaves a node."""

ROUTES_REMEMBERED = 1 << 20
"""Bound on the memory spent on not computing a route again."""


class PacketFormat:
    """Sizes of torus packets.

    Attributes
    ----------
    chunk_bytes
        Packets are whole numbers of chunks.
    chunks_max
        Chunks of a full packet.
    header_bytes
        Part of the packet that is not payload.
    link_overhead_bytes
        Bytes on the wire beside the packet.
    """

    def __init__(self, datasheet: Datasheet) -> None:
        self.chunk_bytes = datasheet.integer("torus.packet_chunk")
        self.chunks_max = datasheet.integer("torus.packet_size_max") // self.chunk_bytes
        self.header_bytes = datasheet.integer("torus.packet_header")
        self.link_overhead_bytes = datasheet.integer("torus.packet_link_overhead")

    @property
    def payload_max_bytes(self) -> int:
        """Payload of a full packet."""
        return self.chunks_max * self.chunk_bytes - self.header_bytes

    def chunks(self, payload_bytes: int) -> int:
        """Chunks of the smallest packet that holds a payload; a full packet for anything larger.

        Raises
        ------
        ValueError
            If there is no payload: the hardware sends at least one byte.
        """
        if payload_bytes < 1:
            raise ValueError(f"a packet carries at least one byte, not {payload_bytes}")
        return min(self.chunks_max, -(-(payload_bytes + self.header_bytes) // self.chunk_bytes))

    def link_bytes(self, chunks: int) -> int:
        """Bytes a packet occupies on a link."""
        if not 1 <= chunks <= self.chunks_max:
            raise ValueError(f"a packet has 1 to {self.chunks_max} chunks, not {chunks}")
        return chunks * self.chunk_bytes + self.link_overhead_bytes


class TorusNetwork(LinkNetwork):
    """The torus, or the mesh, of a partition.

    Life cycle: construct, :meth:`attach` the nodes that take part, :meth:`inject` packets while the
    environment runs, :meth:`check` at the end. Links come into being when they are first used.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    shape
        Nodes in x, y and z.
    torus
        Whether each dimension is closed.
    datasheet
        The machine.
    routing
        Chooses a packet's next direction; dimension order when None.
    """

    def __init__(
        self,
        environment: Environment,
        shape: Shape,
        torus: Closed,
        datasheet: Datasheet,
        routing: Routing | None = None,
    ) -> None:
        per_byte = Fraction(datasheet.integer("core.frequency")) / datasheet.quantity("torus.link_rate").value
        super().__init__(
            environment,
            cycles_per_byte=(per_byte.numerator, per_byte.denominator),
            hop_latency_cycles=datasheet.cycles("torus.hop_latency"),
            endpoint_latency_cycles=datasheet.cycles("torus.endpoint_latency"),
            reception_packets=datasheet.integer("torus.reception_fifo_packets"),
        )
        self.shape = shape
        self.torus = torus
        self.format = PacketFormat(datasheet)
        self._routing = routing
        self._links: dict[tuple[int, Direction], Link] = {}
        self._links_towards: dict[tuple[int, int], Link] = {}  # in dimension order, by node and destination

    def dimension_order(self, packet: Packet, node: int) -> Direction:
        """The direction of the first dimension in which the packet is not yet there."""
        hops = displacement(node, packet.destination, self.shape, self.torus)
        dimension = next(each for each, distance in enumerate(hops) if distance)
        return Direction(2 * dimension + (hops[dimension] < 0))

    def link(self, node: int, direction: Direction) -> Link:
        """One link of a node.

        Raises
        ------
        ValueError
            If an open dimension ends there.
        """
        link = self._links.get((node, direction))
        if link is None:
            target = neighbour(node, direction, self.shape, self.torus)
            if target is None:
                raise ValueError(f"node {node} has no neighbour in direction {direction.name}")
            link = self._links[node, direction] = self._new_link(direction, target)
        return link

    def links(self) -> Iterator[tuple[tuple[int, Direction], Link]]:
        """Links that have been used, each with the node and the direction it leaves in."""
        yield from self._links.items()

    def link_towards(self, packet: Packet, node: int) -> Link:
        """The link the routing chooses."""
        if self._routing is not None:
            return self.link(node, self._routing(packet, node))
        link = self._links_towards.get((node, packet.destination))
        if link is None:
            link = self.link(node, self.dimension_order(packet, node))
            if len(self._links_towards) < ROUTES_REMEMBERED:
                self._links_towards[node, packet.destination] = link
        return link

    def packet_latency_cycles(self, chunks: int, hops: int) -> int:
        """Time from injection to delivery of one packet in an idle network, in core cycles."""
        return (
            self.serialization_cycles(self.format.link_bytes(chunks))
            + hops * self.hop_latency_cycles
            + self.endpoint_latency_cycles
        )
