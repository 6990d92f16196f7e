"""The torus DMA engine of a virtual machine.

The guest works the registers of all four groups; every access traps. Reads of what the hardware
changes cost one real access and a translation. Addresses the guest writes are moved into its range
of memory. Injection FIFOs are shadowed: the hardware never sees the guest's ring. Moving a tail
copies and checks each new descriptor into a ring of the VMM's, and then moves the real tail. The
payload is not copied, and reception rings are the guest's own memory.

A descriptor to a node that the virtual machine may not send to is denied: the guest's tail goes back to where
it was, the real one does not move, and the guest's fatal torus interrupt is raised. Copies within the node
always pass. By default every destination passes, as in the real server, whose mask nobody changes.

Left out: what keeps several virtual machines from working the same FIFO (each has shadow rings of its own,
but the FIFO's registers are the hardware's, and the last one to write them wins, as in the real server), and
descriptors that a remote get carries, which the other node's hardware injects unseen.

Source: khvmm ``vtorus.cc``, ``access.h``.
"""

from __future__ import annotations

from bgsim.datasheet import Datasheet
from bgsim.hardware import dma_registers as reg
from bgsim.hardware.bic import Bic, target
from bgsim.hardware.bus import Bus
from bgsim.hardware.dcr import DcrBus
from bgsim.hardware.dma_descriptor import Descriptor
from bgsim.hardware.dma_fifo import Fifo
from bgsim.hardware.dma_registers import CounterRegister, Dcr, FifoRegister, Interrupt, Register
from bgsim.hardware.memory import Memory, MemoryWindow
from bgsim.platforms.seam import DcrAccess, DeviceAccess, Load, ReadDcr, Store
from bgsim.vmm.server import Handled

SHADOW_BASE = 0x0C00_0000
"""Where the shadow rings lie, in the VMM's own memory below the virtual machines'."""

SHADOW_ENTRIES = 256
DESCRIPTOR_UNITS = reg.DESCRIPTOR_BYTES >> 4
_RANGES = 8
_SHADOW_BYTES = reg.GROUPS * reg.INJECTION_FIFOS * SHADOW_ENTRIES * reg.DESCRIPTOR_BYTES


class GuestDescriptorError(RuntimeError):
    """A guest moved an injection FIFO's tail over something that is not a descriptor."""


