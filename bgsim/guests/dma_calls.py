"""The system calls that hand out DMA resources to a user-level messaging library.

A program works its FIFOs and counters itself; the registers that say which are its own, and where their
rings are in memory, only the kernel may write.

Source: the allocation calls follow the IBM SPI headers (2007).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bgsim.hardware import dma_registers as reg
from bgsim.hardware.dma_registers import CounterControl, Dcr, FifoRegister, Register
from bgsim.platforms.seam import Code, ReadDcr, Store, WriteDcr


class DmaCalls(ABC):
    """What a kernel with user-level messaging offers; the kernel adds how it is entered."""

    @abstractmethod
    def system_call(self) -> Code:
        """Enter the kernel, do what every system call does, and leave it."""

    def allocate_injection_fifo(
        self, group: int, fifo: int, ring: int, entries: int, network_fifos: int
    ) -> Code:
        """Point an injection FIFO at an empty ring of descriptors, and let it run.

        Parameters
        ----------
        ring, entries
            Address of the ring and its slots.
        network_fifos
            Torus injection FIFOs it may use; FIFO 0 is the leftmost of eight bits.
        """
        yield from self.system_call()
        number = reg.DCR_BASE + Dcr.INJECTION_FIFO_MAP + 8 * group + fifo // 4
        shift = 24 - 8 * (fifo % 4)
        yield from _change_bits(number, 0xFF << shift, network_fifos << shift)
        yield from _point(
            {each: reg.group_address(group, reg.injection_fifo(fifo, each)) for each in FifoRegister},
            ring,
            entries * reg.DESCRIPTOR_BYTES,
        )
        yield from _change_bits(reg.injection_enable_dcr(group), 0, reg.bit(fifo))
        yield Store(reg.group_address(group, Register.INJECTION_ACTIVATE), reg.bit(fifo))

    def allocate_reception_fifo(self, group: int, fifo: int, ring: int, entries: int) -> Code:
        """Point a reception FIFO at an empty ring of packet slots, and let it receive its group's packets."""
        yield from self.system_call()
        yield from _point(
            {each: reg.group_address(group, reg.reception_fifo(fifo, each)) for each in FifoRegister},
            ring,
            entries * reg.PACKET_SLOT_BYTES,
        )
        index = group * reg.RECEPTION_FIFOS + fifo
        for half in range(2):
            number = reg.DCR_BASE + Dcr.RECEPTION_FIFO_MAP + 2 * group + half
            yield WriteDcr(number, index * 0x0101_0101)
        yield from _change_bits(reg.DCR_BASE + Dcr.RECEPTION_FIFO_ENABLE, 0, reg.bit(index))

    def allocate_counters(self, group: int) -> Code:
        """Let all injection and reception counters of a group count."""
        yield from self.system_call()
        for control in (Register.INJECTION_COUNTER_CONTROL, Register.RECEPTION_COUNTER_CONTROL):
            for word in range(2):
                yield Store(reg.group_address(group, control + CounterControl.ENABLE + 4 * word), 0xFFFF_FFFF)


def _point(registers: dict[FifoRegister, int], base: int, size: int) -> Code:
    yield Store(registers[FifoRegister.START], base >> 4)
    yield Store(registers[FifoRegister.END], base + size >> 4)
    yield Store(registers[FifoRegister.HEAD], base >> 4)
    yield Store(registers[FifoRegister.TAIL], base >> 4)


def _change_bits(number: int, cleared: int, set_: int) -> Code:
    word = yield ReadDcr(number)
    yield WriteDcr(number, word & ~cleared | set_)
