"""The collective network device of a virtual machine: FIFOs in software.

The guest never touches the hardware FIFOs. When a header and 16 quads are queued, the VMM sends
them as one real packet: one status read, one header write, 16 quad stores. Arriving packets are
drained at once by the interrupt handler, 17 accesses and a status read each, and queued for the
guest, whose virtual watermark interrupt they raise. The control registers are a pure shadow.

The virtual FIFOs are a hundred times as deep as the hardware's, but the status register reports at
most seven headers. With several virtual machines each has such FIFOs, the hardware's are drained once, and
every packet is queued for all of them. A packet that does not fit, or finds the hardware FIFO full, is lost
and counted (the real server stops in the kernel debugger, or prints).

Source: khvmm ``vtree.{h,cc}``, ``ptree.cc``.
"""

from __future__ import annotations

from collections import deque

from bgsim.datasheet import Datasheet
from bgsim.hardware import collective_device as hw
from bgsim.hardware.bic import Bic, target
from bgsim.hardware.bus import Bus
from bgsim.hardware.collective_device import InjectionFlag, Interrupt, ReceptionFlag, Register
from bgsim.hardware.dcr import DcrBus
from bgsim.platforms.seam import DcrAccess, DeviceAccess, Load, LoadQuad, ReadDcr, Store
from bgsim.vmm.server import Handled

FIFO_PACKETS = 800
STATUS_MAX = 7
"""Most headers and quads the virtual status register reports."""

_WATERMARKS_RECEPTION = ReceptionFlag.WATERMARK | ReceptionFlag.WATERMARK >> 1
_WATERMARKS_INJECTION = InjectionFlag.WATERMARK | InjectionFlag.WATERMARK >> 1


class VirtualChannel:
    """One channel's software FIFOs."""

    def __init__(self) -> None:
        self.injection_headers: deque[int] = deque()
        self.injection_quads: deque[object] = deque()
        self.reception_headers: deque[int] = deque()
        self.reception_quads: deque[object] = deque()

    def status(self) -> int:
        """The channel's status register."""
        return hw.status_word(
            injection_packets=0,
            injection_quads=min(len(self.injection_quads), STATUS_MAX),
            injection_headers=min(len(self.injection_headers), STATUS_MAX),
            reception_packets=0,
            reception_quads=min(len(self.reception_quads), STATUS_MAX),
            interrupt=False,
            reception_headers=min(len(self.reception_headers), STATUS_MAX),
        )


