"""The collective (tree) network device of a node: two channels of packet FIFOs.

A packet is a header word and 16 quads of 16 bytes. Software writes the header to one register and the quads
to another; when both are there the packet is complete and leaves when the link is free. Arriving packets
wait in the reception FIFO until their header and 16 quads have been read; a full FIFO holds the network.
Watermark conditions are exception flags in device control registers, and raise interrupts where enabled.

A packet is for one node, or of a class: then the network combines it with those of the other nodes, and the
result comes back to all. Quads that are combined are 16 bytes; a quad of None is data that is not modelled.
Left out: checksums, the diagnostic registers, and changing the routes of classes, which are the network's.

Source: khvmm tree.h and vtree.cc, Kittyhawk Linux tree.c; ``bpcore/collective.h`` (IBM, 2007).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum

from bgsim.datasheet import Datasheet
from bgsim.hardware.bic import Bic
from bgsim.hardware.collective_header import HEADER_INTERRUPT, class_descriptor, decoded
from bgsim.network.collective import CollectiveNetwork
from bgsim.network.collective_packet import CollectivePacket
from bgsim.network.tree import CLASSES

BASES = (0x6_1000_0000, 0x6_1100_0000)
"""Physical address of each channel's registers."""
SIZE = 0x400
CHANNELS = 2
DCR_BASE = 0xC00
DCR_COUNT = 0x80
QUADS = 16
QUAD_BYTES = 16
PACKET_PAYLOAD_BYTES = QUADS * QUAD_BYTES


class Register(IntEnum):
    """Registers of a channel."""

    INJECTION_DATA = 0x00  # store quad
    INJECTION_HEADER = 0x10  # store
    RECEPTION_DATA = 0x20  # load quad
    RECEPTION_HEADER = 0x30  # load
    STATUS = 0x40  # load
    STATUS_OTHER = 0x50  # load: the other channel's


class Dcr(IntEnum):
    """Device control registers, as offsets from `DCR_BASE`."""

    CLASS_ROUTES = 0x00  # to 0x07: two classes each, the lower in the upper half
    NODE_ADDRESS = 0x41
    CHANNEL_CONFIGURATION = 0x42  # + channel: reception watermark << 8 | injection watermark
    RECEPTION_FLAGS = 0x44  # load, then clear
    RECEPTION_ENABLE = 0x45
    INJECTION_FLAGS = 0x48  # load, then clear
    INJECTION_ENABLE = 0x49


class ReceptionFlag(IntEnum):
    """Exception flags of reception; shift right by the channel."""

    WATERMARK = 1 << 1  # more packets wait than the watermark
    HEADER_UNDERFLOW = 1 << 3
    DATA_UNDERFLOW = 1 << 5


class InjectionFlag(IntEnum):
    """Exception flags of injection; shift right by the channel."""

    WATERMARK = 1 << 2  # no more packets wait than the watermark
    HEADER_OVERFLOW = 1 << 4
    DATA_OVERFLOW = 1 << 6


class Interrupt(IntEnum):
    """Interrupt numbers."""

    FIRST = 0xA0
    INJECTION = 0xB4
    RECEPTION = 0xB5
    CHANNEL = 0xB6  # + channel: a packet waits whose header asks for an interrupt
    LAST = 0xB7


def is_collective(number: int) -> bool:
    """Whether an interrupt is one of the collective network's."""
    return Interrupt.FIRST <= number <= Interrupt.LAST


def status_word(
    *,
    injection_packets: int,
    injection_quads: int,
    injection_headers: int,
    reception_packets: int,
    reception_quads: int,
    interrupt: bool,
    reception_headers: int,
) -> int:
    """A channel's status register."""
    return (
        injection_packets << 28
        | injection_quads << 24
        | injection_headers << 16
        | reception_packets << 12
        | reception_quads << 8
        | interrupt << 4
        | reception_headers
    )


class _Received:
    """A packet in the reception FIFO."""

    __slots__ = ("header", "quads")

    def __init__(self, header: int, quads: tuple[object, ...]) -> None:
        self.header: int | None = header
        self.quads = deque(quads)


