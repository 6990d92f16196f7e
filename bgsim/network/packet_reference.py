"""The packet-level torus written to be read: the rules of :mod:`bgsim.network.router`, one object at a time.

Processes of a SimPy environment in core cycles. FIFOs are lists of packets, tokens are times in a list, and a
link that cannot send simply looks again whenever a token comes back. It gives the same times as
:class:`bgsim.network.packet_engine.PacketEngine`, a few hundred times slower. Of the
events of one instant, the headers that come in join their FIFOs first, then the nodes look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import simpy
from simpy.events import Event, EventPriority

from bgsim.network.detours import Detours
from bgsim.network.gates_reference import GatesReference
from bgsim.network.implicit import neighbour_table
from bgsim.network.router import (
    BUBBLE,
    CHANNELS,
    DIRECTIONS,
    INJECTION_FIFOS,
    PRIORITY,
    RouterParameters,
    draw,
)
from bgsim.network.topology import Closed, Shape, node_count
from bgsim.network.traffic import FULL_CHUNKS, Gates, Messages, copies, hops_word

ARRIVALS: Final = 1
ROUTERS: Final = 2
GATES: Final = 3
MESSAGES: Final = 4


@dataclass(slots=True, eq=False)
class Packet:
    """A packet: signed directions and hops left in each dimension, size, and the message it is part of."""

    directions: tuple[int, int, int]
    hops: list[int]
    chunks: int
    dynamic: bool
    priority: bool
    message: int

    def wanted(self) -> list[int]:
        """Directions that bring it nearer; the first is that of dimension order."""
        return [direction for direction, hops in zip(self.directions, self.hops, strict=True) if hops]


@dataclass(slots=True, eq=False)
class Fifo:
    """A virtual channel of an input link, or an injection FIFO."""

    node: int
    number: int
    slots: int
    packets: deque[Packet] = field(default_factory=deque)
    coming: int = 0
    ready: int = 0
    releases: list[int] = field(default_factory=list)

    def head(self, now: int) -> Packet | None:
        """The first packet, once it may ask for links."""
        return self.packets[0] if self.packets and self.ready <= now else None

    def free(self, now: int) -> int:
        """Slots the router upstream knows to be free."""
        return self.slots - len(self.packets) - self.coming - sum(time > now for time in self.releases)


@dataclass(slots=True, eq=False)
class OutputLink:
    """A link out of a node."""

    number: int
    direction: int
    below: list[Fifo]
    free_at: int = 0
    grants: int = 0
    turn: int = 0

    def dynamic_room(self, now: int) -> int:
        """Slots of the dynamic channels downstream that its router knows to be free."""
        return sum(fifo.free(now) for fifo in self.below[:BUBBLE])


@dataclass(slots=True, eq=False)
class Node:
    """A router and its DMA engine."""

    number: int
    fifos: list[Fifo]
    links: list[OutputLink] = field(default_factory=list)
    posted: list[deque[int]] = field(default_factory=lambda: [deque() for _ in range(INJECTION_FIFOS)])
    turn: int = 0
    looked_at: int = -1
    free_at: int = 0
    inject_at: int = -1
    held: list[int] = field(default_factory=lambda: [0, 0])
    drain_at: list[int] = field(default_factory=lambda: [0, 0])
    reception_turn: int = 0


class PacketReference:
    """The readable twin of :class:`bgsim.network.packet_engine.PacketEngine`, with the same parameters."""

    def __init__(
        self,
        shape: Shape,
        torus: Closed,
        parameters: RouterParameters,
        messages: Messages,
        gates: Gates | None = None,
        detours: Detours | None = None,
    ) -> None:
        self.parameters, self.messages = parameters, messages
        self.environment = simpy.Environment()
        self.sent_cycles = np.full(messages.size, -1, np.int64)
        self.done_cycles = np.full(messages.size, -1, np.int64)
        self.packet_hops = 0
        self.packets_injected = 0
        self.packets_delivered = 0
        self._words = hops_word(messages.source, messages.destination, shape, torus, messages.hints)
        self._unsent = messages.packets.tolist()
        self._undelivered = (messages.packets * copies(messages, self._words)).tolist()
        self._latest = [0] * messages.size
        self._released: list[int] = []
        self._nodes = [self._node(number) for number in range(node_count(shape))]
        for node, ends in zip(self._nodes, neighbour_table(shape, torus).tolist(), strict=True):
            for direction, end in enumerate(ends):
                first = direction * CHANNELS
                below = self._nodes[end].fifos[first : first + CHANNELS] if end >= 0 else []
                node.links.append(OutputLink(node.number * 8 + direction, direction, below))
        self._upstream = {
            id(fifo): node for node in self._nodes for link in node.links for fifo in link.below
        }
        self._gates = GatesReference(
            gates or Gates.none(),
            detours or Detours.none(),
            messages,
            lambda time, action: self._at(time, GATES, action, time),
            self._release,
        )
        self.opened_cycles = self._gates.opened_cycles
        for message in np.flatnonzero(messages.post_cycles >= 0).tolist():
            self._at(int(messages.post_cycles[message]), MESSAGES, self._release, message)

    def run(self) -> int:
        """Run until every message has arrived; return the time."""
        self.environment.run()
        left = sum(self._undelivered)
        if left:
            raise RuntimeError(f"{left} packets can never arrive")
        return int(self.environment.now)

    def _node(self, number: int) -> Node:
        network = [Fifo(number, index, self.parameters.slots) for index in range(DIRECTIONS * CHANNELS)]
        injection = [
            Fifo(number, DIRECTIONS * CHANNELS + index, self.parameters.injection_slots)
            for index in range(INJECTION_FIFOS)
        ]
        return Node(number, network + injection)

    def _at(self, time: int, step: int, action: Callable[..., None], *arguments: object) -> None:
        event = Event(self.environment)
        event._ok, event._value = True, None
        assert event.callbacks is not None
        event.callbacks.append(lambda _: action(*arguments))
        self.environment.schedule(event, priority=EventPriority(step), delay=time - int(self.environment.now))

    # ---- DMA engine

    def _release(self, message: int) -> None:
        """Collect the messages released at this instant: they are posted in the order of their numbers."""
        if not self._released:
            self._at(int(self.environment.now), MESSAGES, self._post)
        self._released.append(message)

    def _post(self) -> None:
        now = int(self.environment.now)
        for message in sorted(self._released):
            node = self._nodes[int(self.messages.source[message])]
            node.posted[int(self.messages.fifo[message])].append(message)
            self._start_engine(node, now)
        self._released.clear()

    def _start_engine(self, node: Node, now: int) -> None:
        if node.inject_at < now and any(node.posted):
            node.inject_at = max(now + 1, node.free_at)
            self._at(node.inject_at, ROUTERS, self._look, node)

    def _inject(self, node: Node, now: int) -> None:
        node.inject_at = -1
        waiting = None
        for step in range(INJECTION_FIFOS):
            number = (node.turn + step) % INJECTION_FIFOS
            if not node.posted[number]:
                continue
            message = node.posted[number][0]
            packet = self._next_packet(message)
            interval = self.parameters.dma_interval_cycles
            fifo = None
            if any(packet.hops):
                fifo = self._injection_fifo(node, packet)
                if fifo is None:
                    waiting = number if waiting is None else waiting
                    continue
            else:
                interval = self.parameters.local_interval_cycles
            self._unsent[message] -= 1
            self.packets_injected += 1
            if not self._unsent[message]:
                self.sent_cycles[message] = now + interval
                self._gates.count(int(self.messages.sent_then[message]), now + interval)
                node.posted[number].popleft()
            if fifo is None:
                self.packets_delivered += 1
                self._deliver(packet, now + interval)
            else:
                fifo.packets.append(packet)
                if len(fifo.packets) == 1:
                    self._introduce(fifo, max(now + 1, fifo.ready))
            node.turn = (number + 1) % INJECTION_FIFOS if waiting is None else waiting
            node.free_at = now + interval
            self._start_engine(node, now)
            return

    def _injection_fifo(self, node: Node, packet: Packet) -> Fifo | None:
        """The emptiest FIFO of a packet's directions, if it is not full."""
        choices = [6] if packet.priority else packet.wanted()
        if not packet.dynamic:
            choices = choices[:1]
        first = DIRECTIONS * CHANNELS
        fifo = min((node.fifos[first + choice] for choice in choices), key=lambda fifo: len(fifo.packets))
        return fifo if len(fifo.packets) < fifo.slots else None

    def _next_packet(self, message: int) -> Packet:
        word, unsent = int(self._words[message]), self._unsent[message]
        dynamic = bool(self.messages.dynamic[message])
        signs = word >> 24 & 7
        directions = tuple(2 * dimension + (signs >> dimension & 1) for dimension in range(3))
        hops = [word >> 8 * dimension & 255 for dimension in range(3)]
        chunks = int(self.messages.last_chunks[message]) if unsent == 1 else FULL_CHUNKS
        priority = bool(self.messages.priority[message])
        return Packet((directions[0], directions[1], directions[2]), hops, chunks, dynamic, priority, message)

    # ---- router

    def _introduce(self, fifo: Fifo, ready: int) -> None:
        """A packet is the head of its FIFO, and may ask from a time on."""
        fifo.ready = ready
        self._at(ready, ROUTERS, self._look, self._nodes[fifo.node])

    def _look(self, node: Node) -> None:
        """Do all that a node can do now: grant links, receive, inject. It does so once in an instant."""
        now = int(self.environment.now)
        if node.looked_at == now:
            return
        node.looked_at = now
        for link in node.links:
            if link.below and link.free_at <= now:
                self._grant(node, link, now)
        self._drain(node, now)
        turn = node.reception_turn
        for fifo in node.fifos[turn:] + node.fifos[:turn]:
            packet = fifo.head(now)
            if packet and not any(packet.hops) and self._accept(node, fifo, packet, now):
                self.packets_delivered += 1
                self._leave(fifo, packet, now)
                length = self.parameters.link_cycles(packet.chunks)
                self._deliver(packet, now + length + self.parameters.endpoint_cycles)
        if node.inject_at == now:
            self._inject(node, now)

    def _deliver(self, packet: Packet, arrival: int) -> None:
        """Count a packet whose tail will have arrived at a time."""
        message = packet.message
        self._latest[message] = max(self._latest[message], arrival)
        self._undelivered[message] -= 1
        if not self._undelivered[message]:
            self.done_cycles[message] = self._latest[message]
            self._gates.count(int(self.messages.then[message]), self._latest[message])

    def _drain(self, node: Node, now: int) -> None:
        """Have software take a packet out of each memory FIFO whose time has come."""
        for kind in range(2):
            if node.held[kind] and node.drain_at[kind] <= now:
                node.held[kind] -= 1
                if node.held[kind]:
                    self._drain_later(node, kind, now)

    def _drain_later(self, node: Node, kind: int, now: int) -> None:
        node.drain_at[kind] = now + self.parameters.reception_cycles
        self._at(node.drain_at[kind], ROUTERS, self._look, node)

    def _accept(self, node: Node, fifo: Fifo, packet: Packet, now: int) -> bool:
        """Whether there is room for a packet at its destination; it takes it."""
        if not self.messages.memory_fifo[packet.message] or not self.parameters.reception_slots:
            return True
        kind = int(packet.priority)
        if node.held[kind] == self.parameters.reception_slots:
            return False
        node.reception_turn = (fifo.number + 1) % len(node.fifos)
        node.held[kind] += 1
        if node.held[kind] == 1:
            self._drain_later(node, kind, now)
        return True

    def _channel(self, node: Node, fifo: Fifo, link: OutputLink, now: int) -> int | None:
        """Virtual channel on which a FIFO's head can take a link now."""
        packet = fifo.head(now)
        if packet is None:
            return None
        directions = packet.wanted()
        if not packet.dynamic:
            directions = directions[:1]
        if link.direction not in directions:
            return None
        free = [below.free(now) for below in link.below]
        if packet.dynamic and link.dynamic_room(now):
            return 0 if free[0] >= free[1] else 1
        if directions[0] != link.direction:
            return None
        if packet.dynamic and any(node.links[other].dynamic_room(now) for other in directions):
            return None
        channel = PRIORITY if packet.priority else BUBBLE
        straight = fifo.number == link.direction * CHANNELS + channel
        return channel if free[channel] >= (1 if straight else 2) else None

    def _grant(self, node: Node, link: OutputLink, now: int) -> None:
        able = {fifo.number: self._channel(node, fifo, link, now) for fifo in node.fifos}
        able = {number: channel for number, channel in able.items() if channel is not None}
        if PRIORITY in able.values():
            able = {number: channel for number, channel in able.items() if channel == PRIORITY}
        if not able:
            return
        number = self._arbitrate(node, link, list(able))
        channel = able[number]
        assert channel is not None
        fifo = node.fifos[number]
        packet = fifo.packets[0]
        link.free_at = now + self.parameters.link_cycles(packet.chunks)
        link.grants += 1
        link.turn = (number + 1) % len(node.fifos)
        self._at(link.free_at, ROUTERS, self._look, node)
        self._leave(fifo, packet, now)
        if self.messages.deposit[packet.message] and number < DIRECTIONS * CHANNELS:
            self._deliver(packet, link.free_at + self.parameters.endpoint_cycles)
        if number >= DIRECTIONS * CHANNELS:
            self._start_engine(node, now)
        packet.hops[link.direction >> 1] -= 1
        self.packet_hops += 1
        below = link.below[channel]
        below.coming += 1
        if channel < BUBBLE and not link.dynamic_room(now):  # heads that waited for it may escape now
            self._at(now + 1, ROUTERS, self._look, node)
        self._at(now + self.parameters.hop_cycles, ARRIVALS, self._enter, below, packet)

    def _arbitrate(self, node: Node, link: OutputLink, able: list[int]) -> int:
        drawn = draw(link.number, link.grants)
        if drawn >> 24 < self.parameters.lots_in_256:
            return able[(drawn & 0xFFFF) * len(able) >> 16]
        network = [number for number in able if number < DIRECTIONS * CHANNELS]
        in_turn = sorted(network or able, key=lambda number: (number - link.turn) % len(node.fifos))
        return max(in_turn, key=lambda number: len(node.fifos[number].packets))

    def _leave(self, fifo: Fifo, packet: Packet, now: int) -> None:
        """A packet starts to leave a FIFO: its slot is free again a token latency after its tail has left."""
        fifo.packets.popleft()
        fifo.ready = now + self.parameters.read_cycles
        if fifo.packets:
            self._introduce(fifo, fifo.ready)
        upstream = self._upstream.get(id(fifo))
        if upstream is not None:
            release = now + self.parameters.link_cycles(packet.chunks) + self.parameters.token_cycles
            fifo.releases = [time for time in fifo.releases if time > now]
            fifo.releases.append(release)
            self._at(release, ROUTERS, self._look, upstream)

    def _enter(self, fifo: Fifo, packet: Packet) -> None:
        """A packet's header has come in over a link."""
        fifo.coming -= 1
        fifo.packets.append(packet)
        if len(fifo.packets) == 1:
            self._introduce(fifo, max(int(self.environment.now), fifo.ready))


__all__ = ["PacketReference"]
