"""Packets moving over links: what the torus and the collective network have in common.

A link sends one packet at a time, in the order in which packet headers reached it, at a fixed time per
byte. Routers cut through: a packet's header enters the next router one hop latency after it entered the
link, and the packet may go on while its tail is still arriving. A packet is handed over at its destination
when its last byte is there. An idle link costs one event per packet and hop, a busy one two.

Reception is finite: a link into a node stops while the packets it has brought there, and the node has not yet
taken, fill its reception FIFO. Nothing is ever lost. Left out here: finite buffers in the routers
between (a waiting packet waits at the link it wants next), virtual channels, and link errors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from simpy import Environment

from bgsim.network.callout import call_after
from bgsim.observer import built

Receiver = Callable[["Packet"], bool | None]
"""Takes a packet that has arrived; False refuses it for now."""


@dataclass(slots=True, eq=False)
class Packet:
    """One packet of a network.

    Attributes
    ----------
    source, destination
        Node numbers.
    link_bytes
        Bytes it occupies on every link, overhead included.
    content
        What it carries, for its receiver.
    dynamic
        Whether the network may choose its route.
    channel
        Virtual channel.
    on_departure
        Called when its first byte leaves the source.
    hops
        Links entered so far.
    injected_at, delivered_at
        Times in core cycles; -1 before they are known.
    arrival_link
        Name of the link it arrived by.
    """

    source: int
    destination: int
    link_bytes: int
    content: object = None
    dynamic: bool = False
    channel: int = 0
    on_departure: Callable[[], None] | None = None
    hops: int = 0
    injected_at: int = -1
    delivered_at: int = -1
    arrival_link: Hashable = None


@dataclass(slots=True, eq=False)
class Link:
    """One direction of one wire between two nodes.

    Attributes
    ----------
    name
        Distinguishes it among the links of its source node.
    target
        Node at its end.
    free_at
        Time in core cycles from which it may send the next packet.
    busy_cycles
        Time spent sending so far.
    packets
        Packets sent so far.
    """

    name: Hashable
    target: int
    free_at: int = 0
    busy_cycles: int = 0
    packets: int = 0
    waiting: deque[Packet] = field(default_factory=deque)
    arrived: deque[Packet] = field(default_factory=deque)
    committed: int = 0  # packets sent to the target for good and not yet taken by it
    wake_scheduled: bool = False


class LinkNetwork(ABC):
    """A network of links.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    cycles_per_byte
        Numerator and denominator of the time of one byte on a link, in core cycles.
    hop_latency_cycles
        From a header's entry into a link to its entry into the next router.
    endpoint_latency_cycles
        Injection and reception logic together, charged at the destination.
    reception_packets
        Packets per incoming link that a node can hold without taking them.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        cycles_per_byte: tuple[int, int],
        hop_latency_cycles: int,
        endpoint_latency_cycles: int,
        reception_packets: int,
    ) -> None:
        self.environment = environment
        self.hop_latency_cycles = hop_latency_cycles
        self.endpoint_latency_cycles = endpoint_latency_cycles
        self.reception_packets = reception_packets
        self.injected = 0
        self.delivered = 0
        self.in_flight = 0
        self.packet_hops = 0
        self._cycles_per_byte = cycles_per_byte
        self._serialization_cycles: dict[int, int] = {}
        self._receivers: dict[int, Receiver] = {}
        self._links_into: dict[int, list[Link]] = {}
        built(self)

    @abstractmethod
    def link_towards(self, packet: Packet, node: int) -> Link:
        """The link that a packet takes next from a node that is not its destination."""

    def attach(self, node: int, on_packet: Receiver) -> None:
        """Connect a node.

        Parameters
        ----------
        node
            Node number.
        on_packet
            Called with each packet for the node when its last byte has arrived. It returns False to refuse
            the packet for now; the network keeps it and offers it again after :meth:`resume`.
        """
        if node in self._receivers:
            raise ValueError(f"node {node} is attached twice")
        self._receivers[node] = on_packet

    def serialization_cycles(self, link_bytes: int) -> int:
        """Time a packet occupies a link, in core cycles, rounded up."""
        cycles = self._serialization_cycles.get(link_bytes)
        if cycles is None:
            numerator, denominator = self._cycles_per_byte
            cycles = -(-link_bytes * numerator // denominator)
            self._serialization_cycles[link_bytes] = cycles
        return cycles

    def inject(self, packet: Packet) -> None:
        """Send a packet from its source, now.

        Raises
        ------
        ValueError
            If the packet is for its own source, or a node has nothing attached to it.
        """
        if packet.source == packet.destination:
            raise ValueError(f"a packet from node {packet.source} to itself does not use the network")
        if packet.destination not in self._receivers:
            raise ValueError(f"nothing is attached to node {packet.destination}")
        packet.injected_at = int(self.environment.now)
        self.injected += 1
        self.in_flight += 1
        self._route(packet, packet.source)

    def resume(self, node: int) -> None:
        """Offer a node again the packets it has refused, in the order of their arrival on each link."""
        for link in self._links_into.get(node, ()):
            while link.arrived:
                packet = link.arrived[0]
                if self._receivers[node](packet) is False:
                    break
                link.arrived.popleft()
                self._taken(packet, link)

    def check(self) -> None:
        """Assert that no packet was lost or made up."""
        assert self.injected == self.delivered + self.in_flight, "packets injected = delivered + in flight"
        assert self.in_flight >= 0, "more packets delivered than injected"

    def _new_link(self, name: Hashable, target: int) -> Link:
        link = Link(name, target)
        self._links_into.setdefault(target, []).append(link)
        return link

    def _route(self, packet: Packet, node: int) -> None:
        link = self.link_towards(packet, node)
        if link.waiting or link.free_at > self.environment.now or not self._has_room(packet, link):
            link.waiting.append(packet)
            if not link.wake_scheduled:
                self._wake_when_free(link)
        else:
            self._start(packet, link)

    def _has_room(self, packet: Packet, link: Link) -> bool:
        return link.target != packet.destination or link.committed < self.reception_packets

    def _start(self, packet: Packet, link: Link) -> None:
        environment = self.environment
        now = int(environment.now)
        duration = self._serialization_cycles.get(packet.link_bytes) or self.serialization_cycles(
            packet.link_bytes
        )
        assert link.free_at <= now, "a link sends one packet at a time"
        link.free_at = now + duration
        link.busy_cycles += duration
        link.packets += 1
        packet.hops += 1
        self.packet_hops += 1
        if packet.hops == 1 and packet.on_departure is not None:
            packet.on_departure()
        if link.target == packet.destination:
            link.committed += 1
            delay = duration + self.hop_latency_cycles + self.endpoint_latency_cycles
            call_after(environment, delay, self._arrive, packet, link)
        else:
            call_after(environment, self.hop_latency_cycles, self._route, packet, link.target)

    def _wake_when_free(self, link: Link) -> None:
        """Look at a link's queue again when its wire is free; reception stops are woken by the receiver."""
        if link.wake_scheduled or not link.waiting or not self._has_room(link.waiting[0], link):
            return
        link.wake_scheduled = True
        environment = self.environment
        call_after(environment, max(0, link.free_at - int(environment.now)), self._wake, link)

    def _wake(self, link: Link) -> None:
        link.wake_scheduled = False
        waiting = link.waiting
        if waiting and link.free_at <= self.environment.now and self._has_room(waiting[0], link):
            self._start(waiting.popleft(), link)
        if waiting and not link.wake_scheduled:
            self._wake_when_free(link)

    def _arrive(self, packet: Packet, link: Link) -> None:
        packet.arrival_link = link.name
        if link.arrived or self._receivers[link.target](packet) is False:
            link.arrived.append(packet)
        else:
            self._taken(packet, link)

    def _taken(self, packet: Packet, link: Link) -> None:
        packet.delivered_at = int(self.environment.now)
        self.delivered += 1
        self.in_flight -= 1
        link.committed -= 1
        assert link.committed >= 0, "a packet was taken that never came"
        assert self.injected == self.delivered + self.in_flight
        if link.waiting and not link.wake_scheduled:
            self._wake_when_free(link)