class Channel:
    """One virtual channel: its registers and FIFOs. Part of a :class:`CollectiveDevice`."""

    def __init__(self, device: CollectiveDevice, number: int, fifo_packets: int) -> None:
        self.number = number
        self._device = device
        self._fifo_packets = fifo_packets
        self._headers: deque[int] = deque()  # written, packet not yet left
        self._quads: deque[object] = deque()
        self._complete = 0  # packets handed to the link, of those in the FIFO
        self._received: deque[_Received] = deque()

    # -- registers

    def load(self, offset: int) -> int:
        """Read a register."""
        if offset == Register.STATUS:
            return self.status()
        if offset == Register.STATUS_OTHER:
            return self._device.channels[1 - self.number].status()
        if offset == Register.RECEPTION_HEADER:
            waiting = next((packet for packet in self._received if packet.header is not None), None)
            if waiting is None:
                self._device.flag_reception(ReceptionFlag.HEADER_UNDERFLOW >> self.number)
                return 0
            header, waiting.header = waiting.header, None
            self._release()
            self._device.update()
            assert header is not None
            return header
        raise LookupError(f"collective device register {offset:#x} cannot be read as a word")

    def store(self, offset: int, value: int) -> None:
        """Write a register."""
        if offset != Register.INJECTION_HEADER:
            raise LookupError(f"collective device register {offset:#x} cannot be written as a word")
        if len(self._headers) == self._fifo_packets:
            self._device.flag_injection(InjectionFlag.HEADER_OVERFLOW >> self.number)
            return
        self._headers.append(value)
        self._send()

    def load_quad(self, offset: int) -> object:
        """Read the next 16 bytes of received data."""
        if offset != Register.RECEPTION_DATA:
            raise LookupError(f"collective device register {offset:#x} cannot be read as a quad")
        packet = next((packet for packet in self._received if packet.quads), None)
        if packet is None:
            self._device.flag_reception(ReceptionFlag.DATA_UNDERFLOW >> self.number)
            return None
        quad = packet.quads.popleft()
        if self._release():
            self._device.update()
        else:
            self._device.on_activity()  # the count of quads is not a condition of any line
        return quad

    def store_quad(self, offset: int, quad: object) -> None:
        """Append 16 bytes to the injection data."""
        if offset != Register.INJECTION_DATA:
            raise LookupError(f"collective device register {offset:#x} cannot be written as a quad")
        if len(self._quads) == self._fifo_packets * QUADS:
            self._device.flag_injection(InjectionFlag.DATA_OVERFLOW >> self.number)
            return
        self._quads.append(quad)
        if len(self._quads) % QUADS == 0:
            self._send()

    def status(self) -> int:
        """The status register."""
        quads = sum(len(packet.quads) for packet in self._received)
        return status_word(
            injection_packets=len(self._quads) // QUADS,
            injection_quads=len(self._quads) % QUADS,
            injection_headers=len(self._headers),
            reception_packets=-(-quads // QUADS),
            reception_quads=quads % QUADS,
            interrupt=self.interrupt_requested,
            reception_headers=sum(packet.header is not None for packet in self._received),
        )

    # -- conditions

    @property
    def injection_used(self) -> int:
        """Complete packets that have not left."""
        return self._complete

    @property
    def reception_used(self) -> int:
        """Packets not completely read."""
        return len(self._received)

    @property
    def interrupt_requested(self) -> bool:
        """Whether a waiting packet's header asks for an interrupt."""
        return any(
            packet.header is not None and packet.header & HEADER_INTERRUPT for packet in self._received
        )

    # -- packets

    @property
    def room(self) -> int:
        """How many more packets the reception FIFO can take."""
        return self._fifo_packets - len(self._received)

    def receive(self, packet: CollectivePacket) -> None:
        """Take a packet from the network."""
        assert self.room > 0, "the network keeps to the size of the reception FIFO"
        quads = packet.content if packet.destination >= 0 else _quads(packet.content)
        assert isinstance(quads, tuple)
        self._received.append(_Received(packet.header, quads))
        self._device.on_received(packet)
        self._device.update()

    def _send(self) -> None:
        while self._complete < min(len(self._headers), len(self._quads) // QUADS):
            self._complete += 1
            if self._complete == 1:
                self._offer()
        self._device.update()

    def _offer(self) -> None:
        quads = tuple(self._quads[index] for index in range(QUADS))
        self._device.send(self._headers[0], quads, self.number, self._departed)

    def _departed(self) -> None:
        self._headers.popleft()
        for _ in range(QUADS):
            self._quads.popleft()
        self._complete -= 1
        if self._complete:
            self._offer()
        self._device.update()

    def _release(self) -> bool:
        """Free the FIFO slots of packets that have been read completely; whether there were any."""
        freed = False
        while self._received and self._received[0].header is None and not self._received[0].quads:
            self._received.popleft()
            freed = True
        if freed:
            self._device.network.resume(self._device.node)
        return freed


def packet_problem(datasheet: Datasheet) -> str:
    """What the device lacks for a machine's packets: a sentence, or nothing."""
    size = datasheet.integer("collective.packet_payload")
    if size == PACKET_PAYLOAD_BYTES:
        return ""
    return f"{size} B, and the collective device has packets of {QUADS} quads, {PACKET_PAYLOAD_BYTES} B"


class CollectiveDevice:
    """The device with its two channels, control registers and interrupts.

    Parameters
    ----------
    node
        Node number, which is also its address on the network.
    network
        The collective network.
    bic
        Where interrupts go.
    datasheet
        The machine.

    Attributes
    ----------
    on_received
        Told of every packet that comes into a reception FIFO. For instruments.
    """

    def __init__(self, node: int, network: CollectiveNetwork, bic: Bic, datasheet: Datasheet) -> None:
        problem = packet_problem(datasheet)
        if problem:
            raise ValueError(problem)
        self.node = node
        self.network = network
        self.on_activity: Callable[[], None] = lambda: None
        self.on_received: Callable[[CollectivePacket], None] = lambda packet: None
        self._bic = bic
        self._control: dict[int, int] = {Dcr.NODE_ADDRESS: node}
        self._reception_flags = 0
        self._injection_flags = 0
        fifo_packets = datasheet.integer("collective.fifo_packets")
        self.channels = tuple(Channel(self, number, fifo_packets) for number in range(CHANNELS))
        network.attach(
            node,
            lambda packet: self.channels[packet.channel].receive(packet),
            lambda channel: self.channels[channel].room,
        )

    def dcr_read(self, offset: int) -> int:
        """Read a device control register; reading exception flags clears those that are not conditions."""
        if offset == Dcr.RECEPTION_FLAGS:
            flags = self._reception_flags | self._reception_conditions()
            self._reception_flags = 0
            self.update()
            return flags
        if offset == Dcr.INJECTION_FLAGS:
            flags = self._injection_flags | self._injection_conditions()
            self._injection_flags = 0
            self.update()
            return flags
        if offset < CLASSES // 2:
            tree = self.network.tree
            low, high = (class_descriptor(tree, 2 * offset + half, self.node) for half in (0, 1))
            return low << 16 | high
        return self._control.get(offset, 0)

    def dcr_write(self, offset: int, value: int) -> None:
        """Write a device control register.

        Raises
        ------
        LookupError
            For the routes of classes.
        """
        if offset < CLASSES // 2:
            raise LookupError("the routes of classes are set before a job starts, by CollectiveTree.define")
        if offset == Dcr.RECEPTION_FLAGS:
            self._reception_flags |= value
        elif offset == Dcr.INJECTION_FLAGS:
            self._injection_flags |= value
        else:
            self._control[offset] = value
        self.update()

    def flag_reception(self, flag: int) -> None:
        """Set a reception exception flag."""
        self._reception_flags |= flag
        self.update()

    def flag_injection(self, flag: int) -> None:
        """Set an injection exception flag."""
        self._injection_flags |= flag
        self.update()

    def send(
        self, header: int, quads: tuple[object, ...], channel: int, on_departure: Callable[[], None]
    ) -> None:
        """Hand a complete packet to the network.

        Raises
        ------
        ValueError
            If the header names an operation the integer unit does not have, or a class the node has no part
            in; or a quad to be combined is not 16 bytes.
        """
        fields = decoded(header)
        packet = CollectivePacket(
            source=self.node,
            destination=fields.destination,
            route=fields.route,
            operation=fields.operation,
            operand_bytes=fields.operand_bytes,
            content=quads if fields.destination >= 0 else _payload(quads),
            channel=channel,
            header=header,
            on_departure=on_departure,
        )
        self.network.inject(packet)

    def update(self) -> None:
        """Drive the interrupt lines from flags, watermarks and enables; tell who polls."""
        self.on_activity()
        reception = self._reception_flags | self._reception_conditions()
        injection = self._injection_flags | self._injection_conditions()
        self._bic.set_line(Interrupt.RECEPTION, bool(reception & self._control.get(Dcr.RECEPTION_ENABLE, 0)))
        self._bic.set_line(Interrupt.INJECTION, bool(injection & self._control.get(Dcr.INJECTION_ENABLE, 0)))
        for channel in self.channels:
            self._bic.set_line(Interrupt.CHANNEL + channel.number, channel.interrupt_requested)

    def _watermark(self, channel: int, shift: int) -> int:
        return self._control.get(Dcr.CHANNEL_CONFIGURATION + channel, 0) >> shift & 7

    def _reception_conditions(self) -> int:
        return sum(
            ReceptionFlag.WATERMARK >> channel.number
            for channel in self.channels
            if channel.reception_used > self._watermark(channel.number, 8)
        )

    def _injection_conditions(self) -> int:
        return sum(
            InjectionFlag.WATERMARK >> channel.number
            for channel in self.channels
            if channel.injection_used <= self._watermark(channel.number, 0)
        )


def _payload(quads: tuple[object, ...]) -> bytes | None:
    """Quads as one payload; None when none of them holds data."""
    if all(quad is None for quad in quads):
        return None
    pieces = []
    for quad in quads:
        if quad is None:
            pieces.append(bytes(QUAD_BYTES))
        elif isinstance(quad, bytes) and len(quad) == QUAD_BYTES:
            pieces.append(quad)
        else:
            raise ValueError(f"a quad to be combined is {QUAD_BYTES} bytes, not {quad!r}")
    return b"".join(pieces)


def _quads(payload: object) -> tuple[object, ...]:
    if payload is None:
        return (None,) * QUADS
    assert isinstance(payload, bytes)
    return tuple(payload[start : start + QUAD_BYTES] for start in range(0, len(payload), QUAD_BYTES))
