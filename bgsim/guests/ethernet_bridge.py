"""An I/O node that forwards Ethernet frames: Linux between two networks.

Kittyhawk's compute nodes have an Ethernet of their own, whose way out is the I/O node of their pset. It
takes the packets of a frame out of the collective network's reception FIFO one by one, and sends the frame
on when it is whole; the other way it cuts frames into packets as the compute nodes' driver does
(:mod:`bgsim.guests.ethernet_collective`). One core does what comes from the collective network, another
what comes from the Ethernet, as in the measurement from which the time of a packet is known.

Like the I/O node of :mod:`bgsim.hardware.io_node` it is not executed instruction by instruction: its
software costs are times. Left out: a limit of its queues, learning of addresses, its own interrupts and
noise.

Source: IBM's Linux driver ``bgp_collective`` for the packets; a frame's time (``io_node.forward_cycles``)
is a guess.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, cast

from simpy import Environment, Event

from bgsim.datasheet import Datasheet
from bgsim.guests.ethernet import Frame
from bgsim.guests.ethernet_collective import CHANNEL, FragmentHeader
from bgsim.hardware.collective_device import QUADS
from bgsim.hardware.collective_header import point_to_point_header
from bgsim.hardware.io_protocol import Layer
from bgsim.hardware.station import Station
from bgsim.network.callout import call_after
from bgsim.network.collective import CollectiveNetwork
from bgsim.network.collective_packet import CollectivePacket
from bgsim.network.tree import CLASS_POINT_TO_POINT

Steps = Generator[Event, Any, None]
Passed = Callable[[Layer, int, Frame, int], None]


@dataclass(frozen=True, slots=True)
class BridgeParameters:
    """Times and sizes of an I/O node that forwards frames, in core cycles and bytes.

    Attributes
    ----------
    receive_cycles, send_cycles
        Per packet of the collective network.
    forward_cycles
        Per frame.
    payload_bytes
        Of a frame, in a packet.
    header_bytes
        Of a frame on the collective network, beside the IP packet.
    overhead_bytes
        Of a frame on the Ethernet, beside the IP packet.
    ethernet_cycles
        Per byte.
    latency_cycles
        To the file server and back.
    """

    receive_cycles: int
    send_cycles: int
    forward_cycles: int
    payload_bytes: int
    header_bytes: int
    overhead_bytes: int
    ethernet_cycles: Fraction
    latency_cycles: int

    @classmethod
    def from_datasheet(cls, sheet: Datasheet) -> BridgeParameters:
        """The machine's."""
        return cls(
            receive_cycles=sheet.cycles("ciod.receive_cycles"),
            send_cycles=sheet.cycles("ciod.send_cycles"),
            forward_cycles=sheet.cycles("io_node.forward_cycles"),
            payload_bytes=sheet.integer("guest.bgnet.fragment_payload"),
            header_bytes=sheet.integer("guest.ethernet_header"),
            overhead_bytes=sheet.integer("ethernet.frame_overhead"),
            ethernet_cycles=Fraction(sheet.integer("core.frequency"))
            / Fraction(sheet.quantity("ethernet.rate").value),
            latency_cycles=sheet.cycles("file_server.latency"),
        )

    def packets(self, ip_bytes: int) -> int:
        """Packets of the collective network that a frame takes."""
        return -(-(self.header_bytes + ip_bytes) // self.payload_bytes)

    def wire_cycles(self, ip_bytes: int) -> int:
        """Time of a frame on the Ethernet."""
        return ceil((ip_bytes + self.overhead_bytes) * self.ethernet_cycles)


class EthernetBridge:
    """The I/O node of one pset.

    Parameters
    ----------
    environment
        Simulation environment in core cycles.
    address
        On the collective network.
    network
        The collective network.

    Attributes
    ----------
    on_outside
        Called with a compute node and its frame when that has reached the other end of the Ethernet.
    on_out, on_in
        Told of every frame to and from the Ethernet whenever one layer has done with it: which layer, the
        compute node, the frame, and when. For instruments.
    packets_received, packets_sent
        Of the collective network.
    frames_out, frames_in
        To and from the Ethernet.
    """

    def __init__(
        self, environment: Environment, address: int, network: CollectiveNetwork, parameters: BridgeParameters
    ) -> None:
        self.environment = environment
        self.address = address
        self.parameters = parameters
        self.packets_received = self.packets_sent = 0
        self.frames_out = self.frames_in = 0
        self.on_outside: Callable[[int, Frame], None] = lambda node, frame: None
        self.on_out: Passed = lambda layer, node, frame, until: None
        self.on_in: Passed = lambda layer, node, frame, until: None
        self._network = network
        self._fifo_packets = network.parameters.fifo_packets
        self._waiting: deque[CollectivePacket] = deque()  # in the reception FIFO
        self._partial: dict[tuple[int, int], int] = {}
        self._coming: deque[Frame] = deque()  # from the Ethernet
        self._in_fifo = 0  # of the injection FIFO
        self._connection = 0
        self._wake_outward, self._wake_inward = environment.event(), environment.event()
        self._ethernet_out, self._ethernet_in = Station(), Station()
        network.attach(address, self._arrived, self._room)
        environment.process(self._outward())
        environment.process(self._inward())

    # -- out of the collective network

    def _room(self, channel: int) -> int:
        return self._fifo_packets - len(self._waiting)

    def _arrived(self, packet: CollectivePacket) -> None:
        self._waiting.append(packet)
        if not self._wake_outward.triggered:
            self._wake_outward.succeed()

    def _outward(self) -> Steps:
        while True:
            while self._waiting:
                yield from self._take()
            self._wake_outward = self.environment.event()
            yield self._wake_outward

    def _take(self) -> Steps:
        packet = self._waiting[0]
        yield self.environment.timeout(self.parameters.receive_cycles)
        self._waiting.popleft()
        self._network.resume(self.address)
        self.packets_received += 1
        header = cast("tuple[object, ...]", packet.content)[0]
        assert isinstance(header, FragmentHeader), "a packet starts with its link header"
        key = header.source, header.connection
        got = self._partial.pop(key, 0) + 1
        if got < header.fragments:
            self._partial[key] = got
            return
        node, frame = header.source, header.frame
        self.on_out(Layer.COMPUTE, node, frame, packet.injected_at)
        self.on_out(Layer.COLLECTIVE, node, frame, packet.delivered_at)
        yield self.environment.timeout(self.parameters.forward_cycles)
        self.on_out(Layer.CIOD, node, frame, self._now)
        self.frames_out += 1
        gone = self._ethernet_out.serve(self._now, self.parameters.wire_cycles(frame.ip_bytes))
        there = gone - self._now + self.parameters.latency_cycles // 2
        call_after(self.environment, there, self._outside, node, frame)

    def _outside(self, node: int, frame: Frame) -> None:
        self.on_out(Layer.ETHERNET, node, frame, self._now)
        self.on_outside(node, frame)

    # -- into it

    def send(self, frame: Frame) -> None:
        """A frame for a compute node leaves the other end of the Ethernet now."""
        back = self.parameters.latency_cycles - self.parameters.latency_cycles // 2
        call_after(self.environment, back, self._on_wire, frame)

    def _on_wire(self, frame: Frame) -> None:
        here = self._ethernet_in.serve(self._now, self.parameters.wire_cycles(frame.ip_bytes))
        call_after(self.environment, here - self._now, self._queue, frame)

    def _queue(self, frame: Frame) -> None:
        self.on_in(Layer.ETHERNET, frame.destination, frame, self._now)
        self.frames_in += 1
        self._coming.append(frame)
        self._awake_inward()

    def _inward(self) -> Steps:
        while True:
            while self._coming:
                yield from self._send(self._coming.popleft())
            yield from self._sleep_inward()

    def _send(self, frame: Frame) -> Steps:
        yield self.environment.timeout(self.parameters.forward_cycles)
        count, connection = self.parameters.packets(frame.ip_bytes), self._connection
        self._connection += 1
        for number in range(count):
            while self._in_fifo >= self._fifo_packets:
                yield from self._sleep_inward()
            yield self.environment.timeout(self.parameters.send_cycles)
            if number == count - 1:
                self.on_in(Layer.CIOD, frame.destination, frame, self._now)
            self._in_fifo += 1
            self.packets_sent += 1
            header = FragmentHeader(self.address, connection, number, count, frame)
            self._network.inject(
                CollectivePacket(
                    source=self.address,
                    destination=frame.destination,
                    route=CLASS_POINT_TO_POINT,
                    content=(header, *((None,) * (QUADS - 1))),
                    channel=CHANNEL,
                    header=point_to_point_header(frame.destination),
                    on_departure=self._departed,
                )
            )

    def _departed(self) -> None:
        self._in_fifo -= 1
        self._awake_inward()

    def _awake_inward(self) -> None:
        if not self._wake_inward.triggered:
            self._wake_inward.succeed()

    def _sleep_inward(self) -> Steps:
        self._wake_inward = self.environment.event()
        yield self._wake_inward

    @property
    def _now(self) -> int:
        return int(self.environment.now)
