"""The collective network of Blue Gene/P, packet by packet: the readable reference.

A packet goes on as soon as the link is free, while its tail is still arriving. At each node

- a point-to-point packet goes up to the nearest common ancestor and down from there;
- packets of a class with an operation wait at the heads of their FIFOs until every contribution of their
  sub-tree is there (all children that have one, and the node's own), and leave as one packet;
- at the class's root the result turns round and goes down, to all children that have a receiver and to the
  node's own reception FIFO, as soon as all of them can take it.

Links have a receive buffer per virtual channel, injection is by the sender's FIFO and reception waits for
room in the receiver's; nothing is ever lost. The two channels share the wires; what has waited longest goes
first.

Left out: link errors and retransmission, checksums, the time until a buffer's freedom is known at the other
end of a wire (none here). Sources: khvmm ``tree.h``, Kittyhawk Linux ``tree.c``, ``bpcore/collective.h``
(IBM, 2007), IBM JRD 52(1/2) 2008. That combining streams (a node passes on the head of a result before it has
the tails) follows from the published 2.5 us for the round trip: a node that waited for whole packets would
add 0.4 us at each of 17 levels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from simpy import Environment

from bgsim.network.callout import call_after
from bgsim.network.collective_packet import CollectivePacket, CollectiveParameters, Operation, combine
from bgsim.network.tree import CollectiveTree, Route
from bgsim.observer import built

LOCAL = -1
"""The port of a node's own FIFOs."""
CHANNELS = 2

Receiver = Callable[[CollectivePacket], object]
Room = Callable[[int], int]


class CollectiveError(RuntimeError):
    """Software used the network in a way that gives no answer."""


@dataclass(slots=True, eq=False)
class _Fifo:
    """Packets of one virtual channel that have come in by one port."""

    channel: int
    port: int
    slots: int  # free ones
    packets: deque[CollectivePacket] = field(default_factory=deque)
    since: int = 0  # when the head became the head


@dataclass(slots=True, eq=False)
class _Output:
    """One port's way out."""

    free_at: int = 0
    packets: int = 0
    busy_cycles: int = 0


@dataclass(slots=True, eq=False)
class _Router:
    """One node."""

    node: int
    fifos: dict[tuple[int, int], _Fifo] = field(default_factory=dict)  # by port and channel
    outputs: dict[int, _Output] = field(default_factory=dict)
    receiver: Receiver | None = None
    room: Room | None = None
    arriving: list[int] = field(default_factory=lambda: [0] * CHANNELS)  # into the reception FIFOs