class VirtualTorus:
    """DMA registers and device control registers of one virtual machine.

    Parameters
    ----------
    memory
        The virtual machine's memory within the node's.
    host
        The node's memory, in which the shadow rings are.
    virtual_bic
        The virtual machine's interrupt controller.
    destinations
        Nodes it may send to; all when None.
    first
        The device of the node's first virtual machine, where this is that of a further one.

    Attributes
    ----------
    descriptors_copied, descriptors_denied
        How many the guest has posted, and how many of them it may not.
    """

    def __init__(
        self,
        datasheet: Datasheet,
        bus: Bus,
        dcr: DcrBus,
        bic: Bic,
        memory: MemoryWindow,
        host: Memory,
        virtual_bic: Bic,
        destinations: frozenset[int] | None = None,
        first: VirtualTorus | None = None,
    ) -> None:
        self._virtual_bic = virtual_bic
        self._destinations = destinations
        self._family: list[VirtualTorus] = [] if first is None else first._family
        self._shadow_base = SHADOW_BASE + len(self._family) * _SHADOW_BYTES
        self._family.append(self)
        self._bus = bus
        self._dcr = dcr
        self._memory = memory
        self._host = host
        self._register_instructions = datasheet.integer("vmm.torus_register_instructions")
        self._copy_instructions = datasheet.integer("vmm.descriptor_copy_instructions")
        self._fifos = [Fifo(index) for index in range(reg.GROUPS * reg.INJECTION_FIFOS)]
        self._shadow: dict[int, int] = {}  # registers that read as the guest wrote them, by address
        self._ranges: dict[int, int] = {}
        self.descriptors_copied = 0
        self.descriptors_denied = 0
        for number in range(reg.Interrupt.FIRST, reg.Interrupt.LAST + 1):
            bic.set_target(number, target(0))

    # -- registers on the bus

    def access(self, access: DeviceAccess) -> Handled:
        """Load or store of a DMA register."""
        if isinstance(access, Load):
            return self._load(access.address)
        assert isinstance(access, Store), "the DMA engine takes no quad accesses"
        return self._store(access.address, access.value)

    def _load(self, address: int) -> Handled:
        group, register = divmod(address - reg.BASE, reg.GROUP_SIZE)
        if address in self._shadow:
            return self._handled(self._shadow[address], device_accesses=0)
        if register < Register.INJECTION_NOT_EMPTY:
            fifo = self._fifos[group * reg.INJECTION_FIFOS + (register >> 4)]
            if register & 0xF == FifoRegister.HEAD:
                return self._handled(self._bus.load(address) - self._shadow_start(fifo) + fifo.start)
            return self._handled(fifo.load(register & 0xF), device_accesses=0)
        value = self._bus.load(address)
        if _is_reception_fifo(register) and register & 0xF == FifoRegister.TAIL:
            value -= self._memory.base >> 4
        return self._handled(value)

    def _store(self, address: int, value: int) -> Handled:
        group, register = divmod(address - reg.BASE, reg.GROUP_SIZE)
        if register < Register.INJECTION_NOT_EMPTY:
            return self._store_injection(address, group, register, value)
        if _is_reception_fifo(register):
            if register & 0xF != FifoRegister.TAIL:
                self._shadow[address] = value
            value = self._to_host(value, self._memory.base)
        elif _is_counter(register):
            if register & 0xF == CounterRegister.BASE:
                self._shadow[address] = value
                value = self._to_host(value, self._memory.base)
            elif register & 0xF == CounterRegister.LIMIT and register >= Register.RECEPTION_COUNTER:
                self._shadow[address] = value
                value = self._to_host(value, self._memory.base + self._memory.size - 1)
        self._bus.store(address, value)
        return self._handled()

    def _store_injection(self, address: int, group: int, register: int, value: int) -> Handled:
        fifo = self._fifos[group * reg.INJECTION_FIFOS + (register >> 4)]
        old = fifo.tail
        fifo.store(register & 0xF, value)
        real = self._shadow_start(fifo) + value - fifo.start
        instructions = 0
        if register & 0xF == FifoRegister.START:
            real = self._shadow_start(fifo)
        elif fifo.size > SHADOW_ENTRIES * DESCRIPTOR_UNITS:
            raise GuestDescriptorError(f"an injection ring of more than {SHADOW_ENTRIES} descriptors")
        elif register & 0xF == FifoRegister.TAIL and old:
            begin = old
            while old != value:
                instructions += self._copy_instructions
                if not self._copy(fifo, old):
                    fifo.store(register & 0xF, begin)
                    self._virtual_bic.raise_interrupt(Interrupt.FATAL)
                    return self._handled(instructions=instructions, device_accesses=0)
                old = fifo.advance(old, DESCRIPTOR_UNITS)
        self._bus.store(address, real)
        return self._handled(instructions=instructions)

    def _copy(self, fifo: Fifo, pointer: int) -> bool:
        """Copy a descriptor into the shadow ring; False if the guest may not send it."""
        descriptor = self._memory.read(pointer << 4)
        if not isinstance(descriptor, Descriptor):
            raise GuestDescriptorError(f"no descriptor at guest address {pointer << 4:#x}")
        self._host.write((self._shadow_start(fifo) + pointer - fifo.start) << 4, descriptor)
        self.descriptors_copied += 1
        if descriptor.local or self._destinations is None or descriptor.destination in self._destinations:
            return True
        self.descriptors_denied += 1
        return False

    def _shadow_start(self, fifo: Fifo) -> int:
        return (self._shadow_base >> 4) + fifo.index * SHADOW_ENTRIES * DESCRIPTOR_UNITS

    def _to_host(self, pointer: int, default: int) -> int:
        """A pointer in units of 16 bytes in host memory; ``default`` for one outside the guest's."""
        address = pointer << 4
        inside = 0 <= address <= self._memory.size
        return (self._memory.base + address if inside else default) >> 4

    def _handled(self, answer: int | None = None, instructions: int = 0, device_accesses: int = 1) -> Handled:
        return Handled(
            answer,
            instructions=self._register_instructions + instructions,
            device_accesses=device_accesses,
        )

    # -- device control registers

    def control(self, access: DcrAccess) -> Handled:
        """A DMA control register: passed on, except the ranges of valid addresses."""
        offset = access.number - reg.DCR_BASE
        bounds = {
            base + each
            for base in (int(Dcr.INJECTION_RANGE), int(Dcr.RECEPTION_RANGE))
            for each in range(2 * _RANGES)
        }
        if isinstance(access, ReadDcr):
            if offset in bounds:
                return Handled(self._ranges.get(offset, 0), "fwd_dcr")
            return Handled(self._dcr.read(access.number), "fwd_dcr", dcr_accesses=1)
        value = access.value
        if offset in bounds:
            self._ranges[offset] = value
            if offset >> 1 == (Dcr.INJECTION_RANGE >> 1) + _RANGES - 1:
                return Handled(path="fwd_dcr")  # the last injection range holds the shadow rings
            end = self._memory.base + (self._memory.size - 1 if offset & 1 else 0)
            value = self._to_host(value, end)
        self._dcr.write(access.number, value)
        return Handled(path="fwd_dcr", dcr_accesses=1)


def _is_reception_fifo(register: int) -> bool:
    return Register.RECEPTION_FIFO <= register < Register.RECEPTION_NOT_EMPTY


def _is_counter(register: int) -> bool:
    injection = Register.INJECTION_COUNTER <= register < Register.RECEPTION_FIFO
    return injection or register >= Register.RECEPTION_COUNTER