class VirtualCollective:
    """Both channels, the control registers and the interrupts of one virtual machine.

    Parameters
    ----------
    bic
        The node's interrupt controller, whose collective interrupts the VMM takes.
    virtual_bic
        The virtual machine's interrupt controller.
    first
        The device of the node's first virtual machine, where this is that of a further one.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        bus: Bus,
        dcr: DcrBus,
        bic: Bic,
        virtual_bic: Bic,
        first: VirtualCollective | None = None,
    ) -> None:
        self._family: list[VirtualCollective] = [] if first is None else first._family
        self._family.append(self)
        self._copied = 0  # packets queued here since this device's interrupt was last looked at
        self._copy_instructions = (
            datasheet.integer("vmm.collective_copy_instructions") if first is not None else 0
        )
        self._bus = bus
        self._dcr = dcr
        self._virtual_bic = virtual_bic
        self._fifo_packets = datasheet.integer("collective.fifo_packets")
        self._quad_instructions = datasheet.integer("vmm.collective_quad_instructions")
        self._packet_instructions = datasheet.integer("vmm.collective_packet_instructions")
        self.channels = tuple(VirtualChannel() for _ in range(hw.CHANNELS))
        self._control: dict[int, int] = {hw.Dcr.NODE_ADDRESS: dcr.read(hw.DCR_BASE + hw.Dcr.NODE_ADDRESS)}
        self._reception_flags = 0
        self._injection_flags = 0
        self.packets_sent = 0
        self.packets_received = 0
        self.packets_lost = 0
        for number in range(Interrupt.INJECTION, Interrupt.LAST + 1):
            bic.set_target(number, target(0))
        dcr.write(hw.DCR_BASE + hw.Dcr.RECEPTION_ENABLE, _WATERMARKS_RECEPTION)

    # -- registers on the bus

    def access(self, access: DeviceAccess) -> Handled:
        """Load or store of a channel's register."""
        number = hw.BASES.index(access.address & ~(hw.SIZE - 1))
        channel, register = self.channels[number], access.address & (hw.SIZE - 1)
        answer: object = None
        extra = Handled()
        if isinstance(access, Load):
            answer = self._load(number, channel, register)
        elif isinstance(access, Store):
            assert register == Register.INJECTION_HEADER
            channel.injection_headers.append(access.value)
            extra = self._send(number, channel)
        elif isinstance(access, LoadQuad):
            answer = self._load_quad(number, channel)
        else:
            channel.injection_quads.append(access.quad)
            extra = self._send(number, channel)
        self.raise_interrupts()
        return Handled(
            answer,
            instructions=self._quad_instructions + extra.instructions,
            collective_accesses=extra.collective_accesses,
        )

    def _load(self, number: int, channel: VirtualChannel, register: int) -> int:
        if register == Register.STATUS:
            return channel.status()
        if register == Register.STATUS_OTHER:
            return self.channels[1 - number].status()
        assert register == Register.RECEPTION_HEADER
        if channel.reception_headers:
            return channel.reception_headers.popleft()
        self._reception_flags |= ReceptionFlag.HEADER_UNDERFLOW >> number
        return 0

    def _load_quad(self, number: int, channel: VirtualChannel) -> object:
        if not channel.reception_quads:
            self._reception_flags |= ReceptionFlag.DATA_UNDERFLOW >> number
            return None
        quad = channel.reception_quads.popleft()
        if len(channel.reception_quads) // hw.QUADS <= self._watermark(number, 8):
            self._reception_flags &= ~(ReceptionFlag.WATERMARK >> number)
        return quad

    def _send(self, number: int, channel: VirtualChannel) -> Handled:
        """Send one real packet if one is complete."""
        if not channel.injection_headers or len(channel.injection_quads) < hw.QUADS:
            return Handled()
        header = channel.injection_headers.popleft()
        quads = [channel.injection_quads.popleft() for _ in range(hw.QUADS)]
        self._injection_flags |= InjectionFlag.WATERMARK >> number
        base = hw.BASES[number]
        status = self._bus.load(base + Register.STATUS)
        if status >> 16 & 0xF >= self._fifo_packets:
            self.packets_lost += 1
            return Handled(instructions=self._packet_instructions, collective_accesses=1)
        self._bus.store(base + Register.INJECTION_HEADER, header)
        for quad in quads:
            self._bus.store_quad(base + Register.INJECTION_DATA, quad)
        self.packets_sent += 1
        return Handled(instructions=self._packet_instructions, collective_accesses=2 + hw.QUADS)

    # -- device control registers

    def control(self, access: DcrAccess) -> Handled:
        """A control register, answered from the shadow."""
        offset = access.number - hw.DCR_BASE
        if isinstance(access, ReadDcr):
            value = self._control.get(offset, 0)
            if offset == hw.Dcr.RECEPTION_FLAGS:
                value = self._reception_flags
                self._reception_flags &= _WATERMARKS_RECEPTION
            elif offset == hw.Dcr.INJECTION_FLAGS:
                value = self._injection_flags
                self._injection_flags &= _WATERMARKS_INJECTION
            self.raise_interrupts()
            return Handled(value, "fwd_dcr")
        if offset == hw.Dcr.RECEPTION_FLAGS:
            self._reception_flags |= access.value
        elif offset == hw.Dcr.INJECTION_FLAGS:
            self._injection_flags |= access.value
        else:
            self._control[offset] = access.value
        return Handled(path="fwd_dcr")

    # -- interrupts

    def interrupt(self, number: int) -> Handled:
        """A hardware interrupt: drain the hardware FIFOs, acknowledge at once.

        That is done for the first virtual machine; of a further one, only the copies are left to account for.
        """
        if self._family[0] is not self:
            copies, self._copied = self._copied, 0
            self.raise_interrupts()
            return Handled(instructions=copies * self._copy_instructions)
        accesses = packets = 0
        control_accesses = 1
        flags = self._dcr.read(hw.DCR_BASE + hw.Dcr.RECEPTION_FLAGS)
        while flags & _WATERMARKS_RECEPTION:
            for channel in range(hw.CHANNELS):
                if flags & ReceptionFlag.WATERMARK >> channel:
                    drained = self._drain(channel)
                    packets += drained
                    accesses += 1 + drained * (2 + hw.QUADS)
            flags = self._dcr.read(hw.DCR_BASE + hw.Dcr.RECEPTION_FLAGS)
            control_accesses += 1
        self.raise_interrupts()
        return Handled(
            instructions=packets * self._packet_instructions,
            collective_accesses=accesses,
            dcr_accesses=control_accesses,
            acknowledged=(number,),
        )

    def raise_interrupts(self) -> None:
        """Set the virtual interrupts whose conditions hold."""
        if self._reception_flags & self._control.get(hw.Dcr.RECEPTION_ENABLE, 0):
            self._virtual_bic.raise_interrupt(Interrupt.RECEPTION)
        if self._injection_flags & self._control.get(hw.Dcr.INJECTION_ENABLE, 0):
            self._virtual_bic.raise_interrupt(Interrupt.INJECTION)

    def _drain(self, number: int) -> int:
        base = hw.BASES[number]
        drained = 0
        while self._bus.load(base + Register.STATUS) & 0xF:
            header = self._bus.load(base + Register.RECEPTION_HEADER)
            quads = [self._bus.load_quad(base + Register.RECEPTION_DATA) for _ in range(hw.QUADS)]
            drained += 1
            for device in self._family:
                device._queue(number, header, quads)
        return drained

    def _queue(self, number: int, header: int, quads: list[object]) -> None:
        """Queue a received packet for this virtual machine."""
        channel = self.channels[number]
        self._copied += 1
        if len(channel.reception_headers) >= FIFO_PACKETS:
            self.packets_lost += 1
            return
        channel.reception_headers.append(header)
        channel.reception_quads.extend(quads)
        self.packets_received += 1
        if len(channel.reception_quads) // hw.QUADS > self._watermark(number, 8):
            self._reception_flags |= ReceptionFlag.WATERMARK >> number

    def _watermark(self, channel: int, shift: int) -> int:
        return self._control.get(hw.Dcr.CHANNEL_CONFIGURATION + channel, 0) >> shift & 7