class CollectiveNetwork:
    """The network of a partition.

    Life cycle: construct, :meth:`attach` the nodes that take part, :meth:`inject` packets while the
    environment runs, :meth:`check` at the end.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    tree
        The tree and its classes.
    parameters
        Times and sizes; the intervals of software do not matter here.
    """

    def __init__(
        self, environment: Environment, tree: CollectiveTree, parameters: CollectiveParameters
    ) -> None:
        self.environment = environment
        self.tree = tree
        self.parameters = parameters
        self.injected = 0
        self.delivered = 0
        self.packet_hops = 0
        self.copies = 0  # made by broadcasting
        self.combined = 0  # gone into another packet
        self._routers: dict[int, _Router] = {}
        # An I/O node is a leaf at its pset's root, numbered behind the compute nodes as in `tree.ports`.
        self._parent: list[int] = [*tree.parent.tolist(), *tree.pset_roots.tolist()]
        self._level: list[int] = [*tree.level.tolist(), *(tree.level[tree.pset_roots] + 1).tolist()]
        built(self)

    def attach(self, node: int, on_packet: Receiver, room: Room | None = None) -> None:
        """Connect a node.

        Parameters
        ----------
        node
            Node number, or the number of compute nodes and a pset's for its I/O node.
        on_packet
            Called with each packet for the node when its last byte has arrived.
        room
            Called with a virtual channel; how many more packets its reception FIFO can take. Without it
            there is always room. When there is again, :meth:`resume` must be called.
        """
        router = self._router(node)
        if router.receiver is not None:
            raise ValueError(f"node {node} is attached twice")
        router.receiver, router.room = on_packet, room

    def inject(self, packet: CollectivePacket) -> None:
        """Put a packet into its source's injection FIFO, now; the caller keeps to the FIFO's size.

        Raises
        ------
        ValueError
            If the packet is for its own source, nothing is attached to its destination, or its class is
            not one to which the source contributes.
        """
        if packet.destination >= 0:
            if packet.source == packet.destination:
                raise ValueError(f"a packet from node {packet.source} to itself does not use the network")
            if self._router(packet.destination).receiver is None:
                raise ValueError(f"nothing is attached to node {packet.destination}")
        else:
            route = self.tree.classes.get(packet.route)
            if route is None:
                raise ValueError(f"class {packet.route} has no route")
            if not route.contributes[packet.source]:
                raise ValueError(f"node {packet.source} does not contribute to class {packet.route}")
        packet.injected_at = int(self.environment.now)
        self.injected += 1
        self._enter(self._router(packet.source), LOCAL, packet)

    def resume(self, node: int) -> None:
        """Say that a node's reception FIFO has room again."""
        self._try(self._router(node))

    @property
    def in_flight(self) -> int:
        """Packets in the FIFOs and on the links now."""
        held = sum(len(fifo.packets) for router in self._routers.values() for fifo in router.fifos.values())
        return held + self._moving

    def check(self) -> None:
        """Assert that no packet was lost or made up."""
        made, gone = self.injected + self.copies, self.delivered + self.combined
        assert made == gone + self.in_flight, (
            "packets injected and copied = delivered, combined and in flight"
        )

    def packet_latency_cycles(self, hops: int) -> int:
        """Time from injection to delivery of one packet in an idle network, in core cycles."""
        return self.parameters.packet_cycles + hops * self.parameters.hop_cycles

    def hops(self, source: int, destination: int) -> int:
        """Links between two nodes along the tree."""
        count, node = 0, source
        while node != destination:
            node, count = self.next_node(node, destination), count + 1
        return count

    def next_node(self, node: int, destination: int) -> int:
        """The neighbour of a node on the way to another node."""
        below = destination
        while self._level[below] > self._level[node]:
            above = self._parent[below]
            if above == node:
                return below
            below = above
        return self._parent[node]

    # -- what follows is the router

    _moving = 0

    def _router(self, node: int) -> _Router:
        router = self._routers.get(node)
        if router is None:
            if not 0 <= node < len(self._parent):
                raise ValueError(f"node {node} is not one of {self.tree.nodes}")
            router = self._routers[node] = _Router(node)
        return router

    def _fifo(self, router: _Router, port: int, channel: int) -> _Fifo:
        fifo = router.fifos.get((port, channel))
        if fifo is None:
            fifo = router.fifos[port, channel] = _Fifo(channel, port, self.parameters.link_packets)
        return fifo

    def _enter(self, router: _Router, port: int, packet: CollectivePacket) -> None:
        """A packet's head is at a node."""
        fifo = self._fifo(router, port, packet.channel)
        if not fifo.packets:
            fifo.since = int(self.environment.now)
        fifo.packets.append(packet)
        self._try(router)

    def _try(self, router: _Router) -> None:
        """Let go all that can go, what has waited longest first."""
        going = True
        while going:
            heads = [fifo for fifo in router.fifos.values() if fifo.packets]
            heads.sort(key=lambda fifo: (fifo.since, fifo.channel, fifo.port))
            going = any(self._go(router, fifo) for fifo in heads)

    def _go(self, router: _Router, fifo: _Fifo) -> bool:
        """Send the packet at the head of a FIFO on, with those it is combined with, if that can be."""
        packet = fifo.packets[0]
        if packet.destination >= 0:
            inputs = [fifo]
            ports = [LOCAL] if packet.destination == router.node else None
            ports = ports or [self.next_node(router.node, packet.destination)]
        else:
            route = self.tree.classes[packet.route]
            above = int(route.parent[router.node])
            if fifo.port >= 0 and fifo.port == above:
                inputs, ports = [fifo], self._below(router.node, route)
            else:
                inputs = self._contributions(router, fifo, route)
                ports = [above] if above >= 0 else self._below(router.node, route)
        if not inputs or not all(self._can_take(router, port, packet.channel) for port in ports):
            return False
        self._grant(router, inputs, ports)
        return True

    def _below(self, node: int, route: Route) -> list[int]:
        """Where a result goes from a node."""
        ports = [child for child in route.children[node].tolist() if child >= 0 and route.sends_down[child]]
        return [*ports, LOCAL] if route.receives[node] else ports

    def _contributions(self, router: _Router, fifo: _Fifo, route: Route) -> list[_Fifo]:
        """The FIFOs whose heads are combined; empty while one of them is missing."""
        packet = fifo.packets[0]
        if packet.operation == Operation.NONE:
            return [fifo]
        children = route.children[router.node].tolist()
        ports = [child for child in children if child >= 0 and route.sends_up[child]]
        if route.contributes[router.node]:
            ports.append(LOCAL)
        found = []
        for port in ports:
            other = router.fifos.get((port, fifo.channel))
            if other is None or not other.packets or other.packets[0].route != packet.route:
                return []
            if other.packets[0].destination >= 0:
                return []
            found.append(other)
        return found

    def _can_take(self, router: _Router, port: int, channel: int) -> bool:
        output = router.outputs.setdefault(port, _Output())
        if output.free_at > self.environment.now:
            return False
        if port != LOCAL:
            return self._fifo(self._router(port), router.node, channel).slots > 0
        return router.room is None or router.room(channel) > router.arriving[channel]

    def _grant(self, router: _Router, inputs: list[_Fifo], ports: list[int]) -> None:
        now = int(self.environment.now)
        packet_cycles, hop_cycles = self.parameters.packet_cycles, self.parameters.hop_cycles
        taken = []
        for fifo in inputs:
            taken.append(fifo.packets.popleft())
            fifo.since = now
        packet = self._one(taken)
        self.copies += len(ports)
        self.combined += len(taken)
        self._moving += len(ports)
        for port in ports:
            output = router.outputs[port]
            output.free_at = now + packet_cycles
            output.busy_cycles += packet_cycles
            output.packets += 1
            copy = packet if len(ports) == 1 else _copied(packet)
            if port == LOCAL:
                router.arriving[packet.channel] += 1
                call_after(self.environment, packet_cycles, self._deliver, router, copy)
            else:
                self.packet_hops += 1
                copy.hops += 1
                self._fifo(self._router(port), router.node, packet.channel).slots -= 1
                call_after(self.environment, hop_cycles, self._arrive, port, router.node, copy)
        call_after(self.environment, packet_cycles, self._passed, router, inputs)
        for departed in taken:
            if departed.on_departure is not None:
                departed.on_departure()

    def _one(self, packets: list[CollectivePacket]) -> CollectivePacket:
        """The packet that results from some."""
        first = packets[0]
        if len(packets) == 1:
            return _copied(first)
        kinds = {(packet.operation, packet.operand_bytes) for packet in packets}
        if len(kinds) > 1:
            said = ", ".join(f"{operation.name} of {size} B" for operation, size in sorted(kinds))
            raise CollectiveError(f"class {first.route}: contributions do not fit together: {said}")
        payloads = [cast("bytes | None", packet.content) for packet in packets]
        result = _copied(first)
        result.content = combine(first.operation, first.operand_bytes, payloads)
        result.hops = max(packet.hops for packet in packets)
        return result

    def _arrive(self, node: int, port: int, packet: CollectivePacket) -> None:
        self._moving -= 1
        self._enter(self._router(node), port, packet)

    def _deliver(self, router: _Router, packet: CollectivePacket) -> None:
        self._moving -= 1
        self.delivered += 1
        router.arriving[packet.channel] -= 1
        packet.delivered_at = int(self.environment.now)
        if router.receiver is not None:
            router.receiver(packet)

    def _passed(self, router: _Router, inputs: list[_Fifo]) -> None:
        """The tails of some packets have left a node: wires and buffers are free."""
        for fifo in inputs:
            if fifo.port != LOCAL:
                fifo.slots += 1
                self._try(self._router(fifo.port))
        self._try(router)

    def outputs(self) -> Iterator[tuple[int, int, int, int]]:
        """Node, port, packets sent and busy cycles of every output used; port -1 is reception."""
        for node, router in self._routers.items():
            for port, output in router.outputs.items():
                yield node, port, output.packets, output.busy_cycles


def _copied(packet: CollectivePacket) -> CollectivePacket:
    return CollectivePacket(
        packet.source,
        packet.destination,
        packet.route,
        packet.operation,
        packet.operand_bytes,
        packet.content,
        packet.channel,
        packet.header,
        injected_at=packet.injected_at,
        hops=packet.hops,
    )
